//! Where mimir keeps its data.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::frames::space;
use crate::model::doctor::Check;
use crate::model::quantity::age;
use crate::store::{self, CheckedPart, StoreError, backup};

const WITHIN: Duration = Duration::from_secs(5);
/// How long pages of a large database are read.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// An image build needs about this much; below it, warn.
const COMFORTABLE_BYTES: u64 = 4 << 30;
/// Below this, frames begin to fail.
const NEEDED_BYTES: u64 = 512 << 20;

/// Writes a file into the home and waits until the disk has it.
pub(super) async fn home(subject: &Subject) -> Check {
    let about = About {
        id: "home.write",
        title: "the home folder keeps what is written to it",
        why: "database, keys and the agents' own data are there",
    };
    let home = subject.home.clone();
    about.attempt_blocking(WITHIN, move || try_home(&home)).await
}

fn try_home(home: &Path) -> Finding {
    let shown = home.display();
    let Ok(found) = fs::metadata(home) else {
        return Finding::failed(format!("{shown} does not exist"), "mimir init");
    };
    if found.mode() & 0o077 != 0 {
        return Finding::warning(
            format!("{shown} can be read by others (mode {:o})", found.mode() & 0o777),
            format!("chmod 700 {shown}"),
        );
    }
    let path = home.join(".doctor");
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(b"doctor was here\n")?;
        file.sync_all()
    });
    let _ = fs::remove_file(&path);
    match written {
        Ok(()) => Finding::ok(format!("wrote and synced a file in {shown}")),
        Err(error) => Finding::failed(
            format!("cannot write to {shown}: {error}"),
            format!("ls -ld {shown}; df -h {shown}"),
        ),
    }
}

/// How much space is left.
pub(super) async fn disk(subject: &Subject) -> Check {
    let about = About {
        id: "home.disk",
        title: "there is disk space",
        why: "a full disk stops agents in the middle of their work",
    };
    let home = subject.home.clone();
    about.attempt_blocking(WITHIN, move || try_disk(&home)).await
}

fn try_disk(home: &PathBuf) -> Finding {
    let shown = home.display();
    match rustix::fs::statvfs(home) {
        Err(error) => {
            Finding::failed(format!("cannot ask for the space at {shown}: {error}"), format!("df -h {shown}"))
        }
        Ok(found) => {
            if let Some(left) = space::last_files(home) {
                let text =
                    format!("only {left} files more can be made at {shown}, however much space is free");
                return Finding::failed(text, format!("df -i {shown}; mimir frame gc --dry-run"));
            }
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let finding = judge_space(free, &shown.to_string());
            Finding { found: format!("{}; {}", finding.found, quotas(home)), ..finding }
        }
    }
}

/// How frames are held to `frames.disk` there.
fn quotas(home: &Path) -> String {
    let watched = "`frames.disk` is looked at, not held by the kernel";
    match space::project_quotas(home) {
        Some((kind, true)) => {
            format!("{watched}; this {kind} has project quotas, with which you can (docs/isolation.md)")
        }
        Some((kind, false)) => format!("{watched}: this {kind} has no project quotas"),
        None => watched.to_owned(),
    }
}

fn judge_space(free: u64, shown: &str) -> Finding {
    let gib = free as f64 / f64::from(1 << 30);
    let text = format!("{gib:.1} GiB free at {shown}");
    let fix = "mimir frame gc --dry-run; podman system df";
    match free {
        free if free < NEEDED_BYTES => Finding::failed(text, fix),
        free if free < COMFORTABLE_BYTES => Finding::warning(text, fix),
        _ => Finding::ok(text),
    }
}

/// Reads and writes the database.
pub(super) async fn database(subject: &Subject) -> Check {
    let about = About {
        id: "store.write",
        title: "the database answers and saves",
        why: "nothing is done that is not written down first",
    };
    let Some(store) = subject.store.clone() else {
        return about.found(Finding::skipped("the database is not open"), Duration::ZERO);
    };
    about
        .attempt(WITHIN, async move {
            let saved = store.write(|tx| store::meta::set(tx, "doctor", &tx.now_ms().to_string())).await;
            let read = store.read(|db| Ok::<_, StoreError>(store::frames::list(db)?.len())).await;
            match (saved, read) {
                (Ok(()), Ok(frames)) => Finding::ok(format!("saved a value; {frames} frames are in it")),
                (Err(error), _) | (_, Err(error)) => Finding::failed(
                    error.to_string(),
                    "stop the gateway (`mimir serve --stop`), look at the disk, and put a copy back: mimir backup restore",
                ),
            }
        })
        .await
}

/// Reads the database's pages, and looks how old the newest copy is.
pub(super) async fn integrity(subject: &Subject) -> Check {
    let about = About {
        id: "store.whole",
        title: "the database is whole, and there is a copy of it",
        why: "a damaged page is noticed by nobody until it is read; a copy is the way back",
    };
    let Some(store) = subject.store.clone() else {
        return about.found(Finding::skipped("the database is not open"), Duration::ZERO);
    };
    let now = subject.clock.now_ms();
    about
        .attempt(READ_WITHIN + WITHIN, async move {
            let read = match store.check(READ_WITHIN).await {
                Ok(CheckedPart::Whole) => "every page of it was read".to_owned(),
                Ok(CheckedPart::Tables(read, all)) => format!("{read} of its {all} tables were read"),
                Err(error) => {
                    return Finding::failed(
                        error.to_string(),
                        "mimir serve --stop, then mimir backup restore; what is newer than the copy is lost",
                    );
                }
            };
            match backup::list(store.backups()).last() {
                Some(copy) => {
                    Finding::ok(format!("{read}; the newest copy is {} old", age(copy.made_at, now)))
                }
                None => Finding::ok(format!("{read}; there is no copy yet (`mimir backup create`)")),
            }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    #[test]
    fn space_is_judged_by_what_frames_need() {
        assert_eq!(judge_space(100 << 30, "/").outcome, Outcome::Ok);
        assert_eq!(judge_space(1 << 30, "/").outcome, Outcome::Warning);
        assert_eq!(judge_space(1 << 20, "/").outcome, Outcome::Failed);
    }

    #[test]
    fn it_is_said_that_what_frames_write_is_only_looked_at() {
        let home = tempfile::tempdir().expect("a folder");
        let found = try_disk(&home.path().to_owned()).found;
        assert!(found.contains(" GiB free at ") && found.contains("`frames.disk` is looked at"), "{found}");
    }

    #[test]
    fn a_home_that_others_can_read_is_reported_with_the_command() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a folder");
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let finding = try_home(home.path());
        assert_eq!(finding.outcome, Outcome::Warning);
        assert!(finding.fix.expect("a fix").starts_with("chmod 700"));
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
        assert_eq!(try_home(home.path()).outcome, Outcome::Ok);
        assert!(fs::read_dir(home.path()).expect("reads").next().is_none(), "nothing is left behind");
        assert_eq!(try_home(Path::new("/nonexistent")).outcome, Outcome::Failed);
    }
}

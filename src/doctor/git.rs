//! Whether agents can commit, and whether git works in the frames there are.

use std::path::Path;
use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::frames::git_config::HostGit;
use crate::frames::workspace::OffLimits;
use crate::frames::{git_folder, project};
use crate::model::doctor::Check;
use crate::store;

const WITHIN: Duration = Duration::from_secs(10);

/// Asks the host's git who the user is.
pub(super) async fn identity() -> Check {
    let about = About {
        id: "git.identity",
        title: "git knows your name",
        why: "agents commit as you; without a name they cannot commit",
    };
    about
        .attempt(WITHIN, async {
            let git = HostGit::read().await;
            match (&git.name, &git.email) {
                (Some(name), Some(email)) if git.signs => {
                    Finding::ok(format!("{name} <{email}>; not signed inside, your key stays outside"))
                }
                (Some(name), Some(email)) => Finding::ok(format!("{name} <{email}>")),
                _ => Finding::warning(
                    "no name and address for commits",
                    "git config --global user.name \"Your Name\" && git config --global user.email you@example.org",
                ),
            }
        })
        .await
}

/// Looks at the folder of each frame.
pub(super) async fn frames(subject: &Subject) -> Check {
    let about = About {
        id: "git.frames",
        title: "git works in every frame",
        why: "diffs, undo and commits of an agent need the repository",
    };
    let Some(store) = subject.store.clone() else {
        return about.found(Finding::skipped("the database could not be opened"), Duration::ZERO);
    };
    let frames = store.read(|db| store::frames::list(db)).await.unwrap_or_default();
    let home = subject.home.clone();
    about
        .attempt_blocking(WITHIN, move || {
            let user_home = std::env::home_dir();
            let off_limits = OffLimits { mimir_home: &home, user_home: user_home.as_deref() };
            let local = || frames.iter().filter(|frame| frame.engine.is_local());
            let wrong = local().find_map(|frame| {
                let place = git_folder::look(Path::new(&frame.workspace), off_limits);
                let stays =
                    matches!(&place, git_folder::GitPlace::Elsewhere(git) if frame.git.as_ref() == Some(git));
                Some((frame, project::about(&place).filter(|_| !stays)?))
            });
            match wrong {
                None => Finding::ok(format!("nothing is in its way in {} of them", local().count())),
                Some((frame, why)) => {
                    let fix = format!("mimir frame move {} PATH", frame.name);
                    Finding::warning(format!("frame {}: {why}", frame.name), fix)
                }
            }
        })
        .await
}

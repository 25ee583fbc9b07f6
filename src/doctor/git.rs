//! Whether agents can commit, and whether git works in the frames there are.

use std::path::Path;
use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::frames::git_config::HostGit;
use crate::frames::git_folder::{self, GitPlace};
use crate::frames::project;
use crate::frames::workspace::OffLimits;
use crate::model::doctor::Check;
use crate::model::frame::GitFolder;
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
            let local = frames.iter().filter(|frame| frame.engine.is_local());
            let seen = local.map(|frame| {
                let place = git_folder::look(Path::new(&frame.workspace), off_limits);
                let mounted = matches!(&place, GitPlace::Elsewhere(git) if frame.git.as_ref() == Some(git));
                Seen { name: frame.name.to_string(), place, mounted }
            });
            judge(&seen.collect::<Vec<_>>())
        })
        .await
}

/// What git is to the folder of a frame.
struct Seen {
    name: String,
    place: GitPlace,
    /// Whether the frame has the git folder that is elsewhere.
    mounted: bool,
}

/// Names every frame that git does not work in, and those where it reads only.
fn judge(frames: &[Seen]) -> Finding {
    let (mut wrong, mut fixes, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for Seen { name, place, mounted } in frames {
        match (place, project::about(place)) {
            (GitPlace::Elsewhere(GitFolder::Worktree { .. }), _) if *mounted => {}
            (GitPlace::Elsewhere(_), _) if *mounted => {
                notes
                    .push(format!("frame {name}: a submodule, which git reads there and commits nothing to"));
            }
            (GitPlace::Borrows(_), Some(why)) => {
                wrong.push(format!("frame {name}: {why}"));
                fixes.push("git repack -a -d && rm .git/objects/info/alternates".to_owned());
            }
            (_, Some(why)) => {
                wrong.push(format!("frame {name}: {why}"));
                fixes.push(format!("mimir frame move {name} PATH"));
            }
            (_, None) => {}
        }
    }
    if wrong.is_empty() {
        let mut found = format!("nothing is in its way in {} of them", frames.len());
        for note in &notes {
            found = format!("{found}; {note}");
        }
        return Finding::ok(found);
    }
    wrong.append(&mut notes);
    Finding::warning(wrong.join("; "), fixes.join("; "))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::doctor::Outcome;

    fn seen(name: &str, place: GitPlace, mounted: bool) -> Seen {
        Seen { name: name.to_owned(), place, mounted }
    }

    #[test]
    fn every_frame_without_git_is_named_and_a_submodule_is_said_to_be_one() {
        let submodule =
            || GitPlace::Elsewhere(GitFolder::Submodule { folder: PathBuf::from("/src/.git/sub") });
        let worktree = GitFolder::Worktree { common: PathBuf::from("/src/.git"), name: "tree".to_owned() };
        let well = [
            seen("blog", GitPlace::Own, false),
            seen("notes", GitPlace::Nowhere, false),
            seen("tree", GitPlace::Elsewhere(worktree), true),
            seen("sub", submodule(), true),
        ];
        let finding = judge(&well);
        assert_eq!(finding.outcome, Outcome::Ok);
        assert_eq!(
            finding.found,
            "nothing is in its way in 4 of them; frame sub: a submodule, which git reads there and commits nothing to"
        );

        let ill = [
            seen("app", GitPlace::Within(PathBuf::from("/src")), false),
            seen("blog", GitPlace::Own, false),
            seen("moved", submodule(), false),
            seen("linked", GitPlace::Unusable("its .git is a link".to_owned()), false),
            seen("lent", GitPlace::Borrows("its repository borrows objects".to_owned()), false),
            seen("sub", submodule(), true),
        ];
        let finding = judge(&ill);
        assert_eq!(finding.outcome, Outcome::Warning);
        for part in [
            "frame app: git does not work in it: it is a part of the repository /src",
            "frame moved: it is a submodule",
            "frame linked: git does not work in it: its .git is a link",
            "frame lent: git does not work in it: its repository borrows objects",
            "frame sub: a submodule, which git reads",
        ] {
            assert!(finding.found.contains(part), "{part}: {}", finding.found);
        }
        assert!(!finding.found.contains("frame blog"), "{}", finding.found);
        let fix = finding.fix.expect("a fix");
        assert_eq!(
            fix,
            "mimir frame move app PATH; mimir frame move moved PATH; mimir frame move linked PATH; \
             git repack -a -d && rm .git/objects/info/alternates"
        );
    }
}

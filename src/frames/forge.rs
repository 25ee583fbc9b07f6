//! Which repository is a frame's, and what becomes of what it pushes. Pure.

use super::StartFiles;
use super::error::FrameError;
use super::project::Remark;
use crate::model::git::{ForgeHost, FrameForge, GitMode, Repository};

/// A frame's repository: the one that was named, else its folder's origin where that is at a forge.
pub(super) fn settle(
    known: &dyn StartFiles,
    named: Option<Repository>,
    origin: Option<Repository>,
    mode: Option<GitMode>,
    is_throwaway: bool,
) -> Result<FrameForge, FrameError> {
    let usual = if is_throwaway { GitMode::Gate } else { GitMode::Direct };
    let repository = match named {
        Some(named) if at(known, &named).is_none() => {
            let hosts: Vec<String> = known.forges().into_iter().map(|forge| forge.authority).collect();
            return Err(FrameError::Repository(format!(
                "{} is no forge that mimir knows; there are {}, and those in `git.hosts`",
                named.host(),
                hosts.join(", ")
            )));
        }
        Some(named) => Some(named),
        None => origin.filter(|origin| at(known, origin).is_some()),
    };
    Ok(FrameForge { repository, mode: mode.unwrap_or(usual), branches: Vec::new() })
}

fn at(known: &dyn StartFiles, repository: &Repository) -> Option<ForgeHost> {
    known.forges().into_iter().find(|forge| forge.authority == repository.host())
}

/// What whoever makes a frame should know: what it is opened, and what it may push there. The folder's origin is
/// whatever was written there last.
pub(super) fn remark(known: &dyn StartFiles, forge: &FrameForge) -> Option<Remark> {
    let repository = forge.repository.as_ref()?;
    let is_opened = at(known, repository).is_some_and(|at| known.opens(&at));
    let branches = known.branches().join(", ");
    let text = match (forge.mode, is_opened) {
        (GitMode::Direct, true) => {
            format!(
                "its git reads {repository} with your credential, and pushes {branches} there (docs/git.md)"
            )
        }
        (GitMode::Gate, _) => {
            format!(
                "its git reads a copy of {repository}; what it pushes waits for a look: `mimir push list`"
            )
        }
        (GitMode::Direct, false) => return None,
    };
    Some(("repository", text))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::model::frame::Frame;

    struct Known;

    #[async_trait]
    impl StartFiles for Known {
        async fn agent_config(&self, _: &Frame) -> serde_json::Value {
            serde_json::Value::Null
        }

        fn opens(&self, forge: &ForgeHost) -> bool {
            forge.authority == "github.com"
        }

        fn branches(&self) -> Vec<String> {
            vec!["mimir/*".to_owned()]
        }
    }

    fn repository(text: &str) -> Option<Repository> {
        Repository::parse(text).ok()
    }

    #[test]
    fn a_frame_has_the_repository_that_was_named_or_its_folders_own() {
        let settled = |named, origin, mode, throwaway| settle(&Known, named, origin, mode, throwaway);
        let blog = || repository("github.com/me/blog");
        let found = settled(None, blog(), None, false).expect("fine");
        assert_eq!((found.repository, found.mode), (blog(), GitMode::Direct));
        let found = settled(repository("codeberg.org/me/other"), blog(), None, true).expect("fine");
        assert_eq!((found.repository, found.mode), (repository("codeberg.org/me/other"), GitMode::Gate));
        let found =
            settled(None, repository("git.intern/me/blog"), Some(GitMode::Gate), false).expect("fine");
        assert_eq!(
            (found.repository, found.mode),
            (None, GitMode::Gate),
            "an origin elsewhere is none of ours"
        );
        let refused = settled(repository("git.intern/me/blog"), None, None, false).expect_err("unknown");
        assert!(refused.to_string().contains("git.hosts"), "{refused}");
    }

    #[test]
    fn what_is_opened_or_held_is_said() {
        let said = |text: &str, mode| {
            let forge = FrameForge { repository: repository(text), mode, branches: Vec::new() };
            remark(&Known, &forge).map(|(_, text)| text)
        };
        assert!(said("github.com/me/blog", GitMode::Direct).expect("said").contains("mimir/*"));
        assert!(said("github.com/me/blog", GitMode::Gate).expect("said").contains("waits for a look"));
        assert_eq!(said("codeberg.org/me/blog", GitMode::Direct), None, "nothing opens it");
    }
}

//! What a folder is, by the files in it. Nothing in it is run.

use std::path::{Path, PathBuf};

use crate::frames::git_folder::{self, GitPlace};
use crate::frames::workspace::OffLimits;
use crate::model::frame::GitFolder;
use crate::model::names::suggest;

/// A language, and the group of hosts that its packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// For people.
    pub name: &'static str,
    /// For `frames.allow`.
    pub group: &'static str,
}

/// A file that gives a kind away.
const SIGNS: &[(&str, Kind)] = &[
    ("Cargo.toml", Kind { name: "Rust", group: "crates" }),
    ("go.mod", Kind { name: "Go", group: "go" }),
    ("package.json", Kind { name: "Node", group: "npm" }),
    ("pyproject.toml", Kind { name: "Python", group: "pypi" }),
    ("requirements.txt", Kind { name: "Python", group: "pypi" }),
    ("setup.py", Kind { name: "Python", group: "pypi" }),
];

/// A project's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where.
    pub path: PathBuf,
    /// What a frame for it would be called.
    pub name: Option<String>,
    /// What is in it.
    pub kinds: Vec<Kind>,
    /// Where git finds what belongs to it.
    pub git: GitPlace,
}

impl Folder {
    /// Looks at file names, and at what `.git` is.
    pub fn look(path: &Path, off_limits: OffLimits<'_>) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for (file, kind) in SIGNS {
            if path.join(file).is_file() && !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        let name = path.file_name().and_then(|name| name.to_str()).and_then(suggest);
        Self { path: path.to_owned(), name, kinds, git: git_folder::look(path, off_limits) }
    }

    /// What it is to git, in a few words.
    pub fn git_in_words(&self) -> &'static str {
        match &self.git {
            GitPlace::Nowhere => "no git repository",
            GitPlace::Own => "a git repository",
            GitPlace::Elsewhere(GitFolder::Worktree { .. }) => "a worktree of a git repository",
            GitPlace::Elsewhere(GitFolder::Submodule { .. }) => "a submodule of a git repository",
            GitPlace::Within(_) => "a part of a git repository",
            GitPlace::Borrows(_) | GitPlace::Unusable(_) => "a git repository that a frame cannot use",
        }
    }

    /// `Rust and Node`, or that nothing is known.
    pub fn kinds_in_words(&self) -> String {
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
        if names.is_empty() { "no known kind of project".to_owned() } else { names.join(" and ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(folder: &Path) -> Folder {
        let nowhere = Path::new("/nonexistent");
        Folder::look(folder, OffLimits { mimir_home: nowhere, user_home: None })
    }

    #[test]
    fn a_folder_is_known_by_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path().join("My App");
        std::fs::create_dir(&here).expect("made");
        let empty = look(&here);
        assert_eq!((empty.name.as_deref(), empty.kinds.len()), (Some("my-app"), 0));
        for file in ["Cargo.toml", "pyproject.toml", "setup.py"] {
            std::fs::write(here.join(file), "").expect("written");
        }
        let known = look(&here);
        assert_eq!(known.kinds_in_words(), "Rust and Python");
        assert_eq!((&known.git, known.git_in_words()), (&GitPlace::Nowhere, "no git repository"));
        std::fs::create_dir(folder.path().join(".git")).expect("made");
        let part = look(&here);
        assert_eq!(part.git, GitPlace::Within(folder.path().to_owned()), "it may begin above");
        assert_eq!(look(folder.path()).git_in_words(), "a git repository");
        std::os::unix::fs::symlink(folder.path().join(".git"), here.join(".git")).expect("linked");
        assert_eq!(look(&here).git_in_words(), "a git repository that a frame cannot use");
    }
}

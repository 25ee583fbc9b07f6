//! What a folder is, by the files in it. Nothing in it is run.

use std::path::{Path, PathBuf};

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
    /// Where the repository begins that it is in.
    pub repository: Option<PathBuf>,
}

impl Folder {
    /// Looks at file names.
    pub fn look(path: &Path) -> Self {
        let mut kinds: Vec<Kind> = Vec::new();
        for (file, kind) in SIGNS {
            if path.join(file).is_file() && !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        let name = path.file_name().and_then(|name| name.to_str()).and_then(suggest);
        // `.git` is a file in a work tree of another repository.
        let repository = path.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
        Self { path: path.to_owned(), name, kinds, repository }
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

    #[test]
    fn a_folder_is_known_by_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path().join("My App");
        std::fs::create_dir(&here).expect("made");
        let empty = Folder::look(&here);
        assert_eq!((empty.name.as_deref(), empty.kinds.len()), (Some("my-app"), 0));
        for file in ["Cargo.toml", "pyproject.toml", "setup.py"] {
            std::fs::write(here.join(file), "").expect("written");
        }
        let known = Folder::look(&here);
        assert_eq!(known.kinds_in_words(), "Rust and Python");
        assert_eq!(known.repository, None);
        std::fs::create_dir(folder.path().join(".git")).expect("made");
        assert_eq!(Folder::look(&here).repository.as_deref(), Some(folder.path()), "it may begin above");
    }
}

//! The workflows that there are: those of the home, and those that mimir brings. By name the home's win.
//!
//! They are read whenever somebody needs one, so a changed file is taken by the next run; a run that has begun keeps
//! the definition that it began with. What a project's repository brings is never read as a workflow.

use std::path::{Path, PathBuf};

use super::definition::Workflow;
use super::parse::{self, InvalidWorkflow};

/// What mimir brings.
const BUILT_IN: &[(&str, &str)] = &[
    ("prompt.yaml", include_str!("../../config/workflows/prompt.yaml")),
    ("frame.yaml", include_str!("../../config/workflows/frame.yaml")),
    ("review.yaml", include_str!("../../config/workflows/review.yaml")),
    ("sentry-fix.yaml", include_str!("../../config/workflows/sentry-fix.yaml")),
    ("issue-fix.yaml", include_str!("../../config/workflows/issue-fix.yaml")),
];

/// Where a workflow is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From mimir itself.
    BuiltIn,
    /// From a file of the home.
    File(PathBuf),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A workflow that there is, or a file that is meant to be one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name; of one that cannot be read, the file's.
    pub name: String,
    /// Where it is from.
    pub source: Source,
    /// As it is written.
    pub text: String,
    /// What it says, or what is wrong with it.
    pub workflow: Result<Workflow, InvalidWorkflow>,
}

/// The workflows that there are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Library {
    folder: PathBuf,
}

impl Library {
    /// Those of that home, and those that mimir brings.
    #[must_use]
    pub fn of_home(home: &Path) -> Self {
        Self { folder: home.join("workflows") }
    }

    /// Where the home's own are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        let mut all = self.of_files();
        for (file, text) in BUILT_IN {
            let entry = read(Source::BuiltIn, file, (*text).to_owned());
            if !all.iter().any(|own| own.name == entry.name) {
                all.push(entry);
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The one of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Entry> {
        self.list().into_iter().find(|entry| entry.name == name)
    }

    fn of_files(&self) -> Vec<Entry> {
        let Ok(files) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml"));
        paths.sort();
        let mut all: Vec<Entry> = Vec::new();
        for path in paths {
            let name = path.display().to_string();
            let entry = match std::fs::read_to_string(&path) {
                Ok(text) => read(Source::File(path), &name, text),
                Err(error) => {
                    let why = format!("it cannot be read: {error}");
                    let invalid = InvalidWorkflow { file: name, line: 1, why };
                    let name = stem(&path);
                    Entry { name, source: Source::File(path), text: String::new(), workflow: Err(invalid) }
                }
            };
            match all.iter().find(|other| other.name == entry.name) {
                None => all.push(entry),
                Some(other) => {
                    let why = format!("there is a workflow {} in {} already", entry.name, other.source);
                    let file = entry.source.to_string();
                    let workflow = Err(InvalidWorkflow { file, line: 1, why });
                    all.push(Entry { workflow, name: format!("{} (2)", entry.name), ..entry });
                }
            }
        }
        all
    }
}

fn read(source: Source, file: &str, text: String) -> Entry {
    let workflow = parse::parse(&text, file);
    // One that cannot be read stands in the place of one of its file's name: it was meant to be that.
    let name = match &workflow {
        Ok(workflow) => workflow.name.clone(),
        Err(_) => stem(Path::new(file)),
    };
    Entry { name, source, text, workflow }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mimir_brings_can_be_read_and_is_called_as_its_file() {
        for (file, text) in BUILT_IN {
            let workflow = parse::parse(text, file).expect("a workflow");
            assert_eq!(format!("{}.yaml", workflow.name), *file);
            assert!(!workflow.description.is_empty());
        }
    }

    #[test]
    fn the_homes_own_win_by_name_and_a_broken_one_does_not_fall_back() {
        let home = tempfile::tempdir().expect("a folder");
        let library = Library::of_home(home.path());
        let brought: Vec<String> = library.list().into_iter().map(|entry| entry.name).collect();
        assert!(brought.contains(&"prompt".to_owned()), "{brought:?}");

        std::fs::create_dir(library.folder()).expect("made");
        let own = "name: prompt\ndescription: mine\nstages: [{ name: wait, kind: gate }]\n";
        std::fs::write(library.folder().join("other-name.yaml"), own).expect("written");
        std::fs::write(library.folder().join("review.yaml"), "name: [").expect("written");
        std::fs::write(library.folder().join("notes.txt"), "x").expect("written");
        let found = library.find("prompt").expect("there").workflow.expect("read");
        assert_eq!(found.description, "mine");
        let broken = library.find("review").expect("there");
        assert!(broken.workflow.expect_err("broken").file.ends_with("review.yaml"));
        assert_eq!(library.list().len(), brought.len());

        std::fs::write(library.folder().join("zz.yaml"), own).expect("written");
        let twice = library.find("prompt (2)").expect("named").workflow.expect_err("twice").to_string();
        assert!(twice.contains("there is a workflow prompt in"), "{twice}");
    }
}

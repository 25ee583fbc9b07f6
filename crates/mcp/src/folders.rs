//! In which folders frames may work. An agent may write whatever it likes in its frame's folder, and whoever speaks with
//! this server may have read what a stranger wrote: which folders are given away, a person says before it begins.

use std::path::{Component, Path, PathBuf};

use mimir_model::visible;
use mimir_model::wire::problem::Problem;

/// Folders that may become workspaces, each with what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    allowed: Vec<PathBuf>,
    /// Whether they are on this machine, where links can be resolved.
    are_here: bool,
}

impl Folders {
    /// On this machine: those that were named; else the one where the server was started, unless somebody's home is in it.
    ///
    /// # Errors
    /// When one that was named is no folder.
    pub fn here(named: &[PathBuf], started_in: &Path, home: Option<&Path>) -> Result<Self, Problem> {
        let mut allowed = Vec::new();
        for folder in named {
            let found = folder.canonicalize().map_err(|error| unusable(folder, &error.to_string()))?;
            if !found.is_dir() {
                return Err(unusable(folder, "it is not a folder"));
            }
            allowed.push(found);
        }
        let started_in = resolved(started_in);
        let holds_a_home = home.is_some_and(|home| resolved(home).starts_with(&started_in));
        if named.is_empty() && started_in != Path::new("/") && !holds_a_home {
            allowed.push(started_in);
        }
        Ok(Self { allowed, are_here: true })
    }

    /// On the machine of a gateway elsewhere: those that were named, and no other.
    ///
    /// # Errors
    /// When one of them is not named from the root.
    pub fn elsewhere(named: &[PathBuf]) -> Result<Self, Problem> {
        let allowed = named.iter().map(|folder| {
            if is_plain(folder) {
                Ok(folder.components().collect::<PathBuf>())
            } else {
                Err(unusable(folder, NOT_PLAIN))
            }
        });
        Ok(Self { allowed: allowed.collect::<Result<_, _>>()?, are_here: false })
    }

    /// The folder as the gateway is told it: named from the root, on this machine with links resolved.
    ///
    /// # Errors
    /// When no frame may work there.
    pub fn admit(&self, workspace: &str) -> Result<String, Problem> {
        let folder = Path::new(workspace);
        if !is_plain(folder) {
            return Err(self.refusal(workspace, NOT_PLAIN));
        }
        let path: PathBuf = if self.are_here {
            folder.canonicalize().map_err(|error| self.refusal(workspace, &error.to_string()))?
        } else {
            folder.components().collect()
        };
        if !self.allowed.iter().any(|allowed| path.starts_with(allowed)) {
            return Err(self.refusal(workspace, "it is in none of the folders of this server"));
        }
        path.into_os_string()
            .into_string()
            .map_err(|_| self.refusal(workspace, "its path is not valid UTF-8"))
    }

    /// For models: where frames may work.
    pub fn told(&self) -> String {
        if self.allowed.is_empty() {
            return "New frames work in registered projects alone; no other folder is allowed.".to_owned();
        }
        format!("New frames work in registered projects, or in these folders and below: {}.", self.names())
    }

    fn names(&self) -> String {
        let names: Vec<String> =
            self.allowed.iter().map(|folder| visible::line(&folder.display().to_string())).collect();
        names.join(", ")
    }

    fn refusal(&self, workspace: &str, why: &str) -> Problem {
        let allowed = if self.allowed.is_empty() { "none".to_owned() } else { self.names() };
        Problem::new(403, "mcp.folder", format!("no frame may work in {}", visible::line(workspace)))
            .detail(format!("{why}; allowed: {allowed}"))
            .hint("a person starts this server with `--folder FOLDER`, or registers the folder with `mimir projects add FOLDER`, and then its name is given as `project`")
    }
}

/// Why a folder is not looked at.
const NOT_PLAIN: &str = "it is no absolute path without `..`";

/// Whether a path is named from the root and goes down alone.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| part != Component::ParentDir)
}

/// Links resolved, if it is there.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn unusable(folder: &Path, why: &str) -> Problem {
    Problem::new(400, "usage", format!("`--folder {}` cannot be used: {why}", folder.display()))
        .hint("name a folder that is there; for a gateway elsewhere its whole path on that machine")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is there, with a folder `src` and a file `Cargo.toml` in it.
    fn place() -> PathBuf {
        resolved(Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    fn admitted(folders: &Folders, path: &Path) -> Result<PathBuf, Problem> {
        folders.admit(&path.display().to_string()).map(PathBuf::from)
    }

    #[test]
    fn frames_work_where_the_server_was_started_and_below() {
        let place = place();
        let folders = Folders::here(&[], &place, Some(Path::new("/nonexistent"))).expect("one folder");
        assert_eq!(admitted(&folders, &place), Ok(place.clone()));
        assert_eq!(admitted(&folders, &place.join("./src/")), Ok(place.join("src")));
        let around = place.parent().expect("a folder around it").to_owned();
        for outside in [around.clone(), PathBuf::from("/"), place.join("no-such"), place.join("src/..")] {
            let problem = admitted(&folders, &outside).expect_err("refused");
            assert_eq!((problem.status, problem.code.as_str()), (403, "mcp.folder"), "{}", outside.display());
            let hint = problem.hint.expect("advice");
            assert!(hint.contains("--folder") && hint.contains("mimir projects add"), "{hint}");
            assert!(problem.detail.expect("why").contains(&place.display().to_string()));
        }
        assert!(folders.admit("src").is_err(), "nobody knows from where");
        // The folder around one that was named is another.
        let inner = Folders::here(&[place.join("src/tools")], &place, None).expect("one folder");
        assert!(admitted(&inner, &place.join("src")).is_err());
        assert!(inner.told().contains("src/tools"), "{}", inner.told());
    }

    #[test]
    fn a_home_is_given_to_nobody_unless_somebody_says_so() {
        let place = place();
        for (started_in, home) in [
            (place.clone(), place.clone()),
            (place.clone(), place.join("src")),
            (PathBuf::from("/"), place.clone()),
        ] {
            let folders = Folders::here(&[], &started_in, Some(&home)).expect("none");
            assert!(admitted(&folders, &place.join("src")).is_err(), "{}", started_in.display());
            assert!(folders.told().contains("registered projects alone"), "{}", folders.told());
        }
        let named = Folders::here(&[place.join("src")], &place, Some(&place)).expect("one folder");
        assert_eq!(admitted(&named, &place.join("src")), Ok(place.join("src")));
        assert!(admitted(&named, &place).is_err());
    }

    #[test]
    fn what_is_named_has_to_be_there() {
        for (name, why) in [("no-such", "No such file"), ("Cargo.toml", "not a folder")] {
            let problem = Folders::here(&[place().join(name)], &place(), None).expect_err("refused");
            assert!(problem.title.contains(why), "{}", problem.title);
        }
    }

    #[test]
    fn elsewhere_only_what_was_named_is_allowed() {
        let none = Folders::elsewhere(&[]).expect("none");
        assert_eq!(none.admit("/srv/blog").expect_err("refused").code, "mcp.folder");
        let folders = Folders::elsewhere(&[PathBuf::from("/srv/blog/")]).expect("one");
        assert_eq!(folders.admit("/srv/./blog//posts/").expect("allowed"), "/srv/blog/posts");
        for outside in ["/srv", "/srv/blogs", "/srv/blog/../keys", "srv/blog"] {
            assert!(folders.admit(outside).is_err(), "{outside}");
        }
        for odd in ["srv/blog", "/srv/../blog"] {
            assert!(Folders::elsewhere(&[PathBuf::from(odd)]).is_err(), "{odd}");
        }
    }
}

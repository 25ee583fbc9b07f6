//! Which folders may become a workspace.
//!
//! An agent can change everything in its workspace, so the folder has to be one
//! that somebody means to give away: never a whole home, never the system, never
//! mimir's own data.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder that cannot be a workspace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// Name it from the root.
    #[error("the workspace {0} is not an absolute path")]
    NotAbsolute(PathBuf),
    /// Make it first.
    #[error("the workspace {0} does not exist")]
    Missing(PathBuf),
    /// Name the folder around it.
    #[error("the workspace {0} is not a folder")]
    NotAFolder(PathBuf),
    /// Choose another.
    #[error("the workspace {path} cannot be used: {why}")]
    Forbidden {
        /// Which folder, links resolved.
        path: PathBuf,
        /// Whose it is.
        why: &'static str,
    },
    /// Its path has to be text.
    #[error("the path of the workspace {0:?} is not valid UTF-8")]
    NotText(PathBuf),
    /// We may not look into it.
    #[error("the workspace {path} cannot be read: {why}")]
    Unreadable {
        /// Which folder.
        path: PathBuf,
        /// What the operating system says.
        why: String,
    },
}

/// A folder that may be a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Absolute, links resolved.
    pub path: PathBuf,
    /// Who owns it (host user id).
    pub uid: u32,
    /// … and host group id.
    pub gid: u32,
}

/// Folders that belong to others.
#[derive(Clone, Copy, Debug)]
pub struct OffLimits<'a> {
    /// mimir's own folder.
    pub mimir_home: &'a Path,
    /// The user's home.
    pub user_home: Option<&'a Path>,
}

/// These belong to the system, with everything beneath them.
const SYSTEM_TREES: &[&str] =
    &["/proc", "/sys", "/dev", "/boot", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/run"];
/// These belong to the system; folders in them may be anybody's.
const SYSTEM_FOLDERS: &[&str] =
    &["/", "/home", "/var", "/opt", "/srv", "/tmp", "/mnt", "/media", "/var/tmp", "/var/lib"];
/// Folders of a home with keys, or with what is started for its user: whoever writes there is that user.
const KEYS_AND_STARTERS: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".kube",
    ".docker",
    ".password-store",
    ".config/systemd",
    ".config/autostart",
    ".local/bin",
];

/// Looks at a folder and says whether it may be a workspace.
///
/// # Errors
/// See [`WorkspaceError`].
pub fn check(folder: &Path, off_limits: OffLimits<'_>) -> Result<Workspace, WorkspaceError> {
    if !folder.is_absolute() {
        return Err(WorkspaceError::NotAbsolute(folder.to_owned()));
    }
    let path = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
    if !metadata.is_dir() {
        return Err(WorkspaceError::NotAFolder(folder.to_owned()));
    }
    if path.to_str().is_none() {
        return Err(WorkspaceError::NotText(path));
    }
    if let Some(why) = forbidden(&path, off_limits) {
        return Err(WorkspaceError::Forbidden { path, why });
    }
    fs::read_dir(&path).map_err(|error| unreadable(&path, &error))?;
    Ok(Workspace { path, uid: metadata.uid(), gid: metadata.gid() })
}

fn unreadable(path: &Path, error: &io::Error) -> WorkspaceError {
    match error.kind() {
        io::ErrorKind::NotFound => WorkspaceError::Missing(path.to_owned()),
        io::ErrorKind::NotADirectory => WorkspaceError::NotAFolder(path.to_owned()),
        _ => WorkspaceError::Unreadable { path: path.to_owned(), why: error.to_string() },
    }
}

/// Why a folder, links resolved, belongs to somebody else.
pub(super) fn forbidden(path: &Path, off_limits: OffLimits<'_>) -> Option<&'static str> {
    if path == Path::new("/") {
        return Some("it is the root of the file system");
    }
    let mimir_home = resolved(off_limits.mimir_home);
    if path.starts_with(&mimir_home) {
        return Some("it is inside mimir's own folder");
    }
    if let Some(home) = off_limits.user_home.map(resolved).filter(|home| home != Path::new("/")) {
        if path == home {
            return Some("it is your home folder; give the agent a project folder in it");
        }
        if home.starts_with(path) {
            return Some("your home folder is in it");
        }
        if let Some(why) = of_keys_and_starters(path, &home) {
            return Some(why);
        }
    }
    if mimir_home.starts_with(path) {
        return Some("mimir's own folder is in it");
    }
    if SYSTEM_TREES.iter().any(|tree| path.starts_with(tree))
        || SYSTEM_FOLDERS.iter().any(|one| path == Path::new(one))
    {
        return Some("it belongs to the system");
    }
    None
}

/// Why a folder of a home is nobody's to give away.
fn of_keys_and_starters(path: &Path, home: &Path) -> Option<&'static str> {
    for name in KEYS_AND_STARTERS {
        let folder = home.join(name);
        if path.starts_with(&folder) || path.starts_with(resolved(&folder)) {
            return Some("it holds keys, or what is started for you");
        }
        if folder.starts_with(path) {
            return Some("a folder with keys, or with what is started for you, is in it");
        }
    }
    None
}

/// Links resolved as far as the path exists.
fn resolved(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("a temp folder");
            for folder in ["user/project", "user/.mimir/frames"] {
                fs::create_dir_all(root.path().join(folder)).expect("a folder");
            }
            Self { root }
        }
        fn at(&self, path: &str) -> PathBuf {
            fs::canonicalize(self.root.path()).expect("resolves").join(path)
        }
        fn check(&self, path: &Path) -> Result<Workspace, WorkspaceError> {
            let (mimir_home, user_home) = (self.at("user/.mimir"), self.at("user"));
            check(path, OffLimits { mimir_home: &mimir_home, user_home: Some(&user_home) })
        }
        fn refusal(&self, path: &Path) -> String {
            self.check(path).expect_err("refused").to_string()
        }
    }

    #[test]
    fn a_project_folder_is_fine_and_links_to_it_are_resolved() {
        let place = Place::new();
        let project = place.at("user/project");
        assert_eq!(place.check(&project).expect("fine").path, project);

        let link = place.at("user/link");
        std::os::unix::fs::symlink(&project, &link).expect("a link");
        assert_eq!(place.check(&link).expect("fine").path, project);
    }

    #[test]
    fn folders_that_are_somebody_elses_are_refused_with_the_reason() {
        let place = Place::new();
        let cases = [
            (PathBuf::from("/"), "root of the file system"),
            (place.at("user"), "your home folder; give"),
            (place.at(""), "your home folder is in it"),
            (place.at("user/.mimir"), "inside mimir's own"),
            (place.at("user/.mimir/frames"), "inside mimir's own"),
            (PathBuf::from("/etc"), "belongs to the system"),
            (PathBuf::from("/proc/self"), "belongs to the system"),
            (PathBuf::from("/tmp"), "it"),
        ];
        for (path, reason) in cases {
            let refusal = place.refusal(&path);
            assert!(refusal.contains(reason), "{}: {refusal}", path.display());
        }
    }

    #[test]
    fn a_link_does_not_smuggle_a_forbidden_folder_in() {
        let place = Place::new();
        let link = place.at("user/innocent");
        std::os::unix::fs::symlink(place.at("user/.mimir"), &link).expect("a link");
        assert!(place.refusal(&link).contains("inside mimir's own"));
    }

    #[test]
    fn keys_and_what_is_started_for_somebody_are_refused_with_what_is_below_and_around() {
        let place = Place::new();
        for name in KEYS_AND_STARTERS {
            let folder = place.at("user").join(name);
            fs::create_dir_all(folder.join("below")).expect("a folder");
            for path in [folder.clone(), folder.join("below")] {
                let refusal = place.refusal(&path);
                assert!(refusal.contains("it holds keys, or what is started for you"), "{name}: {refusal}");
            }
        }
        for around in ["user/.config", "user/.local"] {
            let refusal = place.refusal(&place.at(around));
            assert!(refusal.contains("with what is started for you, is in it"), "{around}: {refusal}");
        }
        // What is only called like one, or lies beside one, is a project like any other.
        for fine in ["user/.config/nvim", "user/.local/share/notes", "user/.sshd", "user/project/.ssh"] {
            let folder = place.at(fine);
            fs::create_dir_all(&folder).expect("a folder");
            assert_eq!(place.check(&folder).expect(fine).path, folder);
        }
    }

    #[test]
    fn keys_that_lie_elsewhere_and_are_linked_to_are_refused_there() {
        let place = Place::new();
        let (keys, link) = (place.at("user/dotfiles/ssh"), place.at("user/.ssh"));
        fs::create_dir_all(&keys).expect("a folder");
        std::os::unix::fs::symlink(&keys, &link).expect("a link");
        for path in [keys, link] {
            let refusal = place.refusal(&path);
            assert!(refusal.contains("it holds keys"), "{refusal}");
        }
    }

    #[test]
    fn what_is_missing_or_no_folder_or_relative_is_said_so() {
        let place = Place::new();
        let file = place.at("user/file");
        fs::write(&file, "x").expect("a file");
        assert_eq!(place.check(&file), Err(WorkspaceError::NotAFolder(file.clone())));
        let beneath = file.join("x");
        assert_eq!(place.check(&beneath), Err(WorkspaceError::NotAFolder(beneath)));
        let missing = place.at("user/missing");
        assert_eq!(place.check(&missing), Err(WorkspaceError::Missing(missing)));
        let relative = PathBuf::from("project");
        assert_eq!(place.check(&relative), Err(WorkspaceError::NotAbsolute(relative)));
    }

    #[test]
    fn a_folder_around_mimirs_own_is_refused_when_the_home_is_elsewhere() {
        let place = Place::new();
        let around = place.at("user");
        let mimir_home = place.at("user/.mimir");
        let off_limits = OffLimits { mimir_home: &mimir_home, user_home: Some(Path::new("/nonexistent")) };
        let refusal = check(&around, off_limits).expect_err("refused").to_string();
        assert!(refusal.contains("mimir's own folder is in it"), "{refusal}");
    }
}

//! The folder of one frame on the host, with the agent's home in it. What the engine keeps beside the home is its own
//! affair, and goes with the folder.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::error::FrameError;
use super::git_folder;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;

/// Where one frame's folder is.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

impl Folders {
    pub(super) fn of(frames_folder: &Path, frame: &FrameId) -> Self {
        Self { root: frames_folder.join(frame.as_str()) }
    }

    /// All of it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The agent's home.
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The workspace of a frame that works in no folder of anybody's.
    pub(super) fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    /// Our files for a git folder elsewhere.
    pub(super) fn git(&self) -> PathBuf {
        self.root.join("git")
    }

    /// Makes what is missing. The root is ours alone; what is in it belongs to the frame's owner.
    pub(super) fn ensure(&self, frame: &Frame) -> Result<(), FrameError> {
        let (uid, gid) = (frame.owner_uid, frame.owner_gid);
        private_folder(&self.root).map_err(|error| failed(&self.root, error))?;
        let home = self.home();
        let theirs = |path: &Path| {
            private_folder(path)
                .and_then(|()| chown(path, Some(uid), Some(gid)))
                .map_err(|error| failed(path, error))
        };
        theirs(&home)?;
        if Path::new(&frame.workspace) == self.workspace() {
            theirs(&self.workspace())?;
        }
        match &frame.git {
            Some(git) => git_folder::prepare(git, &self.git(), frame).map_err(|e| failed(&self.git(), e)),
            None => Ok(()),
        }
    }

    /// Where it is noted that it was somebody's.
    fn taken(&self) -> PathBuf {
        self.root.join("taken")
    }

    /// Notes that a frame which was kept ready is somebody's from now on, where no older copy of the database takes it
    /// back. Says whether it was nobody's until now.
    pub(super) fn take(&self) -> Result<bool, FrameError> {
        let path = self.taken();
        match fs::File::create_new(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Whether it was somebody's.
    pub(super) fn is_taken(&self) -> bool {
        self.taken().exists()
    }

    /// Removes all of it. The frame must be gone: it could otherwise put things in the way.
    pub(super) fn remove(&self) -> Result<(), FrameError> {
        remove_tree(&self.root).map_err(|error| failed(&self.root, error))
    }
}

fn failed(path: &Path, source: io::Error) -> FrameError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FrameError::DiskFull(path.to_owned()),
        _ => FrameError::Folder { path: path.to_owned(), source },
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if !fs::symlink_metadata(path)?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "something else is in its place"));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Removes a folder with everything in it. Tools leave folders behind that not even their owner may
/// write to (caches of Go and npm); those are opened up on the way. Links are removed, never followed.
///
/// # Errors
/// Whatever the file system says.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            absent_is_fine(fs::remove_dir_all(path))
        }
        done => absent_is_fine(done),
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // The entry's own type: a link to a folder is not a folder here.
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// How many bytes lie in a folder; what cannot be read counts nothing. Links are not followed.
#[must_use]
pub fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_its_owner_locked_is_removed_and_what_it_points_to_is_not() {
        let home = tempfile::tempdir().expect("a temp folder");
        let outside = home.path().join("outside");
        fs::create_dir(&outside).expect("a folder");
        fs::write(outside.join("kept"), "x").expect("a file");

        let tree = home.path().join("frame/home/go/pkg");
        fs::create_dir_all(&tree).expect("folders");
        fs::write(tree.join("mod"), "x").expect("a file");
        std::os::unix::fs::symlink(&outside, tree.join("link")).expect("a link");
        fs::set_permissions(&tree, Permissions::from_mode(0o500)).expect("locked");

        remove_tree(&home.path().join("frame")).expect("removed");
        remove_tree(&home.path().join("frame")).expect("removed again");
        assert!(!home.path().join("frame").exists());
        assert!(outside.join("kept").exists());
    }
}

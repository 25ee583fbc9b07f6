//! The folders of one frame on the host: its home, its link, and what it reads at its start.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::error::FrameError;
use crate::clock;
use crate::link::Link;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::secret::Secret;

/// Where one frame's folders are.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    root: PathBuf,
}

/// What the frame reads at its start.
pub(super) struct StartContents {
    pub(super) password: Secret,
    pub(super) agent_config: String,
    pub(super) env: String,
}

impl Folders {
    pub(super) fn of(frames_folder: &Path, frame: &FrameId) -> Self {
        Self { root: frames_folder.join(frame.as_str()) }
    }

    /// The agent's home.
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The sockets.
    pub(super) fn link(&self) -> PathBuf {
        self.root.join("link")
    }

    /// What is read at the start.
    pub(super) fn start(&self) -> PathBuf {
        self.root.join("start")
    }

    /// Says for which start the files in `start` were written. Not visible inside.
    fn written_for(&self) -> PathBuf {
        self.root.join("start-written-for")
    }

    /// Makes what is missing. The root is ours alone; what is in it belongs to the frame's owner.
    pub(super) fn ensure(&self, frame: &Frame) -> Result<(), FrameError> {
        let (uid, gid) = (frame.owner_uid, frame.owner_gid);
        private_folder(&self.root).map_err(|error| failed(&self.root, error))?;
        for folder in [self.home(), self.start()] {
            private_folder(&folder)
                .and_then(|()| chown(&folder, Some(uid), Some(gid)))
                .map_err(|error| failed(&folder, error))?;
        }
        Link::new(self.link()).ensure(uid, gid).map_err(|error| failed(&self.link(), error))
    }

    /// Whether the files for this start were written already; `start` counts starts of the frame.
    ///
    /// A container that an interrupted start may still bring up reads the same password that we know.
    pub(super) fn is_written_for(&self, start: u64) -> bool {
        fs::read_to_string(self.written_for()).is_ok_and(|text| text == start.to_string())
    }

    /// Writes the files for this start.
    pub(super) fn write_start(
        &self,
        frame: &Frame,
        start: u64,
        contents: &StartContents,
    ) -> Result<(), FrameError> {
        let folder = self.start();
        let files = [
            ("password", contents.password.reveal()),
            ("opencode.json", contents.agent_config.as_str()),
            ("env", contents.env.as_str()),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            replace(&path, text, Some((frame.owner_uid, frame.owner_gid)))
                .map_err(|error| failed(&path, error))?;
        }
        let written_for = self.written_for();
        replace(&written_for, &start.to_string(), None).map_err(|error| failed(&written_for, error))
    }

    /// The password of the last start, if there was one.
    pub(super) fn password(&self) -> Result<Option<Secret>, FrameError> {
        let path = self.start().join("password");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text.trim_end())).filter(|secret| !secret.reveal().is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
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

/// Writes a file so that a reader sees the old one or the new one, never half of it.
fn replace(path: &Path, text: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    let fresh = path.with_extension(format!("new-{}", hex::encode(clock::entropy::<4>())));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        if let Some((uid, gid)) = owner {
            chown(&fresh, Some(uid), Some(gid))?;
        }
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Removes a folder with everything in it. Tools leave folders behind that not even their owner may
/// write to (caches of Go and npm); those are opened up on the way. Links are removed, never followed.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
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
pub(super) fn size_of(folder: &Path) -> u64 {
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

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let home = tempfile::tempdir().expect("a temp folder");
        let path = home.path().join("password");
        replace(&path, "one", None).expect("written");
        replace(&path, "two", None).expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "two");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.path()).expect("lists").count(), 1);
    }
}

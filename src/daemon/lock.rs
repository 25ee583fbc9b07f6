//! One gateway per home folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

/// Held for as long as this gateway lives. The kernel lets go of it however we die.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// Why the home could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Use that one, or stop it.
    #[error("a gateway is already running for this home{}", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Taken {
        /// Its process id, if it wrote one.
        pid: Option<u32>,
    },
    /// The folder is not ours to write, or the disk is full.
    #[error("cannot write {path}")]
    Unwritable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Locks the home whose lock file is `path`.
///
/// # Errors
/// [`LockError::Taken`] when another gateway has it.
pub fn lock_home(path: &Path) -> Result<HomeLock, LockError> {
    let unwritable = |source| LockError::Unwritable { path: path.display().to_string(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unwritable)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Taken { pid: read_pid(&mut file) }),
        Err(error) => return Err(unwritable(error.into())),
    }
    write_pid(&mut file).map_err(unwritable)?;
    Ok(HomeLock { _file: file })
}

/// The process that holds the lock, if one does.
#[must_use]
pub fn holder(path: &Path) -> Option<u32> {
    let mut file = File::open(path).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => read_pid(&mut file),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_gateway_is_told_who_the_first_one_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.lock");
        let first = lock_home(&path).expect("free");
        match lock_home(&path) {
            Err(LockError::Taken { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        assert_eq!(holder(&path), Some(std::process::id()));
        drop(first);
        assert_eq!(holder(&path), None);
        lock_home(&path).expect("free again, though the file is still there");
    }
}

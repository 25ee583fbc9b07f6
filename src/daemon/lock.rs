//! One gateway per home folder.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;

/// Held for as long as this gateway lives. The kernel lets go of it however we die.
#[derive(Debug)]
pub struct HomeLock {
    file: File,
}

impl HomeLock {
    /// Says how far this gateway is, for whoever finds the lock taken.
    pub fn say(&self, stage: Stage) {
        if let Err(error) = write_holder(&self.file, stage) {
            tracing::warn!(%error, "the lock does not say how far the gateway is: {error}");
        }
    }
}

/// How far the gateway is that holds a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Stage {
    /// It does not answer yet.
    Starting,
    /// It answers.
    #[default]
    Running,
    /// It does not answer any more.
    Ending,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process; none before it has written it down.
    pub pid: Option<u32>,
    /// How far it is.
    pub stage: Stage,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Starting => "a gateway is just starting for this home",
            Stage::Running => "a gateway is already running for this home",
            Stage::Ending => "a gateway for this home is about to end",
        })?;
        self.pid.map_or(Ok(()), |pid| write!(f, " (process {pid})"))
    }
}

/// Why the home could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Use that one, or stop it.
    #[error("{0}")]
    Taken(Holder),
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
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unwritable)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Taken(read_holder(&file))),
        Err(error) => return Err(unwritable(error.into())),
    }
    write_holder(&file, Stage::Starting).map_err(unwritable)?;
    Ok(HomeLock { file })
}

/// Who holds the lock, if somebody does.
#[must_use]
pub fn holder(path: &Path) -> Option<Holder> {
    let file = File::open(path).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => Some(read_holder(&file)),
    }
}

/// `1234`, or `1234 starting`. A process that does not have the file open is a former holder: its number may be
/// anybody's by now.
fn read_holder(mut file: &File) -> Holder {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let mut words = text.split_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok()).filter(|pid| has_open(*pid, file));
    let stage = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    Holder { pid, stage }
}

fn has_open(pid: u32, file: &File) -> bool {
    let same = |one: &Metadata, two: &Metadata| one.dev() == two.dev() && one.ino() == two.ino();
    let Ok(ours) = file.metadata() else { return false };
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::metadata(entry.path()).ok()).any(|theirs| same(&ours, &theirs))
}

fn write_holder(mut file: &File, stage: Stage) -> std::io::Result<()> {
    let pid = std::process::id();
    file.set_len(0)?;
    file.rewind()?;
    match stage {
        Stage::Running => writeln!(file, "{pid}"),
        stage => writeln!(file, "{pid} {}", <&str>::from(stage)),
    }
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
            Err(LockError::Taken(holder)) => assert_eq!(holder.pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        let now = |stage| Some(Holder { pid: Some(std::process::id()), stage });
        assert_eq!(holder(&path), now(Stage::Starting));
        first.say(Stage::Running);
        assert_eq!(holder(&path), now(Stage::Running));
        // What a former holder left says nothing about this one.
        fs::write(&path, "1\n").expect("written");
        assert_eq!(holder(&path), Some(Holder { pid: None, stage: Stage::Running }));
        drop(first);
        // A program that another test begins in this process has it as well, until it is another program.
        let dropped = std::time::Instant::now();
        while let Some(left) = holder(&path) {
            assert!(dropped.elapsed() < std::time::Duration::from_secs(10), "{left:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        lock_home(&path).expect("free again, though the file is still there");
    }
}

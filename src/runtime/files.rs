//! What an engine on this machine keeps of a frame beside its container: the folder of sockets, and what the frame reads
//! at its start. Nobody above knows where it is.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::link::Link;
use super::{RuntimeError, StartContents};
use crate::clock;
use crate::model::container::{FolderIdentity, Mount, inside};
use crate::model::ids::FrameId;
use crate::model::secret::Secret;

/// Holds the first number of the frame's users.
const USERS: &str = "users";
/// That it is there asks the frame to try its own walls.
const PROBE: &str = "probe";

/// Where all this is kept of one frame.
#[derive(Clone, Debug)]
pub(super) struct FrameFiles {
    root: PathBuf,
}

impl FrameFiles {
    pub(super) fn of(frames_folder: &Path, frame: &FrameId) -> Self {
        Self { root: frames_folder.join(frame.as_str()) }
    }

    pub(super) fn link(&self) -> Link {
        Link::new(self.root.join("link"))
    }

    pub(super) fn start(&self) -> PathBuf {
        self.root.join("start")
    }

    /// How the container sees it.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        vec![
            Mount::new(self.link().folder(), inside::LINK, false),
            Mount::new(&self.start(), inside::START, true),
        ]
    }

    /// Writes a file that is not the frame's; the engine reads it.
    pub(super) fn put_beside(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, RuntimeError> {
        let path = self.root.join(name);
        let done = match fs::read_to_string(&path) {
            Ok(there) if there == text => Ok(()),
            _ => replace(&path, text, None),
        };
        done.and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
            .map_err(|error| failed(&path, error))?;
        Ok(path)
    }

    /// Whose the frame's files are, as the last create left them.
    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        let found = fs::symlink_metadata(self.start()).ok()?;
        Some((found.uid(), found.gid()))
    }

    /// The first of the numbers of this machine that are the frame's users.
    pub(super) fn users(&self) -> Option<u32> {
        fs::read_to_string(self.root.join(USERS)).ok()?.trim().parse().ok()
    }

    /// Gives it that first number, for as long as it lives: on the disk before a container uses it, or after a power cut
    /// another frame would get the same.
    pub(super) fn set_users(&self, first: u32) -> Result<(), RuntimeError> {
        let path = self.put_beside(USERS, &first.to_string(), 0o600)?;
        let folders = [Some(self.root.as_path()), self.root.parent()];
        [Some(path.as_path())]
            .into_iter()
            .chain(folders)
            .flatten()
            .try_for_each(sync)
            .map_err(|e| failed(&path, e))
    }

    /// Makes what is missing. The folders around it are ours alone, the link belongs to whom the frame runs as.
    pub(super) fn ensure(&self, uid: u32, gid: u32) -> Result<(), RuntimeError> {
        for folder in [self.root.clone(), self.start()] {
            private_folder(&folder).map_err(|error| failed(&folder, error))?;
        }
        let start = self.start();
        chown(&start, Some(uid), Some(gid)).map_err(|error| failed(&start, error))?;
        let link = self.link();
        link.ensure(uid, gid).map_err(|error| failed(link.folder(), error))
    }

    /// Writes what the frame reads at a start, once for each start: a step that is repeated must not change a
    /// password that is in use already.
    /// `probes`: whether the frame is to try its own walls before anything of a stranger's runs.
    pub(super) fn put(
        &self,
        contents: &StartContents,
        (uid, gid): (u32, u32),
        probes: bool,
    ) -> Result<(), RuntimeError> {
        // Says for which start the files were written. Not visible inside.
        let written_for = self.root.join("start-written-for");
        let start = contents.start.to_string();
        if fs::read_to_string(&written_for).is_ok_and(|text| text == start) {
            return Ok(());
        }
        let files = [
            ("password", contents.password.reveal()),
            ("opencode.json", contents.agent_config.as_str()),
            ("env", contents.env.as_str()),
            ("gitconfig", contents.git_config.as_str()),
        ];
        let trusted = contents.trusted.as_ref();
        // What an earlier start had of these and this one has not is gone.
        let may_be = [
            (PROBE, probes.then_some("")),
            ("trusted", trusted.map(|trusted| trusted.list.as_str())),
            ("left-out.json", trusted.map(|trusted| trusted.left_out_config.as_str())),
        ];
        for (name, text) in files.map(|(name, text)| (name, Some(text))).into_iter().chain(may_be) {
            let path = self.start().join(name);
            match text {
                Some(text) => replace(&path, text, Some((uid, gid))),
                None => remove_if_there(&path),
            }
            .map_err(|error| failed(&path, error))?;
        }
        self.put_secrets(&contents.secrets, uid, gid)?;
        let path = self.start().join("certificates.crt");
        match &contents.certificates {
            Some(text) => replace(&path, text, Some((uid, gid))),
            None => remove_if_there(&path),
        }
        .map_err(|error| failed(&path, error))?;
        let pipe = self.viewers();
        make_pipe(&pipe, uid, gid).map_err(|error| failed(&pipe, error))?;
        replace(&written_for, &start, None).map_err(|error| failed(&written_for, error))
    }

    /// In which the frame's terminal is told that somebody is about to look. The frame cannot put anything else there:
    /// the folder is read-only for it.
    fn viewers(&self) -> PathBuf {
        self.start().join("viewers")
    }

    /// Tells it, if it listens. Waits for nobody.
    pub(super) fn announce_viewer(&self) -> io::Result<()> {
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let mut pipe = fs::OpenOptions::new()
            .write(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(self.viewers())?;
        if pipe.metadata()?.file_type().is_fifo() { pipe.write_all(b"soon\n") } else { Ok(()) }
    }

    /// Those of this start alone: what was taken back since the last one is gone.
    fn put_secrets(&self, secrets: &[(String, Secret)], uid: u32, gid: u32) -> Result<(), RuntimeError> {
        let folder = self.start().join("secrets");
        let write = || {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            if secrets.is_empty() {
                return Ok(());
            }
            private_folder(&folder)?;
            for (name, secret) in secrets {
                replace(&folder.join(name), secret.reveal(), Some((uid, gid)))?;
            }
            chown(&folder, Some(uid), Some(gid))
        };
        write().map_err(|error| failed(&folder, error))
    }

    /// The password of the last start, if there was one.
    pub(super) fn password(&self) -> Result<Option<Secret>, RuntimeError> {
        let path = self.start().join("password");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text.trim_end())).filter(|secret| !secret.reveal().is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }
}

/// File systems of programs: the same folder may have another number the next time.
const FUSE: u64 = 0x6573_5546;

/// Which folder is at a path now; none when there is none, or when it cannot be told apart from others.
#[must_use]
pub fn folder_identity(path: &Path) -> Option<FolderIdentity> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
    let system = rustix::fs::statfs(path).ok()?;
    (u64::try_from(system.f_type).ok() != Some(FUSE)).then(|| (found.dev(), found.ino()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits until a file, or which names a folder holds, is on the disk.
fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn failed(path: &Path, source: io::Error) -> RuntimeError {
    RuntimeError::Folder { path: path.to_owned(), source }
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    if !fs::symlink_metadata(path)?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "something else is in its place"));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Makes a pipe with a name, unless it is there.
fn make_pipe(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_fifo() => {}
        found => {
            if found.is_ok() {
                fs::remove_file(path)?;
            }
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
    }
    chown(path, Some(uid), Some(gid))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_is_announced_to_whoever_listens_and_to_nobody_else() {
        use std::io::Read as _;
        let home = tempfile::tempdir().expect("a temp folder");
        let files = FrameFiles { root: home.path().to_owned() };
        fs::create_dir(files.start()).expect("made");
        assert!(files.announce_viewer().is_err(), "there is no pipe");
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        fs::write(files.viewers(), "a file").expect("written");
        files.announce_viewer().expect("nothing to tell");
        assert_eq!(fs::read_to_string(files.viewers()).expect("read"), "a file");
        for _ in 0..2 {
            make_pipe(&files.viewers(), uid, gid).expect("made");
        }
        assert!(files.announce_viewer().is_err(), "nobody listens, and nobody is waited for");
        let mut pipe =
            fs::OpenOptions::new().read(true).write(true).open(files.viewers()).expect("somebody listens");
        files.announce_viewer().expect("told");
        let mut told = [0_u8; 5];
        pipe.read_exact(&mut told).expect("heard");
        assert_eq!(&told, b"soon\n");
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

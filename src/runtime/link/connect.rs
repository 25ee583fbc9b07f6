//! Opens sockets in a folder that a stranger writes.
//!
//! A path is a question that the frame may answer differently each time: between
//! looking at `agent.sock` and connecting to it, it can become a link to the
//! container engine's own socket, and the gateway would speak to the engine on
//! the frame's behalf. So the folder is opened first; beneath it the socket is
//! opened as a mere place (`O_PATH`, which neither follows nor waits); that very
//! place is checked to be a socket, and the connection goes to it through
//! `/proc/self/fd`, never again by name.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tokio::net::{UnixListener, UnixStream};

use crate::outbound::{BoxedDuplex, Connector};

/// How often a full backlog is tried again, and after which pause: half a second together.
const FULL_TRIES: u32 = 10;
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// How often something new in the place of our own socket is cleared away before we give up.
const CLEAR_TRIES: u32 = 20;

/// A connector to the socket `name` in `folder`. Opens both anew for each connection.
#[must_use]
pub fn connector(folder: &Path, name: &'static str) -> Connector {
    let folder: PathBuf = folder.to_owned();
    let what = format!("{}/{name}", folder.display());
    Connector::new(what, move || {
        let folder = folder.clone();
        Box::pin(async move {
            let stream = connect(&folder, name).await?;
            Ok(Box::pin(stream) as BoxedDuplex)
        })
    })
}

/// Connects to the socket `name` in `folder`.
///
/// # Errors
/// `NotFound` when there is nothing of that name, `ConnectionRefused` when nobody listens,
/// `PermissionDenied` when it is something else than a socket.
pub async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let place = open_socket(folder, name)?;
    let path = through_fd(&place);
    for _ in 1..FULL_TRIES {
        match UnixStream::connect(&path).await {
            // The backlog is full: a busy frame, or one that accepts nothing.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL_PAUSE).await,
            settled => return settled,
        }
    }
    UnixStream::connect(&path).await
}

/// Which socket lies at `name` right now; to be compared, so that a replaced one is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketId {
    device: u64,
    inode: u64,
}

/// Identifies the socket `name` in `folder`; none when there is no socket of that name.
#[must_use]
pub fn identify(folder: &Path, name: &str) -> Option<SocketId> {
    let place = open_socket(folder, name).ok()?;
    let stat = rustix::fs::fstat(&place).ok()?;
    Some(SocketId { device: stat.st_dev, inode: stat.st_ino })
}

/// Opens the socket as a place, without following or waiting for anything.
fn open_socket(folder: &Path, name: &str) -> io::Result<OwnedFd> {
    let folder = open_folder(folder)?;
    let place = open_beneath(&folder, name).map_err(|errno| match errno {
        Errno::LOOP => not_a_socket(name),
        other => other.into(),
    })?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode);
    if kind == FileType::Socket { Ok(place) } else { Err(not_a_socket(name)) }
}

fn not_a_socket(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{name} in the link folder is not a socket; something in the frame replaced it"),
    )
}

fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, folder, flags, Mode::empty())?)
}

fn open_beneath(folder: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(folder, name, flags, Mode::empty(), beneath) {
        // An old kernel, or a sandbox around the gateway that does not know the call. For a single
        // name O_NOFOLLOW says the same: a link is then opened as itself, and is not a socket.
        Err(Errno::NOSYS | Errno::PERM) if !name.contains('/') && name != ".." => {
            rustix::fs::openat(folder, name, flags, Mode::empty())
        }
        answer => answer,
    }
}

/// A path that leads to exactly what is open, whatever its name means by now.
fn through_fd(open: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_fd().as_raw_fd()))
}

/// Listens on a new socket `name` in `folder`. What was there before is cleared away, whatever it is.
///
/// Every user may connect, because the frame's may be another than ours; nobody else can enter the
/// folder. Only the socket itself is given that mode: a link put in its place is not followed.
///
/// # Errors
/// When the folder is missing, or somebody keeps putting things in the socket's place.
pub fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let folder = open_folder(folder)?;
    let path = through_fd(&folder).join(name);
    let mut tries = CLEAR_TRIES;
    let listener = loop {
        clear(&folder, name)?;
        match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => tries -= 1,
            settled => break settled?,
        }
    };
    // Between the line above and this one the frame may have replaced it; then only its own thing is opened up.
    let place = open_beneath(&folder, name)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) != FileType::Socket {
        return Err(not_a_socket(name));
    }
    // Where the frame sees the folder with its owners translated, nothing of root's can be written to or connected to.
    let owner = rustix::fs::fstat(&folder)?;
    if owner.st_uid != rustix::process::geteuid().as_raw() {
        std::os::unix::fs::chown(through_fd(&place), Some(owner.st_uid), Some(owner.st_gid))?;
    }
    fs::set_permissions(through_fd(&place), fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Removes `name`; a folder that is not empty is moved aside instead, and goes when the link goes.
fn clear(folder: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(other) => return Err(other.into()),
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {
            let aside = format!("{name}.{}", hex::encode(crate::clock::entropy::<8>()));
            Ok(rustix::fs::renameat(folder, name, folder, aside)?)
        }
        Err(other) => Err(other.into()),
    }
}

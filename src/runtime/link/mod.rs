//! The sockets between host and frame.
//!
//! Each frame has a folder that both sides see: the frame makes `agent.sock` and
//! `preview.sock` in it, the gateway listens on `broker.sock`. The frame can
//! write this folder, so whatever lies there was put there by a stranger; only
//! [`connect`] opens it, in the one way that cannot be led elsewhere.
//!
//! Known to engines on this machine only. Not here: what is spoken over the sockets
//! (see `opencode` and `broker`).

pub mod connect;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::model::port::PortPurpose;
use crate::outbound::Connector;

use connect::{SocketId, identify};
pub use connect::{connector, listen};

/// The socket on which the gateway waits for a frame's broker requests.
pub const BROKER_SOCKET: &str = "broker.sock";

/// The folder of sockets of one frame, made and removed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    folder: PathBuf,
}

impl Link {
    /// The link in `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder, if it is missing, for the one user that the frame's processes run as.
    ///
    /// # Errors
    /// Whatever the file system says; something that is no folder may be in the way.
    pub fn ensure(&self, owner_uid: u32, owner_gid: u32) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        if !fs::symlink_metadata(&self.folder)?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is not a folder", self.folder.display()),
            ));
        }
        fs::set_permissions(&self.folder, Permissions::from_mode(0o700))?;
        chown(&self.folder, Some(owner_uid), Some(owner_gid))
    }

    /// Removes the folder and whatever the frame left in it. A folder that is gone is fine.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens connections to the frame's agent or preview server.
    #[must_use]
    pub fn connector(&self, purpose: PortPurpose) -> Connector {
        connect::connector(&self.folder, purpose.socket_name())
    }

    /// Listens for the frame's broker requests.
    ///
    /// # Errors
    /// See [`connect::listen`].
    pub fn listen(&self) -> io::Result<FrameListener> {
        let listener = connect::listen(&self.folder, BROKER_SOCKET)?;
        let socket = identify(&self.folder, BROKER_SOCKET);
        Ok(FrameListener { listener, folder: self.folder.clone(), socket })
    }
}

/// Where a frame's requests to the broker arrive. The socket is the identity: only this frame has it.
#[derive(Debug)]
pub struct FrameListener {
    listener: UnixListener,
    folder: PathBuf,
    socket: Option<SocketId>,
}

impl FrameListener {
    /// The next connection.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Whether it still is where the frame looks for it; the frame may have put something else there.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.socket.is_some() && self.socket == identify(&self.folder, BROKER_SOCKET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_private_and_leaves_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let link = Link::new(home.path().join("frames/frm/link"));
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        link.ensure(uid, gid).expect("made");
        link.ensure(uid, gid).expect("made again");
        let mode = fs::metadata(link.folder()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        fs::create_dir_all(link.folder().join("deep/er")).expect("the frame made folders");
        std::os::unix::fs::symlink(home.path(), link.folder().join("up")).expect("and a way up");
        link.remove().expect("removed");
        link.remove().expect("removed again");
        assert!(!link.folder().exists());
        assert!(home.path().exists(), "the way up was not followed");
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let home = tempfile::tempdir().expect("a folder");
        let elsewhere = home.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("made");
        let link = Link::new(home.path().join("link"));
        std::os::unix::fs::symlink(&elsewhere, link.folder()).expect("planted");
        assert_eq!(link.ensure(0, 0).expect_err("refused").kind(), io::ErrorKind::NotADirectory);
    }
}

//! Where the gateway listens: the Unix socket, and a TCP port that is nice to have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::config::Paths;

/// Longer paths do not fit into the kernel's address structure.
const LONGEST_PATH: usize = 107;

/// Binds the Unix socket (0600). A socket file left by a dead gateway is replaced;
/// the caller holds the home's lock, so it cannot belong to a living one.
///
/// # Errors
/// When the path is too long or the folder cannot be written.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the path is longer than {LONGEST_PATH} bytes; set XDG_RUNTIME_DIR to a shorter folder"),
        ));
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // The folder is 0700, so nobody can connect before the mode is set.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// How soon a gateway whose socket vanished has made another, with time to spare.
pub const BACK_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether the socket is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where clients connect. The folder may vanish under a gateway (a cleaner of /tmp, the end of a login session); then
/// it is made anew. Connections that there are go on.
#[derive(Clone)]
pub struct ClientSocket {
    paths: Paths,
    bound: Arc<Mutex<Bound>>,
}

struct Bound {
    listener: Arc<UnixListener>,
    /// Of the socket's file.
    inode: Option<u64>,
    /// That it cannot be made anew was said.
    told: bool,
}

impl ClientSocket {
    /// Listens.
    ///
    /// # Errors
    /// As [`bind_unix`].
    pub fn bind(paths: &Paths) -> io::Result<Self> {
        let bound = Bound::bind(&paths.gateway_socket())?;
        Ok(Self { paths: paths.clone(), bound: Arc::new(Mutex::new(bound)) })
    }

    /// The next connection.
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let listener = self.bound.lock().listener.clone();
            tokio::select! {
                accepted = listener.accept() => return accepted.map(|(stream, _)| stream),
                () = tokio::time::sleep(LOOK_EVERY) => self.look_after(),
            }
        }
    }

    /// Makes the socket anew, with its folder, when it is not there any more.
    fn look_after(&self) {
        let path = self.paths.gateway_socket();
        let mut bound = self.bound.lock();
        if bound.inode.is_some() && inode(&path) == bound.inode {
            return;
        }
        let again = self.paths.ensure_runtime().map_err(io::Error::other).and_then(|()| Bound::bind(&path));
        match again {
            Ok(again) => {
                tracing::warn!(
                    "the socket {0} vanished from under the gateway; it is made anew",
                    path.display()
                );
                *bound = again;
            }
            Err(error) if !bound.told => {
                tracing::error!(%error, "the socket {} vanished and cannot be made anew: {error}", path.display());
                bound.told = true;
            }
            Err(_) => {}
        }
    }
}

impl Bound {
    fn bind(path: &Path) -> io::Result<Self> {
        Ok(Self { listener: Arc::new(bind_unix(path)?), inode: inode(path), told: false })
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|found| found.ino())
}

/// The TCP side of the gateway, or why there is none.
#[derive(Debug)]
pub enum TcpSide {
    /// It listens there.
    Listening(TcpListener, SocketAddr),
    /// Turned off in the configuration.
    Unwanted,
    /// The gateway works without it; `mimir status` shows why it is missing.
    Absent(String),
}

impl TcpSide {
    /// `127.0.0.1:8080`, `https://10.0.0.9:8443`, or why there is none.
    #[must_use]
    pub fn describe(&self, is_tls: bool) -> String {
        match self {
            Self::Listening(_, address) if is_tls => format!("https://{address}"),
            Self::Listening(_, address) => address.to_string(),
            Self::Unwanted => "off (server.http_port is 0)".into(),
            Self::Absent(why) => why.clone(),
        }
    }
}

/// Binds the TCP port. Port 0 means that none is wanted. What other machines can reach must be encrypted;
/// the configuration says so too, and this is where it would happen.
pub async fn bind_tcp(bind: IpAddr, port: u16, is_tls: bool) -> TcpSide {
    if port == 0 {
        return TcpSide::Unwanted;
    }
    if !bind.is_loopback() && !is_tls {
        return TcpSide::Absent(format!("off: {bind} is not a loopback address, and there is no TLS"));
    }
    let address = SocketAddr::new(bind, port);
    let bound = TcpListener::bind(address).await.and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    match bound {
        Ok((listener, address)) => TcpSide::Listening(listener, address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            TcpSide::Absent(format!("off: another program has {address} (server.http_port chooses another)"))
        }
        Err(error) => TcpSide::Absent(format!("off: cannot listen on {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_left_by_a_dead_gateway_is_replaced_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.sock");
        drop(bind_unix(&path).expect("binds"));
        assert!(path.exists(), "a dead gateway leaves its socket");
        let _listener = bind_unix(&path).expect("binds again");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_socket_that_vanishes_with_its_folder_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = Paths::new(folder.path(), folder.path().join("run/mimir/x"));
        paths.ensure_runtime().expect("made");
        let socket = ClientSocket::bind(&paths).expect("binds");
        std::fs::remove_dir_all(folder.path().join("run")).expect("removed");
        let connected = async {
            loop {
                match UnixStream::connect(paths.gateway_socket()).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let both = async { tokio::join!(socket.accept(), connected) };
        let (accepted, _stream) = tokio::time::timeout(BACK_WITHIN, both).await.expect("soon");
        accepted.expect("accepted");
    }

    #[tokio::test]
    async fn a_path_that_does_not_fit_is_refused_with_the_reason() {
        let path = Path::new("/tmp").join("x".repeat(120));
        let error = bind_unix(&path).expect_err("too long");
        assert!(error.to_string().contains("XDG_RUNTIME_DIR"), "{error}");
    }

    #[tokio::test]
    async fn a_busy_port_is_no_reason_to_stop() {
        let holder = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = holder.local_addr().expect("its address").port();
        match bind_tcp("127.0.0.1".parse().expect("an address"), port, false).await {
            TcpSide::Absent(why) => assert!(why.contains(&port.to_string()), "{why}"),
            other => panic!("two listeners on one port: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_wants_is_no_fault() {
        let side = bind_tcp("127.0.0.1".parse().expect("an address"), 0, false).await;
        assert!(matches!(side, TcpSide::Unwanted), "{side:?}");
        assert!(side.describe(false).contains("server.http_port is 0"));
    }

    #[tokio::test]
    async fn without_tls_only_loopback_is_offered() {
        let side = bind_tcp("0.0.0.0".parse().expect("an address"), 18080, false).await;
        assert!(matches!(side, TcpSide::Absent(why) if why.contains("TLS")));
    }
}

//! Where the gateway listens: the Unix socket, and a TCP port that is nice to have.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::{TcpListener, UnixListener};

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

//! Where a gateway is: on this machine, behind its Unix socket, or elsewhere, behind an address.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::error::ClientError;
use super::pin;
use mimir_model::fingerprint::Fingerprint;
use mimir_model::secret::Secret;

/// How long the kernel may take to hand us a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The same over a network, with its greetings.
const CONNECT_AFAR: Duration = Duration::from_secs(10);

/// A connection to a gateway, whatever it is made of.
pub type Connection = Box<dyn Duplex>;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Where a gateway is.
#[derive(Clone, Debug)]
pub enum Place {
    /// On this machine; the kernel says who we are.
    Socket(PathBuf),
    /// Somewhere else; a token says what we may.
    Remote(Arc<Remote>),
}

/// A gateway elsewhere.
#[derive(Clone, Debug)]
pub struct Remote {
    url: url::Url,
    host: String,
    port: u16,
    token: Secret,
    /// The only certificate that is accepted; none before one was.
    pinned: Option<Fingerprint>,
}

/// An address that no gateway can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Something else than an address of a gateway.
    #[error("`{0}` is no address of a gateway")]
    NoAddress(String),
    /// The token would cross the network for everybody to read.
    #[error("`{0}` is not encrypted, and not on this machine")]
    Plain(String),
}

impl Remote {
    /// The gateway at `https://host:port`; `http://` is for this machine alone.
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn new(address: &str, token: Secret) -> Result<Self, BadAddress> {
        let none = || BadAddress::NoAddress(address.to_owned());
        let url = url::Url::parse(address.trim()).map_err(|_| none())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(none)?.to_owned();
        let port = url.port_or_known_default().ok_or_else(none)?;
        let is_bare = url.path().trim_end_matches('/').is_empty()
            && url.query().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match (url.scheme(), is_bare) {
            ("https", true) => {}
            ("http", true) if is_this_machine(&url) => {}
            ("http", true) => return Err(BadAddress::Plain(address.to_owned())),
            _ => return Err(none()),
        }
        Ok(Self { url, host, port, token, pinned: None })
    }

    /// Accepts that certificate and no other.
    #[must_use]
    pub fn pinned(mut self, fingerprint: Option<Fingerprint>) -> Self {
        self.pinned = fingerprint;
        self
    }

    /// `host:port`, under which its certificate is remembered.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether there is nothing to ask a person about: its certificate is known, or it needs none.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.pinned.is_some() || !self.is_encrypted()
    }

    fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    async fn connect(&self) -> Result<Connection, ClientError> {
        let unreachable = |why: String| ClientError::Unreachable { address: self.to_string(), why };
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let connecting = async {
            let stream = TcpStream::connect((host, self.port))
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            // What is typed should not wait for more.
            let _ = stream.set_nodelay(true);
            if !self.is_encrypted() {
                return Ok(Box::new(stream) as Connection);
            }
            let name =
                ServerName::try_from(host.to_owned()).map_err(|error| unreachable(error.to_string()))?;
            let stream = pin::greet(stream, name, self.pinned).await.map_err(|refused| match refused {
                pin::Refused::Unknown(fingerprint) => {
                    ClientError::UnknownGateway { address: self.address(), fingerprint }
                }
                pin::Refused::Changed { pinned, shown } => {
                    ClientError::OtherCertificate { address: self.address(), pinned, shown }
                }
                pin::Refused::Broken(error) => unreachable(error.to_string()),
            })?;
            Ok(Box::new(stream) as Connection)
        };
        let slow = |_| unreachable(format!("no answer within {} s", CONNECT_AFAR.as_secs()));
        timeout(CONNECT_AFAR, connecting).await.map_err(slow)?
    }
}

fn is_this_machine(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl Place {
    /// Opens a connection.
    ///
    /// # Errors
    /// [`ClientError::NoGateway`], [`ClientError::Unreachable`], or that the certificate is not the expected one.
    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        match self {
            Self::Socket(path) => connect_socket(path).await.map(|stream| Box::new(stream) as Connection),
            Self::Remote(remote) => remote.connect().await,
        }
    }

    /// For the `Host` header.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Socket(_) => "mimir".to_owned(),
            Self::Remote(remote) => match remote.url.port() {
                Some(port) => format!("{}:{port}", remote.host),
                None => remote.host.clone(),
            },
        }
    }

    /// For the `Authorization` header.
    pub(super) fn authorization(&self) -> Option<String> {
        match self {
            Self::Socket(_) => None,
            Self::Remote(remote) => Some(format!("Bearer {}", remote.token.reveal())),
        }
    }
}

async fn connect_socket(socket: &Path) -> Result<UnixStream, ClientError> {
    match timeout(CONNECT, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                ClientError::NotAllowed { socket: socket.to_owned(), why: error.to_string() }
            }
            _ => ClientError::NoGateway { socket: socket.to_owned() },
        }),
        Err(_) => Err(ClientError::TimedOut { action: "connect".to_owned(), seconds: CONNECT.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(address: &str) -> Result<Remote, BadAddress> {
        Remote::new(address, Secret::new("mim_x"))
    }

    #[test]
    fn an_address_is_encrypted_or_on_this_machine() {
        let far = remote("https://gate.example:8443/").expect("an address");
        assert_eq!(
            (far.address().as_str(), far.to_string().as_str()),
            ("gate.example:8443", "https://gate.example:8443")
        );
        let place = Place::Remote(Arc::new(far));
        assert_eq!(place.host(), "gate.example:8443");
        assert_eq!(remote("https://gate.example").expect("an address").address(), "gate.example:443");
        assert_eq!(Place::Remote(Arc::new(remote("https://[::1]").expect("one"))).host(), "[::1]");
        for near in ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"] {
            assert!(remote(near).is_ok(), "{near}");
        }
        for plain in ["http://gate.example:8080", "http://10.0.0.9", "http://localhost.evil.example"] {
            assert_eq!(remote(plain).expect_err("refused"), BadAddress::Plain(plain.to_owned()));
        }
        for none in [
            "",
            "gate.example:8443",
            "ftp://gate.example",
            "https://gate.example/v1",
            "https://me:pw@gate.example",
        ] {
            assert_eq!(remote(none).expect_err("refused"), BadAddress::NoAddress(none.to_owned()));
        }
    }

    #[test]
    fn a_place_never_prints_its_token() {
        let place = Place::Remote(Arc::new(remote("https://gate.example").expect("an address")));
        assert!(!format!("{place:?}").contains("mim_x"));
    }

    #[tokio::test]
    async fn nobody_listening_is_told_apart_from_everything_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("gateway.sock");
        let missing = connect_socket(&socket).await.expect_err("no socket");
        assert!(matches!(missing, ClientError::NoGateway { .. }), "{missing}");
        // A gateway that was killed leaves its socket file behind.
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("binds"));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let dead = loop {
            match connect_socket(&socket).await {
                Err(error) => break error,
                // A process that another test is just starting still holds a copy of the listener.
                Ok(_) => assert!(std::time::Instant::now() < end, "somebody accepts"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert!(matches!(dead, ClientError::NoGateway { .. }), "{dead}");
    }
}

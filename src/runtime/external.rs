//! An opencode server that runs somewhere already. Somebody else starts, stops and guards it; all that is done here is to
//! reach it. What it cannot do is answered with [`RuntimeError::Unsupported`] and never pretended.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use parking_lot::RwLock;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    Capabilities, Credentials, EngineInfo, ExecOutput, ExecSpec, ExecStream, FrameListener, LogLine,
    LogRequest, Runtime, RuntimeError, StartContents,
};
use crate::model::container::{ContainerSpec, EngineEvent, FoundContainer, ImageInfo, Observation, Stats};
use crate::model::frame::Observed;
use crate::model::ids::FrameId;
use crate::model::port::PortPurpose;
use crate::model::secret::Secret;
use crate::outbound::{BoxedDuplex, Connector};

/// How long a connection may take to stand before the server counts as away.
const CONNECT: Duration = Duration::from_secs(5);
/// opencode's own name for whoever has the password, unless its server was started with another.
const USUAL_USER: &str = "opencode";

/// Where a server is and who we are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address, without a user.
    pub url: Url,
    /// Who we are.
    pub credentials: Credentials,
}

/// An address that leads to no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAddress(String);

impl Server {
    /// Reads the address of a server: `http://` or `https://`, a host, perhaps a port and a user, and nothing else.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it. It does not show the address, which may hold a password.
    pub fn parse(address: &str, password: Option<Secret>) -> Result<Self, InvalidAddress> {
        let wrong = |why: &str| Err(InvalidAddress(why.to_owned()));
        let Ok(mut url) = Url::parse(address.trim()) else {
            return wrong("it is not an address such as http://127.0.0.1:4096");
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return wrong("it has to begin with http:// or https:// and name a host");
        }
        if url.password().is_some() {
            return wrong("it holds a password, which others can see there; give it with --password-stdin");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return wrong("it has to be the server's own address, without a path behind the host");
        }
        let user = if url.username().is_empty() { USUAL_USER } else { url.username() }.to_owned();
        // Of an http address with a host both always work.
        let _ = url.set_username("");
        Ok(Self { url, credentials: Credentials { user, password } })
    }

    /// Its address as people write it.
    #[must_use]
    pub fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Opens connections to it.
    #[must_use]
    pub fn connector(&self) -> Connector {
        let url = self.url.clone();
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Connector::new(self.address().to_owned(), move || {
            let url = url.clone();
            Box::pin(async move {
                let open = tokio::time::timeout(CONNECT, open(&url)).await;
                open.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            })
        })
        .with_authority(authority)
    }
}

async fn open(url: &Url) -> io::Result<BoxedDuplex> {
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await?,
        Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await?,
        Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await?,
        None => return Err(io::ErrorKind::InvalidInput.into()),
    };
    stream.set_nodelay(true)?;
    if url.scheme() == "http" {
        return Ok(Box::pin(stream));
    }
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => ServerName::from(std::net::IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => ServerName::from(std::net::IpAddr::V6(ip)),
        _ => ServerName::try_from(url.host_str().unwrap_or_default().to_owned()).map_err(io::Error::other)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(io::Error::other)?
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(untrusted)?;
    Ok(Box::pin(stream))
}

/// What a person can do about a handshake that failed.
fn untrusted(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = match cause {
        Some(rustls::Error::InvalidCertificate(why)) => format!(
            "its certificate is not trusted on this machine ({why:?}); add its authority to the system's certificates, \
             or reach it through a tunnel"
        ),
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS; is it http://?".to_owned(),
        _ => return error,
    };
    io::Error::new(error.kind(), text)
}

/// The servers that frames stand for. Cheap to clone.
#[derive(Clone, Default)]
pub struct External {
    servers: Arc<RwLock<HashMap<FrameId, Server>>>,
}

impl External {
    /// What a frame stands for from now on.
    pub fn set(&self, frame: &FrameId, server: Server) {
        self.servers.write().insert(frame.clone(), server);
    }

    /// The frame is no more.
    pub fn forget(&self, frame: &FrameId) {
        self.servers.write().remove(frame);
    }

    /// What the frame stands for; none when it has a container.
    #[must_use]
    pub fn server(&self, frame: &FrameId) -> Option<Server> {
        self.servers.read().get(frame).cloned()
    }

    /// Whether the frame stands for a server.
    #[must_use]
    pub fn has(&self, frame: &FrameId) -> bool {
        self.servers.read().contains_key(frame)
    }
}

type Answer<T> = Result<T, RuntimeError>;

fn cannot<T>(action: &'static str) -> Answer<T> {
    let why = "its server runs elsewhere, and mimir only talks to it".to_owned();
    Err(RuntimeError::Unsupported { engine: "external", action, why })
}

#[async_trait]
impl Runtime for External {
    async fn info(&self) -> Answer<EngineInfo> {
        Ok(EngineInfo {
            kind: "external",
            version: String::new(),
            socket: String::new(),
            rootless: true,
            capabilities: Capabilities::NONE,
            notes: Vec::new(),
        })
    }

    fn connector(&self, frame: &FrameId, purpose: PortPurpose) -> Connector {
        match (self.server(frame), purpose) {
            (Some(server), PortPurpose::Agent) => server.connector(),
            (_, purpose) => Connector::new(format!("{} of {frame}", purpose.as_str()), || {
                Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
            }),
        }
    }

    fn listen(&self, _frame: &FrameId) -> io::Result<FrameListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn put_start_files(&self, _: &ContainerSpec, _: &StartContents) -> Answer<()> {
        cannot("start a frame")
    }

    async fn credentials(&self, frame: &FrameId) -> Answer<Option<Credentials>> {
        Ok(self.server(frame).map(|server| server.credentials))
    }

    /// Running is one that takes a connection, halted one that does not. Whether it is an agent is for others to ask.
    async fn observe(&self, frame: &FrameId) -> Answer<Observation> {
        let Some(server) = self.server(frame) else { return Ok(Observation::missing()) };
        let stands = server.connector().connect().await.is_ok();
        Ok(Observation { observed: if stands { Observed::Running } else { Observed::Halted }, details: None })
    }

    async fn list(&self) -> Answer<Vec<FoundContainer>> {
        Ok(Vec::new())
    }

    async fn ensure_created(&self, _: &ContainerSpec) -> Answer<()> {
        cannot("create a frame")
    }

    async fn ensure_started(&self, _: &FrameId) -> Answer<()> {
        cannot("start a frame")
    }

    async fn ensure_stopped(&self, _: &FrameId, _: Duration) -> Answer<()> {
        cannot("stop a frame")
    }

    async fn ensure_paused(&self, _: &FrameId) -> Answer<()> {
        cannot("pause a frame")
    }

    async fn ensure_resumed(&self, _: &FrameId) -> Answer<()> {
        cannot("resume a frame")
    }

    async fn ensure_removed(&self, _: &FrameId) -> Answer<()> {
        cannot("remove a frame's server")
    }

    async fn remove_stray(&self, _: &str) -> Answer<()> {
        cannot("remove a container")
    }

    async fn exec(&self, _: &FrameId, _: ExecSpec) -> Answer<ExecOutput> {
        cannot("run a command in a frame")
    }

    async fn exec_stream(&self, _: &FrameId, _: ExecSpec) -> Answer<ExecStream> {
        cannot("open a terminal or run a command in a frame")
    }

    async fn logs(&self, _: &FrameId, _: LogRequest) -> Answer<BoxStream<'static, Answer<LogLine>>> {
        cannot("show a frame's log")
    }

    async fn stats(&self, _: &FrameId) -> Answer<Stats> {
        cannot("measure a frame")
    }

    async fn events(&self) -> Answer<BoxStream<'static, Answer<EngineEvent>>> {
        cannot("announce changes")
    }

    async fn find_image(&self, _: &str) -> Answer<Option<ImageInfo>> {
        Ok(None)
    }

    async fn list_images(&self) -> Answer<Vec<ImageInfo>> {
        Ok(Vec::new())
    }

    async fn remove_image(&self, _: &str) -> Answer<()> {
        cannot("remove an image")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_servers_own_and_shows_no_password() {
        let parse = |text: &str| Server::parse(text, None);
        let server = parse("http://127.0.0.1:4096/").expect("an address");
        assert_eq!(
            (server.address(), server.credentials.user.as_str()),
            ("http://127.0.0.1:4096", "opencode")
        );
        let server = parse("https://me@example.org").expect("an address");
        assert_eq!((server.address(), server.credentials.user.as_str()), ("https://example.org", "me"));
        for (text, part) in [
            ("127.0.0.1:4096", "such as http://127.0.0.1:4096"),
            ("localhost:4096", "has to begin with http"),
            ("localhost", "not an address"),
            ("ftp://example.org", "has to begin with http"),
            ("http://", "not an address"),
            ("http://me:hunter2@example.org", "--password-stdin"),
            ("http://example.org/path", "without a path"),
            ("http://example.org/?a=b", "without a path"),
        ] {
            let refusal = parse(text).expect_err(text).to_string();
            assert!(refusal.contains(part), "{text}: {refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[tokio::test]
    async fn a_host_is_called_by_its_name_and_a_closed_port_is_halted() {
        let server = Server::parse("https://example.org:8443", None).expect("an address");
        assert_eq!(server.connector().authority(), "example.org:8443");
        let free =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
        let (external, frame) = (External::default(), FrameId::from_parts(1, 1));
        assert_eq!(external.observe(&frame).await.expect("seen").observed, Observed::Missing);
        external.set(&frame, Server::parse(&format!("http://{free}"), None).expect("an address"));
        assert_eq!(external.observe(&frame).await.expect("seen").observed, Observed::Halted);
        external.forget(&frame);
        assert!(!external.has(&frame));
    }
}

//! How mimir reaches other programs: streams to frames, HTTP clients to providers.
//!
//! The only place that builds HTTP clients, so that time limits, the user agent
//! and proxies are decided once.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Url};

/// A two-way byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream of any kind.
pub type BoxedDuplex = Pin<Box<dyn Duplex>>;

/// Opens a new connection to one fixed place each time it is asked.
///
/// An engine makes these for what is inside a frame; those who use one (the opencode
/// client, the host ports, the pass-through) need not know how a frame is reached.
#[derive(Clone)]
pub struct Connector {
    what: Arc<str>,
    authority: Arc<str>,
    open: Arc<dyn Fn() -> BoxFuture<'static, io::Result<BoxedDuplex>> + Send + Sync>,
}

impl Connector {
    /// Makes a connector; `what` names the place in errors and logs.
    pub fn new<F>(what: impl Into<Arc<str>>, open: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, io::Result<BoxedDuplex>> + Send + Sync + 'static,
    {
        Self { what: what.into(), authority: "127.0.0.1".into(), open: Arc::new(open) }
    }

    /// The same for a server that is called by that name in HTTP.
    #[must_use]
    pub fn with_authority(self, authority: impl Into<Arc<str>>) -> Self {
        Self { authority: authority.into(), ..self }
    }

    /// A connector to a TCP address, for tests and scripted servers.
    #[must_use]
    pub fn tcp(address: std::net::SocketAddr) -> Self {
        Self::new(address.to_string(), move || {
            Box::pin(async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                Ok(Box::pin(stream) as BoxedDuplex)
            })
        })
    }

    /// Opens a new connection.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub async fn connect(&self) -> io::Result<BoxedDuplex> {
        (self.open)().await
    }

    /// What an HTTP request says in `Host`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The name of the place.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({})", self.what)
    }
}

/// The HTTP clients for model providers and other services. Cheap to clone; made when first needed,
/// because reading the machine's certificates takes time and memory.
///
/// No total time limit, because answers stream for minutes; who calls sets what fits.
#[derive(Clone, Default)]
pub struct HttpClients {
    outside: Arc<OnceLock<reqwest::Client>>,
    this_machine: Arc<OnceLock<reqwest::Client>>,
}

impl HttpClients {
    /// The client for an address. What runs on this machine is never asked for through a proxy.
    ///
    /// # Errors
    /// When the machine's certificates cannot be read.
    pub fn to(&self, url: &Url) -> reqwest::Result<reqwest::Client> {
        if is_this_machine(url) {
            get_or_build(&self.this_machine, || builder().no_proxy())
        } else {
            get_or_build(&self.outside, builder)
        }
    }
}

/// Drives a connection while `work` waits for what comes over it. `work` has the last word: a connection may end
/// properly before its answer was looked at.
pub async fn beside<T>(work: impl Future<Output = T>, connection: impl Future<Output = ()>) -> T {
    match select(pin!(work), pin!(connection)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}

/// The innermost reason of an error; the outer ones repeat the address.
#[must_use]
pub fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// The file with the certificates that this machine trusts: its own place for them, or what `SSL_CERT_FILE` names.
#[must_use]
pub fn certificates_file() -> Option<PathBuf> {
    openssl_probe::probe().cert_file
}

/// The certificates that this machine trusts, as text; `None` where they cannot be read.
#[must_use]
pub fn trusted_certificates() -> Option<String> {
    certificates_in(&certificates_file()?)
}

/// The certificates in a file, as text; `None` when there are none, or it cannot be read.
#[must_use]
pub fn certificates_in(path: &Path) -> Option<String> {
    match std::fs::read(path) {
        Ok(bytes) => only_certificates(&String::from_utf8_lossy(&bytes)),
        Err(error) => {
            tracing::warn!(%error, "the certificates in {} cannot be read: {error}", path.display());
            None
        }
    }
}

/// Somebody's own file may hold a private key beside its certificates, and frames get what this returns.
fn only_certificates(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines().map(str::trim_end) {
        let is_mark = |word| line.starts_with(word) && line.ends_with("CERTIFICATE-----");
        inside |= is_mark("-----BEGIN ");
        if inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= !is_mark("-----END ");
    }
    (!kept.is_empty()).then_some(kept)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("mimir/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .pool_idle_timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none())
}

fn get_or_build(
    slot: &OnceLock<reqwest::Client>,
    how: impl FnOnce() -> reqwest::ClientBuilder,
) -> reqwest::Result<reqwest::Client> {
    if let Some(client) = slot.get() {
        return Ok(client.clone());
    }
    // Another part of the process may have installed it first; either is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = how().build()?;
    Ok(slot.get_or_init(|| client).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_with_certificates_nothing_else_is_passed_on() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n";
        let text = format!("# one\n{certificate}{key}\n{certificate}");
        assert_eq!(only_certificates(&text), Some(certificate.repeat(2)));
        assert_eq!(only_certificates(key), None);
    }
}

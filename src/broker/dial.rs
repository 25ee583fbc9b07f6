//! Connections to the outside: names are resolved here, never in a frame, and
//! only public addresses are dialled.
//!
//! Otherwise a listed name that points to 127.0.0.1, to the cloud's metadata address or to an address of this machine
//! would let a frame talk to it from within. A name is resolved once, and what it gave is dialled.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const RESOLVE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);

/// How many addresses of one name are tried.
const ADDRESSES: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not for frames: refuse, and say so.
    #[error("{host} is at a private address{}", listable(.address))]
    Private {
        /// The name.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// Not for frames either.
    #[error("{host} is this machine itself ({address}){}", listable(.address))]
    Ourselves {
        /// The name.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// Try again later.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
}

/// Opens connections to the outside.
#[derive(Clone, Debug, Default)]
pub struct Dialer {
    pinned: BTreeMap<(String, u16), SocketAddr>,
    /// How TLS is spoken; made when it is first needed, because reading the machine's certificates takes a while.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Dialer {
    /// Sends connections for `host` and `port` to `address`, without asking whether that is public.
    #[must_use]
    pub fn pin(mut self, host: &str, port: u16, address: SocketAddr) -> Self {
        self.pinned.insert((host.to_owned(), port), address);
        self
    }

    /// Trusts what that says instead of what this machine trusts.
    #[must_use]
    pub fn trusting(self, config: ClientConfig) -> Self {
        Self { tls: Arc::new(OnceLock::from(Arc::new(config))), ..self }
    }

    /// What begins TLS with a host.
    ///
    /// # Errors
    /// When this machine's certificates cannot be read.
    pub(super) fn tls(&self) -> io::Result<TlsConnector> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone().into());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(io::Error::other)?
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone().into())
    }

    /// Connects to a host. Addresses that `is_listed` are dialled even if they are private, or this machine's.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(
        &self,
        host: &str,
        port: u16,
        is_listed: impl Fn(IpAddr) -> bool,
    ) -> Result<TcpStream, DialError> {
        let unreachable = |source| DialError::Unreachable { host: host.to_owned(), source };
        if let Some(address) = self.pinned.get(&(host.to_owned(), port)) {
            return connect(*address).await.map_err(unreachable);
        }
        let found = resolve(host, port).await.map_err(unreachable)?;
        let fit = fit(found, &is_listed).map_err(|(verdict, address)| match verdict {
            Verdict::Ourselves => DialError::Ourselves { host: host.to_owned(), address },
            _ => DialError::Private { host: host.to_owned(), address },
        })?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in fit.into_iter().take(ADDRESSES) {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }
}

/// How an address is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Private,
    Ourselves,
}

/// Those of a name's addresses that may be dialled, in their order; when there are others alone, the last of them and why not.
/// Nobody asks for the name again, so what it says next time changes nothing.
fn fit(
    found: Vec<SocketAddr>,
    is_listed: &impl Fn(IpAddr) -> bool,
) -> Result<Vec<SocketAddr>, (Verdict, IpAddr)> {
    let (mut fit, mut refused) = (Vec::new(), None);
    for at in found {
        match judge(at.ip(), is_listed) {
            Verdict::Fine => fit.push(at),
            bad => refused = Some((bad, at.ip())),
        }
    }
    match refused {
        Some(refused) if fit.is_empty() => Err(refused),
        _ => Ok(fit),
    }
}

fn judge(ip: IpAddr, is_listed: &impl Fn(IpAddr) -> bool) -> Verdict {
    if can_be_listed(ip) && is_listed(ip) {
        Verdict::Fine
    } else if !is_public(ip) {
        Verdict::Private
    } else if is_ours(ip) || embedded(ip).is_some_and(|inner| is_ours(inner.into())) {
        Verdict::Ourselves
    } else {
        Verdict::Fine
    }
}

/// Whether an address of which nobody knows whose it is can be asked for by itself. Those for which this is not so mean
/// something else on each machine: itself, everybody, the cloud's metadata.
pub(super) fn can_be_listed(ip: IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(local || embedded(ip).is_some() || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

/// What to add when listing the address would help.
fn listable(ip: &IpAddr) -> String {
    if !can_be_listed(*ip) {
        return String::new();
    }
    match ip {
        IpAddr::V4(ip) => format!("; `--allow {ip}` lists that address itself"),
        IpAddr::V6(ip) => format!("; `--allow [{ip}]` lists that address itself"),
    }
}

/// Whether this machine has that address. What it would send there comes from the same address then; nothing is sent.
fn is_ours(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == ip)
}

/// The IPv4 address that an IPv6 address carries: mapped, translated (NAT64) or 6to4.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(inner(high, low)),
        [0x2002, high, low, ..] => Some(inner(high, low)),
        _ => None,
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host, port))).await {
        Ok(found) => Ok(found?.collect()),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time")),
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(stream) => stream,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
    }
}

/// Whether an address belongs to the internet at large. Addresses for documentation count as such:
/// no machine has one by itself, and closed networks give them to their mirrors of public hosts.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let reserved = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // shared by carriers
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)); // benchmarks
    !reserved
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = embedded(ip.into()) {
        return is_public_v4(inner);
    }
    match ip.segments() {
        [0x2001, second, ..] if second < 0x200 => false, // Teredo and other assignments
        [0x2001, 0xdb8, ..] => false,                    // documentation
        // Only this block is given to the internet at all.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_at_large_are_public() {
        for public in [
            "1.1.1.1",
            "140.82.121.4",
            "203.0.113.80",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_dialled() {
        for host in ["localhost", "127.0.0.1", "::1"] {
            let refused = Dialer::default().dial(host, 443, |_| true).await;
            assert!(matches!(refused, Err(DialError::Private { .. })), "{host}: {refused:?}");
        }
    }

    #[test]
    fn a_private_address_is_dialled_only_when_it_is_listed_itself() {
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        for private in ["10.1.2.3", "192.168.1.1", "100.64.0.1", "fd12::1"] {
            assert_eq!(judge(ip(private), &|_| false), Verdict::Private, "{private}");
            assert_eq!(judge(ip(private), &|_| true), Verdict::Fine, "{private}");
            assert!(listable(&ip(private)).contains("--allow"), "{private}");
        }
        for never in [
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert_eq!(judge(ip(never), &|_| true), Verdict::Private, "{never}");
            assert_eq!(listable(&ip(never)), "", "{never}");
        }
    }

    /// What a resolver of an attacker's answers: something of ours beside, or in the place of, an address of its own.
    #[test]
    fn a_name_is_dialled_at_its_public_addresses_alone() {
        let at = |text: &str| -> SocketAddr { format!("{text}:80").parse().expect("an address") };
        let all = |texts: &[&str]| texts.iter().map(|text| at(text)).collect::<Vec<_>>();
        let mixed =
            all(&["127.0.0.1", "203.0.113.9", "[::1]", "169.254.169.254", "10.0.0.1", "[2606:4700::1]"]);
        assert_eq!(fit(mixed.clone(), &|_| false), Ok(all(&["203.0.113.9", "[2606:4700::1]"])));
        let listed = |ip: IpAddr| ip == at("10.0.0.1").ip() || ip.is_loopback();
        assert_eq!(fit(mixed, &listed), Ok(all(&["203.0.113.9", "10.0.0.1", "[2606:4700::1]"])));
        let ours = all(&["10.0.0.1", "127.0.0.1"]);
        assert_eq!(fit(ours, &|_| false), Err((Verdict::Private, at("127.0.0.1").ip())));
        assert_eq!(fit(Vec::new(), &|_| false), Ok(Vec::new()));
    }

    #[test]
    fn an_address_of_this_machine_is_known_as_such() {
        assert!(is_ours(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_ours(Ipv4Addr::new(192, 0, 2, 1).into()), "of nobody");
        // The address with which this machine would reach others, where it has one.
        let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()
        });
        if let Ok(own) = own {
            assert!(is_ours(own.ip()), "{own}");
        }
    }
}

//! Connections to the outside: names are resolved here, never in a frame, and
//! only public addresses are dialled.
//!
//! Otherwise a listed name that points to 127.0.0.1 or to the cloud's metadata
//! address would let a frame talk to this machine from within.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

const RESOLVE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(5);

/// How many addresses of one name are tried.
const ADDRESSES: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not for frames: refuse, and say so.
    #[error("{host} is at a private address")]
    Private {
        /// The name.
        host: String,
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
}

impl Dialer {
    /// Sends connections for `host` and `port` to `address`, without asking whether that is public.
    #[must_use]
    pub fn pin(mut self, host: &str, port: u16, address: SocketAddr) -> Self {
        self.pinned.insert((host.to_owned(), port), address);
        self
    }

    /// Connects to a host.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let unreachable = |source| DialError::Unreachable { host: host.to_owned(), source };
        if let Some(address) = self.pinned.get(&(host.to_owned(), port)) {
            return connect(*address).await.map_err(unreachable);
        }
        let found = resolve(host, port).await.map_err(unreachable)?;
        let public: Vec<SocketAddr> = found.iter().copied().filter(|at| is_public(at.ip())).collect();
        if public.is_empty() && !found.is_empty() {
            return Err(DialError::Private { host: host.to_owned() });
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in public.into_iter().take(ADDRESSES) {
            match connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
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
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Mapped (::ffff:a.b.c.d) and translated (64:ff9b::a.b.c.d) addresses of the older kind.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4 carries one too.
        [0x2002, high, low, ..] => embedded(high, low),
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
            let refused = Dialer::default().dial(host, 443).await;
            assert!(matches!(refused, Err(DialError::Private { .. })), "{host}: {refused:?}");
        }
    }
}

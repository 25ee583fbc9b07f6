//! The first bytes of a tunnel to a host that is listed for the web: they must begin TLS with that host.
//!
//! A tunnel that is opened for one name and then asks for another would reach whatever stands behind the same address
//! (fronting), and one that speaks something else would reach what is no web server at all.

use std::net::IpAddr;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a client may take to begin. Some open their tunnels before they have something to say.
const BEGIN: Duration = Duration::from_secs(30);

/// A greeting is shorter.
const LONGEST: usize = 64 * 1024;

/// TLS's own word for a name that is not served here: clients print it.
pub(super) const UNRECOGNIZED_NAME: &[u8] = &[0x15, 3, 3, 0, 2, 2, 112];

/// Why a tunnel is ended before it began.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The client left without a word.
    Gone,
    /// It speaks TLS, but not with the host that it asked for.
    OtherName(String),
    /// It does not speak TLS.
    NotTls(String),
}

/// Reads until it is known who is greeted. Gives what was read, which is still to be sent.
pub(super) async fn greeting(inside: &mut (impl AsyncRead + Unpin), host: &str) -> Result<Vec<u8>, Unfit> {
    match tokio::time::timeout(BEGIN, read(inside, host)).await {
        Ok(read) => read,
        Err(_) => Err(Unfit::NotTls(format!("nothing was said for {} seconds", BEGIN.as_secs()))),
    }
}

async fn read(inside: &mut (impl AsyncRead + Unpin), host: &str) -> Result<Vec<u8>, Unfit> {
    let mut acceptor = Acceptor::default();
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 8 * 1024]);
    loop {
        let count = match inside.read(&mut buffer).await {
            Ok(0) if heard.is_empty() => return Err(Unfit::Gone),
            Ok(0) | Err(_) => return Err(not_tls()),
            Ok(count) => count,
        };
        heard.extend_from_slice(&buffer[..count]);
        let mut new = &buffer[..count];
        while !new.is_empty() {
            if acceptor.read_tls(&mut new).is_err() {
                return Err(not_tls());
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let named = accepted.client_hello().server_name().map(str::to_owned);
                    return fits(host, named.as_deref()).map(|()| heard).map_err(Unfit::OtherName);
                }
                Err(_) => return Err(not_tls()),
            }
        }
        if heard.len() > LONGEST {
            return Err(not_tls());
        }
    }
}

fn not_tls() -> Unfit {
    Unfit::NotTls("what is spoken is no TLS".to_owned())
}

/// Whether a greeting of `named` belongs into a tunnel to `host`. An address has no name to greet.
fn fits(host: &str, named: Option<&str>) -> Result<(), String> {
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let same = |name: &str| {
        let plain = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
        plain(name) == plain(host)
    };
    match named {
        None if is_address => Ok(()),
        None => Err("the TLS greeting names no host".to_owned()),
        Some(name) if !is_address && same(name) => Ok(()),
        Some(name) => Err(format!("the TLS greeting names {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_must_name_the_host_of_its_tunnel() {
        assert_eq!(fits("example.com", Some("example.com")), Ok(()));
        assert_eq!(fits("Example.com.", Some("EXAMPLE.com")), Ok(()));
        assert_eq!(fits("192.0.2.7", None), Ok(()));
        assert_eq!(fits("2001:db8::7", None), Ok(()));
        for (host, named) in [
            ("example.com", None),
            ("example.com", Some("www.example.com")),
            ("example.com", Some("example.org")),
            ("192.0.2.7", Some("example.com")),
        ] {
            assert!(fits(host, named).is_err(), "{host}: {named:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_greeting_is_known_at_once() {
        for other in
            [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello"]
        {
            let heard = greeting(&mut &other[..], "example.com").await;
            assert!(matches!(heard, Err(Unfit::NotTls(_))), "{heard:?}");
        }
        assert_eq!(greeting(&mut &b""[..], "example.com").await, Err(Unfit::Gone));
    }
}

//! Under which names this gateway may be asked for.
//!
//! A web page in the owner's browser can reach the gateway as well, also under a name
//! of its own that it lets point here (DNS rebinding). It cannot choose the address that
//! the connection really has, so that one and the configured names are the only ones.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

use crate::wire::problem::Problem;

/// The names of one listener.
#[derive(Clone, Debug)]
pub struct Names {
    scheme: &'static str,
    configured: Vec<String>,
}

impl Names {
    /// `configured` names are `host` or `host:port`.
    #[must_use]
    pub fn new(is_tls: bool, configured: Vec<String>) -> Self {
        Self { scheme: if is_tls { "https" } else { "http" }, configured }
    }

    /// What may stand in `Host` on a connection that arrived at `local`.
    fn of(&self, local: SocketAddr) -> Vec<String> {
        let (address, port) = (local.ip().to_canonical(), local.port());
        let usual = if self.scheme == "https" { 443 } else { 80 };
        let mut bare = vec![match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }];
        if address.is_loopback() {
            bare.extend(["127.0.0.1", "localhost", "[::1]"].map(str::to_owned));
        }
        let mut names: Vec<String> = bare.iter().map(|name| format!("{name}:{port}")).collect();
        if port == usual {
            names.extend(bare);
        }
        for name in &self.configured {
            let with_port = name.rsplit_once(':').is_some();
            // Without a port: ours, or none, as it is behind something that listens on the usual one.
            if !with_port {
                names.push(format!("{name}:{port}"));
            }
            names.push(name.clone());
        }
        names
    }

    /// Whether the request names us, and does not come from a page that is not ours.
    ///
    /// # Errors
    /// 421 for a foreign `Host`, 403 for a foreign page.
    pub fn check(&self, local: SocketAddr, headers: &HeaderMap) -> Result<(), Problem> {
        let names = self.of(local);
        self.check_host(&names, headers)?;
        self.check_origin(&names, headers)
    }

    fn check_host(&self, names: &[String], headers: &HeaderMap) -> Result<(), Problem> {
        let mut given = headers.get_all(header::HOST).iter();
        let named = given.next().and_then(|value| value.to_str().ok());
        let only_one = given.next().is_none();
        match named {
            Some(host) if only_one && names.iter().any(|ours| ours.eq_ignore_ascii_case(host)) => Ok(()),
            _ => {
                Err(Problem::new(421, "request.wrong_host", "this gateway does not answer to that host name")
                    .hint(format!(
                        "use {}://{}, or add the name to `server.hosts` in the gateway's configuration",
                        self.scheme, names[0]
                    )))
            }
        }
    }

    fn check_origin(&self, names: &[String], headers: &HeaderMap) -> Result<(), Problem> {
        let is_ours = |origin: &str| {
            let host = origin.strip_prefix(self.scheme).and_then(|rest| rest.strip_prefix("://"));
            host.is_some_and(|host| names.iter().any(|ours| ours.eq_ignore_ascii_case(host)))
        };
        let foreign_origin =
            headers.get_all(header::ORIGIN).iter().any(|value| !value.to_str().is_ok_and(is_ours));
        let foreign_site = headers
            .get("sec-fetch-site")
            .is_some_and(|value| !matches!(value.as_bytes(), b"same-origin" | b"none"));
        if foreign_origin || foreign_site {
            return Err(Problem::new(403, "request.foreign_origin", "pages of other origins may not ask")
                .hint("a link of `mimir web` is not for clicking in a page: paste it into the address bar"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn answer(is_tls: bool, local: &str, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().expect("a header");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let configured = vec!["gate.example".to_owned(), "far.example:9000".to_owned()];
        let local = local.parse().expect("an address");
        Names::new(is_tls, configured).check(local, &map).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn only_names_that_are_ours_are_answered() {
        let near = |host| answer(false, "127.0.0.1:8080", &[("host", host)]);
        for ours in ["127.0.0.1:8080", "LOCALHOST:8080", "[::1]:8080", "gate.example", "gate.example:8080"] {
            assert_eq!(near(ours), 200, "{ours}");
        }
        for foreign in
            ["evil.example:8080", "127.0.0.1", "127.0.0.1:8081", "", "10.0.0.9:8080", "far.example"]
        {
            assert_eq!(near(foreign), 421, "{foreign}");
        }
        assert_eq!(answer(false, "127.0.0.1:8080", &[]), 421);
        let two = [("host", "localhost:8080"), ("host", "evil.example")];
        assert_eq!(answer(false, "127.0.0.1:8080", &two), 421);
    }

    #[test]
    fn elsewhere_the_address_of_the_connection_is_a_name_and_loopback_is_none() {
        let far = |host| answer(true, "10.0.0.9:8443", &[("host", host)]);
        for ours in ["10.0.0.9:8443", "far.example:9000", "gate.example:8443"] {
            assert_eq!(far(ours), 200, "{ours}");
        }
        for foreign in ["localhost:8443", "10.0.0.8:8443", "10.0.0.9", "far.example:8443"] {
            assert_eq!(far(foreign), 421, "{foreign}");
        }
        assert_eq!(answer(true, "[::ffff:10.0.0.9]:443", &[("host", "10.0.0.9")]), 200);
        assert_eq!(answer(true, "[2001:db8::1]:8443", &[("host", "[2001:db8::1]:8443")]), 200);
    }

    #[test]
    fn a_foreign_page_is_refused() {
        let host = ("host", "127.0.0.1:8080");
        let from = |name, value| answer(false, "127.0.0.1:8080", &[host, (name, value)]);
        for origin in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:9999",
            "http://127.0.0.1:8080.evil.example",
            "https://127.0.0.1:8080",
        ] {
            assert_eq!(from("origin", origin), 403, "{origin}");
        }
        assert_eq!(from("sec-fetch-site", "cross-site"), 403);
        assert_eq!(from("sec-fetch-site", "same-site"), 403);
        assert_eq!(from("origin", "http://localhost:8080"), 200);
        let tls = [("host", "gate.example"), ("origin", "https://gate.example")];
        assert_eq!(answer(true, "10.0.0.9:8443", &tls), 200);
        let plain = [("host", "gate.example"), ("origin", "http://gate.example")];
        assert_eq!(answer(true, "10.0.0.9:8443", &plain), 403);
    }
}

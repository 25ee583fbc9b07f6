//! Who may come in: the owner over the Unix socket, a bearer of the home's token over TCP.
//!
//! A web page in the owner's browser can reach 127.0.0.1 as well. It cannot set a
//! bearer token, but the `Host` and `Origin` headers are checked all the same, so
//! that neither DNS rebinding nor a forgotten check further in becomes a hole.

use axum::http::{HeaderMap, Method, header};
use subtle::ConstantTimeEq;

use crate::model::principal::Principal;
use crate::model::scope::Grant;
use crate::model::secret::Secret;
use crate::wire::problem::Problem;

/// The rules of the TCP listener.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The home's token.
    pub token: Secret,
    /// `host:port` values that requests may name; everything else is somebody else's name for us.
    pub hosts: Vec<String>,
}

impl Gate {
    /// The gate of a listener on that address.
    #[must_use]
    pub fn new(token: Secret, address: std::net::SocketAddr) -> Self {
        let port = address.port();
        let hosts = vec![
            address.to_string(),
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ];
        Self { token, hosts }
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// 421 for a wrong `Host`, 403 for a foreign page, 401 without the right token.
    pub fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<Grant, Problem> {
        self.check_host(headers)?;
        self.check_origin(headers)?;
        let open = method == Method::GET && path == "/health";
        match bearer(headers) {
            Some(token) if same(token, self.token.reveal()) => {
                Ok(Grant::everything(Principal::Token { name: "home".into() }))
            }
            Some(_) => Err(unauthorised("the token is not this home's")),
            // Whoever can connect may know whether we live; it changes nothing and tells nothing.
            None if open => Ok(Grant::nothing()),
            None => Err(unauthorised("a token is needed over TCP")),
        }
    }

    fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut given = headers.get_all(header::HOST).iter();
        let named = given.next().and_then(|value| value.to_str().ok());
        let only_one = given.next().is_none();
        match named {
            Some(host) if only_one && self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)) => Ok(()),
            _ => {
                Err(Problem::new(421, "request.wrong_host", "this gateway does not answer to that host name")
                    .hint(format!("use http://{}", self.hosts[0])))
            }
        }
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let ours = |origin: &str| {
            self.hosts.iter().any(|host| {
                origin.strip_prefix("http://").is_some_and(|rest| rest.eq_ignore_ascii_case(host))
            })
        };
        let foreign_origin =
            headers.get_all(header::ORIGIN).iter().any(|value| !value.to_str().is_ok_and(ours));
        let foreign_site = headers
            .get("sec-fetch-site")
            .is_some_and(|value| !matches!(value.as_bytes(), b"same-origin" | b"none"));
        if foreign_origin || foreign_site {
            return Err(Problem::new(403, "request.foreign_origin", "pages of other origins may not ask"));
        }
        Ok(())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn same(given: &str, expected: &str) -> bool {
    !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()))
}

fn unauthorised(title: &str) -> Problem {
    Problem::new(401, "auth.required", title)
        .hint("send `Authorization: Bearer $(cat ~/.mimir/gateway.token)`, or use the Unix socket")
}

/// Whether a peer of the Unix socket may come in: the owner of the gateway, and root, who may anyway.
///
/// # Errors
/// 403 for everybody else.
pub fn check_peer(peer_uid: u32, our_uid: u32) -> Result<Grant, Problem> {
    if peer_uid == our_uid || peer_uid == 0 {
        Ok(Grant::everything(Principal::Owner { uid: peer_uid }))
    } else {
        Err(Problem::new(403, "auth.other_user", "this gateway belongs to another user"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn gate() -> Gate {
        Gate::new(Secret::new("s3cret"), "127.0.0.1:8080".parse().expect("an address"))
    }

    fn status_of(path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().expect("a header");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        gate().check(&Method::GET, path, &map).map_or_else(|problem| problem.status, |_| 200)
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:8080");
    const TOKEN: (&str, &str) = ("authorization", "Bearer s3cret");

    #[test]
    fn only_the_right_token_comes_in() {
        assert_eq!(status_of("/v1/frames", &[HOST, TOKEN]), 200);
        assert_eq!(status_of("/v1/frames", &[HOST]), 401);
        assert_eq!(status_of("/v1/frames", &[HOST, ("authorization", "Bearer s3cre")]), 401);
        assert_eq!(status_of("/v1/frames", &[HOST, ("authorization", "Bearer ")]), 401);
        assert_eq!(status_of("/v1/frames", &[HOST, ("authorization", "Basic s3cret")]), 401);
    }

    #[test]
    fn health_is_open_but_a_wrong_token_is_still_wrong() {
        assert_eq!(status_of("/health", &[HOST]), 200);
        assert_eq!(status_of("/health", &[HOST, ("authorization", "Bearer x")]), 401);
        assert_eq!(status_of("/healthz", &[HOST]), 401);
    }

    #[test]
    fn a_name_that_is_not_ours_is_refused_even_with_the_token() {
        for host in ["evil.example:8080", "127.0.0.1", "127.0.0.1:8081", ""] {
            assert_eq!(status_of("/health", &[("host", host), TOKEN]), 421, "{host}");
        }
        assert_eq!(status_of("/health", &[]), 421);
        assert_eq!(status_of("/health", &[HOST, ("host", "evil.example")]), 421);
        assert_eq!(status_of("/health", &[("host", "LOCALHOST:8080")]), 200);
    }

    #[test]
    fn a_foreign_page_is_refused_even_with_the_token() {
        for origin in
            ["https://evil.example", "null", "http://127.0.0.1:9999", "http://127.0.0.1:8080.evil.example"]
        {
            assert_eq!(status_of("/v1/frames", &[HOST, TOKEN, ("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(status_of("/v1/frames", &[HOST, TOKEN, ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(status_of("/v1/frames", &[HOST, TOKEN, ("origin", "http://localhost:8080")]), 200);
    }

    #[test]
    fn the_socket_is_for_its_owner_and_root() {
        assert!(check_peer(1000, 1000).is_ok());
        assert!(check_peer(0, 1000).is_ok());
        assert_eq!(check_peer(1001, 1000).expect_err("refused").status, 403);
    }
}

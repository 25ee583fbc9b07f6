//! Who may come in: the owner over the Unix socket, a bearer of a token over TCP.
//!
//! A browser comes in with a session ([`super::web::session`]): one of this machine, or one elsewhere by TLS.
//! A foreign web page can bring neither, but the `Host` and `Origin` headers are checked
//! all the same (see [`super::names`]), so that neither DNS rebinding nor a forgotten
//! check further in becomes a hole.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Method, Uri, header, request::Parts};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio_rustls::TlsAcceptor;

use super::connection_limit::ConnectionLimit;
use super::names::Names;
use super::web;
use crate::access::certificate::Certificate;
use crate::access::{Access, Admitted, Denied, Refusal};
use crate::model::principal::Principal;
use crate::model::scope::Grant;
use crate::model::secret::Secret;
use crate::store::StoreError;
use crate::wire::problem::Problem;

/// Of what a stranger sends, no more than this is written down.
const WRITTEN: usize = 200;
/// How many connections one address may hold unless the configuration says otherwise.
const CONNECTIONS: usize = 128;

/// The rules of the TCP listener.
#[derive(Clone)]
pub struct Authenticator {
    home: Secret,
    access: Access,
    names: Names,
    seats: ConnectionLimit,
    acceptor: Option<TlsAcceptor>,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Theirs.
    pub peer: IpAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Whether what goes between them is encrypted.
    pub is_tls: bool,
}

impl Authenticator {
    /// A gate that the home's own token opens on this machine, and all other tokens from everywhere.
    /// `hosts` are names besides the addresses.
    #[must_use]
    pub fn new(home: Secret, access: Access, hosts: Vec<String>, certificate: Option<&Certificate>) -> Self {
        Self {
            home,
            access,
            names: Names::new(certificate.is_some(), hosts),
            seats: ConnectionLimit::new(CONNECTIONS),
            acceptor: certificate.map(|certificate| certificate.config.clone().into()),
        }
    }

    /// The same with another number of connections that one address may hold.
    #[must_use]
    pub fn with_connections(self, most: usize) -> Self {
        Self { seats: ConnectionLimit::new(most), ..self }
    }

    /// The places of connections.
    #[must_use]
    pub fn seats(&self) -> &ConnectionLimit {
        &self.seats
    }

    /// Writes down that an address has all the connections that it may have.
    pub async fn note_crowd(&self, from: IpAddr) {
        let refusal = Refusal::of_address("connection.refused", from, json!({ "why": "too many" }));
        self.access.write_down(refusal).await;
    }

    /// How connections are encrypted, if they are.
    #[must_use]
    pub fn acceptor(&self) -> Option<&TlsAcceptor> {
        self.acceptor.as_ref()
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// 421 for a wrong `Host`, 403 for a foreign page, 401 without a token that opens anything; after too
    /// many of those without a reason.
    pub async fn check(&self, ends: Ends, asked: &Parts) -> Result<Admitted, Problem> {
        if let Err(problem) = self.names.check(ends.local, &asked.headers) {
            let said = |name| asked.headers.get(name).and_then(|value| value.to_str().ok()).map(cut);
            let detail = json!({
                "code": problem.code, "method": asked.method.as_str(), "path": cut(asked.uri.path()),
                "host": said(header::HOST), "origin": said(header::ORIGIN),
            });
            self.access.write_down(Refusal::of_address("request.refused", ends.peer, detail)).await;
            return Err(problem);
        }
        // Who sends there is known by the signature of what is sent; a bearer secret there is none of ours.
        if asked.uri.path().starts_with("/webhooks/") {
            return Ok(Grant::nothing().into());
        }
        match secret(&asked.uri, &asked.headers) {
            Some(secret) if same(&secret, self.home.reveal()) => {
                if ends.peer.to_canonical().is_loopback() {
                    Ok(Grant::everything(Principal::Token { name: "home".into() }).into())
                } else {
                    let denied = self.access.refused(ends.peer, "the home's token", Denied::HomeFromAfar);
                    Err(problem(denied.await))
                }
            }
            Some(secret) => self.access.admit(&secret, ends.peer).await.map_err(problem),
            // Whoever can connect may know whether we live; it changes nothing and tells nothing.
            None if asked.method == Method::GET && asked.uri.path() == "/health" => {
                Ok(Grant::nothing().into())
            }
            None => self.check_browser(ends, asked).await,
        }
    }

    /// Lets a browser in: to the page, or with the session that it has.
    async fn check_browser(&self, ends: Ends, asked: &Parts) -> Result<Admitted, Problem> {
        let is_served = serves_browser(&self.access, ends, &asked.headers).await;
        let is_served = is_served.map_err(|error| problem(Denied::Store(error)))?;
        if is_served && web::is_public(&asked.method, asked.uri.path()) {
            return Ok(Grant::nothing().into());
        }
        // Browsers always say which page opens a WebSocket; that it is ours was seen above.
        if is_served && web::is_ticketed(&asked.method, asked.uri.path()) {
            return match asked.headers.contains_key(header::ORIGIN) {
                true => Ok(Grant::nothing().into()),
                false => {
                    Err(Problem::new(403, "request.foreign_origin", "a browser must say which page asks")
                        .hint("other clients send their token: `Authorization: Bearer TOKEN`"))
                }
            };
        }
        match web::session::brought(ends.local.port(), ends.is_tls, &asked.headers).filter(|_| is_served) {
            // A browser always says which page changes something; that it is ours was seen above.
            Some(_) if !asked.method.is_safe() && !asked.headers.contains_key(header::ORIGIN) => {
                Err(Problem::new(403, "request.foreign_origin", "a browser must say which page asks"))
            }
            Some((cookies, page)) => {
                self.access.admit_browser(&cookies, page, ends.peer).await.map_err(problem)
            }
            None => Err(Problem::new(401, "auth.required", "a token is needed over TCP").hint(
                "send `Authorization: Bearer TOKEN` with one of `mimir token create`, or use the Unix socket; `mimir web` lets a browser in",
            )),
        }
    }
}

/// What is written into a request by whatever passes it on for somebody else.
const PASSED_ON: [&str; 5] = ["forwarded", "via", "x-forwarded-for", "x-real-ip", "cf-connecting-ip"];

/// Whether a browser there gets the page: one of this machine always, one elsewhere by TLS once there is a password.
/// What says that it passes on what others ask (a tunnel, a proxy) is no browser.
///
/// # Errors
/// Whatever the database says.
pub async fn serves_browser(access: &Access, ends: Ends, headers: &HeaderMap) -> Result<bool, StoreError> {
    if is_passed_on(headers) {
        return Ok(false);
    }
    Ok(ends.peer.to_canonical().is_loopback() || (ends.is_tls && access.has_password().await?))
}

fn is_passed_on(headers: &HeaderMap) -> bool {
    PASSED_ON.iter().any(|name| headers.contains_key(*name))
}

/// The beginning of what a stranger sent.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(WRITTEN).collect()
}

/// What somebody brought to open the gate with.
///
/// opencode's own clients cannot send a bearer token: they have a password, or put it
/// into the address where they can set no header. Both are heard where those clients go,
/// and nowhere else: a browser sends them again by itself.
fn secret(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let first = given.next();
    if given.next().is_some() {
        return None;
    }
    if let Some(value) = first {
        let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
        return match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(rest.trim().to_owned()),
            "basic" if is_passthrough(uri.path()) => password(rest.trim()),
            _ => None,
        };
    }
    if !is_passthrough(uri.path()) {
        return None;
    }
    let mut pairs = url::form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find(|(name, _)| name == "auth_token").and_then(|(_, value)| password(&value))
}

fn is_passthrough(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    (parts.next(), parts.next(), parts.nth(1)) == (Some("v1"), Some("frames"), Some("opencode"))
}

/// The password in the base64 of `user:password`.
fn password(encoded: &str) -> Option<String> {
    // A `+` in an address is a blank to whoever reads it.
    let encoded = encoded.replace(' ', "+");
    let bytes =
        STANDARD.decode(&encoded).or_else(|_| URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='))).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

fn same(given: &str, expected: &str) -> bool {
    !expected.is_empty() && bool::from(given.as_bytes().ct_eq(expected.as_bytes()))
}

/// What somebody who was denied is told.
fn problem(denied: Denied) -> Problem {
    let title = denied.to_string();
    match denied {
        Denied::Unknown => Problem::new(401, "auth.unknown_token", title)
            .hint("`mimir token create` on the gateway's machine makes one; on that machine gateway.token in its home opens it"),
        Denied::Expired { name, .. } => Problem::new(401, "auth.expired", title)
            .hint(format!("make a new one on the gateway's machine: `mimir token create {name} --scope …`")),
        Denied::Revoked { .. } => Problem::new(401, "auth.revoked", title)
            .hint("ask whoever runs the gateway for a new one (`mimir token create`)"),
        Denied::HomeFromAfar => Problem::new(401, "auth.home_token", title)
            .hint("make one for this client on the gateway's machine: `mimir token create --scope …`"),
        // Not 429: that would say that it opens later. It opens nothing, and only the reason is kept back.
        Denied::TooMany { seconds } => Problem::new(401, "auth.too_many", title)
            .hint(format!("a good token opens at any time; reasons are told again in {seconds} s")),
        Denied::Store(error) => Problem::new(500, "internal", "tokens cannot be looked up").detail(error.to_string()),
    }
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

    fn brought(address: &str, headers: &[&str]) -> Option<String> {
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        }
        secret(&address.parse().expect("an address"), &map)
    }

    #[test]
    fn a_bearer_token_is_heard_everywhere_and_exactly_one() {
        assert_eq!(brought("/v1/frames", &["Bearer s3cret"]).as_deref(), Some("s3cret"));
        assert_eq!(brought("/v1/frames", &["bearer  s3cret "]).as_deref(), Some("s3cret"));
        for nothing in [&[][..], &["Bearer"], &["Token s3cret"], &["Bearer a", "Bearer b"]] {
            assert_eq!(brought("/v1/frames", nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn passwords_are_heard_on_the_way_to_opencode_alone() {
        let basic = format!("Basic {}", STANDARD.encode("opencode:s3:cret"));
        let there = "/v1/frames/blog/opencode/session";
        assert_eq!(brought(there, &[&basic]).as_deref(), Some("s3:cret"));
        assert_eq!(brought("/v1/frames/blog/opencode", &[&basic]).as_deref(), Some("s3:cret"));
        for elsewhere in ["/v1/frames", "/v1/frames/opencode", "/v1/messages/blog/opencode", "/opencode"] {
            assert_eq!(brought(elsewhere, &[&basic]), None, "{elsewhere}");
        }
        let query = |path: &str| format!("{path}?x=1&auth_token={}", STANDARD.encode("opencode:>>>???"));
        assert_eq!(brought(&query(there), &[]).as_deref(), Some(">>>???"), "with + in it");
        assert_eq!(brought(&query("/v1/events"), &[]), None);
        assert_eq!(brought(&query(there), &["Nonsense x"]), None, "what is in the header decides");
    }

    #[test]
    fn what_passes_on_what_others_ask_says_so() {
        let mut headers = HeaderMap::new();
        headers.insert("x-other", HeaderValue::from_static("1"));
        assert!(!is_passed_on(&headers));
        for name in PASSED_ON {
            let mut headers = headers.clone();
            headers.insert(name, HeaderValue::from_static("127.0.0.1"));
            assert!(is_passed_on(&headers), "{name}");
        }
    }

    #[test]
    fn an_empty_token_is_never_the_right_one() {
        assert!(same("a", "a") && !same("", "") && !same("a", "") && !same("a", "b"));
    }

    #[test]
    fn the_socket_is_for_its_owner_and_root() {
        assert!(check_peer(1000, 1000).is_ok());
        assert!(check_peer(0, 1000).is_ok());
        assert_eq!(check_peer(1001, 1000).expect_err("refused").status, 403);
    }
}

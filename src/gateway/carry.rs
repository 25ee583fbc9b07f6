//! Carries a request to the agent of a frame and its answer back, as it comes: uploads, event streams, WebSockets.
//!
//! Whoever asks is known to the gateway, and whoever answers is a stranger. So nothing that the gateway was told
//! in confidence goes in (its token, cookies), and nothing comes out that would act on the gateway's own origin
//! in a browser (cookies, leave for other origins, pages with scripts).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::web::session::PAGE_HEADER;
use crate::outbound::{Connector, beside};

/// How long a connection may take to stand; the other side is on this machine.
const CONNECT: Duration = Duration::from_secs(5);
/// Asks the gateway to start the frame first; not for the agent.
pub const WAKE_HEADER: &str = "mimir-wake";
/// The same in the query.
pub const WAKE_QUERY: &str = "wake";
/// Where opencode's clients put their password when they can set no header; for the gateway's guard.
const TOKEN_QUERY: &str = "auth_token";

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Nobody listens, or nobody takes the connection.
    #[error("the agent cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The connection ended before the answer began.
    #[error("the agent broke off: {0}")]
    BrokenOff(String),
}

/// What came back.
pub enum Carried {
    /// An answer; its body streams.
    Answer(Response<Body>),
    /// Both sides speak another protocol from now on. The answer goes out first.
    Switched(Box<Switched>),
}

/// Two ends that are to be joined.
pub struct Switched {
    /// The answer that tells the client of it.
    pub answer: Response<Body>,
    client: OnUpgrade,
    agent: OnUpgrade,
    connection: Driver,
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends a request on as `authorization`, to `target` (a path with its query). Returns when the head of the
/// answer is there, which for a turn that is waited for may take as long as the turn.
///
/// # Errors
/// See [`CarryError`].
pub async fn carry(
    connector: &Connector,
    authorization: Option<HeaderValue>,
    target: Uri,
    mut request: Request<Body>,
) -> Result<Carried, CarryError> {
    let upgrade = wanted_upgrade(request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let mut headers = inward(request.headers());
    let host = HeaderValue::from_str(connector.authority());
    headers.insert(header::HOST, host.unwrap_or_else(|_| HeaderValue::from_static("127.0.0.1")));
    headers.extend(authorization.map(|authorization| (header::AUTHORIZATION, authorization)));
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    let mut onward = Request::new(Body::empty());
    *onward.method_mut() = request.method().clone();
    *onward.uri_mut() = target;
    *onward.headers_mut() = headers;
    *onward.body_mut() = request.into_body();

    let stream = tokio::time::timeout(CONNECT, connector.connect())
        .await
        .map_err(|_| CarryError::Unreachable(io::ErrorKind::TimedOut.into()))?
        .map_err(CarryError::Unreachable)?;
    let broken = |error: hyper::Error| CarryError::BrokenOff(error.to_string());
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(broken)?;
    // It may end before the answer was looked at, and is asked again all the same.
    let connection = async move {
        // How it ended shows in the answer.
        let _ = connection.with_upgrades().await;
    };
    let mut connection: Driver = Box::pin(connection.fuse());
    let answered = beside(sender.send_request(onward), connection.as_mut()).await;
    let mut answer = answered.map_err(broken)?;

    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = client
    {
        let agent = hyper::upgrade::on(&mut answer);
        let answer = switching(&answer);
        return Ok(Carried::Switched(Box::new(Switched { answer, client, agent, connection })));
    }
    let (head, body) = answer.into_parts();
    let mut out = Response::new(Body::new(Streaming { body, connection: Some(connection) }));
    *out.status_mut() = head.status;
    *out.headers_mut() = outward(&head.headers);
    Ok(Carried::Answer(out))
}

impl Switched {
    /// Carries bytes both ways until one side ends. Call it when the answer is on its way.
    pub async fn join(client: OnUpgrade, agent: OnUpgrade, connection: Driver, stop: CancellationToken) {
        let talk = async {
            let (client, agent) = tokio::join!(client, agent);
            let (Ok(client), Ok(agent)) = (client, agent) else { return };
            let (mut client, mut agent) = (TokioIo::new(client), TokioIo::new(agent));
            // One of the two went away: that is how such a talk ends.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut agent).await;
        };
        tokio::select! {
            () = beside(talk, connection) => {}
            () = stop.cancelled() => {}
        }
    }

    /// The answer for the client, and what remains to be done when it was sent.
    pub fn split(
        self,
        stop: CancellationToken,
    ) -> (Response<Body>, impl Future<Output = ()> + Send + 'static) {
        let Self { answer, client, agent, connection } = self;
        (answer, Self::join(client, agent, connection, stop))
    }
}

/// A body that drives the connection it comes over. Dropped with the client's connection, it ends that one too.
struct Streaming {
    body: Incoming,
    connection: Option<Driver>,
}

impl hyper::body::Body for Streaming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(cx).is_ready()
        {
            self.connection = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The protocol that a client wants to change to.
fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks =
        asks.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    asks.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

/// Headers of one connection only (RFC 9110, section 7.6.1), and those that it names itself.
fn is_of_the_connection(name: &HeaderName, named: &[String]) -> bool {
    const ALWAYS: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    ALWAYS.contains(&name.as_str()) || named.iter().any(|other| other == name.as_str())
}

fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase()).collect()
}

fn filtered(headers: &HeaderMap, keep: impl Fn(&str) -> bool) -> HeaderMap {
    let named = named_by_connection(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !is_of_the_connection(name, &named) && keep(name.as_str()) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// What the agent may see. Its own rules for other origins are about its own address, which no client knows.
fn inward(headers: &HeaderMap) -> HeaderMap {
    filtered(headers, |name| {
        !matches!(
            name,
            "authorization"
                | "cookie"
                | "host"
                | "origin"
                | "referer"
                | "expect"
                | "forwarded"
                | PAGE_HEADER
                | WAKE_HEADER
        ) && !name.starts_with("sec-fetch-")
            && !name.starts_with("x-forwarded-")
    })
}

/// What the client may see, and how a browser is to treat it.
fn outward(headers: &HeaderMap) -> HeaderMap {
    let mut kept = filtered(headers, |name| {
        !matches!(name, "set-cookie" | "www-authenticate" | "content-security-policy" | "clear-site-data")
            && !name.starts_with("access-control-")
    });
    kept.insert("content-security-policy", HeaderValue::from_static("sandbox"));
    kept.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    kept
}

fn switching(answer: &Response<Incoming>) -> Response<Body> {
    let mut out = Response::new(Body::empty());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *out.headers_mut() = outward(answer.headers());
    out.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = answer.headers().get(header::UPGRADE) {
        out.headers_mut().insert(header::UPGRADE, protocol.clone());
    }
    out
}

/// Where a request goes inside: what follows `/v1/frames/{name}/opencode`, without what was for the gateway.
#[must_use]
pub fn target(uri: &Uri) -> Option<Uri> {
    let rest = uri.path().splitn(6, '/').nth(5).unwrap_or_default();
    let query = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && name != TOKEN_QUERY && name != WAKE_QUERY
    });
    let query = query.collect::<Vec<_>>().join("&");
    let target = if query.is_empty() { format!("/{rest}") } else { format!("/{rest}?{query}") };
    target.parse().ok()
}

/// Whether the client wants a frame that does not run to be started.
#[must_use]
pub fn wants_wake(uri: &Uri, headers: &HeaderMap) -> bool {
    let yes = |value: &str| matches!(value, "" | "1" | "true" | "yes");
    let in_header = headers.get(WAKE_HEADER).and_then(|value| value.to_str().ok()).is_some_and(yes);
    let query = uri.query().unwrap_or_default();
    let in_query = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == WAKE_QUERY && yes(value.as_ref()));
    in_header || in_query
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nothing_told_in_confidence_goes_in() {
        let given = map(&[
            ("authorization", "Bearer mim_1"),
            ("cookie", "a=b"),
            ("host", "127.0.0.1:8080"),
            ("origin", "http://localhost:8080"),
            ("sec-fetch-site", "same-origin"),
            ("x-forwarded-for", "10.0.0.1"),
            ("mimir-wake", "1"),
            ("connection", "keep-alive, x-private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("content-type", "application/json"),
            ("x-opencode-directory", "/workspace"),
        ]);
        assert_eq!(names(&inward(&given)), ["content-type", "x-opencode-directory"]);
    }

    #[test]
    fn what_comes_out_cannot_act_on_our_origin() {
        let given = map(&[
            ("content-type", "text/html"),
            ("set-cookie", "a=b"),
            ("access-control-allow-origin", "*"),
            ("www-authenticate", "Basic"),
            ("content-security-policy", "default-src *"),
            ("connection", "close"),
        ]);
        let out = outward(&given);
        assert_eq!(names(&out), ["content-security-policy", "content-type", "x-content-type-options"]);
        assert_eq!(out["content-security-policy"], "sandbox");
    }

    #[test]
    fn the_rest_of_the_path_is_the_agents_as_it_was_written() {
        let of = |text: &str| target(&text.parse().expect("a uri")).map(|uri| uri.to_string());
        let at = "/v1/frames/blog/opencode";
        assert_eq!(of(at).as_deref(), Some("/"));
        assert_eq!(of(&format!("{at}/")).as_deref(), Some("/"));
        assert_eq!(of(&format!("{at}/a%2Fb/c")).as_deref(), Some("/a%2Fb/c"));
        assert_eq!(
            of(&format!("{at}/find?wake=1&query=a%20b&auth_token=x&limit=2")).as_deref(),
            Some("/find?query=a%20b&limit=2")
        );
        assert_eq!(of(&format!("{at}/event?auth_token=x")).as_deref(), Some("/event"));
    }

    #[test]
    fn only_who_asks_for_it_wakes_a_frame() {
        let asks =
            |text: &str, headers: &[(&str, &str)]| wants_wake(&text.parse().expect("a uri"), &map(headers));
        assert!(!asks("/x", &[]));
        assert!(asks("/x?wake", &[]));
        assert!(asks("/x?a=b&wake=true", &[]));
        assert!(!asks("/x?wake=false", &[]));
        assert!(asks("/x", &[("mimir-wake", "1")]));
        assert!(!asks("/x", &[("mimir-wake", "no")]));
    }

    #[test]
    fn a_change_of_protocol_is_asked_for_by_both_headers() {
        let websocket = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(wanted_upgrade(&websocket).expect("asked"), "websocket");
        assert_eq!(wanted_upgrade(&map(&[("upgrade", "websocket")])), None);
        assert_eq!(wanted_upgrade(&map(&[("connection", "upgrade")])), None);
    }
}

//! Listening and answering: one task per connection, all of them owned by their listener.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::auth::{self, Authenticator, Ends};
use super::revocable::Revocable;
use super::tls;
use super::write_timeout::{Impatient, Patience};
use crate::access::Admitted;
use crate::supervisor;
use crate::wire::problem::Problem;

/// More connections than this at once wait in the listener's queue.
const CONNECTIONS: usize = 512;
/// A client that connects and says nothing is cut off.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// After a stop, running requests get this long.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers on the Unix socket until stopped. Peers are known by their user id.
pub async fn unix<Accepting>(accept: impl FnMut() -> Accepting, routes: Router, stop: CancellationToken)
where
    Accepting: Future<Output = std::io::Result<UnixStream>>,
{
    let our_uid = rustix::process::geteuid().as_raw();
    let serve = |stream: UnixStream| {
        let who = match stream.peer_cred() {
            Ok(peer) => auth::check_peer(peer.uid(), our_uid),
            Err(error) => Err(Problem::new(403, "auth.unknown_peer", "the kernel does not say who asks")
                .detail(error.to_string())),
        };
        answer(stream, Admission::Peer(who.map(Admitted::from)), routes.clone(), stop.clone())
    };
    drain(supervisor::accept::accept("unix listener", CONNECTIONS, accept, serve, &stop).await).await;
}

/// Answers on TCP until stopped. Every request is checked at the gate.
pub async fn tcp(listener: Arc<TcpListener>, gate: Authenticator, routes: Router, stop: CancellationToken) {
    let accept = || async { listener.accept().await };
    let serve = |(stream, peer): (TcpStream, SocketAddr)| {
        let (gate, routes, stop) = (gate.clone(), routes.clone(), stop.clone());
        let seat = gate.seats().take(peer.ip());
        async move {
            let Some(_seat) = seat else {
                gate.note_crowd(peer.ip()).await;
                return gate.seats().turn_away(stream, gate.acceptor().is_some()).await;
            };
            // Small answers should not wait for more.
            let _ = stream.set_nodelay(true);
            // A connection without our own end is gone already.
            let Ok(local) = stream.local_addr() else { return };
            let acceptor = gate.acceptor().cloned();
            let is_tls = acceptor.is_some();
            let admission = Admission::Authenticator(gate, Ends { peer: peer.ip(), local, is_tls });
            let Some(acceptor) = acceptor else { return answer(stream, admission, routes, stop).await };
            match tls::greet(&acceptor, stream).await {
                Ok(stream) => answer(stream, admission, routes, stop).await,
                Err(error) => tracing::debug!(%peer, "no TLS with {peer}: {error}"),
            }
        }
    };
    drain(supervisor::accept::accept("tcp listener", CONNECTIONS, accept, serve, &stop).await).await;
}

/// How the requests of one connection are admitted.
#[derive(Clone)]
enum Admission {
    Peer(Result<Admitted, Problem>),
    Authenticator(Authenticator, Ends),
}

impl Admission {
    /// The ends of a connection over TCP.
    fn ends(&self) -> Option<Ends> {
        match self {
            Self::Peer(_) => None,
            Self::Authenticator(_, ends) => Some(*ends),
        }
    }

    async fn admit(&self, asked: &Parts) -> Result<Admitted, Problem> {
        match self {
            Self::Peer(who) => who.clone(),
            Self::Authenticator(gate, ends) => gate.check(*ends, asked).await,
        }
    }
}

/// Gives requests that run time to end.
async fn drain(mut connections: JoinSet<()>) {
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::info!("requests still running after {DRAIN:?} are cut off");
    }
}

async fn answer<S>(stream: S, admission: Admission, routes: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let leash = Revocable::default();
    let patience = Patience::default();
    let stream = Impatient::new(leash.on(stream), patience.clone());
    let held = leash.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(patience.clone());
        request.extensions_mut().insert(held.clone());
        if let Some(ends) = admission.ends() {
            request.extensions_mut().insert(ends);
        }
        let (admission, held, routes) = (admission.clone(), held.clone(), routes.clone());
        async move {
            let (parts, body) = request.into_parts();
            let admitted = admission.admit(&parts).await;
            held.hold(admitted.as_ref().ok().and_then(|admitted| admitted.ended.clone()));
            let is_stranger = admitted.as_ref().map_or(true, |admitted| admitted.grant.scopes.is_empty());
            let mut response = dispatch(routes, Request::from_parts(parts, body), admitted).await;
            // What has become a WebSocket is no connection of ours any more, and says itself who may stay.
            if is_stranger && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                // Whoever has nothing to open us with keeps no connection from those who have.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        // What it holds open has lost its token.
        () = leash.watch() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // Whatever goes wrong now is the peer's: it went away in the middle.
            let _ = connection.await;
            return;
        }
    }
    // What has become a WebSocket goes on without this connection, and still ends with its token.
    drop(connection);
    tokio::select! {
        () = leash.watch() => {}
        () = stop.cancelled() => {}
    }
}

async fn dispatch(
    routes: Router,
    request: Request<Incoming>,
    admitted: Result<Admitted, Problem>,
) -> Response<Body> {
    let mut request = request.map(Body::new);
    match admitted {
        Ok(Admitted { grant, .. }) => {
            request.extensions_mut().insert(grant.principal.clone());
            request.extensions_mut().insert(grant);
        }
        Err(problem) => {
            request.extensions_mut().insert(Refused(problem));
        }
    }
    TowerToHyperService::new(routes).call(request).await.unwrap_or_else(IntoResponse::into_response)
}

/// A request that was not let in, on its way to get an id and an answer in the usual shape.
#[derive(Clone)]
pub struct Refused(pub Problem);

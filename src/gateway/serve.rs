//! Listening and answering: one task per connection, all of them owned by their listener.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::guard::{self, Gate};
use crate::model::scope::Grant;
use crate::wire::problem::Problem;

/// More connections than this at once wait in the listener's queue.
const CONNECTIONS: usize = 512;
/// A client that connects and says nothing is cut off.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// After a stop, running requests get this long.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers on the Unix socket until stopped. Peers are known by their user id.
pub async fn unix(listener: Arc<UnixListener>, routes: Router, stop: CancellationToken) {
    let our_uid = rustix::process::geteuid().as_raw();
    let accept = || async {
        let (stream, _) = listener.accept().await?;
        let who = match stream.peer_cred() {
            Ok(peer) => guard::check_peer(peer.uid(), our_uid),
            Err(error) => Err(Problem::new(403, "auth.unknown_peer", "the kernel does not say who asks")
                .detail(error.to_string())),
        };
        Ok((stream, Admission::Peer(who)))
    };
    accept_until_stopped(accept, routes, stop).await;
}

/// Answers on TCP until stopped. Every request is checked at the gate.
pub async fn tcp(listener: Arc<TcpListener>, gate: Gate, routes: Router, stop: CancellationToken) {
    let accept = || async {
        let (stream, _) = listener.accept().await?;
        // Small answers should not wait for more.
        let _ = stream.set_nodelay(true);
        Ok((stream, Admission::Gate(gate.clone())))
    };
    accept_until_stopped(accept, routes, stop).await;
}

/// How the requests of one connection are admitted.
#[derive(Clone)]
enum Admission {
    Peer(Result<Grant, Problem>),
    Gate(Gate),
}

impl Admission {
    fn admit(&self, request: &Request<Incoming>) -> Result<Grant, Problem> {
        match self {
            Self::Peer(who) => who.clone(),
            Self::Gate(gate) => gate.check(request.method(), request.uri().path(), request.headers()),
        }
    }
}

async fn accept_until_stopped<S, Fut>(
    mut accept: impl FnMut() -> Fut,
    routes: Router,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    Fut: Future<Output = io::Result<(S, Admission)>>,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        tokio::select! {
            () = stop.cancelled() => break,
            _ = connections.join_next(), if connections.len() >= CONNECTIONS => {}
            accepted = accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, admission)) => {
                    connections.spawn(answer(stream, admission, routes.clone(), stop.clone()));
                }
                // Out of file descriptors, or the peer went away at once: neither ends the listener.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::info!("requests still running after {DRAIN:?} are cut off");
    }
}

async fn answer<S>(stream: S, admission: Admission, routes: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let admitted = admission.admit(&request);
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(dispatch(routes, request, admitted).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // Whatever goes wrong now is the peer's: it went away in the middle.
    let _ = connection.await;
}

async fn dispatch(
    routes: Router,
    request: Request<Incoming>,
    admitted: Result<Grant, Problem>,
) -> Response<Body> {
    let mut request = request.map(Body::new);
    match admitted {
        Ok(grant) => {
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

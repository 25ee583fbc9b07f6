//! One frame's listener and its connections.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::loans::Loans;
use super::questions::Questions;
use super::reply::{Body, sentence};
use super::route::Route;
use super::told::News;
use super::{Client, Shared, connect, git, models, requests};
use crate::config::Live;
use crate::runtime::FrameListener;
use crate::supervisor;

/// How many connections one frame may have; the next ones wait in the kernel.
const CONNECTIONS: usize = 128;

/// How long a client may take to say what it wants.
const HEAD: Duration = Duration::from_secs(15);

/// How large a request's head may be.
const HEAD_BYTES: usize = 32 * 1024;
const HEAD_LINES: usize = 100;

/// Something that goes on beside a request: a tunnel, or a connection to a host.
pub(super) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a request leaves its jobs. They end with the frame's connection at the latest, tunnels with the tunnel.
pub(super) type Jobs = mpsc::UnboundedSender<Job>;

/// One frame and what serves it.
pub(super) struct Served {
    pub(super) shared: Arc<Shared>,
    /// As its rules are now.
    pub(super) client: Live<Client>,
    pub(super) news: News,
    pub(super) loans: Loans,
    pub(super) questions: Questions,
    /// How many large requests of this frame are taken at once; of all frames it is `Shared::large_bodies`.
    pub(super) large_bodies: Semaphore,
    /// How much of git runs for this frame at once.
    pub(super) git: Arc<Semaphore>,
}

/// A clone asks one question after the other; two of them may go on beside each other.
const GIT_JOBS: usize = 2;

/// A frame that sends pictures in two conversations at once waits for nothing.
const LARGE_BODIES: usize = 2;

impl Served {
    pub(super) fn new(shared: Arc<Shared>, client: Client) -> Self {
        let news = News::new(shared.teller.clone());
        Self {
            shared,
            client: Live::new(client),
            news,
            loans: Loans::default(),
            questions: Questions::default(),
            large_bodies: Semaphore::new(LARGE_BODIES),
            git: Arc::new(Semaphore::new(GIT_JOBS)),
        }
    }

    /// Other rules from now on.
    pub(super) fn obey(&self, client: Client) {
        self.client.set(client);
        self.questions.rules_changed();
    }

    /// Counts a refusal, and tells of it now and then.
    pub(super) fn refuse(&self, client: &Client, host: &str, port: u16, why: &str) {
        self.shared.traffic.refused(&client.frame, host, port, why);
        self.news.refused(client, host, port, why);
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>, jobs: &Jobs) -> Response<Body> {
        match Route::of(request.method(), request.uri()) {
            Route::Model { provider, path } => models::call(self, jobs, provider, path, request).await,
            Route::Git { host, path, what } => git::answer(self, &host, &path, what, request).await,
            Route::Tunnel { host, port } => connect::tunnel(self, jobs, &host, port, request).await,
            Route::Plain { host, port } => requests::plain(self, jobs, &host, port, request).await,
            Route::Secret { to, path } => requests::tls(self, jobs, to, &path, request).await,
            Route::Unknown => sentence(
                StatusCode::NOT_FOUND,
                "this is the broker of a frame; it serves /models/<provider>/, /https/<host>/, /git/<host>/<repository> and connections to listed hosts",
            ),
        }
    }
}

/// Accepts a frame's connections until it is closed.
pub(super) async fn accept(listener: Arc<FrameListener>, served: Arc<Served>, close: CancellationToken) {
    let what = format!("broker of {}", served.client.now().name);
    drop(
        supervisor::accept::accept(
            &what,
            CONNECTIONS,
            || listener.accept(),
            |stream| serve(stream, served.clone()),
            &close,
        )
        .await,
    );
}

/// Serves one connection, and what its requests leave behind.
async fn serve(stream: UnixStream, served: Arc<Served>) {
    let (jobs, mut left) = mpsc::unbounded_channel::<Job>();
    let service = service_fn(move |request| {
        let (served, jobs) = (served.clone(), jobs.clone());
        async move { Ok::<_, Infallible>(served.answer(request, &jobs).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        // One request each: a kept connection could be closed by us just when the agent uses it again.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = Some(Box::pin(connection));
    let mut running = FuturesUnordered::new();
    let mut served_all = false;
    loop {
        tokio::select! {
            () = end_of(&mut connection), if !served_all => served_all = true,
            Some(job) = left.recv(), if !served_all => running.push(job),
            Some(()) = running.next(), if !running.is_empty() => {}
            else => return,
        }
        if served_all {
            // With what it held of answers, whose work ends when nobody hears it any more.
            connection = None;
            while let Ok(job) = left.try_recv() {
                running.push(job);
            }
            if running.is_empty() {
                return;
            }
        }
    }
}

/// Waits for a connection's end. An error is the client's going away or its nonsense, which was answered.
async fn end_of(connection: &mut Option<impl Future + Unpin>) {
    match connection {
        Some(connection) => drop(connection.await),
        None => std::future::pending().await,
    }
}

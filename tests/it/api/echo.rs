//! An agent that is healthy, and tells whatever it is asked what arrived.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::runtime::fake::StartedContainer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// Answers at the socket of a container that was started, until it ends.
pub async fn serve(started: StartedContainer, stop: CancellationToken) {
    let Some(listener) = listen(&started.link.join("agent.sock")) else { return };
    let mut connections = JoinSet::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let _ =
                    server.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades().await;
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = started.ended.cancelled() => {}
        () = stop.cancelled() => {}
    }
}

fn listen(socket: &Path) -> Option<UnixListener> {
    let _ = std::fs::remove_file(socket);
    UnixListener::bind(socket).ok()
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/global/health" if request.headers().get("authorization").is_none() => {
            let mut refused = whole(Value::Null);
            *refused.status_mut() = hyper::StatusCode::UNAUTHORIZED;
            refused
        }
        "/global/health" => whole(json!({"healthy": true, "version": mimir::opencode::VERSION})),
        "/event" => ticking(),
        "/refused" => {
            let mut refused = whole(Value::Null);
            *refused.status_mut() = hyper::StatusCode::UNAUTHORIZED;
            refused
        }
        "/ws" => {
            let upgrade = hyper::upgrade::on(&mut request);
            spawn(async move {
                let Ok(upgraded) = upgrade.await else { return };
                let mut stream = TokioIo::new(upgraded);
                let mut bytes = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    let loud = bytes[..count].to_ascii_uppercase();
                    if stream.write_all(&loud).await.is_err() {
                        return;
                    }
                }
            });
            let response = Response::builder().status(101).header("connection", "upgrade");
            response.header("upgrade", "loud").body(empty()).expect("a response")
        }
        _ => echo(request).await,
    })
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    let target = request.uri().to_string();
    let method = request.method().to_string();
    let headers: serde_json::Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").into()))
        .collect();
    let mut pieces = 0;
    let mut bytes = 0;
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        pieces += 1;
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    whole(json!({"method": method, "target": target, "headers": headers, "bytes": bytes, "pieces": pieces}))
}

fn whole(value: Value) -> Response<Body> {
    let bytes = Bytes::from(value.to_string());
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("set-cookie", "from=inside")
        .header("access-control-allow-origin", "*");
    let frames = futures_util::stream::iter([Ok(Frame::data(bytes))]).boxed();
    response.body(StreamBody::new(frames)).expect("a response")
}

/// An event at once and one every 50 ms, without an end.
fn ticking() -> Response<Body> {
    let frames = futures_util::stream::unfold(0, |count| async move {
        if count > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some((Ok(Frame::data(Bytes::from(format!("data: {count}\n\n")))), count + 1))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(StreamBody::new(frames.boxed())).expect("a response")
}

fn empty() -> Body {
    StreamBody::new(futures_util::stream::empty().boxed())
}

#[expect(clippy::disallowed_methods, reason = "ends with its connection")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

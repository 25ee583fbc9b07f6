//! What agents that are made up here answer with.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

pub type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

pub fn reply(status: u16, body: Value) -> Response<Body> {
    let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let frames = futures_util::stream::iter([Ok(Frame::data(bytes))]).boxed();
    Response::builder().status(status).body(StreamBody::new(frames)).expect("a response")
}

pub fn found(value: Option<Value>) -> Response<Body> {
    match value {
        Some(value) => reply(200, value),
        None => reply(404, json!({"name": "NotFoundError", "data": {"message": "not found"}})),
    }
}

/// One event after the other, from the moment on at which the stream stands.
pub fn lines(events: &broadcast::Sender<String>) -> impl Stream<Item = Bytes> + Send + 'static {
    let connected = json!({"id": "evt_0", "type": "server.connected", "properties": {}}).to_string();
    let later = BroadcastStream::new(events.subscribe()).filter_map(|event| async { event.ok() });
    futures_util::stream::once(async move { connected })
        .chain(later)
        .map(|event| Bytes::from(format!("data: {event}\n\n")))
}

pub fn streamed(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(StreamBody::new(lines.map(|line| Ok(Frame::data(line))).boxed())).expect("a response")
}

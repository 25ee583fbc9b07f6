//! A client of the event stream, as SSE or as a WebSocket.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Nothing may take longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How the stream comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Sse,
    Socket,
}

/// An open stream.
pub struct Reader {
    body: Body,
    /// Where to go on.
    pub position: Option<u64>,
}

enum Body {
    Sse { body: Incoming, text: Vec<u8>, _connection: JoinSet<()> },
    Socket(Box<WebSocketStream<UnixStream>>),
}

impl Reader {
    /// Opens a stream that goes on after `position`, with `query` behind the path.
    pub async fn open(socket: &Path, form: Form, query: &str, position: Option<u64>) -> Self {
        let opened = async {
            match form {
                Form::Sse => sse(socket, query, position).await,
                Form::Socket => websocket(socket, query, position).await,
            }
        };
        let body = tokio::time::timeout(PATIENCE, opened).await.expect("it opens in time");
        Self { body, position }
    }

    /// The next event or reset, `None` when the stream ends or breaks. Positions and comments are taken in.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let value = match &mut self.body {
                Body::Sse { body, text, .. } => match block(body, text).await? {
                    (Some(id), None) => {
                        self.position = Some(id);
                        continue;
                    }
                    (_, None) => continue,
                    (_, Some(value)) => value,
                },
                Body::Socket(socket) => match socket.next().await?.ok()? {
                    Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
                    Message::Close(_) => return None,
                    Message::Ping(_) => {
                        // Answered when something is sent.
                        let _ = socket.flush().await;
                        continue;
                    }
                    _ => continue,
                },
            };
            self.position = Some(value["id"].as_u64().expect("a position"));
            if value["kind"] != "position" {
                return Some(value);
            }
        }
    }

    /// The same, within the patience of a test.
    pub async fn soon(&mut self) -> Value {
        let next = tokio::time::timeout(PATIENCE, self.next()).await;
        next.expect("something in time").expect("the stream goes on")
    }
}

async fn sse(socket: &Path, query: &str, position: Option<u64>) -> Body {
    let stream = UnixStream::connect(socket).await.expect("connects");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    let mut request = Request::get(format!("/v1/events?{query}")).header("host", "localhost");
    if let Some(position) = position {
        request = request.header("last-event-id", position.to_string());
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Body::Sse { body: response.into_body(), text: Vec::new(), _connection: driver }
}

async fn websocket(socket: &Path, query: &str, position: Option<u64>) -> Body {
    let stream = UnixStream::connect(socket).await.expect("connects");
    let mut request = format!("ws://localhost/v1/events?{query}").into_client_request().expect("a request");
    if let Some(position) = position {
        request.headers_mut().insert("last-event-id", position.into());
    }
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
    Body::Socket(Box::new(socket))
}

/// Reads up to the next empty line: the position and the event, where they are there. A piece that the end cuts
/// off is no block.
async fn block(body: &mut Incoming, text: &mut Vec<u8>) -> Option<(Option<u64>, Option<Value>)> {
    loop {
        if let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let rest = text.split_off(end + 2);
            let whole = String::from_utf8(std::mem::replace(text, rest)).expect("text");
            let field = |name: &str| whole.lines().find_map(|line| line.strip_prefix(name));
            let id = field("id: ").map(|id| id.parse().expect("a number"));
            return Some((id, field("data: ").map(|data| serde_json::from_str(data).expect("JSON"))));
        }
        let frame = body.frame().await?.ok()?;
        text.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
}

//! A server that answers byte by byte as a test says, and breaks every rule of HTTP it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mimir::model::secret::Secret;
use mimir::opencode::OpencodeClient;
use mimir::outbound::Connector;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What was asked.
pub struct Asked {
    /// `GET /session`, without the query.
    pub line: String,
    pub with_password: bool,
}

/// What happens then.
pub enum Play {
    Send(Vec<u8>),
    /// One byte after the other, with a pause, for ever.
    Drip(u8, Duration),
    /// The same piece until the other side has had enough.
    Flood(Vec<u8>),
    /// Nothing more, and the connection stays open.
    Hang,
}

/// Answers like a healthy agent of that version where `special` has nothing to say.
pub struct Stranger {
    address: SocketAddr,
    _server: JoinSet<()>,
}

impl Stranger {
    pub async fn start(special: impl Fn(&Asked) -> Option<Vec<Play>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let special = Arc::new(special);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let special = special.clone();
                connections.spawn(async move { serve(stream, special.as_ref()).await });
            }
        });
        Self { address, _server: server }
    }

    pub fn client(&self) -> OpencodeClient {
        OpencodeClient::new(Connector::tcp(self.address), &Secret::new("a password"))
    }
}

async fn serve(mut stream: TcpStream, special: &(impl Fn(&Asked) -> Option<Vec<Play>> + Send + Sync)) {
    let Some(asked) = read(&mut stream).await else { return };
    let plays = special(&asked).unwrap_or_else(|| vec![json(404, &Value::Null)]);
    for play in plays {
        let done = match play {
            Play::Send(bytes) => stream.write_all(&bytes).await,
            Play::Drip(byte, pause) => loop {
                if let Err(error) = stream.write_all(&[byte]).await {
                    break Err(error);
                }
                tokio::time::sleep(pause).await;
            },
            Play::Flood(bytes) => loop {
                if let Err(error) = stream.write_all(&bytes).await {
                    break Err(error);
                }
            },
            Play::Hang => {
                let mut nothing = [0; 1];
                stream.read(&mut nothing).await.map(drop)
            }
        };
        if done.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(&piece[..length]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next()?, words.next()?);
    Some(Asked {
        line: format!("{method} {}", path.split('?').next().unwrap_or_default()),
        with_password: head.to_lowercase().contains("authorization: basic "),
    })
}

/// A whole answer.
pub fn json(status: u16, body: &Value) -> Play {
    text(status, "application/json", &body.to_string())
}

pub fn text(status: u16, kind: &str, body: &str) -> Play {
    let length = body.len();
    Play::Send(
        format!("HTTP/1.1 {status} Word\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .into_bytes(),
    )
}

/// The head of an event stream and its first event.
pub fn connected() -> Play {
    let event = r#"{"type":"server.connected","properties":{}}"#;
    Play::Send(
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {event}\n\n").into_bytes(),
    )
}

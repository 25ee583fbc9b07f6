//! A client of the terminal for browsers, as a page of the gateway's own is one.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub struct WebTerminal {
    socket: WebSocketStream<TcpStream>,
    /// All output so far.
    pub shown: Vec<u8>,
}

/// What came.
#[derive(Debug)]
pub enum Came {
    Said(Value),
    Output,
    Closed,
}

impl WebTerminal {
    /// Connects as the gateway's own page does, and brings a ticket.
    pub async fn open(address: SocketAddr, ticket: &str) -> Self {
        let origin = format!("http://{address}");
        let connected = Self::connect(address, &[("origin", origin.as_str())]).await;
        let mut terminal = connected.unwrap_or_else(|status| panic!("not connected: {status}"));
        terminal.say(json!({"type": "auth", "ticket": ticket})).await;
        terminal
    }

    /// The same, with a terminal of 80 by 24.
    pub async fn attached(address: SocketAddr, ticket: &str, window: Option<&str>) -> Self {
        let mut terminal = Self::open(address, ticket).await;
        terminal.attach(window).await;
        terminal
    }

    /// Connects with these headers, or says with which status that was refused.
    pub async fn connect(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.expect("connects");
        let mut request = format!("ws://{address}/v1/terminal").into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let opened = tokio::time::timeout(PATIENCE, tokio_tungstenite::client_async(request, stream)).await;
        match opened.expect("an answer in time") {
            Ok((socket, _)) => Ok(Self { socket, shown: Vec::new() }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a terminal of 80 by 24, and waits until it is open.
    pub async fn attach(&mut self, window: Option<&str>) {
        self.until_said("authenticated").await;
        self.say(json!({"type": "attach", "columns": 80, "rows": 24, "window": window})).await;
        self.until_said("attached").await;
    }

    pub async fn say(&mut self, message: Value) {
        self.socket.send(Message::Text(message.to_string().into())).await.expect("sent");
    }

    /// Types; whether anybody is there.
    pub async fn type_text(&mut self, text: impl Into<Bytes>) -> bool {
        self.socket.send(Message::Binary(text.into())).await.is_ok()
    }

    /// Sends bytes past the protocol.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.expect("sent");
    }

    /// Says that all output so far was taken.
    pub async fn acknowledge(&mut self) {
        self.say(json!({"type": "ack", "bytes": self.shown.len()})).await;
    }

    /// What comes next. Output is kept, and not acknowledged.
    pub async fn next(&mut self) -> Came {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing comes after {:?}", self.text()));
            match next {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Came::Closed,
                Some(Ok(Message::Binary(bytes))) => {
                    self.shown.extend_from_slice(&bytes);
                    return Came::Output;
                }
                Some(Ok(Message::Text(text))) => {
                    return Came::Said(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads, and acknowledges, until a message of that type comes.
    pub async fn until_said(&mut self, kind: &str) -> Value {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            assert!(tokio::time::Instant::now() < end, "{kind} never came: {:?}", self.text());
            match self.next().await {
                Came::Said(said) if said["type"] == kind => return said,
                Came::Said(said) => assert_ne!(said["type"], "error", "waiting for {kind}: {said}"),
                Came::Output => self.acknowledge().await,
                Came::Closed => panic!("closed before {kind}: {:?}", self.text()),
            }
        }
    }

    /// Reads, and acknowledges, until that text was shown.
    pub async fn until_shown(&mut self, text: &str) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !self.text().contains(text) {
            assert!(tokio::time::Instant::now() < end, "{text:?} was not shown: {:?}", self.text());
            match self.next().await {
                Came::Said(said) => assert_ne!(said["type"], "error", "waiting for {text:?}: {said}"),
                Came::Output => self.acknowledge().await,
                Came::Closed => panic!("closed before {text:?}: {:?}", self.text()),
            }
        }
    }

    /// Reads until something cannot be done; the code of the problem.
    pub async fn until_problem(&mut self) -> String {
        loop {
            match self.next().await {
                Came::Said(said) if said["type"] == "error" => {
                    return said["problem"]["code"].as_str().expect("a code").to_owned();
                }
                Came::Said(_) | Came::Output => {}
                Came::Closed => panic!("closed before a problem: {:?}", self.text()),
            }
        }
    }

    /// Reads until the connection is closed; the code of the problem that was told before.
    pub async fn until_closed(&mut self) -> Option<String> {
        let mut told = None;
        loop {
            match self.next().await {
                Came::Said(said) if said["type"] == "error" => {
                    told = said["problem"]["code"].as_str().map(str::to_owned);
                }
                Came::Said(_) | Came::Output => {}
                Came::Closed => return told,
            }
        }
    }

    /// All output so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }
}

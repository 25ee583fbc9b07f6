//! The WebSocket to a frame's terminal, or to a command in it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::error::ClientError;
use super::http::problem_of;
use super::place::{Connection, Place};
use mimir_model::wire::terminal::{STDERR, STDOUT, TerminalControl, TerminalNotice, TerminalQuery};

/// Starting a frame's exec takes well under a second; a busy machine gets more.
const OPEN: Duration = Duration::from_secs(30);

/// Something from the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalOutput {
    /// For standard output, or the screen.
    Out(Bytes),
    /// For standard error.
    Err(Bytes),
    /// It is over, or cannot go on.
    Notice(TerminalNotice),
    /// Still there.
    Alive,
}

/// What goes to a terminal in a frame.
pub struct TerminalInput {
    socket: SplitSink<WebSocketStream<Connection>, Message>,
}

/// What comes from it.
pub struct TerminalOutputs {
    socket: SplitStream<WebSocketStream<Connection>>,
}

/// Opens a terminal in a frame. The two halves are used at the same time, so that
/// neither direction ever waits for the other.
pub(super) async fn open(
    place: &Place,
    path: &str,
    query: &TerminalQuery,
) -> Result<(TerminalInput, TerminalOutputs), ClientError> {
    let request = request(place, &format!("{path}?{}", encode(query)))?;
    let stream = place.connect().await?;
    match timeout(OPEN, tokio_tungstenite::client_async(request, stream)).await {
        Err(_) => {
            Err(ClientError::TimedOut { action: "opening the terminal".to_owned(), seconds: OPEN.as_secs() })
        }
        Ok(Ok((socket, _))) => {
            let (sink, stream) = socket.split();
            Ok((TerminalInput { socket: sink }, TerminalOutputs { socket: stream }))
        }
        Ok(Err(Error::Http(response))) => {
            let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            let body = response.body().clone().unwrap_or_default();
            Err(ClientError::Refused(Box::new(problem_of(status, &body, "opening the terminal"))))
        }
        Ok(Err(error)) => Err(lost(&error)),
    }
}

impl TerminalInput {
    /// Sends input, as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn input(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        self.socket.send(Message::Binary(bytes)).await.map_err(|error| lost(&error))
    }

    /// Sends a control message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn control(&mut self, control: &TerminalControl) -> Result<(), ClientError> {
        let text = serde_json::to_string(control).map_err(|error| ClientError::Garbled {
            action: "a control message".to_owned(),
            why: error.to_string(),
        })?;
        self.socket.send(Message::Text(text.into())).await.map_err(|error| lost(&error))
    }

    /// Asks whether the other end is still there; it answers with [`TerminalOutput::Alive`].
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.socket.send(Message::Ping(Bytes::new())).await.map_err(|error| lost(&error))
    }
}

impl TerminalOutputs {
    /// What comes next, `None` when the other end hung up. Safe to drop while waiting.
    ///
    /// # Errors
    /// When the connection breaks or says something that is not in the contract.
    pub async fn next(&mut self) -> Result<Option<TerminalOutput>, ClientError> {
        loop {
            let Some(message) = self.socket.next().await else { return Ok(None) };
            return Ok(Some(match message.map_err(|error| lost(&error))? {
                Message::Binary(bytes) => match bytes.first() {
                    Some(&STDOUT) => TerminalOutput::Out(bytes.slice(1..)),
                    Some(&STDERR) => TerminalOutput::Err(bytes.slice(1..)),
                    _ => continue,
                },
                Message::Text(text) => match serde_json::from_str(&text) {
                    Ok(notice) => TerminalOutput::Notice(notice),
                    Err(error) => {
                        let why = error.to_string();
                        return Err(ClientError::Garbled { action: "a notice".to_owned(), why });
                    }
                },
                Message::Close(_) => return Ok(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => TerminalOutput::Alive,
            }));
        }
    }
}

/// The request that becomes a WebSocket. What encrypts it is underneath, so its scheme is always `ws`.
fn request(place: &Place, path: &str) -> Result<Request, ClientError> {
    let mut request =
        format!("ws://{}{path}", place.host()).into_client_request().map_err(|error| lost(&error))?;
    if let Some(authorization) = place.authorization() {
        let value = authorization.parse().map_err(|_| ClientError::Lost {
            action: "the terminal".to_owned(),
            why: "the token cannot be sent in a header".to_owned(),
        })?;
        request.headers_mut().insert("authorization", value);
    }
    Ok(request)
}

fn lost(error: &Error) -> ClientError {
    ClientError::Lost { action: "the terminal".to_owned(), why: error.to_string() }
}

fn encode(query: &TerminalQuery) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("columns", &query.columns.to_string());
    pairs.append_pair("rows", &query.rows.to_string());
    for (name, value) in [("window", &query.window), ("term", &query.term), ("argv", &query.argv)] {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    for (name, value) in [("read_only", query.read_only), ("no_tty", query.no_tty)] {
        if value {
            pairs.append_pair(name, "true");
        }
    }
    pairs.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_survive_the_address() {
        let argv = serde_json::to_string(&["sh", "-c", "echo 'a & b' = ü"]).expect("json");
        let query = TerminalQuery { columns: 80, rows: 24, argv: Some(argv.clone()), ..Default::default() };
        let text = encode(&query);
        let back: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        assert!(back.contains(&("argv".to_owned(), argv)), "{back:?}");
        assert!(!text.contains("read_only"), "{text}");
    }
}

//! A gateway that plays answers, on a real Unix socket.
#![expect(clippy::disallowed_methods, reason = "its tasks end with the runtime that the test owns")]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::wire::problem::Problem;
use mimir::wire::terminal::{STDERR, STDOUT, TerminalControl, TerminalNotice};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// What to answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status and a JSON body.
    Json(u16, Value),
    /// A refusal.
    Problem(Problem),
    /// A body as it is, in pieces; then it ends, or the connection is cut.
    Pieces { pieces: Vec<String>, cut: bool },
    /// The pieces, and then silence.
    Hanging { pieces: Vec<String> },
    /// What the test says while it goes on, see [`Gateway::feed`].
    Fed(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>),
    /// Nothing at all: the connection is closed.
    HangUp,
    /// A terminal in which a tiny program runs, see [`play_terminal`].
    Terminal,
    /// A terminal that is cut after the first output.
    BrokenTerminal,
    /// A terminal in which that is printed, and the end with code 0.
    Prints(&'static str),
}

/// A good answer.
pub fn json(value: Value) -> Answer {
    Answer::Json(200, value)
}

/// A refusal.
pub fn problem(status: u16, code: &str, title: &str) -> Answer {
    let mut problem = Problem::new(status, code, title);
    problem.request_id = Some("req_01k0000000000000000000000".to_owned());
    Answer::Problem(problem)
}

/// JSON objects, one a line.
pub fn lines(values: &[Value]) -> Answer {
    Answer::Pieces { pieces: values.iter().map(|value| format!("{value}\n")).collect(), cut: false }
}

/// Events as the gateway sends them.
pub fn sse(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            format!("id: {}\nevent: {}\ndata: {event}\n\n", event["id"], event["kind"].as_str().unwrap_or(""))
        })
        .collect()
}

/// Something that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub query: String,
    pub body: String,
    pub key: Option<String>,
}

type Script = Arc<Mutex<BTreeMap<String, VecDeque<Answer>>>>;

/// The gateway; ends with the test.
pub struct Gateway {
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Gateway {
    /// Listens there. Without a script it says that it is healthy and knows nothing else.
    pub fn listen(socket: &Path) -> Self {
        std::fs::create_dir_all(socket.parent().expect("a parent")).expect("a runtime folder");
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("binds");
        listener.set_nonblocking(true).expect("non-blocking");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let script: Script = Arc::default();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (script_too, asked_too) = (script.clone(), asked.clone());
        runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let (script, asked) = (script_too.clone(), asked_too.clone());
                tokio::task::spawn(async move {
                    let service = service_fn(move |request| serve(request, script.clone(), asked.clone()));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        let gateway = Self { script, asked, _runtime: runtime };
        let version = env!("CARGO_PKG_VERSION");
        gateway
            .on("GET /health", json(serde_json::json!({"status": "ok", "version": version, "ready": true})));
        gateway
    }

    /// The next answer to that; the last one is repeated.
    pub fn on(&self, line: &str, answer: Answer) -> &Self {
        self.script.lock().entry(line.to_owned()).or_default().push_back(answer);
        self
    }

    /// Answers that with whatever is sent later.
    pub fn feed(&self, line: &str) -> mpsc::UnboundedSender<String> {
        let (tell, told) = mpsc::unbounded_channel();
        self.on(line, Answer::Fed(Arc::new(tokio::sync::Mutex::new(told))));
        tell
    }

    /// What was asked, but for what every command asks first.
    pub fn asked(&self) -> Vec<Asked> {
        let all = self.asked.lock().clone();
        let first = |asked: &Asked| ["GET /health", "GET /v1/config"].contains(&asked.line.as_str());
        all.into_iter().filter(|asked| !first(asked)).collect()
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

async fn serve(
    mut request: Request<Incoming>,
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<Body>, std::io::Error> {
    let line = format!("{} {}", request.method(), request.uri().path());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (key, websocket) = (header("idempotency-key"), header("sec-websocket-key"));
    let body = request.body_mut().collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    asked.lock().push(Asked { line: line.clone(), query, body, key });

    let answer = {
        let mut script = script.lock();
        match script.get_mut(&line) {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        }
    };
    let answer =
        answer.unwrap_or_else(|| problem(404, "route.not_found", &format!("the script has no {line}")));
    match answer {
        Answer::Json(status, value) => Ok(whole(status, "application/json", value.to_string())),
        Answer::Problem(problem) => {
            let text = serde_json::to_string(&problem).expect("json");
            Ok(whole(problem.status, "application/problem+json", text))
        }
        Answer::Pieces { pieces, cut } => Ok(in_pieces(pieces, if cut { After::Cut } else { After::End })),
        Answer::Hanging { pieces } => Ok(in_pieces(pieces, After::Silence)),
        Answer::Fed(told) => {
            let stream = futures_util::stream::unfold(told, |told| async move {
                let piece = told.lock().await.recv().await?;
                Some((Ok(Frame::data(Bytes::from(piece))), told))
            });
            let body = BodyExt::boxed(StreamBody::new(stream));
            Ok(Response::builder().status(200).body(body).expect("a response"))
        }
        Answer::HangUp => Err(std::io::Error::other("as the script says")),
        Answer::Terminal | Answer::BrokenTerminal | Answer::Prints(_) => {
            let broken = matches!(answer, Answer::BrokenTerminal);
            let prints = if let Answer::Prints(text) = answer { Some(text) } else { None };
            let accept = derive_accept_key(websocket.unwrap_or_default().as_bytes());
            tokio::task::spawn(async move {
                if let Ok(upgraded) = hyper::upgrade::on(request).await {
                    let socket =
                        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                    play_terminal(socket, broken, prints).await;
                }
            });
            let response = Response::builder()
                .status(101)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-accept", accept);
            Ok(response.body(empty()).expect("a response"))
        }
    }
}

enum After {
    End,
    Cut,
    Silence,
}

fn in_pieces(pieces: Vec<String>, after: After) -> Response<Body> {
    let stream = async_stream(pieces, after);
    let body = BodyExt::boxed(StreamBody::new(stream));
    Response::builder().status(200).body(body).expect("a response")
}

fn async_stream(
    pieces: Vec<String>,
    after: After,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync {
    futures_util::stream::unfold((VecDeque::from(pieces), after), |(mut pieces, after)| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if let Some(piece) = pieces.pop_front() {
            return Some((Ok(Frame::data(Bytes::from(piece))), (pieces, after)));
        }
        match after {
            After::End => None,
            After::Cut => Some((Err(std::io::Error::other("cut")), (pieces, After::End))),
            After::Silence => std::future::pending().await,
        }
    })
}

/// Answers input with itself, a new size with its figures, `q` with the end (code 7 after
/// an error), the end of input with code 3.
async fn play_terminal<S>(mut socket: WebSocketStream<S>, broken: bool, prints: Option<&str>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let output = |stream: u8, text: &str| {
        let mut bytes = vec![stream];
        bytes.extend_from_slice(text.as_bytes());
        Message::Binary(bytes.into())
    };
    let exit = |code: i64| {
        Message::Text(serde_json::to_string(&TerminalNotice::Exit { code }).expect("json").into())
    };
    if let Some(text) = prints {
        let _ = socket.send(output(STDOUT, text)).await;
        let _ = socket.send(exit(0)).await;
        return;
    }
    let _ = socket.send(output(STDOUT, "\x1b[?1049hready\r\n")).await;
    if broken {
        return;
    }
    while let Some(Ok(message)) = socket.next().await {
        let replies = match message {
            Message::Binary(bytes) if bytes.as_ref() == b"q" => vec![exit(0)],
            Message::Binary(bytes) if bytes.as_ref() == b"x" => vec![output(STDERR, "went wrong\n"), exit(7)],
            Message::Binary(bytes) => {
                vec![output(STDOUT, &format!("got {}\r\n", String::from_utf8_lossy(&bytes)))]
            }
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(TerminalControl::Resize { columns, rows }) => {
                    vec![output(STDOUT, &format!("now {columns}x{rows}\r\n"))]
                }
                Ok(TerminalControl::EndOfInput) => vec![output(STDERR, "no more input\n"), exit(3)],
                Err(_) => Vec::new(),
            },
            _ => Vec::new(),
        };
        for reply in replies {
            let _ = socket.send(reply).await;
        }
    }
}

fn whole(status: u16, kind: &str, text: String) -> Response<Body> {
    let body = BodyExt::boxed(Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}));
    Response::builder().status(status).header("content-type", kind).body(body).expect("a response")
}

fn empty() -> Body {
    BodyExt::boxed(Full::new(Bytes::new()).map_err(|never: Infallible| match never {}))
}

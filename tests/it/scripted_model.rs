//! A model whose every word is written down: an OpenAI-compatible server that plays scenario files.
//!
//! The scenario is chosen by `@@name@@` in the last user message, by the queue, by the model's
//! name, else `default`. The step is the number of assistant messages behind the last user
//! message, so nothing is remembered between calls. The files are in `tests/fixtures/models`. `@@obey@@` is no file:
//! it does what the texts say that it reads (`obedient.rs`).

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::obedient;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One request that the model got.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which scenario it was answered with.
    pub scenario: String,
    /// Which step of it.
    pub step: usize,
    /// Behind the address.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
}

/// A running server; it ends with this value.
pub struct ScriptedModel {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    state: Mutex<State>,
    gate: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<String>,
    seen: Vec<Seen>,
    failures: HashMap<String, u64>,
    active: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl ScriptedModel {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { state: Mutex::default(), gate: watch::channel(0).0 });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, shared.clone()));
        Self { address, shared, _server: server }
    }

    /// The base address, as a configuration would have it.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Answers the next first step with this scenario.
    pub fn queue(&self, scenario: &str) {
        self.shared.state().queue.push_back(scenario.to_owned());
    }

    /// Lets every waiting scenario go on.
    pub fn release(&self) {
        self.shared.gate.send_modify(|round| *round += 1);
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// How many answers are being written right now.
    pub fn active(&self) -> usize {
        self.shared.state().active
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, shared.clone()));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    if path == "/v1/models" {
        return Ok(document(StatusCode::OK, &json!({"object": "list", "data": [{"id": "scripted"}]}), ""));
    }
    let (name, scenario, step) = choose(&shared, &body);
    let key = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let number = {
        let mut state = shared.state();
        state.seen.push(Seen {
            scenario: name.clone(),
            step,
            path: path.clone(),
            headers: parts.headers,
            body: body.clone(),
        });
        state.seen.len()
    };
    if !path.ends_with("/chat/completions") {
        return Ok(document(
            StatusCode::NOT_FOUND,
            &json!({"error": {"message": format!("no such path {path}")}}),
            &key,
        ));
    }
    let steps = scenario["steps"].as_array().cloned().unwrap_or_default();
    let plan = match name.as_str() {
        name if obedient::is_one(name) => {
            obedient::answer(name, body["messages"].as_array().map_or(&[], Vec::as_slice))
        }
        _ => steps.get(step.min(steps.len().saturating_sub(1))).cloned().unwrap_or_default(),
    };
    if let Some(failure) = failure(&shared, &plan, &format!("{name}/{step}"), &key) {
        return Ok(failure);
    }
    let player = Player::new(&scenario, &plan, &body, number, &key);
    if body["stream"] == true { Ok(player.stream(shared)) } else { Ok(player.whole()) }
}

fn choose(shared: &Shared, body: &Value) -> (String, Value, usize) {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.iter().rposition(|message| message["role"] == "user");
    let behind = last.map_or(&messages[..], |at| &messages[at + 1..]);
    let step = behind.iter().filter(|message| message["role"] == "assistant").count();
    let system: String =
        messages.iter().filter(|m| m["role"] == "system").map(|m| text_of(&m["content"])).collect();
    let user = last.map(|at| text_of(&messages[at]["content"])).unwrap_or_default();

    let queued = || if step == 0 { shared.state().queue.pop_front() } else { None };
    let marked = || user.split("@@").skip(1).step_by(2).last().map(str::to_owned);
    let name = if system.to_lowercase().contains("title generator") {
        "_title".to_owned()
    } else {
        queued()
            .or_else(marked)
            .filter(|name| exists(name))
            .or_else(|| body["model"].as_str().filter(|name| exists(name)).map(str::to_owned))
            .unwrap_or_else(|| "default".to_owned())
    };
    let step = if name == "_title" { 0 } else { step };
    (name.clone(), load(&name), step)
}

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models").join(format!("{name}.json"))
}

fn exists(name: &str) -> bool {
    obedient::is_one(name) || !name.contains('/') && file(name).is_file()
}

fn load(name: &str) -> Value {
    if obedient::is_one(name) {
        return Value::Null;
    }
    let text = std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("scenario {name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("scenario {name}: {error}"))
}

fn failure(shared: &Shared, plan: &Value, place: &str, key: &str) -> Option<Response<Body>> {
    let http = plan.get("http")?;
    let mut state = shared.state();
    let times = state.failures.entry(place.to_owned()).or_insert(0);
    *times += 1;
    if *times > http["times"].as_u64().unwrap_or(u64::MAX) {
        return None;
    }
    let status = u16::try_from(http["status"].as_u64().expect("a status")).expect("a small number");
    let scripted = json!({"error": {"message": "scripted failure", "type": "scripted"}});
    let mut response =
        document(StatusCode::from_u16(status).expect("a status"), http.get("body").unwrap_or(&scripted), key);
    for (name, value) in http["headers"].as_object().into_iter().flatten() {
        let name: hyper::header::HeaderName = name.parse().expect("a header");
        let value = value.as_str().expect("text").replace("{{key}}", key);
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    Some(response)
}

/// One answer: what to do, and what stands for the placeholders.
struct Player {
    id: String,
    number: usize,
    model: Value,
    actions: Vec<Value>,
    finish: Value,
    usage: Option<Value>,
    locator: Vec<(&'static str, String)>,
}

impl Player {
    fn new(scenario: &Value, plan: &Value, body: &Value, number: usize, key: &str) -> Self {
        let actions = plan["actions"].as_array().cloned().unwrap_or_default();
        let calls = actions.iter().any(|action| action.get("tool").is_some());
        let natural = Value::from(if calls { "tool_calls" } else { "stop" });
        let usage = plan.get("usage").or_else(|| scenario.get("usage")).cloned();
        let usage = usage.unwrap_or_else(|| json!({"prompt_tokens": 100, "completion_tokens": 10}));
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let last = |role: &str| {
            messages
                .iter()
                .rfind(|message| message["role"] == role)
                .map(|m| text_of(&m["content"]))
                .unwrap_or_default()
        };
        let system = last("system");
        let folder = system.lines().find_map(|line| line.trim().strip_prefix("Working directory:"));
        Self {
            id: format!("chatcmpl-scripted-{number}"),
            number,
            model: body["model"].clone(),
            actions,
            finish: plan.get("finish").cloned().unwrap_or(natural),
            usage: (plan["send_usage"] != false).then_some(usage),
            locator: vec![
                ("{{cwd}}", folder.unwrap_or("/tmp").trim().to_owned()),
                ("{{user}}", last("user")),
                ("{{tool_result}}", last("tool")),
                // What it was asked with, as a provider may repeat it.
                ("{{key}}", key.to_owned()),
                ("{{key_reversed}}", key.chars().rev().collect()),
                ("{{key_base64}}", STANDARD.encode(format!("Bearer {key}"))),
            ],
        }
    }

    fn fill(&self, text: &str) -> String {
        self.locator.iter().fold(text.to_owned(), |text, (place, value)| text.replace(place, value))
    }

    fn arguments(&self, action: &Value) -> String {
        match action["raw_args"].as_str() {
            Some(raw) => raw.to_owned(),
            // The placeholders' values must be escaped as JSON wants it.
            None => {
                let arguments = action.get("args").cloned().unwrap_or_else(|| json!({})).to_string();
                self.locator.iter().fold(arguments, |text, (place, value)| {
                    let quoted = Value::from(value.as_str()).to_string();
                    text.replace(place, &quoted[1..quoted.len() - 1])
                })
            }
        }
    }

    fn event(&self, delta: Value, finish: Value) -> Bytes {
        let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        self.line(json!({"choices": choices}))
    }

    fn line(&self, mut event: Value) -> Bytes {
        event["id"] = self.id.as_str().into();
        event["object"] = "chat.completion.chunk".into();
        event["created"] = 1.into();
        event["model"] = self.model.clone();
        Bytes::from(format!("data: {event}\n\n"))
    }

    fn whole(&self) -> Response<Body> {
        let text: String =
            self.actions.iter().filter_map(|a| a["text"].as_str()).map(|t| self.fill(t)).collect();
        let message = json!({"role": "assistant", "content": text});
        document(
            StatusCode::OK,
            &json!({"id": self.id, "object": "chat.completion", "created": 1, "model": self.model,
                "usage": self.usage, "choices": [{"index": 0, "message": message, "finish_reason": self.finish}]}),
            "",
        )
    }

    fn stream(self, shared: Arc<Shared>) -> Response<Body> {
        let (send, receive) = mpsc::channel::<io::Result<Bytes>>(16);
        // Dropped with the body, and so ends when the client goes.
        let mut playing = JoinSet::new();
        let counted = Active::new(shared.clone());
        playing.spawn(async move { self.play(&send, &shared).await });
        let chunks = futures_util::stream::unfold((receive, playing, counted), |mut state| async {
            let chunk = state.0.recv().await?;
            Some((chunk, state))
        });
        let mut response = Response::new(StreamBody::new(chunks.map(|c| c.map(Frame::data))).boxed_unsync());
        response.headers_mut().insert("content-type", "text/event-stream".parse().expect("a value"));
        response
    }

    async fn play(&self, out: &mpsc::Sender<io::Result<Bytes>>, shared: &Shared) {
        let say = async |bytes: Bytes| out.send(Ok(bytes)).await.is_ok();
        let mut calls = 0;
        say(self.event(json!({"role": "assistant", "content": ""}), Value::Null)).await;
        for action in &self.actions {
            let pause = Duration::from_millis(action["delay_ms"].as_u64().unwrap_or(0));
            if let Some((field, text)) = words(action) {
                let text = self.fill(text).repeat(action["repeat"].as_u64().map_or(1, |n| n as usize));
                for piece in pieces(&text, action) {
                    if !say(self.event(json!({field: piece}), Value::Null)).await {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
            } else if let Some(tool) = action["tool"].as_str() {
                let fallback = format!("call_{}_{calls}", self.number);
                let id = action["id"].as_str().unwrap_or(&fallback);
                let head = json!({"index": calls, "id": id, "type": "function", "function": {"name": tool, "arguments": ""}});
                say(self.event(json!({"tool_calls": [head]}), Value::Null)).await;
                for piece in pieces(&self.arguments(action), action) {
                    let more = json!({"index": calls, "function": {"arguments": piece}});
                    say(self.event(json!({"tool_calls": [more]}), Value::Null)).await;
                    tokio::time::sleep(pause).await;
                }
                calls += 1;
            } else if let Some(ms) = action["sleep_ms"].as_u64() {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            } else if action.get("wait").is_some() {
                let limit = Duration::from_millis(action["timeout_ms"].as_u64().unwrap_or(600_000));
                let mut gate = shared.gate.subscribe();
                let _ = tokio::time::timeout(limit, gate.changed()).await;
            } else if let Some(raw) = action["raw"].as_str() {
                say(Bytes::from(self.fill(raw))).await;
            } else if let Some(error) = action.get("error") {
                say(Bytes::from(format!("data: {}\n\n", json!({"error": error})))).await;
            } else if action.get("drop").is_some() {
                let _ = out.send(Err(io::Error::other("the script cuts the connection"))).await;
                return;
            } else if action.get("eof").is_some() {
                return;
            }
        }
        if !self.finish.is_null() {
            say(self.event(json!({}), self.finish.clone())).await;
        }
        if let Some(usage) = &self.usage {
            say(self.line(json!({"choices": [], "usage": usage}))).await;
        }
        say(Bytes::from_static(b"data: [DONE]\n\n")).await;
    }
}

/// Counts an answer for as long as it lives.
struct Active(Arc<Shared>);

impl Active {
    fn new(shared: Arc<Shared>) -> Self {
        shared.state().active += 1;
        Self(shared)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.state().active -= 1;
    }
}

fn words(action: &Value) -> Option<(&'static str, &str)> {
    let text = action["text"].as_str().map(|text| ("content", text));
    text.or_else(|| action["reasoning"].as_str().map(|text| ("reasoning_content", text)))
}

fn pieces(text: &str, action: &Value) -> Vec<String> {
    let size = action["chunk"].as_u64().map_or(text.len(), |size| size as usize).max(1);
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn document(status: StatusCode, json: &Value, key: &str) -> Response<Body> {
    let text = json.to_string().replace("{{key}}", key);
    let body = http_body_util::Full::new(Bytes::from(text)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    response
}

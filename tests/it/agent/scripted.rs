//! A stand-in for opencode 1.18: its requests and its event stream, and one way of misbehaving per prompt.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::model::secret::Secret;
use mimir::opencode::OpencodeClient;
use mimir::outbound::Connector;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::replies::{Body, found, lines, reply, streamed};

#[path = "faults.rs"]
mod faults;
#[path = "outsider.rs"]
mod outsider;

pub use faults::Wire;
pub use outsider::{Weather, long_text};

pub const PASSWORD: &str = "scripted";

/// What happens to a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Play {
    /// Answered, word by word.
    Answer(String),
    /// A retry, a tool call, an answer.
    Tool,
    /// A tool call that never ends.
    ToolHangs,
    /// The provider refuses.
    Refused,
    /// It refuses with that sentence.
    RefusedFor(String),
    /// Taken with 204; nothing follows.
    NeverRuns,
    /// Taken with 204; begins long after.
    LateStart,
    /// The server dies behind the first word and comes back at once.
    DiesMidAnswer,
    /// The server dies behind the first word.
    DiesForGood,
    /// The first word, and nothing more until it is aborted.
    Slow,
    /// The same; aborted it rests at once, and what is asked before it has let go of the turn is aborted, too.
    StopsSlowly,
    /// The event stream breaks in the middle; the turn goes on.
    StreamBreaks,
    /// Every event twice, old ones again, kinds that nobody knows.
    Noise,
    /// Answered without any event.
    Mute,
    /// Idle is told before the message is complete.
    IdleTooEarly,
    /// Idle is told, and the message is complete when nobody waits for it any more.
    Afterthought,
    /// Ends while somebody reads what was said: the head is complete first, then its text comes.
    EndsWhileRead(String),
    /// The prompt runs; the connection breaks before the 204.
    AnswerLost,
    /// The connection breaks, and the prompt is forgotten.
    PromptLost,
    /// 500.
    ServerError,
    /// Asks for a permission and waits.
    Asks,
    /// One model step after the other, for ever.
    Loops,
    /// So many words, one every few milliseconds.
    Long(usize),
    /// One part of so many bytes.
    Huge(usize),
}

#[derive(Default)]
struct State {
    sessions: Vec<Value>,
    messages: BTreeMap<String, Vec<Value>>,
    busy: BTreeMap<String, Value>,
    permissions: Vec<Value>,
    replies: Vec<String>,
    plays: VecDeque<Play>,
    prompts: usize,
    aborts: usize,
    /// Sessions whose turn is not let go of when they rest.
    stops_slowly: BTreeSet<String>,
    swallow: usize,
    crumbs: bool,
    /// Prompts whose turn was begun.
    begun: BTreeSet<String>,
    any_password: bool,
    chooses_model: bool,
    version: String,
    counter: u64,
    weather: Option<Weather>,
    held: Option<String>,
    refuse: usize,
    reads: Option<CancellationToken>,
    held_reads: usize,
    wire: Wire,
    streams_asked: usize,
    reads_fail: Option<u16>,
    failed_reads: usize,
    no_streams: bool,
    address: Option<SocketAddr>,
    alive: CancellationToken,
    running: CancellationToken,
    streams: CancellationToken,
}

pub struct ScriptedAgent {
    state: Mutex<State>,
    events: broadcast::Sender<String>,
}

impl ScriptedAgent {
    pub fn start() -> Arc<Self> {
        let state = State { version: "1.18.33".into(), ..State::default() };
        let agent = Arc::new(Self { state: Mutex::new(state), events: broadcast::Sender::new(1024) });
        agent.clone().listen();
        agent
    }

    fn listen(self: Arc<Self>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let alive = CancellationToken::new();
        {
            let mut state = self.state();
            state.address = listener.local_addr().ok();
            state.alive = alive.clone();
            state.streams = alive.child_token();
            state.running = alive.child_token();
        }
        let agent = self.clone();
        spawn(async move {
            let mut connections = JoinSet::new();
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let agent = agent.clone();
                    connections.spawn(async move {
                        let serve = service_fn(move |request| {
                            let agent = agent.clone();
                            async move { agent.answer(request).await }
                        });
                        let connection = hyper::server::conn::http1::Builder::new();
                        let _ = connection.serve_connection(TokioIo::new(stream), serve).await;
                    });
                }
            };
            tokio::select! {
                () = accept => {}
                () = alive.cancelled() => {}
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn connector(&self) -> Connector {
        Connector::tcp(self.state().address.expect("an address"))
    }

    pub fn client(&self) -> OpencodeClient {
        OpencodeClient::new(self.connector(), &Secret::new(PASSWORD))
    }

    pub fn plays(&self, plays: impl IntoIterator<Item = Play>) {
        self.state().plays.extend(plays);
    }

    /// The same before all that it is to play.
    pub fn plays_first<const N: usize>(&self, plays: [Play; N]) {
        let mut state = self.state();
        plays.into_iter().rev().for_each(|play| state.plays.push_front(play));
    }

    pub fn sessions(&self) -> usize {
        self.state().sessions.len()
    }

    /// Prompts that were received, arrived or not.
    pub fn prompts(&self) -> usize {
        self.state().prompts
    }

    pub fn user_messages(&self) -> usize {
        let state = self.state();
        state.messages.values().flatten().filter(|message| message["info"]["role"] == "user").count()
    }

    /// What people wrote, as the agent keeps it: id and parts of every user message.
    pub fn people_wrote(&self) -> Vec<(String, Vec<String>)> {
        let state = self.state();
        let users = state.messages.values().flatten().filter(|message| message["info"]["role"] == "user");
        let text = |part: &Value| part["text"].as_str().unwrap_or_default().to_owned();
        users
            .map(|message| {
                let parts = message["parts"].as_array().map(|parts| parts.iter().map(text).collect());
                (message["info"]["id"].as_str().unwrap_or_default().to_owned(), parts.unwrap_or_default())
            })
            .collect()
    }

    fn is_begun(&self, id: &Value) -> bool {
        id.as_str().is_some_and(|id| self.state().begun.contains(id))
    }

    pub fn aborts(&self) -> usize {
        self.state().aborts
    }

    /// For frames that invent passwords of their own.
    pub fn accept_any_password(&self) {
        self.state().any_password = true;
    }

    /// For a server elsewhere, which has models of its own: it may be sent none.
    pub fn choose_models(&self) {
        self.state().chooses_model = true;
    }

    pub fn address(&self) -> SocketAddr {
        self.state().address.expect("an address")
    }

    /// The next requests are read and never answered.
    pub fn swallow(&self, count: usize) {
        self.state().swallow = count;
    }

    /// The event stream is sent byte by byte and breaks off within an event.
    pub fn crumble(&self) {
        self.state().crumbs = true;
    }

    pub fn set_version(&self, version: &str) {
        self.state().version = version.to_owned();
    }

    pub fn set_busy(&self, busy: bool) {
        let mut state = self.state();
        let ids: Vec<String> = state.messages.keys().cloned().collect();
        state.busy = match busy {
            true => ids.into_iter().map(|id| (id, json!({"type": "busy"}))).collect(),
            false => BTreeMap::new(),
        };
    }

    pub fn forget_everything(&self) {
        let mut state = self.state();
        state.sessions.clear();
        state.messages.clear();
    }

    /// SIGKILL: every connection breaks, every turn is lost, what was stored stays.
    pub fn kill(&self) {
        let mut state = self.state();
        state.alive.cancel();
        state.busy.clear();
        state.permissions.clear();
    }

    /// What was answered to permission prompts over HTTP.
    pub fn replies(&self) -> Vec<String> {
        self.state().replies.clone()
    }

    pub fn answer_permission(&self) {
        self.state().permissions.clear();
    }

    /// Whether an answer has begun that has not ended. A turn that is stopped before that leaves nothing to see of it.
    pub fn is_answering(&self) -> bool {
        let state = self.state();
        state.messages.values().flatten().any(|message| {
            message["info"]["role"] == "assistant" && message["info"]["time"]["completed"].is_null()
        })
    }

    /// Aborts what every session does.
    pub fn abort_all(self: &Arc<Self>) {
        self.abort(None);
    }

    /// What `abort` does, whoever asks for it: one session stops, and the others go on.
    fn abort(self: &Arc<Self>, only: Option<&str>) {
        let running = {
            let mut state = self.state();
            if let Some(session) = only.filter(|only| state.stops_slowly.remove(*only)) {
                state.busy.remove(session);
                drop(state);
                self.emit("session.status", json!({"sessionID": session, "status": {"type": "idle"}}));
                let (agent, session) = (self.clone(), session.to_owned());
                return spawn(async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    agent.abort(Some(&session));
                });
            }
            let (stops, goes_on): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut state.busy)
                .into_iter()
                .partition(|(session, _)| only.is_none_or(|only| only == session));
            state.busy = goes_on;
            let busy: BTreeSet<String> = stops.into_keys().chain(only.map(ToOwned::to_owned)).collect();
            // Plays that run know no session; they go on while another one works.
            let running = state.busy.is_empty().then(|| {
                let fresh = state.alive.child_token();
                std::mem::replace(&mut state.running, fresh)
            });
            for session in &busy {
                for message in state.messages.get_mut(session).into_iter().flatten() {
                    if message["info"]["role"] == "assistant"
                        && message["info"]["time"]["completed"].is_null()
                    {
                        message["info"]["error"] =
                            json!({"name": "MessageAbortedError", "data": {"message": "Aborted"}});
                        message["info"]["time"]["completed"] = json!(9);
                        let text = message["streamed"].clone();
                        if let Some(part) = message["parts"].get_mut(0).filter(|_| text.is_string()) {
                            part["text"] = text;
                            part["time"]["end"] = json!(9);
                        }
                    }
                }
            }
            drop(state);
            for session in busy {
                let error = json!({"name": "MessageAbortedError", "data": {"message": "Aborted"}});
                self.emit("session.error", json!({"sessionID": session, "error": error}));
                self.emit("session.status", json!({"sessionID": session, "status": {"type": "idle"}}));
                self.emit("session.idle", json!({"sessionID": session}));
            }
            running
        };
        if let Some(running) = running {
            running.cancel();
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let swallowed = {
            let mut state = self.state();
            let swallowed = state.swallow > 0;
            state.swallow = state.swallow.saturating_sub(1);
            swallowed
        };
        if swallowed {
            std::future::pending::<()>().await;
        }
        let expected = base64::engine::general_purpose::STANDARD.encode(format!("mimir:{PASSWORD}"));
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        // Whoever has none at all is a stranger to every agent.
        let is_open = self.state().any_password && given.is_some_and(|given| given.starts_with("Basic "));
        if !is_open && given != Some(&format!("Basic {expected}")) {
            return Ok(reply(401, Value::Null));
        }
        let method = request.method().to_string();
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        if method == "GET" && path != "/event" {
            let mut state = self.state();
            if state.refuse > 0 {
                state.refuse -= 1;
                return Ok(reply(503, json!({"name": "UnknownError", "data": {"message": "not now"}})));
            }
        }
        Ok(match (method.as_str(), segments.as_slice()) {
            ("GET", ["global", "health"]) => {
                reply(200, json!({"healthy": true, "version": self.state().version}))
            }
            ("GET", ["event"]) if self.state().no_streams => reply(503, Value::Null),
            ("GET", ["event"]) => self.stream(),
            ("GET", ["session"]) => reply(200, Value::Array(self.state().sessions.clone())),
            ("POST", ["session"]) => reply(200, self.create_session(&body)),
            ("GET", ["session", "status"]) => reply(200, json!(self.state().busy)),
            ("GET", ["session", id]) => {
                found(self.state().sessions.iter().find(|session| session["id"] == **id).cloned())
            }
            ("PATCH", ["session", id]) => found(self.change_session(id, &body)),
            ("DELETE", ["session", id]) => found(self.delete_session(id)),
            ("POST", ["session", id, "fork"]) => found(self.fork(id, body["messageID"].as_str())),
            ("POST", ["session", id, "summarize"]) => found(self.summarize(id, &body)),
            ("GET", ["session", id, "message"]) => {
                if let Some(status) = self.failed_read() {
                    let body = json!({"name": "UnknownError", "data": {"message": "no disk"}});
                    return Ok(reply(status, body));
                }
                let messages = found(self.messages(id, &query));
                self.held().await;
                messages
            }
            ("GET", ["session", id, "message", message]) => found(self.message(id, message)),
            ("POST", ["session", id, "prompt_async"]) => return self.prompt(id, &body).await,
            ("POST", ["session", id, "abort"]) => {
                self.state().aborts += 1;
                self.abort(Some(id));
                reply(200, json!(true))
            }
            ("GET", ["permission"]) => reply(200, Value::Array(self.state().permissions.clone())),
            ("POST", ["permission", id, "reply"]) => {
                let mut state = self.state();
                state.permissions.retain(|ask| ask["id"] != **id);
                let said = body["reply"].as_str().unwrap_or_default();
                state.replies.push(format!("{id}: {said}"));
                reply(200, json!(true))
            }
            ("GET", ["question"]) => reply(200, json!([])),
            ("POST", ["tui", "select-session"]) => reply(200, json!(true)),
            _ => reply(404, json!({"name": "NotFoundError", "data": {"message": path}})),
        })
    }

    fn stream(&self) -> Response<Body> {
        let lines = lines(&self.events);
        let (cut, crumbs, wire) = {
            let mut state = self.state();
            state.streams_asked += 1;
            (state.streams.clone(), state.crumbs, state.wire)
        };
        let bytes: BoxStream<'static, Bytes> = if crumbs {
            let bytes = lines.flat_map(|line| {
                futures_util::stream::iter(line.to_vec()).map(|byte| Bytes::copy_from_slice(&[byte]))
            });
            let half = futures_util::stream::once(async { Bytes::from_static(b"data: {\"half") });
            bytes
                .take(64)
                .chain(half)
                .chain(futures_util::stream::pending())
                .take_until(cut.cancelled_owned())
                .boxed()
        } else if wire == Wire::HalfAtTheCut {
            wire.bytes(lines.take_until(cut.cancelled_owned()).boxed())
        } else {
            wire.bytes(lines.boxed()).take_until(cut.cancelled_owned()).boxed()
        };
        streamed(bytes)
    }

    fn create_session(&self, body: &Value) -> Value {
        let mut state = self.state();
        state.counter += 1;
        let id = format!("ses_{:03}", state.counter);
        let session = json!({"id": id, "title": body["title"], "metadata": body["metadata"]});
        state.sessions.insert(0, session.clone());
        state.messages.insert(id, Vec::new());
        session
    }

    fn change_session(&self, id: &str, change: &Value) -> Option<Value> {
        let session = {
            let mut state = self.state();
            let session = state.sessions.iter_mut().find(|session| session["id"] == *id)?;
            for (field, value) in change.as_object()? {
                session[field] = value.clone();
            }
            session.clone()
        };
        self.emit("session.updated", json!({"sessionID": id, "info": session}));
        Some(session)
    }

    fn delete_session(&self, id: &str) -> Option<Value> {
        let session = {
            let mut state = self.state();
            let at = state.sessions.iter().position(|session| session["id"] == *id)?;
            state.messages.remove(id);
            state.sessions.remove(at)
        };
        self.emit("session.deleted", json!({"sessionID": id, "info": session}));
        Some(json!(true))
    }

    /// As the real server: the copies have ids of their own, in the same order.
    fn fork(&self, id: &str, before: Option<&str>) -> Option<Value> {
        let title = self.session(id)?["title"].as_str().map(|title| format!("{title} (fork #1)"));
        let forked = self.create_session(&json!({"title": title, "metadata": null}));
        let new = forked["id"].as_str()?.to_owned();
        let mut state = self.state();
        let original = state.messages.get(id)?.clone();
        let kept = original.into_iter().take_while(|one| before != one["info"]["id"].as_str());
        let copies = kept.map(|mut one| {
            let mut copy = one["info"]["id"].as_str().unwrap_or_default().to_owned();
            copy.replace_range(29..30, "f");
            one["info"]["sessionID"] = json!(new);
            one["info"]["id"] = json!(copy);
            for part in one["parts"].as_array_mut().into_iter().flatten() {
                part["sessionID"] = json!(new);
                part["messageID"] = json!(copy);
            }
            one
        });
        let copies: Vec<Value> = copies.collect();
        state.messages.insert(new, copies);
        Some(forked)
    }

    fn summarize(&self, id: &str, body: &Value) -> Option<Value> {
        assert!(body["providerID"].is_string() && body["modelID"].is_string(), "{body}");
        let mut state = self.state();
        let messages = state.messages.get_mut(id)?;
        let message = format!("msg_zzz{}", messages.len());
        let info = json!({"id": message, "sessionID": id, "role": "assistant", "summary": true,
                          "modelID": "scripted", "providerID": "scripted", "time": {"created": 5, "completed": 6}});
        let part = json!({"id": format!("prt_{message}"), "sessionID": id, "messageID": message, "type": "text",
                          "text": "In short: hello.", "time": {"start": 5, "end": 6}});
        messages.push(json!({"info": info, "parts": [part]}));
        Some(json!(true))
    }

    /// A session as the agent keeps it.
    pub fn session(&self, id: &str) -> Option<Value> {
        self.state().sessions.iter().find(|session| session["id"] == *id).cloned()
    }

    fn messages(&self, session: &str, query: &str) -> Option<Value> {
        let limit: usize = query.strip_prefix("limit=").and_then(|limit| limit.parse().ok()).unwrap_or(100);
        let state = self.state();
        let all = state.messages.get(session)?;
        Some(Value::Array(all[all.len().saturating_sub(limit)..].to_vec()))
    }

    fn message(&self, session: &str, id: &str) -> Option<Value> {
        let state = self.state();
        state.messages.get(session)?.iter().find(|message| message["info"]["id"] == *id).cloned()
    }

    async fn prompt(self: Arc<Self>, session: &str, body: &Value) -> Result<Response<Body>, Infallible> {
        // The same message once more joins the turn it began, or leaves it as it ended.
        if self.is_begun(&body["messageID"]) {
            self.state().prompts += 1;
            return Ok(reply(204, Value::Null));
        }
        let play = {
            let mut state = self.state();
            state.prompts += 1;
            state.plays.pop_front().unwrap_or(Play::Answer("nothing was scripted".into()))
        };
        let names_model = body["model"].is_object() || self.state().chooses_model;
        assert!(names_model && body["agent"].is_string(), "model and agent are always sent");
        assert!(body.get("tools").is_none(), "tools would change the session for ever");
        match play {
            Play::ServerError => {
                let message = "Unexpected server error. Check server logs for details.";
                return Ok(reply(500, json!({"name": "UnknownError", "data": {"message": message}})));
            }
            // A body that ends in the middle is how a broken connection looks to the client.
            Play::PromptLost => return Ok(broken()),
            _ => {}
        }
        let id = body["messageID"].as_str().expect("an id of our own").to_owned();
        assert!(id.starts_with("msg_") && id.len() == 30, "{id}");
        let turn = TurnOf { agent: self.clone(), session: session.to_owned(), prompt: id };
        turn.take(&body["parts"][0]);
        if play != Play::NeverRuns {
            self.state().begun.insert(turn.prompt.clone());
        }
        let lost = play == Play::AnswerLost;
        let running = self.state().running.clone();
        spawn(async move {
            tokio::select! {
                () = turn.play(play) => {}
                () = running.cancelled() => {}
            }
        });
        Ok(if lost { broken() } else { reply(204, Value::Null) })
    }
}

/// One turn as the server goes through it.
struct TurnOf {
    agent: Arc<ScriptedAgent>,
    session: String,
    prompt: String,
}

impl TurnOf {
    /// As in the real server: a part that is known is put into its place, one without an id is appended.
    fn take(&self, given: &Value) {
        let info =
            json!({"id": self.prompt, "sessionID": self.session, "role": "user", "time": {"created": 1}});
        let mut parts = {
            let state = self.agent.state();
            let mut known = state.messages.get(&self.session).into_iter().flatten();
            let known = known.rfind(|known| known["info"]["id"] == *self.prompt);
            known.and_then(|known| known["parts"].as_array().cloned()).unwrap_or_default()
        };
        let id = match given["id"].as_str() {
            Some(id) => id.to_owned(),
            None => format!("prt_{}{}", self.prompt, parts.len()),
        };
        parts.retain(|part| part["id"] != *id);
        let part = json!({"id": id, "sessionID": self.session,
                          "messageID": self.prompt, "type": "text", "text": given["text"]});
        parts.push(part.clone());
        self.store(&json!({"info": info, "parts": parts}));
        self.agent.emit("message.updated", json!({"sessionID": self.session, "info": info}));
        self.agent.emit("message.part.updated", json!({"sessionID": self.session, "part": part}));
    }

    fn store(&self, message: &Value) {
        let mut state = self.agent.state();
        let Some(all) = state.messages.get_mut(&self.session) else { return };
        match all.iter_mut().find(|known| known["info"]["id"] == message["info"]["id"]) {
            Some(known) => *known = message.clone(),
            None => all.push(message.clone()),
        }
    }

    async fn play(self, play: Play) {
        match play {
            Play::Answer(text) => self.say(&text, false).await,
            Play::AnswerLost => self.say("Ran once.", false).await,
            Play::Mute => self.say("Said in silence.", true).await,
            Play::NeverRuns | Play::PromptLost | Play::ServerError => {}
            Play::LateStart => {
                tokio::time::sleep(Duration::from_millis(1100)).await;
                self.say("Late but once.", false).await;
            }
            Play::Tool => self.use_a_tool().await,
            Play::ToolHangs => self.hang_in_a_tool(),
            Play::Refused => self.refuse("Incorrect API key provided").await,
            Play::RefusedFor(why) => self.refuse(&why).await,
            Play::Slow => drop(self.begin("Hello ", false)),
            Play::StopsSlowly => {
                self.agent.state().stops_slowly.insert(self.session.clone());
                drop(self.begin("Hello ", false));
            }
            Play::DiesMidAnswer => {
                drop(self.begin("Hello ", false));
                tokio::time::sleep(Duration::from_millis(100)).await;
                self.agent.kill();
                self.agent.clone().listen();
            }
            Play::DiesForGood => {
                drop(self.begin("Hello ", false));
                tokio::time::sleep(Duration::from_millis(100)).await;
                self.agent.kill();
            }
            Play::StreamBreaks => self.break_the_stream().await,
            Play::Noise => self.make_noise().await,
            Play::IdleTooEarly => self.idle_too_early(Duration::from_millis(200)).await,
            Play::Afterthought => self.idle_too_early(Duration::from_millis(1500)).await,
            Play::EndsWhileRead(text) => self.end_while_read(&text).await,
            Play::Asks => self.ask().await,
            Play::Loops => self.loop_for_ever().await,
            Play::Long(words) => self.write_long(words).await,
            Play::Huge(bytes) => self.write_huge(bytes).await,
        }
    }

    fn answer_id(&self, step: u32) -> String {
        format!("{}{step:03}", &self.prompt)
    }

    fn busy(&self) {
        self.agent.state().busy.insert(self.session.clone(), json!({"type": "busy"}));
        self.agent.emit("session.status", json!({"sessionID": self.session, "status": {"type": "busy"}}));
    }

    fn idle(&self) {
        self.agent.state().busy.remove(&self.session);
        self.agent.emit("session.status", json!({"sessionID": self.session, "status": {"type": "idle"}}));
        self.agent.emit("session.idle", json!({"sessionID": self.session}));
    }

    fn head(&self, step: u32) -> Value {
        json!({"id": self.answer_id(step), "sessionID": self.session, "role": "assistant",
               "parentID": self.prompt, "modelID": "scripted", "providerID": "scripted",
               "time": {"created": 2}, "cost": 0, "tokens": {}})
    }

    fn complete(&self, step: u32, finish: &str) -> Value {
        let mut head = self.head(step);
        head["time"]["completed"] = json!(3);
        head["finish"] = json!(finish);
        head["cost"] = json!(0.00141);
        head["tokens"] =
            json!({"input": 200, "output": 30, "reasoning": 4, "cache": {"read": 1000, "write": 0}});
        head
    }

    fn text_part(&self, step: u32, text: &str, ended: bool) -> Value {
        let time = if ended { json!({"start": 2, "end": 3}) } else { json!({"start": 2}) };
        json!({"id": format!("prt_{}", self.answer_id(step)), "sessionID": self.session,
               "messageID": self.answer_id(step), "type": "text", "text": text, "time": time})
    }

    fn tell(&self, kind: &str, field: &str, value: &Value) {
        self.agent.emit(kind, json!({"sessionID": self.session, field: value}));
    }

    fn delta(&self, step: u32, delta: &str) {
        self.agent.emit(
            "message.part.delta",
            json!({"sessionID": self.session, "messageID": self.answer_id(step),
                   "partID": format!("prt_{}", self.answer_id(step)), "field": "text", "delta": delta}),
        );
    }

    /// Begins the answer with one word. As in the real server, text that streams is not stored.
    fn begin(&self, word: &str, mute: bool) -> Value {
        if mute {
            self.agent.state().busy.insert(self.session.clone(), json!({"type": "busy"}));
        } else {
            self.busy();
        }
        let head = self.head(0);
        let part = self.text_part(0, "", false);
        self.store(&json!({"info": head, "parts": [part], "streamed": word}));
        if !mute {
            self.tell("message.updated", "info", &head);
            self.tell("message.part.updated", "part", &part);
            self.delta(0, word);
        }
        head
    }

    fn end(&self, text: &str, mute: bool) {
        let head = self.complete(0, "stop");
        let part = self.text_part(0, text, true);
        let finish = json!({"id": format!("prt_{}z", self.answer_id(0)), "sessionID": self.session,
                            "messageID": self.answer_id(0), "type": "step-finish", "reason": "stop"});
        self.store(&json!({"info": head, "parts": [part, finish]}));
        if mute {
            self.agent.state().busy.remove(&self.session);
        } else {
            self.tell("message.part.updated", "part", &part);
            self.tell("message.part.updated", "part", &finish);
            self.tell("message.updated", "info", &head);
            self.idle();
        }
    }

    async fn say(&self, text: &str, mute: bool) {
        let (first, rest) = text.split_at(text.find(' ').map_or(text.len(), |at| at + 1));
        self.begin(first, mute);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !mute && !rest.is_empty() {
            self.delta(0, rest);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.end(text, mute);
    }

    fn hang_in_a_tool(&self) {
        self.busy();
        let head = self.head(0);
        let part = json!({"id": "prt_hangs", "sessionID": self.session, "messageID": self.answer_id(0),
                          "type": "tool", "tool": "bash", "callID": "call_hangs",
                          "state": {"status": "running", "input": {"command": "sleep 1000"}}});
        self.store(&json!({"info": head, "parts": [part]}));
        self.tell("message.updated", "info", &head);
        self.tell("message.part.updated", "part", &part);
    }

    async fn use_a_tool(&self) {
        self.busy();
        let retry = json!({"type": "retry", "attempt": 1, "message": "Rate limit reached", "next": 4});
        self.agent.emit("session.status", json!({"sessionID": self.session, "status": retry}));
        let head = self.head(0);
        self.tell("message.updated", "info", &head);
        let mut part = json!({"id": "prt_tool", "sessionID": self.session, "messageID": self.answer_id(0),
                              "type": "tool", "tool": "bash", "callID": "call_1", "state": {}});
        for state in [
            json!({"status": "pending", "input": {}}),
            json!({"status": "running", "input": {"command": "ls"}}),
            json!({"status": "running", "input": {"command": "ls"}, "metadata": {"output": "a"}}),
            json!({"status": "completed", "input": {"command": "ls"}, "output": "a\nb", "title": "ls"}),
        ] {
            part["state"] = state;
            self.tell("message.part.updated", "part", &part);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let step = self.complete(0, "tool-calls");
        self.store(&json!({"info": step, "parts": [part]}));
        self.tell("message.updated", "info", &step);
        let last = self.complete(1, "stop");
        let text = self.text_part(1, "Two files.", true);
        self.store(&json!({"info": last, "parts": [text]}));
        self.tell("message.updated", "info", &last);
        self.tell("message.part.updated", "part", &text);
        self.idle();
    }

    async fn refuse(&self, why: &str) {
        self.busy();
        let mut head = self.head(0);
        self.store(&json!({"info": head, "parts": []}));
        self.tell("message.updated", "info", &head);
        let error = json!({"name": "APIError",
                           "data": {"message": why, "statusCode": 401}});
        self.tell("session.error", "error", &error);
        self.idle();
        tokio::time::sleep(Duration::from_millis(100)).await;
        head["error"] = error;
        head["time"]["completed"] = json!(3);
        self.store(&json!({"info": head, "parts": []}));
        self.tell("message.updated", "info", &head);
        self.idle();
    }

    async fn break_the_stream(&self) {
        self.begin("Hello ", false);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let old = {
            let mut state = self.agent.state();
            let fresh = state.alive.child_token();
            std::mem::replace(&mut state.streams, fresh)
        };
        old.cancel();
        // Nobody listens to this piece.
        self.delta(0, "from ");
        tokio::time::sleep(Duration::from_millis(600)).await;
        self.delta(0, "afar.");
        self.end("Hello from afar.", false);
    }

    async fn make_noise(&self) {
        self.idle();
        let head = self.begin("Quiet", false);
        self.tell("message.updated", "info", &head);
        self.agent.emit("session.next.thing", json!({"what": [1, 2, 3]}));
        let _ = self.agent.events.send("not json at all".into());
        let stranger = json!({"sessionID": "ses_other", "messageID": "msg_other", "partID": "prt_other",
                              "field": "text", "delta": "not for us"});
        self.agent.emit("message.part.delta", stranger);
        self.busy();
        self.delta(0, ".");
        self.end("Quiet.", false);
        self.end("Quiet.", false);
        self.tell("message.updated", "info", &head);
        self.delta(0, "late");
    }

    async fn idle_too_early(&self, before: Duration) {
        self.begin("The ", false);
        self.idle();
        tokio::time::sleep(before).await;
        self.end("The last word.", false);
    }

    async fn ask(&self) {
        self.begin("May I? ", false);
        let ask = json!({"id": "per_1", "sessionID": self.session, "permission": "bash",
                         "patterns": ["git push"]});
        self.agent.state().permissions.push(ask.clone());
        self.agent.emit("permission.asked", ask);
        while !self.agent.state().permissions.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.agent.emit(
            "permission.replied",
            json!({"sessionID": self.session, "requestID": "per_1", "reply": "once"}),
        );
        self.end("May I? I may.", false);
    }

    async fn loop_for_ever(&self) {
        self.busy();
        for step in 0.. {
            let head = self.complete(step, "unknown");
            let part = json!({"id": format!("prt_{step:04}"), "sessionID": self.session,
                              "messageID": self.answer_id(step), "type": "step-finish", "reason": "unknown",
                              "cost": 0.00141, "tokens": {"input": 200, "output": 30, "reasoning": 4,
                              "cache": {"read": 1000, "write": 0}}});
            self.store(&json!({"info": head, "parts": [part]}));
            self.tell("message.updated", "info", &head);
            self.tell("message.part.updated", "part", &part);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the scripted server ends with the test's runtime")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Promises a body and breaks off.
fn broken() -> Response<Body> {
    let frames = futures_util::stream::empty().boxed();
    let response = Response::builder().status(200).header("content-length", "10");
    response.body(StreamBody::new(frames)).expect("a response")
}

//! A stand-in for opencode that does what it is told and nothing else: the test is its model.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::runtime::fake::StartedContainer;
use mimir::supervisor::{OnExit, Tasks};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::replies::{Body, found, lines, reply, streamed};

/// What the agent of one frame has and does. Sessions and messages outlive its restarts.
#[derive(Default)]
struct Inside {
    sessions: Vec<Value>,
    messages: BTreeMap<String, Vec<Value>>,
    statuses: BTreeMap<String, Value>,
    /// In the order in which they were asked.
    asked: Vec<(String, Value)>,
    /// The prompt that a session works on, if it is one of the gateway's.
    working: BTreeMap<String, String>,
    counter: u64,
}

pub struct Agent {
    inside: Mutex<Inside>,
    events: broadcast::Sender<String>,
    /// Holds its port and answers nothing. What it has to say over the event stream it goes on to say.
    pub silent: AtomicBool,
    /// How often it was asked in vain whether it is well.
    unanswered: AtomicUsize,
    /// How often it said that it is well.
    said_well: AtomicUsize,
    /// Cancelled when its process ends.
    run: Mutex<CancellationToken>,
}

impl Default for Agent {
    fn default() -> Self {
        let events = broadcast::Sender::new(1024);
        Self {
            inside: Mutex::default(),
            events,
            silent: AtomicBool::default(),
            unanswered: AtomicUsize::default(),
            said_well: AtomicUsize::default(),
            run: Mutex::default(),
        }
    }
}

impl Agent {
    /// Serves a run of its container.
    pub fn serve(self: Arc<Self>, tasks: &Tasks, started: &StartedContainer) {
        let socket = started.link.join("agent.sock");
        let _ = std::fs::remove_file(&socket);
        let listener = Arc::new(UnixListener::bind(&socket).expect("the agent's socket"));
        {
            // What it did went with its last run; what it was told stays.
            let mut inside = self.inside();
            inside.statuses.clear();
            inside.asked.clear();
            inside.working.clear();
        }
        let ended = started.ended.clone();
        tasks.spawn("agent", OnExit::Report, move |stop| {
            let (agent, listener, ended) = (self.clone(), listener.clone(), ended.clone());
            async move {
                let mut connections = JoinSet::new();
                loop {
                    let stream = tokio::select! {
                        accepted = listener.accept() => accepted.expect("accepts").0,
                        () = ended.cancelled() => return,
                        () = stop.cancelled() => return,
                    };
                    let agent = agent.clone();
                    let run = agent.run.lock().clone();
                    connections.spawn(async move {
                        let serve = service_fn(move |request| {
                            let agent = agent.clone();
                            async move { Ok::<_, Infallible>(agent.answer(request).await) }
                        });
                        let http = hyper::server::conn::http1::Builder::new();
                        tokio::select! {
                            _ = http.serve_connection(TokioIo::new(stream), serve) => {}
                            () = run.cancelled() => {}
                        }
                    });
                }
            }
        });
    }

    /// Its process ended and another begins: connections break, what it did is gone, what it was told stays.
    pub fn restart(&self) {
        self.silent.store(false, Ordering::SeqCst);
        let mut inside = self.inside();
        inside.statuses.clear();
        inside.asked.clear();
        inside.working.clear();
        drop(inside);
        self.run.lock().cancel();
        *self.run.lock() = CancellationToken::new();
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }

    fn emit(&self, kind: &str, properties: Value) {
        let _ = self.events.send(json!({"id": "evt_1", "type": kind, "properties": properties}).to_string());
    }

    /// Its heart beats.
    pub fn beat(&self) {
        self.emit("server.heartbeat", json!({}));
    }

    /// It writes on.
    pub fn write(&self, session: &str) {
        self.emit(
            "message.part.delta",
            json!({"sessionID": session, "messageID": "msg_0", "partID": "prt_0", "field": "text",
                   "delta": "and "}),
        );
    }

    /// How often it was asked in vain whether it is well.
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// How often it said that it is well.
    pub fn said_well(&self) -> usize {
        self.said_well.load(Ordering::SeqCst)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if self.silent.load(Ordering::SeqCst) {
            if request.uri().path() == "/global/health" {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
            }
            std::future::pending::<()>().await;
        }
        if request.headers().get("authorization").is_none() {
            return reply(401, Value::Null);
        }
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), segments.as_slice()) {
            ("GET", ["global", "health"]) => {
                self.said_well.fetch_add(1, Ordering::SeqCst);
                reply(200, json!({"healthy": true, "version": "1.18.33"}))
            }
            ("GET", ["event"]) => streamed(lines(&self.events)),
            ("GET", ["session"]) => reply(200, Value::Array(self.inside().sessions.clone())),
            ("POST", ["session"]) => reply(200, self.new_session(&body)),
            ("GET", ["session", "status"]) => reply(200, json!(self.inside().statuses)),
            ("GET", ["session", id]) => {
                found(self.inside().sessions.iter().find(|session| session["id"] == **id).cloned())
            }
            ("GET", ["session", id, "message"]) => {
                found(self.inside().messages.get(*id).cloned().map(Value::Array))
            }
            ("GET", ["session", id, "message", message]) => {
                let inside = self.inside();
                let all = inside.messages.get(*id);
                found(all.and_then(|all| all.iter().find(|one| one["info"]["id"] == **message)).cloned())
            }
            ("POST", ["session", id, "prompt_async"]) => self.prompt(id, &body),
            ("POST", ["session", id, "abort"]) => {
                self.finish(id);
                reply(200, json!(true))
            }
            ("GET", ["permission"]) => reply(200, self.asked("permission")),
            ("GET", ["question"]) => reply(200, self.asked("question")),
            ("POST", ["permission" | "question", id, _]) => {
                self.answered(id);
                reply(200, json!(true))
            }
            ("GET", ["config", "providers"])
            | ("POST", ["tui", "select-session"] | ["instance", "dispose"]) => reply(200, json!(true)),
            _ => reply(404, json!({"name": "NotFoundError", "data": {"message": path}})),
        }
    }

    fn new_session(&self, body: &Value) -> Value {
        let mut inside = self.inside();
        inside.counter += 1;
        let id = format!("ses_{:04}", inside.counter);
        let session = json!({"id": id, "title": body["title"], "metadata": body["metadata"],
                             "parentID": body["parentID"]});
        inside.sessions.insert(0, session.clone());
        inside.messages.insert(id, Vec::new());
        session
    }

    fn prompt(&self, session: &str, body: &Value) -> Response<Body> {
        let id = body["messageID"].as_str().unwrap_or("msg_none").to_owned();
        let info = json!({"id": id, "sessionID": session, "role": "user", "time": {"created": 1}});
        let part = json!({"id": format!("prt_{id}"), "sessionID": session, "messageID": id,
                          "type": "text", "text": body["parts"][0]["text"]});
        let answer = json!({"id": format!("{id}001"), "sessionID": session, "role": "assistant",
                            "parentID": id, "modelID": "demo", "providerID": "demo", "time": {"created": 2},
                            "cost": 0, "tokens": {}});
        {
            let mut inside = self.inside();
            let all = inside.messages.entry(session.to_owned()).or_default();
            all.push(json!({"info": info, "parts": [part]}));
            all.push(json!({"info": answer, "parts": []}));
            inside.working.insert(session.to_owned(), id);
        }
        self.emit("message.updated", json!({"sessionID": session, "info": info}));
        self.emit("message.part.updated", json!({"sessionID": session, "part": part}));
        self.set(session, json!({"type": "busy"}));
        self.emit("message.updated", json!({"sessionID": session, "info": answer}));
        reply(204, Value::Null)
    }

    /// A session that nobody of ours made.
    pub fn foreign_session(&self, parent: Option<&str>) -> String {
        let session = self.new_session(&json!({"title": "typed in the terminal", "parentID": parent}));
        let id = session["id"].as_str().expect("an id").to_owned();
        self.emit("session.created", json!({"sessionID": id, "info": session}));
        id
    }

    /// What a session does from now on; an idle one is in no list.
    pub fn set(&self, session: &str, status: Value) {
        {
            let mut inside = self.inside();
            if status["type"] == "idle" {
                inside.statuses.remove(session);
            } else {
                inside.statuses.insert(session.to_owned(), status.clone());
            }
        }
        self.emit("session.status", json!({"sessionID": session, "status": status}));
    }

    /// The turn of a session ends well.
    pub fn finish(&self, session: &str) {
        let asked: Vec<String> = {
            let inside = self.inside();
            let of_session = inside.asked.iter().filter(|(_, ask)| ask["sessionID"] == *session);
            of_session.filter_map(|(_, ask)| ask["id"].as_str().map(str::to_owned)).collect()
        };
        // No turn goes on before its questions are answered.
        asked.iter().for_each(|id| self.answered(id));
        let done = {
            let mut inside = self.inside();
            let prompt = inside.working.remove(session);
            let last = inside.messages.get_mut(session).and_then(|all| all.last_mut());
            last.filter(|_| prompt.is_some()).map(|last| {
                last["info"]["time"]["completed"] = json!(3);
                last["info"]["finish"] = json!("stop");
                let id = last["info"]["id"].clone();
                let part = json!({"id": format!("prt_{}", id.as_str().unwrap_or_default()),
                                  "sessionID": session, "messageID": id, "type": "text", "text": "Done.",
                                  "time": {"start": 2, "end": 3}});
                last["parts"] = json!([part]);
                (last["info"].clone(), part)
            })
        };
        if let Some((info, part)) = done {
            self.emit("message.part.updated", json!({"sessionID": session, "part": part}));
            self.emit("message.updated", json!({"sessionID": session, "info": info}));
        }
        self.set(session, json!({"type": "idle"}));
        self.emit("session.idle", json!({"sessionID": session}));
    }

    /// A session that works asks something; returns the prompt's id.
    pub fn ask(&self, session: &str, form: &str) -> String {
        let (id, ask) = {
            let mut inside = self.inside();
            inside.counter += 1;
            let id = format!("{}_{:04}", if form == "question" { "que" } else { "per" }, inside.counter);
            let question = json!({"question": "Which?", "header": "Which", "options": [], "multiple": false});
            let ask = match form {
                "question" => json!({"id": id, "sessionID": session, "questions": [question]}),
                _ => json!({"id": id, "sessionID": session, "permission": "bash", "patterns": ["git push"],
                            "always": [], "metadata": {}}),
            };
            inside.asked.push((form.to_owned(), ask.clone()));
            (id, ask)
        };
        self.emit(&format!("{form}.asked"), ask);
        id
    }

    /// Somebody answered.
    pub fn answered(&self, id: &str) {
        let gone = {
            let mut inside = self.inside();
            let at = inside.asked.iter().position(|(_, ask)| ask["id"] == *id);
            at.map(|at| inside.asked.remove(at))
        };
        if let Some((form, ask)) = gone {
            let session = &ask["sessionID"];
            self.emit(
                &format!("{form}.replied"),
                json!({"sessionID": session, "requestID": id, "reply": "once", "answers": []}),
            );
        }
    }

    fn asked(&self, form: &str) -> Value {
        let inside = self.inside();
        inside.asked.iter().filter(|(of, _)| of == form).map(|(_, ask)| ask.clone()).collect()
    }

    /// Sessions that work, with what they do.
    pub fn active(&self) -> Vec<(String, Value)> {
        self.inside().statuses.iter().map(|(id, status)| (id.clone(), status.clone())).collect()
    }

    /// How many prompts of the gateway it works on.
    pub fn working(&self) -> usize {
        self.inside().working.len()
    }

    /// What is asked, oldest first: form, id.
    pub fn open_prompts(&self) -> Vec<(String, String)> {
        let inside = self.inside();
        let id = |ask: &Value| ask["id"].as_str().unwrap_or_default().to_owned();
        inside.asked.iter().map(|(form, ask)| (form.clone(), id(ask))).collect()
    }

    /// What the word must be by what it does itself; nothing when it has nothing to do.
    pub fn word(&self) -> Option<&'static str> {
        let inside = self.inside();
        let parent_of = |id: &str| {
            let session = inside.sessions.iter().find(|session| session["id"] == *id)?;
            session["parentID"].as_str().map(str::to_owned)
        };
        let parents: Vec<String> = inside.statuses.keys().filter_map(|id| parent_of(id)).collect();
        let mut leaves = inside.statuses.iter().filter(|(id, _)| !parents.contains(*id)).peekable();
        if let Some((form, _)) = inside.asked.first() {
            return Some(if form == "question" { "waiting (question)" } else { "waiting (permission)" });
        }
        leaves.peek()?;
        Some(if leaves.all(|(_, status)| status["type"] == "retry") { "retrying" } else { "busy" })
    }
}

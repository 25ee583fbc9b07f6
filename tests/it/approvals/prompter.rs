//! The part of opencode that asks: prompts, answers to them, sessions and their parents.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::model::agent::AgentSessionId;
use mimir::model::approval::{AgentRequest, AskBody, AskedOption, AskedQuestion};
use mimir::model::secret::Secret;
use mimir::opencode::OpencodeClient;
use mimir::outbound::Connector;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct State {
    waiting: Vec<AgentRequest>,
    replies: Vec<(String, Value)>,
    parents: BTreeMap<String, String>,
    is_away: bool,
    refuses: bool,
    is_alone: bool,
}

/// An agent that asks whatever a test wants, and lives as long as it.
pub struct Prompter {
    state: Mutex<State>,
    address: SocketAddr,
    _alive: tokio_util::sync::DropGuard,
}

impl Prompter {
    /// Nobody outside is at the frame.
    pub fn set_alone(&self) {
        self.state.lock().is_alone = true;
    }

    pub fn is_alone(&self) -> bool {
        self.state.lock().is_alone
    }

    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let alive = CancellationToken::new();
        let stop = alive.clone();
        let prompter = Arc::new(Self { state: Mutex::default(), address, _alive: alive.drop_guard() });
        let weak = Arc::downgrade(&prompter);
        spawn(async move {
            let mut connections = JoinSet::new();
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let weak = weak.clone();
                    connections.spawn(async move {
                        let serve = service_fn(move |request| {
                            let prompter = weak.upgrade();
                            async move {
                                Ok::<_, Infallible>(match prompter {
                                    Some(prompter) => prompter.answer(request).await,
                                    None => reply(503, &Value::Null),
                                })
                            }
                        });
                        let http = hyper::server::conn::http1::Builder::new();
                        let _ = http.serve_connection(TokioIo::new(stream), serve).await;
                    });
                }
            };
            tokio::select! {
                () = accept => {}
                () = stop.cancelled() => {}
            }
        });
        prompter
    }

    pub fn client(&self) -> Option<OpencodeClient> {
        (!self.state().is_away)
            .then(|| OpencodeClient::new(Connector::tcp(self.address), &Secret::new("any")))
    }

    /// Asks, and returns what it asks.
    pub fn asks(&self, ask: AgentRequest) -> AgentRequest {
        self.state().waiting.push(ask.clone());
        ask
    }

    pub fn waiting(&self) -> Vec<AgentRequest> {
        self.state().waiting.clone()
    }

    /// Everything that was answered over HTTP: the prompt's id, and the body.
    pub fn replies(&self) -> Vec<(String, Value)> {
        self.state().replies.clone()
    }

    /// Somebody answers in the terminal.
    pub fn answered_in_the_terminal(&self, id: &str) {
        self.state().waiting.retain(|ask| ask.id != id);
    }

    /// The frame is there; its agent is not.
    pub fn goes_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// It does not like what it is told.
    pub fn refuses(&self, refuses: bool) {
        self.state().refuses = refuses;
    }

    pub fn has_child(&self, child: &str, parent: &str) {
        self.state().parents.insert(child.to_owned(), parent.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let method = request.method().to_string();
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let mut state = self.state();
        match (method.as_str(), segments.as_slice()) {
            ("POST", ["permission" | "question", id, "reply" | "reject"]) => {
                if state.refuses {
                    return reply(400, &json!({"name": "BadRequest", "data": {"message": "no such answer"}}));
                }
                let before = state.waiting.len();
                state.waiting.retain(|ask| ask.id != *id);
                if state.waiting.len() == before {
                    let error = json!({"_tag": "PermissionNotFoundError", "message": "not found"});
                    return reply(404, &error);
                }
                state.replies.push(((*id).to_owned(), body));
                reply(200, &json!(true))
            }
            ("GET", ["session", id]) => match state.parents.get(*id) {
                Some(parent) => reply(200, &json!({"id": id, "parentID": parent, "title": "child"})),
                None => reply(200, &json!({"id": id, "title": "root"})),
            },
            _ => reply(404, &json!({"name": "NotFoundError", "data": {"message": path}})),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the scripted server ends with the test's runtime")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

fn reply(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status.try_into().expect("a status");
    response
}

/// Leave to use a tool.
pub fn permission(id: &str, session: &str, tool: &str, patterns: &[&str]) -> AgentRequest {
    let metadata = if tool == "bash" { json!({"command": patterns.join(" && ")}) } else { json!({}) };
    AgentRequest {
        id: id.to_owned(),
        session: AgentSessionId(session.to_owned()),
        call: None,
        body: AskBody::Permission {
            tool: tool.to_owned(),
            patterns: patterns.iter().map(|text| (*text).to_owned()).collect(),
            always: vec![format!("{} *", patterns.first().unwrap_or(&""))],
            metadata,
        },
    }
}

/// A question with two options, and one without.
pub fn question(id: &str, session: &str) -> AgentRequest {
    let option = |label: &str| AskedOption { label: label.to_owned(), description: String::new() };
    let questions = vec![
        AskedQuestion {
            header: "Database".into(),
            text: "Which database?".into(),
            options: vec![option("Postgres"), option("SQLite")],
            multiple: false,
        },
        AskedQuestion { header: "Name".into(), text: "Its name?".into(), options: vec![], multiple: false },
    ];
    AgentRequest {
        id: id.to_owned(),
        session: AgentSessionId(session.to_owned()),
        call: None,
        body: AskBody::Question { questions },
    }
}

//! What others do with the scripted agent past mimir, and what its network does to it.

use std::sync::Arc;
use std::time::Duration;

use mimir::model::agent::AgentMessageId;
use mimir::opencode::ids;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Play, ScriptedAgent, TurnOf, spawn};

/// What happens to events on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Each comes twice.
    Doubled,
    /// Pairs come in the wrong order.
    Shuffled,
    /// Each third is lost, and nobody says so.
    Lossy,
}

impl ScriptedAgent {
    /// Somebody makes a session, in the terminal say.
    pub fn make_session(&self, title: &str) -> String {
        self.make(json!({"title": title}))
    }

    /// A sub-agent gets a session of its own.
    pub fn make_child(&self, parent: &str) -> String {
        self.make(json!({"title": "a child", "parentID": parent}))
    }

    fn make(&self, body: Value) -> String {
        let mut session = self.create_session(&body);
        if !body["parentID"].is_null() {
            session["parentID"] = body["parentID"].clone();
            let mut state = self.state();
            if let Some(kept) = state.sessions.iter_mut().find(|kept| kept["id"] == session["id"]) {
                *kept = session.clone();
            }
        }
        self.emit("session.created", json!({"sessionID": session["id"], "info": session}));
        session["id"].as_str().expect("an id").to_owned()
    }

    pub fn rename(&self, session: &str, title: &str) {
        let renamed = {
            let mut state = self.state();
            let kept = state.sessions.iter_mut().find(|kept| kept["id"] == session).expect("a session");
            kept["title"] = json!(title);
            kept.clone()
        };
        self.emit("session.updated", json!({"sessionID": session, "info": renamed}));
    }

    pub fn delete(&self, session: &str) {
        let gone = {
            let mut state = self.state();
            state.messages.remove(session);
            let at = state.sessions.iter().position(|kept| kept["id"] == session).expect("a session");
            state.sessions.remove(at)
        };
        self.emit("session.deleted", json!({"sessionID": session, "info": gone}));
    }

    /// Somebody types into a session.
    pub fn type_in(self: &Arc<Self>, session: &str, text: &str, play: Play) -> String {
        let newest = self
            .written(session)
            .last()
            .and_then(|message| message["info"]["id"].as_str().map(str::to_owned));
        let now_ms = mimir::clock::Clock::system().now_ms();
        let id = ids::mint(now_ms, newest.map(AgentMessageId).as_ref(), mimir::clock::entropy::<14>());
        let turn = TurnOf { agent: self.clone(), session: session.to_owned(), prompt: id.to_string() };
        turn.take(&json!({"text": text}));
        let running = self.state().running.clone();
        spawn(async move {
            tokio::select! {
                () = turn.play(play) => {}
                () = running.cancelled() => {}
            }
        });
        id.to_string()
    }

    /// What the agent keeps of a session.
    pub fn written(&self, session: &str) -> Vec<Value> {
        self.state().messages.get(session).cloned().unwrap_or_default()
    }

    /// The network between us breaks; whatever is said until somebody listens again is lost.
    pub fn cut(&self) {
        let old = {
            let mut state = self.state();
            let fresh = state.alive.child_token();
            std::mem::replace(&mut state.streams, fresh)
        };
        old.cancel();
    }

    /// Whether nobody gets an event stream.
    pub fn refuse_streams(&self, refuse: bool) {
        self.state().no_streams = refuse;
    }

    /// From now on events come like that.
    pub fn weather(&self, weather: Option<Weather>) {
        self.state().weather = weather;
    }

    /// So many of the next requests that are not for events or prompts fail with 503.
    pub fn refuse(&self, count: usize) {
        self.state().refuse = count;
    }

    /// From now on what was said is looked up at once and answered when that token is cancelled.
    pub fn hold_reads(&self) -> CancellationToken {
        let gate = CancellationToken::new();
        let mut state = self.state();
        state.reads = Some(gate.clone());
        state.held_reads = 0;
        gate
    }

    pub(super) async fn held(&self) {
        let gate = {
            let mut state = self.state();
            state.held_reads += 1;
            state.reads.clone()
        };
        if let Some(gate) = gate {
            gate.cancelled().await;
        }
    }

    /// Sends an event, through the weather.
    pub(super) fn emit(&self, kind: &str, properties: Value) {
        let (id, weather, held) = {
            let mut state = self.state();
            state.counter += 1;
            let count = state.counter;
            let weather = state.weather;
            let held = if weather == Some(Weather::Shuffled) { state.held.take() } else { None };
            (count, weather, held)
        };
        let event =
            json!({"id": format!("evt_{id:026}"), "type": kind, "properties": properties}).to_string();
        let send = |event: String| drop(self.events.send(event));
        match weather {
            Some(Weather::Lossy) if id % 3 == 0 => {}
            Some(Weather::Doubled) => {
                send(event.clone());
                send(event);
            }
            Some(Weather::Shuffled) => match held {
                Some(before) => {
                    send(event);
                    send(before);
                }
                None => self.state().held = Some(event),
            },
            _ => send(event),
        }
    }
}

impl TurnOf {
    /// Writes for a while, word by word.
    pub(super) async fn write_long(&self, words: usize) {
        let text = long_text(words);
        let mut pieces = text.split_inclusive(' ');
        self.begin(pieces.next().unwrap_or_default(), false);
        for piece in pieces {
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.delta(0, piece);
        }
        self.end(&text, false);
    }

    pub(super) async fn end_while_read(&self, text: &str) {
        self.busy();
        let head = self.head(0);
        self.store(&json!({"info": head, "parts": []}));
        self.tell("message.updated", "info", &head);
        while self.agent.state().held_reads == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (head, part) = (self.complete(0, "stop"), self.text_part(0, text, true));
        self.store(&json!({"info": head, "parts": [part]}));
        self.tell("message.updated", "info", &head);
        self.tell("message.part.updated", "part", &part);
        self.idle();
    }

    /// One part of that many bytes, in one event.
    pub(super) async fn write_huge(&self, bytes: usize) {
        self.begin("", false);
        self.end(&"x".repeat(bytes), false);
    }
}

/// What [`Play::Long`] answers.
pub fn long_text(words: usize) -> String {
    (0..words).map(|count| format!("w{count} ")).collect::<String>().trim_end().to_owned()
}

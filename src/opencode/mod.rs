//! The agent inside one frame: opencode 1.x over HTTP.
//!
//! The only place that knows opencode's JSON. The rest of the program sees the
//! types of [`crate::model::agent`]. How the frame is reached is the connector's
//! business; every request takes a new connection and has a deadline.
//!
//! Not here: deciding what an answer means for a message (see `delivery`).

mod call;
mod clean;
mod contract;
pub mod dialect;
mod doubles;
pub mod error;
pub mod events;
pub mod ids;
mod session;
pub mod sse;
mod translate;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::model::agent::{AgentMessage, AgentMessageId, AgentSessionId, AgentStatus, ModelRef};
use crate::model::approval::AgentRequest;
use crate::model::container::inside;
use crate::model::secret::Secret;
use crate::outbound::Connector;
use crate::redact::Known;
use call::Call;
use dialect::Dialect;

/// The version that this client was made for and that the frame image has.
pub const VERSION: &str = "1.18.33";

pub use error::OpencodeError;
pub use events::{EventStream, StreamEnd};
pub use session::AgentSession;

/// The first requests of a server's life boot it and may take long.
const BOOT: Duration = Duration::from_secs(90);
/// Storing a prompt takes half a second; the first of a server's life up to 7 s on a busy machine.
const PROMPT: Duration = Duration::from_secs(30);
/// A whole conversation is summed up by the model; one that is silent is given up by the agent after minutes.
const SUMMARIZE: Duration = Duration::from_secs(600);
/// An agent that is up says so at once.
const HEALTH: Duration = Duration::from_secs(2);
/// An abort waits for the running tool to end.
const ABORT: Duration = Duration::from_secs(10);

/// An answer to a permission prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionReply {
    /// This time.
    Once,
    /// This time and for the rest of the server's life.
    Always,
    /// No; without a message the turn ends.
    Reject,
}

impl PermissionReply {
    fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Reject => "reject",
        }
    }
}

/// What is sent with a prompt. Model and agent are always given: a session remembers the last ones,
/// and a bad one would poison every prompt after it.
#[derive(Clone, Debug)]
pub struct UserPrompt {
    /// Its id, made by [`ids::mint`] and saved before the prompt is sent.
    pub message: AgentMessageId,
    /// The words.
    pub text: String,
    /// The model.
    pub model: ModelRef,
    /// Whether nobody asked for that model: it is what we usually take.
    pub is_usual_model: bool,
    /// `build`, `plan`, …
    pub agent: String,
}

/// A healthy agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// opencode's version.
    pub version: String,
    /// How to speak with it.
    pub dialect: Dialect,
}

/// What is said in `Authorization` for a user and a password.
#[must_use]
pub fn basic(user: &str, password: &Secret) -> Secret {
    let pair = Secret::new(format!("{user}:{}", password.reveal()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())))
}

/// The agent inside one frame. A plain struct: there is one kind of agent, and tests point the
/// connector at a scripted server, so that this code is what runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OpencodeClient {
    connector: Connector,
    authorization: Secret,
    chooses_model: bool,
    /// What the agent may have been given, and is not to say.
    known: Known,
    /// Learned when it is first needed; a client lives no longer than one start of its frame.
    dialect: Arc<OnceLock<Dialect>>,
}

impl OpencodeClient {
    /// A client for whatever answers behind `connector`, with the password of this start of the frame.
    #[must_use]
    pub fn new(connector: Connector, password: &Secret) -> Self {
        Self::authorized(connector, Some(basic(inside::AGENT_USER, password)))
    }

    /// The same with what is to be said in `Authorization`, if the agent wants to hear anything.
    #[must_use]
    pub fn authorized(connector: Connector, authorization: Option<Secret>) -> Self {
        let authorization = authorization.unwrap_or_else(|| Secret::new(""));
        Self {
            connector,
            authorization,
            chooses_model: false,
            known: Known::default(),
            dialect: Arc::default(),
        }
    }

    /// The same for a server that knows models of its own, if it does: it chooses when a message names none.
    #[must_use]
    pub fn choosing_models(self, chooses_model: bool) -> Self {
        Self { chooses_model, ..self }
    }

    /// The same; what the agent says comes without these.
    #[must_use]
    pub fn without(self, known: Known) -> Self {
        Self { known, ..self }
    }

    /// Whether the agent answers at all, within `timeout` on a new connection.
    ///
    /// Give it at most half a second and ask again: in its first second a server accepts connections
    /// and swallows what they bring.
    ///
    /// # Errors
    /// [`OpencodeError::WrongVersion`] is final; the others are worth another try.
    pub async fn health(&self, timeout: Duration) -> Result<Health, OpencodeError> {
        let asked = self.ask::<wire::Health>(Call::get("health", "/global/health").within(timeout)).await;
        let found = match asked {
            Ok(found) => found,
            Err(error) => return Err(self.recognise(timeout, error).await),
        };
        if !found.healthy {
            return Err(unreadable("health", "it does not say that it is healthy"));
        }
        match Dialect::of(&found.version) {
            Ok(dialect) => {
                Ok(Health { version: found.version, dialect: *self.dialect.get_or_init(|| dialect) })
            }
            Err(why) => {
                let named = if found.version.is_empty() { "without a version" } else { &found.version };
                Err(OpencodeError::WrongVersion { found: named.to_owned(), why: why.to_owned() })
            }
        }
    }

    /// Makes the server load what it loads lazily, so that the first prompt need not wait for it.
    ///
    /// # Errors
    /// When the agent goes away meanwhile. Nothing depends on this call.
    pub async fn warm_up(&self) -> Result<(), OpencodeError> {
        for (name, path) in [("sessions", "/session?limit=1"), ("providers", "/config/providers")] {
            self.send(Call::get(name, path).within(BOOT)).await?;
        }
        Ok(())
    }

    /// Makes a session. A title spares the model call that would invent one.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn create_session(&self, title: &str, metadata: &Value) -> Result<AgentSession, OpencodeError> {
        let body = json!({"title": title, "metadata": metadata});
        self.ask(Call::post("create session", "/session", body).within(BOOT)).await.map(translate::session)
    }

    /// A session, if it is there.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn find_session(&self, id: &AgentSessionId) -> Result<Option<AgentSession>, OpencodeError> {
        let call = Call::get("session", format!("/session/{}", segment(id.as_str())));
        absent(self.ask(call).await).map(|found| found.map(translate::session))
    }

    /// The newest sessions that are nobody's children, newest first.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn list_sessions(&self, limit: u32) -> Result<Vec<AgentSession>, OpencodeError> {
        let call = Call::get("sessions", format!("/session?roots=true&limit={limit}")).within(BOOT);
        let found: Vec<wire::Session> = self.ask(call).await?;
        Ok(found.into_iter().map(translate::session).collect())
    }

    /// Changes a session's title.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn rename_session(&self, id: &AgentSessionId, title: &str) -> Result<(), OpencodeError> {
        let path = format!("/session/{}", segment(id.as_str()));
        self.send(Call::patch("rename session", path, json!({"title": title}))).await.map(drop)
    }

    /// Changes a session's title and what is stored with it.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn adopt_session(
        &self,
        id: &AgentSessionId,
        title: &str,
        metadata: &Value,
    ) -> Result<(), OpencodeError> {
        let path = format!("/session/{}", segment(id.as_str()));
        let body = json!({"title": title, "metadata": metadata});
        self.send(Call::patch("rename session", path, body)).await.map(drop)
    }

    /// Makes a new session of what was said in one, or of what was said before `before`. The copies of the
    /// messages have ids of their own.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn fork_session(
        &self,
        id: &AgentSessionId,
        before: Option<&AgentMessageId>,
    ) -> Result<AgentSession, OpencodeError> {
        let body = before.map_or_else(|| json!({}), |message| json!({"messageID": message}));
        let path = format!("/session/{}/fork", segment(id.as_str()));
        self.ask(Call::post("fork session", path, body).within(PROMPT)).await.map(translate::session)
    }

    /// Lets the model sum up a session. Returns when that is done.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn summarize(&self, id: &AgentSessionId, model: &ModelRef) -> Result<(), OpencodeError> {
        let body = json!({"providerID": model.provider, "modelID": model.model});
        let path = format!("/session/{}/summarize", segment(id.as_str()));
        self.send(Call::post("compact session", path, body).within(SUMMARIZE)).await.map(drop)
    }

    /// Deletes a session with everything in it, and its sub-agents' sessions. One that is gone already is deleted.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn delete_session(&self, id: &AgentSessionId) -> Result<(), OpencodeError> {
        let path = format!("/session/{}", segment(id.as_str()));
        absent(self.send(Call::delete("delete session", path)).await).map(drop)
    }

    /// Hands over a prompt; the turn runs on its own after that.
    ///
    /// # Errors
    /// When [`OpencodeError::may_have_arrived`], ask [`Self::find_message`] before sending it again.
    ///
    /// The same prompt twice is one message: its part has an id as well, so that the second one puts what is
    /// there into its own place. It starts the turn when there was none, and joins the one that runs. Only
    /// behind a newer message of somebody else it would begin a turn of its own.
    pub async fn prompt(&self, session: &AgentSessionId, prompt: &UserPrompt) -> Result<(), OpencodeError> {
        // `tools` is left out on purpose: it would overwrite the session's permission rules for ever.
        let mut body = json!({
            "messageID": prompt.message,
            "agent": prompt.agent,
            "parts": [{"id": ids::part_of(&prompt.message), "type": "text", "text": prompt.text}],
        });
        if !(self.chooses_model && prompt.is_usual_model) {
            body["model"] = json!({"providerID": prompt.model.provider, "modelID": prompt.model.model});
        }
        let path = format!("/session/{}/prompt_async", segment(session.as_str()));
        self.send(Call::post("prompt", path, body).within(PROMPT)).await.map(drop)
    }

    /// A message with its parts, if the agent has it.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn find_message(
        &self,
        session: &AgentSessionId,
        message: &AgentMessageId,
    ) -> Result<Option<AgentMessage>, OpencodeError> {
        let path = format!("/session/{}/message/{}", segment(session.as_str()), segment(message.as_str()));
        let found: Option<wire::Entry> = absent(self.ask(Call::get("message", path)).await)?;
        Ok(found.and_then(translate::turn))
    }

    /// The newest messages of a session, oldest first.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn messages(
        &self,
        session: &AgentSessionId,
        limit: u32,
    ) -> Result<Vec<AgentMessage>, OpencodeError> {
        self.newest_messages(session, limit).await.map(|(messages, _)| messages)
    }

    /// The same, and whether the agent has no more than these. Some of what it has may be of kinds that are not known
    /// here, and left out.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn newest_messages(
        &self,
        session: &AgentSessionId,
        limit: u32,
    ) -> Result<(Vec<AgentMessage>, bool), OpencodeError> {
        let path = format!("/session/{}/message?limit={limit}", segment(session.as_str()));
        let found: Vec<wire::Entry> = self.ask(Call::get("messages", path)).await?;
        let is_whole = found.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        Ok((found.into_iter().filter_map(translate::turn).collect(), is_whole))
    }

    /// What each session does; a session that is not listed is idle.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn statuses(&self) -> Result<BTreeMap<AgentSessionId, AgentStatus>, OpencodeError> {
        let found: BTreeMap<String, wire::Status> = self.ask(Call::get("status", "/session/status")).await?;
        let known = |(id, status)| translate::status(status).map(|status| (AgentSessionId(id), status));
        Ok(found.into_iter().filter_map(known).collect())
    }

    /// Stops what a session does, its sub-agents included. Also succeeds when there is nothing to stop.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn abort(&self, session: &AgentSessionId) -> Result<(), OpencodeError> {
        let path = format!("/session/{}/abort", segment(session.as_str()));
        absent(self.send(Call::post("abort", path, json!({})).within(ABORT)).await).map(drop)
    }

    /// Permission prompts that wait for an answer, of all sessions. One that was asked by a session
    /// which was aborted since stays in this list.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn permissions(&self) -> Result<Vec<AgentRequest>, OpencodeError> {
        let found: Vec<wire::Permission> = self.ask(Call::get("permissions", "/permission")).await?;
        Ok(found.into_iter().map(translate::permission).collect())
    }

    /// Questions that wait for an answer, of all sessions.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn questions(&self) -> Result<Vec<AgentRequest>, OpencodeError> {
        let found: Vec<wire::Question> = self.ask(Call::get("questions", "/question")).await?;
        Ok(found.into_iter().map(translate::question).collect())
    }

    /// Answers a permission prompt. With a message, a refusal lets the turn go on.
    ///
    /// # Errors
    /// [`OpencodeError::NotFound`] when somebody else answered first.
    pub async fn reply_permission(
        &self,
        id: &str,
        reply: PermissionReply,
        message: Option<&str>,
    ) -> Result<(), OpencodeError> {
        self.still_waits(id, self.permissions()).await?;
        let mut body = json!({"reply": reply.as_str()});
        if let Some(message) = message {
            body["message"] = message.into();
        }
        let path = format!("/permission/{}/reply", segment(id));
        self.send(Call::post("answer permission", path, body)).await.map(drop)
    }

    /// Answers a question: one list of labels or free text per question.
    ///
    /// # Errors
    /// [`OpencodeError::NotFound`] when somebody else answered first.
    pub async fn reply_question(&self, id: &str, answers: &[Vec<String>]) -> Result<(), OpencodeError> {
        self.still_waits(id, self.questions()).await?;
        let path = format!("/question/{}/reply", segment(id));
        self.send(Call::post("answer question", path, json!({"answers": answers}))).await.map(drop)
    }

    /// Declines to answer a question; the turn ends.
    ///
    /// # Errors
    /// [`OpencodeError::NotFound`] when somebody else answered first.
    pub async fn reject_question(&self, id: &str) -> Result<(), OpencodeError> {
        self.still_waits(id, self.questions()).await?;
        let path = format!("/question/{}/reject", segment(id));
        self.send(Call::post("reject question", path, json!({}))).await.map(drop)
    }

    /// Makes every attached terminal view show a session.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn select_session(&self, session: &AgentSessionId) -> Result<(), OpencodeError> {
        let body = json!({"sessionID": session});
        self.send(Call::post("show session", "/tui/select-session", body)).await.map(drop)
    }

    /// Aborts what runs and lets go of the project, as a polite step before a stop.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn dispose(&self) -> Result<(), OpencodeError> {
        self.send(Call::post("dispose", "/instance/dispose", json!({})).within(ABORT)).await.map(drop)
    }

    /// Opens the event stream; `head` is how long the answer may take to begin. Everything that
    /// happens after the first event (`Connected`) is in it.
    ///
    /// # Errors
    /// See [`OpencodeError`].
    pub async fn events(&self, head: Duration) -> Result<EventStream, OpencodeError> {
        let call = Call::get("events", "/event").within(head);
        let streaming = call::streaming(&self.connector, self.authorization.reveal(), &call).await?;
        Ok(EventStream::new(streaming, self.known.clone()))
    }

    /// Older releases take an answer to a prompt that is not there any more as if it were: they are asked
    /// first. Whoever answers in between is not noticed; the event of their answer tells.
    async fn still_waits(
        &self,
        id: &str,
        waiting: impl Future<Output = Result<Vec<AgentRequest>, OpencodeError>>,
    ) -> Result<(), OpencodeError> {
        if self.dialect().await.says_who_was_late || waiting.await?.iter().any(|ask| ask.id == id) {
            return Ok(());
        }
        Err(OpencodeError::NotFound { what: format!("prompt {id} that waits for an answer") })
    }

    /// An agent that does not say what it is right now is spoken with like the newest.
    async fn dialect(&self) -> Dialect {
        if let Some(known) = self.dialect.get() {
            return *known;
        }
        let health = self.health(HEALTH).await;
        health.map(|health| health.dialect).unwrap_or(Dialect::NEWEST)
    }

    async fn send(&self, call: Call) -> Result<bytes::Bytes, OpencodeError> {
        call::whole(&self.connector, self.authorization.reveal(), &call, &self.known.now()).await
    }

    async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, OpencodeError> {
        let name = call.name;
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|error| unreadable(name, &error.to_string()))
    }
}

/// The events of a recorded stream.
#[cfg(test)]
pub(crate) fn recording(bytes: &[u8]) -> Vec<crate::model::agent::AgentEvent> {
    let payloads = sse::SseParser::default().push(bytes).unwrap_or_default();
    payloads.iter().map(|payload| translate::event(payload)).collect()
}

fn unreadable(call: &'static str, why: &str) -> OpencodeError {
    OpencodeError::Unreadable { call, why: why.to_owned() }
}

fn absent<T>(answer: Result<T, OpencodeError>) -> Result<Option<T>, OpencodeError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(OpencodeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ids come from a frame; one with a slash in it must not become another path.
fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

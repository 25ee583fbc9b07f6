//! What a frame's agent does, in one word and its details. Derived from facts whenever somebody asks, never stored
//! alone: a word that was true a minute ago is how a dead agent gets called busy. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::agent::{AgentEvent, AgentPart, AgentPartId, AgentSessionId, AgentStatus, PartBody, ToolStatus};
use super::approval::RequestForm;
use super::frame::FrameState;
use super::visible;

/// What the feed of a running frame has seen of its agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Whether its event stream stands.
    pub connected: bool,
    /// When anything was last heard of it (UTC ms); its heartbeat comes every 10 s.
    pub heard_at: u64,
    /// What its sessions do, children included; a session that is not listed is idle.
    pub sessions: BTreeMap<AgentSessionId, AgentStatus>,
    /// Children and the session that made them.
    pub parents: BTreeMap<AgentSessionId, AgentSessionId>,
    /// Tool calls that run.
    pub calls: BTreeMap<AgentPartId, ToolCall>,
}

/// A tool call that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ToolCall {
    /// The tool.
    pub tool: String,
    /// What it does, in one line: a command, or the agent's own words.
    pub what: String,
    /// opencode's id of the conversation that it belongs to.
    #[serde(rename = "agent_session", alias = "session")]
    #[schema(value_type = String)]
    pub session: AgentSessionId,
    /// When anything was last heard of it (UTC ms).
    pub since: u64,
}

/// A tool call of which nothing is heard for so long is named.
const SILENT_MS: u64 = 60_000;
/// So many characters of a command tell which one is meant.
const SHOWN: usize = 80;

impl ToolCall {
    /// The word of the note about one that shows no sign.
    pub const SILENT: &'static str = "tool_silent";

    fn of(part: &AgentPart, now_ms: u64) -> Option<Self> {
        let PartBody::Tool { tool, status: ToolStatus::Running, title, input, .. } = &part.body else {
            return None;
        };
        // A sub-agent has calls of its own.
        if tool == "task" {
            return None;
        }
        let what = input["command"].as_str().or(title.as_deref()).unwrap_or_default();
        let (tool, what) = (visible::line(tool), visible::line(what).chars().take(SHOWN).collect());
        Some(Self { tool, what, session: part.session.clone(), since: now_ms })
    }
}

impl std::fmt::Display for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} shows no sign for a minute", self.tool)?;
        if self.what.is_empty() { Ok(()) } else { write!(f, ": {}", self.what) }
    }
}

/// What is older than this is not known any more: the agent's heartbeat comes every 10 s.
const FRESH_MS: u64 = 25_000;

impl AgentFacts {
    /// Takes note of tool calls. Says whether one began or ended.
    pub fn hear_of_calls(&mut self, event: &AgentEvent, now_ms: u64) -> bool {
        let before = self.calls.len();
        match event {
            AgentEvent::Part(part) => match ToolCall::of(part, now_ms) {
                Some(call) => drop(self.calls.insert(part.id.clone(), call)),
                None => drop(self.calls.remove(&part.id)),
            },
            // It goes on from here.
            AgentEvent::PermissionReplied { session, .. } | AgentEvent::QuestionAnswered { session, .. } => {
                let of_session = self.calls.values_mut().filter(|call| call.session == *session);
                of_session.for_each(|call| call.since = now_ms);
            }
            AgentEvent::Status(session, AgentStatus::Idle) | AgentEvent::SessionDeleted(session) => {
                self.calls.retain(|_, call| call.session != *session);
            }
            _ => {}
        }
        self.calls.len() != before
    }

    /// The tool call of which nothing was heard for the longest time, if that is long: of this conversation and its
    /// sub-agents, or of any.
    #[must_use]
    pub fn silent_call(&self, of: Option<&AgentSessionId>, now_ms: u64) -> Option<&ToolCall> {
        let is_silent = |call: &&ToolCall| {
            now_ms.saturating_sub(call.since) >= SILENT_MS
                && self.sessions.contains_key(&call.session)
                && of.is_none_or(|root| self.root_of(&call.session) == root)
        };
        self.calls.values().filter(is_silent).min_by_key(|call| call.since)
    }

    /// Whether this is about now.
    #[must_use]
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        self.connected || now_ms.saturating_sub(self.heard_at) < FRESH_MS
    }

    /// What works and waits for no child of its own: a parent is busy for as long as its child is.
    fn active(&self) -> impl Iterator<Item = &AgentStatus> {
        let works =
            |id: &AgentSessionId| self.sessions.get(id).is_some_and(|status| *status != AgentStatus::Idle);
        let waits_for_child = move |id: &AgentSessionId| {
            self.parents.iter().any(|(child, parent)| parent == id && works(child))
        };
        self.sessions
            .iter()
            .filter(move |(id, status)| **status != AgentStatus::Idle && !waits_for_child(id))
            .map(|(_, status)| status)
    }

    /// The session that made this one, or that one's, and so on; itself when it is nobody's child.
    #[must_use]
    pub fn root_of<'a>(&'a self, session: &'a AgentSessionId) -> &'a AgentSessionId {
        /// Sub-agents of sub-agents of …; whoever writes the events may write a circle.
        const DEPTH: usize = 8;
        let mut at = session;
        for _ in 0..DEPTH {
            match self.parents.get(at) {
                Some(parent) => at = parent,
                None => break,
            }
        }
        at
    }

    /// Whether any session works, whoever made it do so.
    #[must_use]
    pub fn works(&self) -> bool {
        self.active().next().is_some()
    }
}

/// What the frame's driver knows of the agent's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentHealth {
    /// It answered when it was asked last.
    #[default]
    Answers,
    /// It was asked more than once and holds its port without a word.
    Silent {
        /// UTC ms.
        since: u64,
    },
    /// It was ended and begins again; its sessions are kept.
    Restarting,
}

/// What a frame's agent does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum StatusWord {
    /// On its way to answering, for the first time or again.
    Starting,
    /// It answers and has nothing to do.
    Idle,
    /// A turn runs.
    Busy,
    /// A turn runs and waits for a person.
    Waiting,
    /// Messages wait and none runs yet.
    Queued,
    /// A turn runs; its model call failed and is tried again later.
    Retrying,
    /// It holds its port and answers nothing.
    Wedged,
    /// It went wrong; `start` tries again.
    Error,
    /// Frozen.
    Paused,
    /// Nothing runs.
    #[default]
    Stopped,
}

impl StatusWord {
    /// The word in events, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A model call that is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Retrying {
    /// The model, when the turn is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which attempt comes next.
    pub attempt: u32,
    /// When (UTC ms).
    pub until: u64,
    /// What the provider said.
    #[serde(rename = "reason", alias = "message")]
    pub message: String,
}

/// What a frame's agent does, in one word and its details.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameStatus {
    /// The one word.
    pub word: StatusWord,
    /// With `waiting`: what for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<RequestForm>,
    /// Messages whose turn has not come, whatever the word is.
    #[serde(default)]
    pub queued: u32,
    /// With `retrying`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retrying>,
    /// With `error`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With `wedged`: since when it has been silent (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// With `busy`: a tool call of which nothing was heard for a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<ToolCall>,
    /// With `silent`: the command that stops its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
}

impl FrameStatus {
    /// Which tool call shows no sign, with the command that stops it.
    #[must_use]
    pub fn silence(&self) -> Option<String> {
        let call = self.silent.as_ref()?;
        let stop = self.stop.as_ref().map(|command| format!(" (`{command}` stops it)")).unwrap_or_default();
        Some(format!("{call}{stop}"))
    }

    /// Everything but the word, in one line; nothing when there is nothing more to say.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(self.waiting_for.map(|form| form.to_string()));
        if let Some(retry) = &self.retry {
            let model = retry.model.as_ref().map(|model| format!("{model}, ")).unwrap_or_default();
            parts.push(format!("{model}attempt {}: {}", retry.attempt, retry.message));
        }
        parts.extend(self.reason.clone());
        parts.extend(self.silence());
        if self.queued > 0 {
            parts.push(format!("{} queued", self.queued));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// For a column: `busy`, `waiting (question), queued (2)`.
impl std::fmt::Display for FrameStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.word)?;
        match (&self.waiting_for, &self.retry) {
            (Some(form), _) => write!(f, " ({form})")?,
            (None, Some(Retrying { model: Some(model), .. })) => write!(f, " ({model})")?,
            _ => {}
        }
        if let Some(call) = &self.silent {
            write!(f, " ({}: no sign)", call.tool)?;
        }
        match (self.word, self.queued) {
            (_, 0) => Ok(()),
            (StatusWord::Queued, count) => write!(f, " ({count})"),
            (_, count) => write!(f, ", queued ({count})"),
        }
    }
}

/// What is known about a frame at one moment.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// What the driver last confirmed.
    pub state: FrameState,
    /// Why it is in `error`.
    pub reason: Option<&'a str>,
    /// What the driver knows of its agent's life.
    pub health: AgentHealth,
    /// What its agent said; absent when nothing is heard of it.
    pub agent: Option<&'a AgentFacts>,
    /// The model of each message that is on its way or runs.
    pub working: &'a [Option<String>],
    /// Messages whose turn has not come.
    pub queued: u32,
    /// What waits for a person, oldest first.
    pub prompts: &'a [RequestForm],
    /// UTC ms.
    pub now_ms: u64,
}

/// The one place that decides what a frame's agent is said to do.
#[must_use]
pub fn derive(known: &Known<'_>) -> FrameStatus {
    let status = |word| FrameStatus { word, queued: known.queued, ..FrameStatus::default() };
    match known.state {
        FrameState::Error => {
            FrameStatus { reason: known.reason.map(str::to_owned), ..status(StatusWord::Error) }
        }
        FrameState::Paused => status(StatusWord::Paused),
        FrameState::Starting => status(StatusWord::Starting),
        FrameState::Created | FrameState::Stopped if known.queued > 0 || !known.working.is_empty() => {
            // Whoever sent them has woken it; until the driver begins, they wait.
            let waiting = known.queued + u32::try_from(known.working.len()).unwrap_or(u32::MAX);
            FrameStatus { queued: waiting, ..status(StatusWord::Queued) }
        }
        FrameState::Created | FrameState::Stopped => status(StatusWord::Stopped),
        FrameState::Running => running(known, status),
    }
}

fn running(known: &Known<'_>, status: impl Fn(StatusWord) -> FrameStatus) -> FrameStatus {
    match known.health {
        AgentHealth::Restarting => return status(StatusWord::Starting),
        AgentHealth::Silent { since } => {
            return FrameStatus { since: Some(since), ..status(StatusWord::Wedged) };
        }
        AgentHealth::Answers => {}
    }
    if let Some(form) = known.prompts.first() {
        return FrameStatus { waiting_for: Some(*form), ..status(StatusWord::Waiting) };
    }
    let active: Vec<&AgentStatus> = known
        .agent
        .filter(|facts| facts.is_fresh(known.now_ms))
        .map(|facts| facts.active().collect())
        .unwrap_or_default();
    match active.iter().map(|status| retry_of(status, known.working)).collect::<Option<Vec<_>>>() {
        Some(retries) if !retries.is_empty() => {
            let soonest = retries.into_iter().min_by_key(|retry| retry.until);
            FrameStatus { retry: soonest, ..status(StatusWord::Retrying) }
        }
        _ if !active.is_empty() || !known.working.is_empty() => {
            let heard = known.agent.filter(|facts| facts.is_fresh(known.now_ms));
            let silent = heard.and_then(|facts| facts.silent_call(None, known.now_ms));
            FrameStatus { silent: silent.cloned(), ..status(StatusWord::Busy) }
        }
        _ if known.queued > 0 => status(StatusWord::Queued),
        _ => status(StatusWord::Idle),
    }
}

/// The retry that a session is in; with the model when only one can be meant.
fn retry_of(status: &AgentStatus, working: &[Option<String>]) -> Option<Retrying> {
    let AgentStatus::Retry { attempt, message, next_at } = status else { return None };
    let model = match working {
        [only] => only.clone(),
        _ => None,
    };
    Some(Retrying { model, attempt: *attempt, until: *next_at, message: message.clone() })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

//! What an agent says, in our words.
//!
//! `opencode/translate.rs` turns opencode's JSON into these; nothing else in the
//! program knows that JSON.

use serde::{Deserialize, Serialize};

use super::approval::AgentRequest;
use super::usage::Tokens;

macro_rules! foreign_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

foreign_id!(
    /// opencode's id of a session (`ses_…`).
    AgentSessionId
);
foreign_id!(
    /// opencode's id of a message (`msg_…`). Ids sort by time, and their order is the order of the talk.
    AgentMessageId
);
foreign_id!(
    /// opencode's id of a part of a message (`prt_…`).
    AgentPartId
);

/// A model as people write it: `provider/model`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    /// Before the first slash.
    pub provider: String,
    /// Everything behind it; may hold slashes itself.
    pub model: String,
}

/// A text that names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a model: write it as provider/model, for example anthropic/claude-sonnet-4-20250514")]
pub struct InvalidModelRef(pub String);

impl std::str::FromStr for ModelRef {
    type Err = InvalidModelRef;
    fn from_str(text: &str) -> Result<Self, InvalidModelRef> {
        match text.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
            }
            _ => Err(InvalidModelRef(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ModelRef {
    type Error = InvalidModelRef;
    fn try_from(text: String) -> Result<Self, InvalidModelRef> {
        text.parse()
    }
}

impl From<ModelRef> for String {
    fn from(model: ModelRef) -> String {
        model.to_string()
    }
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// What a session is doing, as the agent reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum AgentStatus {
    /// A turn runs (or waits for a person).
    Busy,
    /// Nothing to do.
    Idle,
    /// A model call failed and will be tried again.
    Retry {
        /// Which attempt comes next.
        attempt: u32,
        /// What the provider said.
        message: String,
        /// When (UTC ms).
        next_at: u64,
    },
}

/// Why a turn failed, as the agent reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFailure {
    /// opencode's error name, such as `APIError` or `MessageAbortedError`.
    pub name: String,
    /// A sentence.
    pub message: String,
    /// The provider's HTTP status, if there was one.
    pub status: Option<u16>,
}

impl AgentFailure {
    /// Whether somebody stopped the turn.
    #[must_use]
    pub fn is_abort(&self) -> bool {
        self.name == "MessageAbortedError"
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// We did.
    User,
    /// The model did.
    Assistant,
}

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageInfo {
    /// Its id.
    pub id: AgentMessageId,
    /// The session it belongs to.
    pub session: AgentSessionId,
    /// Who wrote it.
    pub role: Role,
    /// For an assistant's message: the user message it answers (not reliable after compaction).
    pub parent: Option<AgentMessageId>,
    /// `provider/model` that wrote it.
    pub model: Option<String>,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms; absent while it is written, and for ever if the agent died meanwhile.
    pub completed_at: Option<u64>,
    /// `stop`, `length`, `tool-calls`, …; absent while written or after an error.
    pub finish: Option<String>,
    /// Why it failed.
    pub error: Option<AgentFailure>,
    /// Tokens so far.
    pub tokens: Tokens,
    /// Cost so far in millionths of a US dollar.
    pub cost_microusd: u64,
}

impl MessageInfo {
    /// Whether it is the last one of an answer: it failed, or the model wished for no further tool call.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.error.is_some() || (self.completed_at.is_some() && self.finish.as_deref() != Some("tool-calls"))
    }
}

/// How far a tool call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ToolStatus {
    /// The model is still writing the call.
    Pending,
    /// It runs.
    Running,
    /// It ended.
    Completed,
    /// It failed or was refused.
    Error,
}

/// What a part of a message is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PartBody {
    /// Text for the reader.
    Text {
        /// All of it so far; empty while it streams (docs/traps.md, 14).
        text: String,
        /// Added by the agent itself, not by the author of the message.
        synthetic: bool,
    },
    /// The model's thinking.
    Reasoning {
        /// All of it so far.
        text: String,
    },
    /// A tool call.
    Tool {
        /// The tool's name.
        tool: String,
        /// The call's id.
        call_id: String,
        /// How far it is.
        status: ToolStatus,
        /// A short description for people.
        title: Option<String>,
        /// Arguments.
        input: serde_json::Value,
        /// Output, or the error text.
        output: Option<String>,
    },
    /// A model step ended.
    StepFinish {
        /// The step's finish reason.
        reason: String,
        /// The step's tokens.
        tokens: Tokens,
        /// The step's cost in millionths of a US dollar.
        cost_microusd: u64,
    },
    /// Files were changed.
    Patch {
        /// Paths.
        files: Vec<String>,
    },
    /// Anything else, by its type.
    Other {
        /// opencode's word.
        kind: String,
    },
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentPart {
    /// Its id.
    pub id: AgentPartId,
    /// The session it belongs to.
    pub session: AgentSessionId,
    /// The message it belongs to.
    pub message: AgentMessageId,
    /// Whether it is complete.
    pub ended: bool,
    /// When it began (UTC ms), where the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When it ended (UTC ms), where the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    /// What it is.
    pub body: PartBody,
}

/// A message with its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentMessage {
    /// Its head.
    pub head: MessageInfo,
    /// Its parts, in order.
    pub parts: Vec<AgentPart>,
}

impl AgentMessage {
    /// Whether a person wrote it. The agent writes user messages of its own, when it compacts for instance.
    #[must_use]
    pub fn is_prompt(&self) -> bool {
        let is_word = |part: &AgentPart| matches!(part.body, PartBody::Text { synthetic: false, .. });
        self.head.role == Role::User && self.parts.iter().any(is_word)
    }

    /// Whether nothing more is said in it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.head.completed_at.is_some() || self.head.error.is_some()
    }
}

/// How a message of a conversation was taken back, past mimir or through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TakeBack {
    /// By `/undo`, with the changes to files; the agent does not know of it any more, and `/redo` brings it back.
    Undone,
    /// For good: somebody went on after `/undo`, or deleted it.
    Removed,
}

impl TakeBack {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// That a message does not stand any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TakenBack {
    /// How.
    pub how: TakeBack,
    /// When that was noticed first (UTC ms). Who did it is not known: the agent does not say.
    pub at: u64,
}

/// From where on a session is undone, as the agent keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoPoint {
    /// The first message that is.
    pub message: AgentMessageId,
    /// Only some parts of that one are; those behind it are whole.
    pub keeps_message: bool,
}

/// Something the agent's event stream said.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// The stream stands; everything from here on is seen.
    Connected,
    /// Nothing new, still there (every 10 s).
    Heartbeat,
    /// A session was made or changed.
    SessionUpdated {
        /// Which.
        session: AgentSessionId,
        /// The session it is a child of.
        parent: Option<AgentSessionId>,
        /// Its title.
        title: String,
        /// Whatever was stored with it; ours hold our ids.
        metadata: serde_json::Value,
        /// From where on it is undone, if it is.
        undone: Option<UndoPoint>,
    },
    /// A session was deleted.
    SessionDeleted(AgentSessionId),
    /// What a session does changed.
    Status(AgentSessionId, AgentStatus),
    /// A turn or a session failed. May lack the session.
    Failed(Option<AgentSessionId>, AgentFailure),
    /// A message's head is new or changed.
    Message(MessageInfo),
    /// A part is new or changed; replaces the part of that id.
    Part(AgentPart),
    /// More text for a part.
    PartDelta {
        /// The session.
        session: AgentSessionId,
        /// The message.
        message: AgentMessageId,
        /// The part.
        part: AgentPartId,
        /// What to append.
        delta: String,
    },
    /// A message is gone: deleted, or undone and then written over.
    MessageRemoved(AgentSessionId, AgentMessageId),
    /// The agent wants leave to do something, or an answer.
    Asked(AgentRequest),
    /// Somebody answered.
    PermissionReplied {
        /// The session.
        session: AgentSessionId,
        /// The permission's id.
        permission: String,
        /// `once`, `always` or `reject`.
        reply: String,
    },
    /// Somebody answered or rejected a question.
    QuestionAnswered {
        /// The session.
        session: AgentSessionId,
        /// The question's id.
        question: String,
    },
    /// The server of this folder goes away; the stream ends after this.
    Disposed,
    /// Something we have no use for.
    Other(String),
}

impl AgentEvent {
    /// Whether it shows that the agent gets on with something. One that answers nothing any more may go on
    /// beating, and one that is asked to listen says so before it does anything else.
    #[must_use]
    pub fn shows_life(&self) -> bool {
        !matches!(self, Self::Connected | Self::Heartbeat | Self::Disposed)
    }

    /// The session it is about, if it is about one.
    #[must_use]
    pub fn session(&self) -> Option<&AgentSessionId> {
        match self {
            Self::SessionUpdated { session, .. }
            | Self::SessionDeleted(session)
            | Self::Status(session, _)
            | Self::PartDelta { session, .. }
            | Self::MessageRemoved(session, _)
            | Self::PermissionReplied { session, .. }
            | Self::QuestionAnswered { session, .. } => Some(session),
            Self::Message(head) => Some(&head.session),
            Self::Part(part) => Some(&part.session),
            Self::Asked(ask) => Some(&ask.session),
            Self::Failed(session, _) => session.as_ref(),
            Self::Connected | Self::Heartbeat | Self::Disposed | Self::Other(_) => None,
        }
    }
}

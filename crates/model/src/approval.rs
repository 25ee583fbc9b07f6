//! What an agent asks a person: leave to do something, or a question.

use serde::{Deserialize, Serialize};

use super::agent::{AgentMessageId, AgentSessionId};
use super::ids::{ApprovalId, FrameId, MessageId, SessionId};
use super::names::FrameName;

/// What is asked of a person.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RequestForm {
    /// Leave to use a tool.
    Permission,
    /// A question with or without options.
    Question,
    /// Leave to reach a host that is not on the frame's list. The gateway asks, and no agent answers.
    Connection,
}

impl RequestForm {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A prompt as the agent puts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentRequest {
    /// opencode's id of it (`per_…`, `que_…`).
    pub id: String,
    /// The session, maybe a child's.
    pub session: AgentSessionId,
    /// The tool call that waits for it, if the agent says.
    pub call: Option<AskedCall>,
    /// What is asked.
    pub body: AskBody,
}

/// The tool call that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedCall {
    /// The assistant's message it is part of.
    pub message: AgentMessageId,
    /// The call's id.
    pub call_id: String,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub enum AskBody {
    /// Leave to use a tool.
    Permission {
        /// `bash`, `edit`, `external_directory`, … or the name of an MCP tool.
        tool: String,
        /// What exactly: commands, paths, addresses. Each must be allowed.
        patterns: Vec<String>,
        /// What `always` would allow from then on.
        always: Vec<String>,
        /// Whatever else the agent says: the whole command, the diff.
        metadata: serde_json::Value,
    },
    /// One or more questions that are answered together.
    Question {
        /// In order; the answers have the same order.
        questions: Vec<AskedQuestion>,
    },
    /// Leave to reach a host that is not on the frame's list.
    Connection {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What `always` puts on the list: the host, with the port where that is not one of the web's.
        listed: String,
        /// What the program that asks calls itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
    },
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AskedQuestion {
    /// A few words for a heading.
    pub header: String,
    /// The question.
    pub text: String,
    /// What can be chosen; free text is always possible.
    pub options: Vec<AskedOption>,
    /// Whether more than one may be chosen.
    pub multiple: bool,
}

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AskedOption {
    /// The answer itself.
    pub label: String,
    /// What it means.
    pub description: String,
}

impl AgentRequest {
    /// What kind of request it is.
    #[must_use]
    pub fn form(&self) -> RequestForm {
        match self.body {
            AskBody::Permission { .. } => RequestForm::Permission,
            AskBody::Question { .. } => RequestForm::Question,
            AskBody::Connection { .. } => RequestForm::Connection,
        }
    }

    /// What is asked, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.body {
            AskBody::Permission { tool, patterns, .. } => format!("{tool}: {}", patterns.join(", ")),
            AskBody::Question { questions } => {
                questions.first().map(|question| question.text.clone()).unwrap_or_default()
            }
            AskBody::Connection { listed, program, .. } => {
                format!("{} wants {listed}", program.as_deref().unwrap_or("something in the frame"))
            }
        }
    }
}

/// How far a prompt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ApprovalState {
    /// It waits for somebody.
    Pending,
    /// Somebody decided; the agent is being told.
    Answering,
    /// The agent may.
    Allowed,
    /// The agent may not, or its question was declined.
    Denied,
    /// The question has its answers.
    Answered,
    /// It is not asked any more: the agent was restarted, its turn was stopped, or nobody knows how it was answered.
    Expired,
}

impl ApprovalState {
    /// Whether an answer is still to be given to the agent.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Answering)
    }

    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What somebody says to a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(tag = "decision", rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Decision {
    /// This time.
    Once,
    /// This time, and the agent need not ask for the like again until it is restarted. A host is on the frame's list then.
    Always,
    /// No. With a reason the agent is told it and goes on; without one its turn ends.
    Reject {
        /// For the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// To each question its answers: labels of options, or free text.
    Answer {
        /// In the order of the questions.
        answers: Vec<Vec<String>>,
    },
}

impl Decision {
    /// The word in events and in the audit log.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        self.into()
    }

    /// What a prompt becomes when the agent was told.
    #[must_use]
    pub fn outcome(&self) -> ApprovalState {
        match self {
            Self::Once | Self::Always => ApprovalState::Allowed,
            Self::Reject { .. } => ApprovalState::Denied,
            Self::Answer { .. } => ApprovalState::Answered,
        }
    }

    /// Whether it is an answer to that kind of prompt.
    #[must_use]
    pub fn fits(&self, form: RequestForm) -> bool {
        match self {
            Self::Once | Self::Always => matches!(form, RequestForm::Permission | RequestForm::Connection),
            Self::Answer { .. } => form == RequestForm::Question,
            Self::Reject { .. } => true,
        }
    }
}

/// A prompt, as its row says.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRequest {
    /// Ours.
    pub id: ApprovalId,
    /// Whose agent asks.
    pub frame: FrameId,
    /// The frame's name, which outlives the frame.
    pub frame_name: FrameName,
    /// The conversation, if we know it; a sub-agent asks within that of its parent.
    pub session: Option<SessionId>,
    /// The message whose turn waits, if it is one of ours.
    pub message: Option<MessageId>,
    /// Whether a sub-agent asks.
    pub from_child: bool,
    /// As the agent puts it.
    pub ask: AgentRequest,
    /// How far it is.
    pub state: ApprovalState,
    /// What was decided.
    pub decision: Option<Decision>,
    /// Who decided: a principal, `policy`, `deadline`, `elsewhere` (at the frame's terminal or its own API), `agent` (nobody was there).
    pub decided_by: Option<String>,
    /// By which rule.
    pub rule: Option<String>,
    /// Why: what the agent was told, or why it is not asked any more.
    pub reason: Option<String>,
    /// When it is denied by itself (UTC ms); only in unattended runs, and of a connection.
    pub deadline_at: Option<u64>,
    /// UTC ms.
    pub asked_at: u64,
    /// UTC ms.
    pub decided_at: Option<u64>,
}

impl ApprovalRequest {
    /// One that was asked at `asked_at` and waits.
    #[must_use]
    pub fn pending(
        id: ApprovalId,
        frame: FrameId,
        frame_name: FrameName,
        ask: AgentRequest,
        asked_at: u64,
    ) -> Self {
        Self {
            id,
            frame,
            frame_name,
            session: None,
            message: None,
            from_child: false,
            ask,
            state: ApprovalState::Pending,
            decision: None,
            decided_by: None,
            rule: None,
            reason: None,
            deadline_at: None,
            asked_at,
            decided_at: None,
        }
    }

    /// What to type to answer it.
    #[must_use]
    pub fn command(&self) -> String {
        command(self.ask.form().as_str(), self.id.as_str())
    }
}

/// What to type to answer a prompt of that form and id.
#[must_use]
pub fn command(form: &str, id: &str) -> String {
    match form {
        "question" => format!("mimir approvals answer {id} …"),
        _ => format!("mimir approvals allow {id}"),
    }
}

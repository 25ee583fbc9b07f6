//! What agents ask people, as clients see it.

use serde::{Deserialize, Serialize};

use crate::approval::{ApprovalState, AskedQuestion, RequestForm};
use crate::policy::Rule;

/// Something that an agent asks: leave to use a tool, or questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalView {
    /// Ours.
    pub id: String,
    /// The frame's name, also of a frame that is gone.
    pub frame: String,
    /// The conversation, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The message whose turn waits, if it is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What is asked: leave to use a tool, a question, or leave to reach a host (the gateway asks that, no agent).
    pub form: RequestForm,
    /// How far it is.
    pub state: ApprovalState,
    /// What is asked, in one line.
    pub text: String,
    /// Of a permission: `bash`, `edit`, `external_directory`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Of a permission: each command, path or address. Of a connection: the host and port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
    /// What `always` would allow from then on: of a permission until the agent is restarted, of a connection until it is
    /// denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<String>,
    /// Of a permission: whatever else the agent says, such as the whole command or the change to a file.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub metadata: serde_json::Value,
    /// Of a question: what is asked, with options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<AskedQuestion>,
    /// Whether a sub-agent asks.
    pub from_child: bool,
    /// `once`, `always`, `reject` or `answer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Of a question: what was answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Vec<String>>,
    /// Who decided: a principal, `policy`, `deadline`, `elsewhere` (at the frame's terminal or its own API), `agent` (nobody was there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// By which rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is denied by itself (UTC ms); only in unattended runs, and of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<u64>,
    /// UTC ms.
    pub asked_at: u64,
    /// UTC ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<u64>,
}

/// `POST /v1/approvals/{id}/answer`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerApproval {
    /// What to say.
    pub decision: Say,
    /// With `reject`: why, for the agent, which then goes on; without it the turn of a permission ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// With `answer`: to each question its answers, labels of options or free text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Vec<String>>,
}

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Say {
    /// This time.
    Once,
    /// This time, and the agent need not ask for the like again until it is restarted. A host is on the frame's list then.
    Always,
    /// No.
    Reject,
    /// The answers to questions.
    Answer,
}

/// `GET` and `PUT /v1/frames/{name}/policy`: the rules of a frame, behind the configured ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Later ones win.
    pub rules: Vec<Rule>,
}

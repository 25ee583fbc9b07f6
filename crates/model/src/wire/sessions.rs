//! What can be asked of conversations, and what was found in them.

use serde::{Deserialize, Serialize};

use crate::agent::{TakenBack, ToolStatus};
use crate::usage::Tokens;

/// A piece of a message, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PartView {
    /// Text.
    Text {
        /// All of it.
        text: String,
        /// Added by the agent itself, not by the author of the message.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        synthetic: bool,
    },
    /// The model thought aloud. No part of its answer.
    Reasoning {
        /// All of it.
        text: String,
        /// UTC ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<u64>,
        /// UTC ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_at: Option<u64>,
    },
    /// A tool was called.
    Tool {
        /// Which.
        tool: String,
        /// The call's id.
        call: String,
        /// How far it came.
        status: ToolStatus,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Its arguments.
        input: serde_json::Value,
        /// All of its output, or why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// UTC ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<u64>,
        /// UTC ms.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_at: Option<u64>,
    },
    /// Files were changed.
    Files {
        /// Their paths in the frame.
        paths: Vec<String>,
    },
    /// A call of the model ended.
    Step {
        /// Its finish reason.
        reason: String,
        /// Its tokens.
        tokens: Tokens,
        /// Millionths of a US dollar.
        cost_microusd: u64,
    },
    /// Something else.
    Other {
        /// opencode's word for it.
        kind: String,
    },
}

/// `PATCH /v1/sessions/{id}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSession {
    /// Its new title, 1 to 200 characters that are not only blanks.
    #[schema(schema_with = super::schemas::title)]
    pub title: String,
}

/// `POST /v1/sessions/{id}/fork`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkSession {
    /// Leaves out this message (an id of mimir's or of opencode's) and everything behind it; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The title of the new conversation; the old one with "(fork)" behind it when absent.
    #[schema(schema_with = super::schemas::new_title)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// The answer to `POST /v1/sessions/{id}/abort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionAborted {
    /// Whether there was something to stop.
    pub stopped: bool,
    /// The message that was being answered, if it was sent through mimir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many messages wait behind it; they are sent next.
    pub waiting: u64,
}

/// A message of a conversation in which it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchHit {
    /// The conversation.
    pub session: String,
    /// Its title.
    pub title: String,
    /// The name of its frame, which may be gone.
    pub frame: String,
    /// opencode's id of the message.
    pub agent_message: String,
    /// `user` or `assistant`.
    pub role: String,
    /// UTC ms.
    pub at: u64,
    /// Who wrote it, `provider/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// It does not stand any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBack>,
    /// The place where it was found.
    pub snippet: Vec<SnippetPiece>,
}

/// A piece of a snippet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SnippetPiece {
    /// The words.
    pub text: String,
    /// Whether they were looked for.
    pub hit: bool,
}

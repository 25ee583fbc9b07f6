//! What an agent asks a person: leave to do something, or a question.

use serde::{Deserialize, Serialize};

use super::agent::{AgentMessageId, AgentSessionId};

/// Which of the two an agent asks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PromptForm {
    /// Leave to use a tool.
    Permission,
    /// A question with or without options.
    Question,
}

impl PromptForm {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Question => "question",
        }
    }
}

impl std::fmt::Display for PromptForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A prompt as the agent puts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
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

impl Ask {
    /// Which of the two it is.
    #[must_use]
    pub fn form(&self) -> PromptForm {
        match self.body {
            AskBody::Permission { .. } => PromptForm::Permission,
            AskBody::Question { .. } => PromptForm::Question,
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
        }
    }
}

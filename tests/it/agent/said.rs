//! A conversation's history, as a reader sees it.

use mimir::model::agent::{AgentMessage, AgentPart, PartBody, Role, ToolStatus};
use mimir::model::ids::SessionId;
use mimir::sessions::Sessions;

/// One message of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who wrote it.
    pub role: Role,
    /// UTC ms.
    pub at: u64,
    /// Who wrote it, `provider/model`.
    pub model: Option<String>,
    /// Its text.
    pub text: String,
    /// Tools it called, a line each.
    pub tools: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What was said, oldest first.
pub async fn history(sessions: &Sessions, id: &SessionId) -> Vec<Said> {
    sessions.read(id).await.expect("a history").history.into_iter().map(said).collect()
}

fn said(turn: AgentMessage) -> Said {
    let texts = turn.parts.iter().filter_map(|part| match &part.body {
        PartBody::Text { text, synthetic: false } if !text.trim().is_empty() => Some(text.trim_end()),
        _ => None,
    });
    Said {
        role: turn.head.role,
        at: turn.head.created_at,
        model: turn.head.model,
        text: texts.collect::<Vec<_>>().join("\n\n"),
        tools: turn.parts.iter().filter_map(tool_line).collect(),
        error: turn.head.error.map(|error| error.message),
    }
}

fn tool_line(part: &AgentPart) -> Option<String> {
    let PartBody::Tool { tool, status, title, output, .. } = &part.body else { return None };
    let what = title.as_deref().filter(|title| !title.is_empty());
    let what = what.map(|title| format!(" {title}")).unwrap_or_default();
    Some(match status {
        ToolStatus::Completed => format!("{tool}{what}"),
        ToolStatus::Error => {
            let why = output.as_deref().and_then(|output| output.lines().next()).unwrap_or("failed");
            format!("{tool}{what}: {why}")
        }
        ToolStatus::Pending | ToolStatus::Running => format!("{tool}{what} (did not end)"),
    })
}

//! Made-up messages, for tests.

use crate::model::agent::{
    AgentMessageId, AgentPart, AgentPartId, AgentSessionId, MessageInfo, PartBody, Role,
};
use crate::model::usage::Tokens;

/// An id of a message.
pub(crate) fn id(text: &str) -> AgentMessageId {
    AgentMessageId(text.into())
}

/// A message that was begun in the session `ses`.
pub(crate) fn head(name: &str, role: Role) -> MessageInfo {
    MessageInfo {
        id: id(name),
        session: AgentSessionId("ses".into()),
        role,
        parent: None,
        model: None,
        created_at: 1,
        completed_at: None,
        finish: None,
        error: None,
        tokens: Tokens { input: 10, ..Tokens::default() },
        cost_microusd: 5,
    }
}

/// An answer that ended.
pub(crate) fn finished(name: &str, reason: &str) -> MessageInfo {
    MessageInfo { completed_at: Some(2), finish: Some(reason.into()), ..head(name, Role::Assistant) }
}

/// The text of a message.
pub(crate) fn text(message: &str, text: &str, synthetic: bool) -> AgentPart {
    AgentPart {
        id: AgentPartId(format!("prt_{message}")),
        session: AgentSessionId("ses".into()),
        message: id(message),
        ended: true,
        started_at: None,
        ended_at: None,
        body: PartBody::Text { text: text.into(), synthetic },
    }
}

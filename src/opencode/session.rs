//! A session, as the rest of the program sees it.

use serde_json::Value;

use crate::model::agent::{AgentSessionId, UndoPoint};

/// A session, as the agent keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSession {
    /// Its id.
    pub id: AgentSessionId,
    /// The session it is a sub-agent's child of.
    pub parent: Option<AgentSessionId>,
    /// Its title.
    pub title: String,
    /// Whatever was stored with it; ours hold our ids.
    pub metadata: Value,
    /// From where on it is undone, if it is.
    pub undone: Option<UndoPoint>,
    /// When anything of it changed (UTC ms).
    pub updated_at: u64,
}

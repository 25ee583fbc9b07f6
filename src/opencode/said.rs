//! What an agent keeps, as the rest of the program sees it.

use serde_json::Value;

use crate::model::agent::{AgentPart, AgentSessionId, MessageInfo};

/// A message with its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentMessage {
    /// Its head.
    pub head: MessageInfo,
    /// Its parts, in order.
    pub parts: Vec<AgentPart>,
}

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
    /// When anything of it changed (UTC ms).
    pub updated_at: u64,
}

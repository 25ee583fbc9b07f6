//! What is known of a frame's agent at this moment. Pure; lives in memory only.

use std::collections::BTreeMap;

use super::agent::{AgentSessionId, AgentStatus};

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
}

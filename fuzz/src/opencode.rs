//! What of the agent's box needs no connection.

#[path = "../../src/opencode/dialect.rs"]
pub mod dialect;
#[path = "../../src/opencode/session.rs"]
mod session;
#[path = "../../src/opencode/sse.rs"]
pub mod sse;
#[path = "../../src/opencode/translate.rs"]
mod translate;
#[path = "../../src/opencode/wire.rs"]
mod wire;

pub use session::AgentSession;

use crate::model::agent::{AgentEvent, AgentMessage};
use crate::model::approval::AgentRequest;

/// One payload of the event stream.
pub fn event(payload: &[u8]) -> AgentEvent {
    translate::event(payload)
}

/// The list of permission prompts.
pub fn permissions(body: &[u8]) -> Option<Vec<AgentRequest>> {
    let found: Vec<wire::Permission> = serde_json::from_slice(body).ok()?;
    Some(found.into_iter().map(translate::permission).collect())
}

/// The list of questions.
pub fn questions(body: &[u8]) -> Option<Vec<AgentRequest>> {
    let found: Vec<wire::Question> = serde_json::from_slice(body).ok()?;
    Some(found.into_iter().map(translate::question).collect())
}

/// The list of messages.
pub fn turns(body: &[u8]) -> Option<Vec<AgentMessage>> {
    let found: Vec<wire::Entry> = serde_json::from_slice(body).ok()?;
    Some(found.into_iter().filter_map(translate::turn).collect())
}

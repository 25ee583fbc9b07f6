//! What services above need from frames: a running agent to talk to.

use std::time::Duration;

use async_trait::async_trait;

use super::{FrameError, Frames};
use crate::model::agent::AgentSessionId;
use crate::model::ids::FrameId;
use crate::opencode::OpencodeClient;

/// What somebody does who then leaves is heard of a moment later.
const JUST_NOW: Duration = Duration::from_secs(10);

/// Why there is no agent to talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It will not come; tell the sender why.
    #[error("{0}")]
    NotThere(String),
    /// The gateway stops. The message stays where it is and goes on after the next start.
    #[error("the gateway stops")]
    Stopping,
}

/// Where agents live. Implemented by [`Frames`]; tests lead it to a scripted server.
#[async_trait]
pub trait AgentLocator: Send + Sync {
    /// Starts the frame unless it runs, waits until its agent answers, and says how to talk to it.
    async fn wake(&self, frame: &FrameId, deadline: Duration) -> Result<OpencodeClient, PlaceError>;

    /// How to talk to the agent as the frame stands now. The password changes with every start, so
    /// ask again after a connection was lost.
    async fn agent(&self, frame: &FrameId) -> Result<OpencodeClient, PlaceError>;

    /// Sees to it that the terminal's agent window, when it opens, opens on this conversation. A window that
    /// is open already is told by the agent itself. Nothing depends on it, so it has no outcome.
    async fn show(&self, frame: &FrameId, session: &AgentSessionId);

    /// The frame's agent said something that shows that it gets on: it is not silent, whatever else it leaves
    /// unanswered. Called for each word of an answer, so it must be cheap.
    fn heard(&self, _frame: &FrameId) {}

    /// The frame's event stream brought a heartbeat: the agent's process lives, whatever else it does.
    fn beats(&self, _frame: &FrameId) {}

    /// The frame's event stream stands, for the first time or again: its agent may have begun anew.
    fn stands(&self, _frame: &FrameId) {}

    /// Whether somebody outside may have just done something in the frame past us: at its terminal, with a command,
    /// or through its own API. `true` where nobody can know.
    fn is_attended(&self, _frame: &FrameId) -> bool {
        true
    }
}

#[async_trait]
impl AgentLocator for Frames {
    async fn wake(&self, frame: &FrameId, deadline: Duration) -> Result<OpencodeClient, PlaceError> {
        let awake = Frames::wake(self, frame, deadline).await?;
        Ok(self.agent_access(&awake).await?.client())
    }

    async fn agent(&self, frame: &FrameId) -> Result<OpencodeClient, PlaceError> {
        let frame = self.get_by_id(frame).await?;
        Ok(self.agent_access(&frame).await?.client())
    }

    async fn show(&self, frame: &FrameId, session: &AgentSessionId) {
        self.show_session(frame, session).await;
    }

    fn heard(&self, frame: &FrameId) {
        if let Some(handle) = self.inner.drivers.get(frame) {
            handle.note_output();
        }
    }

    fn beats(&self, frame: &FrameId) {
        if let Some(handle) = self.inner.drivers.get(frame) {
            handle.note_beat();
        }
    }

    fn stands(&self, frame: &FrameId) {
        if let Some(handle) = self.inner.drivers.get(frame) {
            handle.note_stream();
            self.inner.wake_driver(frame);
        }
    }

    fn is_attended(&self, frame: &FrameId) -> bool {
        self.inner.deps.external.has(frame) || self.was_visited_within(frame, JUST_NOW)
    }
}

impl From<FrameError> for PlaceError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Interrupted => Self::Stopping,
            error => Self::NotThere(error.to_string()),
        }
    }
}

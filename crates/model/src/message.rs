//! A prompt on its way to a frame.

use serde::{Deserialize, Serialize};

use super::agent::{AgentMessageId, ModelRef};
use super::ids::{FrameId, MessageId, SessionId};
use super::names::FrameName;
use super::usage::Tokens;

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum DeliveryState {
    /// Stored; its turn has not come.
    Queued,
    /// Its agent message id is saved; it may or may not have arrived.
    Sending,
    /// The agent has it.
    Sent,
    /// The agent was seen working on it.
    Running,
    /// The answer is stored.
    Answered,
    /// It will not be answered; the reason is in the row.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A move that deliveries do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that is {from} cannot become {to}")]
pub struct IllegalDelivery {
    /// Where it stands.
    pub from: DeliveryState,
    /// What it was to become.
    pub to: DeliveryState,
}

impl DeliveryState {
    /// Every move a delivery can make. Answered, failed and cancelled are final.
    ///
    /// # Errors
    /// [`IllegalDelivery`] when the table has no such row.
    pub fn to(self, to: Self) -> Result<Self, IllegalDelivery> {
        use DeliveryState::{Answered, Cancelled, Failed, Queued, Running, Sending, Sent};
        let from: &[Self] = match to {
            // Back to the queue: asked the agent, and it never got the message.
            Queued => &[Sending],
            Sending => &[Queued],
            Sent => &[Sending],
            Running => &[Sending, Sent],
            Answered => &[Sending, Sent, Running],
            Failed | Cancelled => &[Queued, Sending, Sent, Running],
        };
        if from.contains(&self) { Ok(to) } else { Err(IllegalDelivery { from: self, to }) }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Answered | Self::Failed | Self::Cancelled)
    }

    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One message, as its row says.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Ours.
    pub id: MessageId,
    /// The key of the request that made it; the same key gives the same message.
    pub idempotency_key: Option<String>,
    /// Whom it is for.
    pub frame: FrameId,
    /// The frame's name, which outlives the frame.
    pub frame_name: FrameName,
    /// The conversation it belongs to.
    pub session: SessionId,
    /// What was asked.
    pub text: String,
    /// With which model; the frame's own when absent.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents (`build`, `plan`, …).
    pub agent: Option<String>,
    /// How far it is.
    pub state: DeliveryState,
    /// Why it failed.
    pub reason: Option<String>,
    /// opencode's id of it, chosen by us before it is sent.
    pub agent_message: Option<AgentMessageId>,
    /// The answer's text.
    pub answer: Option<String>,
    /// Tokens of the whole turn.
    pub tokens: Tokens,
    /// Cost of the whole turn in millionths of a US dollar.
    pub cost_microusd: u64,
    /// UTC ms.
    pub created_at: u64,
    /// When the agent was given it (UTC ms).
    pub sent_at: Option<u64>,
    /// When it reached a final state (UTC ms).
    pub ended_at: Option<u64>,
    /// It goes before the others of its conversation, and interrupted what ran there.
    pub urgent: bool,
    /// Why it is to be stopped, when somebody asked for that.
    pub stop: Option<String>,
    /// Its first words, when they were edited.
    pub given: Option<String>,
    /// When it was handed over again, because the agent had it and did not begin (UTC ms).
    pub resent_at: Option<u64>,
}

/// A conversation, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Ours.
    pub id: SessionId,
    /// In which frame.
    pub frame: FrameId,
    /// The frame's name, which outlives the frame.
    pub frame_name: FrameName,
    /// opencode's id of it; absent until the agent made it.
    pub agent_session: Option<super::agent::AgentSessionId>,
    /// The conversation that it was split off from.
    pub forked_from: Option<SessionId>,
    /// A short name for people.
    pub title: String,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    pub last_active_at: u64,
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn final_states_are_final() {
        for from in DeliveryState::iter().filter(|state| state.is_final()) {
            for to in DeliveryState::iter() {
                assert!(from.to(to).is_err(), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn every_open_state_can_fail_and_be_cancelled() {
        for from in DeliveryState::iter().filter(|state| !state.is_final()) {
            assert!(from.to(DeliveryState::Failed).is_ok());
            assert!(from.to(DeliveryState::Cancelled).is_ok());
        }
    }
}

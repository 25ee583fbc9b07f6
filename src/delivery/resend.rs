//! A message that was accepted and never runs.
//!
//! opencode stores a prompt before it works on it, and a process that dies or stumbles between the two
//! leaves a message that nobody will ever answer. The same message sent once more, with the ids of its message
//! and its part, starts the turn and appends nothing (measured with 1.18.33: before the turn, while it runs, and
//! after it). Behind somebody else's newer message it would begin a second turn, so there it is given up.

use super::Delivery;
use super::delivery::{Attempt, Halt, Pass, passing};
use super::transcript::Transcript;
use super::verdict::{Patience, Verdict};
use crate::model::event::EventKind;
use crate::model::message::{DeliveryState, Message};
use crate::store::{StoreError, Tx, messages, queue};

/// What followers are told, as a note.
const RESENT: &str = "message_resent";

impl Delivery {
    /// How long an idle agent may take with this message.
    pub(super) fn patience(&self, message: &Message) -> Patience {
        let usual = self.inner.deps.settings.patience;
        match message.resent_at {
            Some(_) => Patience { begin: usual.begin_again, ..usual },
            None => usual,
        }
    }

    /// Hands a message over once more that the agent does nothing about; the second time it is given up.
    pub(super) async fn hand_over_again(
        &self,
        attempt: &mut Attempt,
        turn: &mut Transcript,
        why: String,
    ) -> Result<Option<Pass>, Halt> {
        let is_first = attempt.message.resent_at.is_none();
        // One that was seen running and is unknown now was lost, not overlooked.
        let was_seen = attempt.message.state == DeliveryState::Running;
        let prompt = match &attempt.message.agent_message {
            Some(id) if is_first && !was_seen && turn.other_prompts().next().is_none() => id.clone(),
            _ => {
                // What has failed must not run later.
                self.abort(attempt, turn).await;
                let why = if is_first { why } else { format!("{why}, also when it was sent again") };
                return Ok(Some(Pass::Ended(Verdict::Failed(why))));
            }
        };
        let id = attempt.message.id.clone();
        let text = format!("{why}; it was handed over again");
        let save = move |tx: &mut Tx<'_>| {
            let message = queue::note_resent(tx, &id)?;
            tx.emit(&messages::subject(&message), &EventKind::FrameNote { code: RESENT.into(), text })?;
            Ok(message)
        };
        attempt.message = match self.inner.deps.store.write(save).await {
            Ok(message) => message,
            // Begun or stopped in this very moment: the next look says which.
            Err(StoreError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        tracing::warn!(message = %attempt.message.id, "frame {}: {why}; it is handed over again", attempt.message.frame_name);
        self.inner.deps.failpoints.hit("send.before_resend").await;
        let again = self.prompt(&attempt.message, prompt);
        match attempt.client.prompt(&attempt.session, &again).await {
            Ok(()) => Ok(None),
            Err(error) => Ok(Some(passing(error))),
        }
    }
}

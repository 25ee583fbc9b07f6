//! Handing a message over to the agent: its id is chosen and saved first, and it is one message however often it is sent.
//!
//! opencode stores a prompt before it works on it, and a process that dies or stumbles between the two leaves a message
//! that nobody will ever answer. The same message sent once more, with the ids of its message and its part, starts
//! the turn and appends nothing (measured with 1.18.33: before the turn, while it runs, and after it). Behind
//! somebody else's newer message it would begin a second turn, so there it is given up.

use tokio::time::Instant;

use super::followed_turn::{FollowedTurn, LOOK_AGAIN};
use super::outcome::{Attempt, AttemptOutcome, Interrupted};
use super::{Delivery, STREAM_HEAD, model_choice};
use crate::clock;
use crate::feed::{Patience, TurnHandle, Verdict};
use crate::model::agent::{AgentMessageId, Role};
use crate::model::event::EventKind;
use crate::model::message::{DeliveryState, Message};
use crate::opencode::{OpencodeError, UserPrompt, ids};
use crate::store::{StoreError, Tx, messages, queue};

/// What followers are told, as a note.
const RESENT: &str = "message_resent";

impl Delivery {
    /// Saves the agent's id of the message, then sends it. Nothing when the turn is to be awaited.
    pub(super) async fn hand_over(
        &self,
        attempt: &mut Attempt,
        turn: &mut FollowedTurn,
    ) -> Result<Option<AttemptOutcome>, Interrupted> {
        // First, so that a message whose agent cannot be heard stays queued.
        if let Err(away) = self.inner.deps.feeds.stands(&attempt.message.frame, STREAM_HEAD).await {
            return Ok(Some(away.into()));
        }
        let newest = match self.newest_when_let_go(attempt).await {
            Ok(newest) => newest,
            Err(error) => return Ok(Some(error.into())),
        };
        let prompt = match &attempt.message.agent_message {
            // Tried before: whatever of that is still on its way joins this one. Not behind newer messages,
            // because the order of the ids is the order of the talk.
            Some(tried) if newest.as_ref().is_none_or(|newest| newest <= tried) => tried.clone(),
            _ => ids::mint(self.inner.deps.clock.now_ms(), newest.as_ref(), clock::entropy::<14>()),
        };
        let (id, saved) = (attempt.message.id.clone(), prompt.clone());
        let (routing, agent) = (self.inner.routing.now(), self.inner.deps.settings.default_agent.clone());
        let save = move |tx: &mut Tx<'_>| {
            let message = messages::get(tx, &id)?;
            let head = queue::head(tx, &message.session)?;
            if message.stop.is_some() || head.is_none_or(|head| head.id != id) {
                return Err(StoreError::Conflict {
                    what: "the message is not the next any more, and".into(),
                });
            }
            model_choice::choose(tx, &routing, &message, &agent)?;
            messages::move_to(tx, &id, DeliveryState::Sending, None)?;
            messages::set_agent_message(tx, &id, &saved)?;
            messages::get(tx, &id)
        };
        attempt.message = match self.inner.deps.store.write(save).await {
            Ok(message) => message,
            // Moved in this very moment (cancelled, most likely): nothing was sent, and the row says what to do.
            Err(StoreError::Conflict { .. }) => return Ok(Some(AttemptOutcome::Ended(Verdict::NotYet))),
            Err(error) => return Err(error.into()),
        };
        self.inner.deps.failpoints.hit("send.after_id_saved").await;
        // Tracked before anything is sent, so that nothing of the turn is missed.
        if let Some(lost) = self.track(attempt, turn, true).await {
            return Ok(Some(lost));
        }
        let sent = attempt.client.prompt(&attempt.session, &self.prompt(&attempt.message, prompt)).await;
        self.inner.deps.failpoints.hit("send.after_prompt").await;
        match sent {
            Ok(()) => {
                attempt.message = self.move_message(attempt, DeliveryState::Sent).await?;
                self.inner.deps.failpoints.hit("send.after_sent").await;
                self.show(attempt);
            }
            // A server error may have come after the message was stored.
            Err(error @ OpencodeError::Refused { status: 500.., .. }) => {
                if !self.arrived(attempt).await? || attempt.message.state != DeliveryState::Sent {
                    return Ok(Some(AttemptOutcome::Ended(Verdict::Failed(error.to_string()))));
                }
            }
            Err(error) => return Ok(Some(error.into())),
        }
        turn.handed_over();
        Ok(None)
    }

    /// The newest message of a session that rests. An agent that was told to stop rests before it has let go of the
    /// turn, and stops with it what is asked of it until then; the last word of its answer comes just before. After a
    /// crash it never comes.
    async fn newest_when_let_go(&self, attempt: &Attempt) -> Result<Option<AgentMessageId>, OpencodeError> {
        let until = Instant::now() + self.inner.deps.settings.patience.settle;
        loop {
            let newest = attempt.client.messages(&attempt.session, 1).await?.pop();
            let is_whole = newest
                .as_ref()
                .is_none_or(|newest| newest.head.role == Role::User || newest.head.completed_at.is_some());
            if is_whole || Instant::now() >= until {
                return Ok(newest.map(|newest| newest.head.id));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// For a message that was being sent when something broke: asks the agent. Says whether it could be asked.
    pub(super) async fn arrived(&self, attempt: &mut Attempt) -> Result<bool, StoreError> {
        let found = match &attempt.message.agent_message {
            Some(id) => attempt.client.find_message(&attempt.session, id).await,
            None => Ok(None),
        };
        let to = match found {
            Ok(Some(_)) => DeliveryState::Sent,
            Ok(None) => DeliveryState::Queued,
            Err(_) => return Ok(false),
        };
        attempt.message = self.move_message(attempt, to).await?;
        Ok(true)
    }

    /// Hands a message over once more that the agent does nothing about; the second time it is given up.
    pub(super) async fn hand_over_again(
        &self,
        attempt: &mut Attempt,
        turn: &mut TurnHandle,
        why: String,
        is_newest: bool,
    ) -> Result<Option<AttemptOutcome>, Interrupted> {
        attempt.message = self.reread(&attempt.message.id).await?;
        let is_first = attempt.message.resent_at.is_none();
        // One that was seen running and is unknown now was lost, not overlooked.
        let was_seen = attempt.message.state == DeliveryState::Running;
        let prompt = match &attempt.message.agent_message {
            Some(id) if is_first && !was_seen && is_newest => id.clone(),
            _ => {
                // What has failed must not run later.
                let why = if is_first { why } else { format!("{why}, also when it was sent again") };
                return Ok(Some(self.stop(attempt, turn, Verdict::Failed(why)).await));
            }
        };
        let id = attempt.message.id.clone();
        let text = format!("{why}; it was handed over again");
        let save = move |tx: &mut Tx<'_>| {
            let message = queue::note_resent(tx, &id)?;
            tx.emit(&messages::subject(&message), &EventKind::FrameNote { code: RESENT.into(), text })?;
            Ok(message)
        };
        match self.inner.deps.store.write(save).await {
            Ok(message) => attempt.message = message,
            // Begun or stopped in this very moment: the next look says which.
            Err(StoreError::Conflict { .. }) => {
                turn.handed_over_again(self.patience(&attempt.message));
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
        tracing::warn!(message = %attempt.message.id, "frame {}: {why}; it is handed over again", attempt.message.frame_name);
        self.inner.deps.failpoints.hit("send.before_resend").await;
        let again = self.prompt(&attempt.message, prompt);
        if let Err(error) = attempt.client.prompt(&attempt.session, &again).await {
            return Ok(Some(error.into()));
        }
        turn.handed_over_again(self.patience(&attempt.message));
        Ok(None)
    }

    /// How long an idle agent may take with this message.
    pub(super) fn patience(&self, message: &Message) -> Patience {
        let settings = &self.inner.deps.settings;
        match message.resent_at {
            Some(_) => Patience { begin: settings.begin_again, ..settings.patience },
            None => settings.patience,
        }
    }

    fn prompt(&self, message: &Message, id: AgentMessageId) -> UserPrompt {
        let settings = &self.inner.deps.settings;
        UserPrompt {
            message: id,
            text: message.text.clone(),
            model: message.model.clone().unwrap_or_else(|| settings.default_model.clone()),
            is_usual_model: message.model.is_none(),
            agent: message.agent.clone().unwrap_or_else(|| settings.default_agent.clone()),
        }
    }
}

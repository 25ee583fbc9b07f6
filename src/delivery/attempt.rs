//! One message, from queued to its end.
//!
//! May be interrupted anywhere. Each attempt begins with what the row says and what the agent knows, so one after a crash
//! is one like any other.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::followed_turn::FollowedTurn;
use super::outcome::{Attempt, AttemptOutcome, Interrupted};
use super::{Delivery, FREE_POLL, LET_GO};
use crate::feed::Verdict;
use crate::frames::PlaceError;
use crate::model::budget::refusal_in;
use crate::model::frame::{Desired, FrameState};
use crate::model::ids::MessageId;
use crate::model::message::{DeliveryState, Message};
use crate::model::usage::Tokens;
use crate::opencode::OpencodeClient;
use crate::store::messages::Finish;
use crate::store::{StoreError, Tx, frames, messages, sessions};
use crate::supervisor::backoff::Backoff;

/// Why a message failed whose turn something in the frame ended.
const STOPPED_ITSELF: &str =
    "the turn was stopped from within the frame: nobody was at its terminal or used its API from outside";

impl Delivery {
    /// Brings a message to its end.
    pub(super) async fn deliver(&self, message: Message) -> Result<(), Interrupted> {
        let id = message.id.clone();
        let cancel = self.cancel_token(&id);
        let mut turn = FollowedTurn::default();
        let verdict = self.to_its_end(message, &cancel, &mut turn).await?;
        self.inner.deps.failpoints.hit("send.before_end").await;
        self.write_end(&id, verdict, turn.usage()).await?;
        self.inner.deps.failpoints.hit("send.after_end").await;
        self.forget_cancel(&id);
        Ok(())
    }

    async fn to_its_end(
        &self,
        message: Message,
        cancel: &CancellationToken,
        turn: &mut FollowedTurn,
    ) -> Result<Verdict, Interrupted> {
        let id = message.id.clone();
        let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut lost_since: Option<Instant> = None;
        loop {
            let message = self.reread(&id).await?;
            if message.state.is_final() || self.rests(&message).await? {
                return Ok(Verdict::NotYet);
            }
            let reached = tokio::select! {
                reached = self.reach(&message, lost_since.is_some()) => reached?,
                () = stop_asked(cancel, message.state, LET_GO) => return Ok(Verdict::Stopped),
            };
            let client = match reached {
                Ok(client) => client,
                Err(_) if cancel.is_cancelled() => return Ok(Verdict::Stopped),
                // Somebody put the frame to rest while it was being started for this message.
                Err(_) if self.rests(&message).await? => return Ok(Verdict::NotYet),
                Err(why) => return Ok(Verdict::Failed(why)),
            };
            let began = Instant::now();
            let return_after_loss = self.inner.deps.settings.return_after_loss;
            match self.attempt(message, client, cancel, turn).await? {
                AttemptOutcome::Ended(verdict) => return Ok(verdict),
                AttemptOutcome::Lost(why) => {
                    // An attempt that held for a while was a recovery; the next loss is a new one.
                    if began.elapsed() > return_after_loss {
                        lost_since = None;
                        delays.reset();
                    }
                    let since = *lost_since.get_or_insert(Instant::now());
                    if since.elapsed() > return_after_loss {
                        return Ok(Verdict::Failed(format!(
                            "the agent went away and did not come back: {why}"
                        )));
                    }
                    if cancel.is_cancelled() {
                        return Ok(Verdict::Stopped);
                    }
                    tokio::time::sleep(delays.next_delay()).await;
                }
            }
        }
    }

    /// A client for the agent, or why there will be none.
    ///
    /// A message that the agent may have is not worth a start: somebody stopped its frame, and with it the turn.
    async fn reach(
        &self,
        message: &Message,
        after_loss: bool,
    ) -> Result<Result<OpencodeClient, String>, Interrupted> {
        let in_flight = matches!(message.state, DeliveryState::Sent | DeliveryState::Running);
        let frame = loop {
            let id = message.frame.clone();
            let Some(frame) = self.inner.deps.store.read(move |db| frames::find(db, &id)).await? else {
                return Ok(Err(format!("frame {} was destroyed", message.frame_name)));
            };
            // Whoever paused it wants the turn to wait as well.
            if !(in_flight && frame.desired == Desired::Paused) {
                break frame;
            }
            tokio::time::sleep(FREE_POLL).await;
        };
        // First: a frame that fails is not wanted to run any more either, and that is not the reason.
        if let (FrameState::Error, Some(why)) = (frame.state, &frame.reason) {
            if in_flight {
                return Ok(Err(format!("frame {} failed before the agent had answered: {why}", frame.name)));
            }
            // It was sent to a frame that worked; only who knows about the error may have it tried again.
            if message.created_at < frame.state_changed_at {
                return Ok(Err(format!("frame {} failed while the message waited: {why}", frame.name)));
            }
        }
        if in_flight && frame.desired != Desired::Running {
            return Ok(Err(format!("frame {} was stopped before the agent had answered", frame.name)));
        }
        let reached = if after_loss && in_flight && frame.state == FrameState::Running {
            self.inner.deps.locator.agent(&frame.id).await
        } else {
            self.inner.deps.locator.wake(&frame.id, self.inner.deps.settings.wake).await
        };
        self.inner.deps.failpoints.hit("send.after_wake").await;
        match reached {
            Ok(client) => Ok(Ok(client)),
            Err(PlaceError::NotThere(why)) => Ok(Err(why)),
            Err(PlaceError::Stopping) => Err(Interrupted::Stopping),
        }
    }

    /// Everything that can be done over one connection to the agent.
    async fn attempt(
        &self,
        message: Message,
        client: OpencodeClient,
        cancel: &CancellationToken,
        turn: &mut FollowedTurn,
    ) -> Result<AttemptOutcome, Interrupted> {
        let session = match self.ensure_session(&client, &message).await? {
            Ok(session) => session,
            Err(error) => return Ok(error.into()),
        };
        let mut attempt = Attempt { message, session, client, cancel: cancel.clone() };
        if attempt.message.state == DeliveryState::Sending && !self.arrived(&mut attempt).await? {
            return Ok(AttemptOutcome::Lost("it cannot be asked whether it has the message".to_owned()));
        }
        let ended = if attempt.message.state == DeliveryState::Queued {
            if cancel.is_cancelled() {
                return Ok(AttemptOutcome::Ended(Verdict::Stopped));
            }
            match self.wait_until_free(&attempt).await? {
                None => self.hand_over(&mut attempt, turn).await?,
                ended => ended,
            }
        } else {
            self.track(&attempt, turn, false).await
        };
        match ended {
            Some(ended) => Ok(ended),
            None => self.await_turn(&mut attempt, turn).await,
        }
    }

    pub(super) async fn reread(&self, id: &MessageId) -> Result<Message, StoreError> {
        let id = id.clone();
        self.inner.deps.store.read(move |db| messages::get(db, &id)).await
    }

    pub(super) async fn move_message(
        &self,
        attempt: &Attempt,
        to: DeliveryState,
    ) -> Result<Message, StoreError> {
        let id = attempt.message.id.clone();
        let change = move |tx: &mut Tx<'_>| messages::move_to(tx, &id, to, None);
        self.inner.deps.store.write(change).await
    }

    /// Usage and the final state in one transaction; the history is stored. A message that has ended meanwhile stays as
    /// it is.
    async fn write_end(
        &self,
        id: &MessageId,
        verdict: Verdict,
        usage: Option<(Tokens, u64)>,
    ) -> Result<(), StoreError> {
        if verdict == Verdict::NotYet {
            return Ok(());
        }
        let frame = self.reread(id).await?.frame;
        let is_attended = self.inner.deps.locator.is_attended(&frame);
        let id = id.clone();
        let change = move |tx: &mut Tx<'_>| {
            let message = messages::get(tx, &id)?;
            sessions::touch(tx, &message.session)?;
            frames::touch(tx, &message.frame)?;
            if let Some((tokens, cost_microusd)) = usage {
                messages::set_usage(tx, &id, &tokens, cost_microusd)?;
            }
            if message.state.is_final() {
                return Ok(());
            }
            let frame = frames::find(tx, &message.frame)?;
            let is_wanted = frame.is_some_and(|frame| frame.desired == Desired::Running);
            match verdict {
                Verdict::Answered(answer) => {
                    let (tokens, cost_microusd) = usage.unwrap_or_default();
                    let finish = Finish { answer: answer.text, tokens, cost_microusd, finish: answer.finish };
                    messages::finish(tx, &id, &finish)?;
                }
                Verdict::Failed(why) | Verdict::NotBegun(why) => {
                    // Money is said as it is, and not in an agent's wrapping.
                    let why = refusal_in(&why).unwrap_or(why);
                    messages::move_to(tx, &id, DeliveryState::Failed, Some(&why))?;
                }
                Verdict::Stopped => {
                    let (state, why) = stopped(message.stop.as_deref(), is_attended || !is_wanted);
                    messages::move_to(tx, &id, state, Some(why))?;
                }
                Verdict::NotYet => {}
            }
            Ok(())
        };
        self.inner.deps.store.write(change).await
    }
}

/// How a message ends whose turn was stopped: by whoever asked us to; else by people, as far as they were at the frame's
/// terminal, used its API from outside, or do not want the frame to run; else by what runs in the frame, which is no person.
fn stopped(wish: Option<&str>, may_be_people: bool) -> (DeliveryState, &str) {
    match wish {
        Some(why) => (DeliveryState::Cancelled, why),
        None if may_be_people => (DeliveryState::Cancelled, "the turn was stopped"),
        None => (DeliveryState::Failed, STOPPED_ITSELF),
    }
}

/// Completes when a message is to be stopped. One that the agent may have is given a moment more, so that the
/// agent itself can be told.
async fn stop_asked(cancel: &CancellationToken, state: DeliveryState, moment: Duration) {
    cancel.cancelled().await;
    if state != DeliveryState::Queued {
        tokio::time::sleep(moment).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_cancelled_by_people_and_by_nothing_in_its_frame() {
        for may_be_people in [true, false] {
            let wanted = stopped(Some("cancelled by me"), may_be_people);
            assert_eq!(wanted, (DeliveryState::Cancelled, "cancelled by me"));
        }
        assert_eq!(stopped(None, true), (DeliveryState::Cancelled, "the turn was stopped"));
        assert_eq!(stopped(None, false), (DeliveryState::Failed, STOPPED_ITSELF));
    }
}

//! What waits: how much of it, for how long, and what may still be done about it.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::concurrency::Permit;
use super::error::{CancelError, EditError, SendError};
use super::outcome::{Attempt, AttemptOutcome};
use super::turn_limits::span;
use super::{CANCEL_WAIT, Delivery, FREE_POLL, SendRequest};
use crate::config::schema::Queue;
use crate::feed::Verdict;
use crate::model::agent::AgentStatus;
use crate::model::frame::FrameState;
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{DeliveryState, Message, Session};
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::store::queue::{Edit, Waiting};
use crate::store::{StoreError, Tx, frames, messages, queue, sessions};
use crate::supervisor::Service;
use crate::supervisor::keyed::Wakes;

/// How often a waiting message is looked at when nobody calls.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is looked for messages that waited too long, at least; a clock may be set.
const SWEEP: Duration = Duration::from_secs(30);
/// How long the agent may take to say whether it is free for a message that cannot wait.
const ASK_NOW: Duration = Duration::from_secs(3);

impl Queue {
    /// Whether one more message may wait.
    pub(super) fn make_room(&self, waiting: Waiting, frame: &FrameName) -> Result<(), SendError> {
        let full = |waiting, limit, place: String| {
            Err(SendError::QueueFull { waiting, place, limit, frame: frame.to_string() })
        };
        if waiting.in_session >= self.per_session {
            return full(waiting.in_session, self.per_session, "in this conversation".to_owned());
        }
        if waiting.in_frame >= self.per_frame {
            return full(waiting.in_frame, self.per_frame, format!("for frame {frame}"));
        }
        Ok(())
    }

    /// Whether a message could be sent without any waiting, as far as the rows say.
    pub(super) fn only_now(
        &self,
        waiting: Waiting,
        frame: &FrameName,
        state: FrameState,
    ) -> Result<(), SendError> {
        let busy = usize::try_from(waiting.busy_sessions).unwrap_or(usize::MAX);
        let why = if state != FrameState::Running {
            format!("frame {frame} is {state} and would have to be started first")
        } else if waiting.open_in_session > 0 {
            let before = waiting.open_in_session;
            match before {
                1 => "1 message of this conversation comes first".to_owned(),
                _ => format!("{before} messages of this conversation come first"),
            }
        } else if busy >= self.parallel {
            format!("{busy} conversations of frame {frame} are busy, and {} is the most", self.parallel)
        } else {
            return Ok(());
        };
        Err(SendError::NotNow(why))
    }
}

/// What a message that waits is to do next.
enum Now {
    /// Go, as soon as there is room.
    Go,
    /// Stay: its frame rests, and it was not sent to wake it.
    Rest,
    /// The row is another one; look again.
    Changed,
}

impl Delivery {
    /// Stops a message: one that waits is never sent, one that runs is aborted. Waits a while for the
    /// agent to let go and returns the message as it stands then; one that has ended stays as it ended.
    ///
    /// # Errors
    /// [`CancelError::NotFound`].
    pub async fn cancel(&self, principal: &Principal, id: &MessageId) -> Result<Message, CancelError> {
        let by = principal.clone();
        let wanted = id.clone();
        let change = move |tx: &mut Tx<'_>| {
            let message = messages::get(tx, &wanted)?;
            if message.state.is_final() {
                return Ok(message);
            }
            tx.audit(&by, "message.cancel", wanted.as_str(), &json!({"state": message.state}))?;
            let why = format!("cancelled by {by}");
            if message.state == DeliveryState::Queued {
                return messages::move_to(tx, &wanted, DeliveryState::Cancelled, Some(&why));
            }
            // Saved before the agent is asked, so that the next gateway asks it as well.
            queue::ask_to_stop(tx, &wanted, &why)?;
            messages::get(tx, &wanted)
        };
        let message = self.inner.deps.store.write(change).await.map_err(|error: StoreError| match error {
            StoreError::NotFound { key, .. } => CancelError::NotFound(key),
            error => CancelError::Store(error),
        })?;
        // Also for one that was only queued: its worker may be waiting for the frame on its behalf.
        self.cancel_token(id).cancel();
        if message.state.is_final() {
            self.forget_cancel(id);
            self.notify(&message.session);
            return Ok(message);
        }
        self.wake(&message.session);
        Ok(self.wait_for_end(id, CANCEL_WAIT).await?)
    }

    /// Changes a message that waits. Its place in the queue stays.
    ///
    /// # Errors
    /// See [`EditError`]; nothing was changed then.
    pub async fn edit(
        &self,
        principal: &Principal,
        id: &MessageId,
        edit: Edit,
    ) -> Result<Message, EditError> {
        let (by, id) = (principal.clone(), id.clone());
        let change = move |tx: &mut Tx<'_>| {
            let before = match messages::get(tx, &id) {
                Err(StoreError::NotFound { key, .. }) => return Err(EditError::NotFound(key)),
                found => found?,
            };
            if before.state != DeliveryState::Queued {
                return Err(EditError::NotWaiting(before.state));
            }
            let bytes = edit.text.as_ref().map(|text| text.as_str().len());
            tx.audit(&by, "message.edit", id.as_str(), &json!({"bytes": bytes}))?;
            Ok(queue::edit(tx, &id, &edit)?)
        };
        self.inner.deps.store.write_as(change).await
    }

    /// Asks the agent itself whether it is free for a message that is to be sent now or not at all: somebody
    /// may be typing in the terminal.
    pub(super) async fn is_free_now(&self, request: &SendRequest) -> Result<(), SendError> {
        let Some(word) = request.session.word().map(str::to_owned) else { return Ok(()) };
        let (wanted, key) = (request.frame.clone(), request.key.clone());
        let found = move |db: &crate::store::Db<'_>| {
            // A repeat of what was accepted is no new message, and may be what the agent is busy with.
            if let Some(key) = &key
                && messages::find_by_key(db, key.as_str())?.is_some()
            {
                return Ok(None);
            }
            let Some(frame) = frames::find_by_name(db, &wanted)? else { return Ok(None) };
            let sessions::Named::One(session) = sessions::named(db, sessions::Among::Of(&frame.id), &word)?
            else {
                return Ok(None);
            };
            // What is open here is in the way by itself.
            let is_open = queue::head(db, &session.id)?.is_some();
            Ok((!is_open).then_some((frame, session)))
        };
        // What is not there, or does not run, is said in the transaction that would store the message.
        let Some((frame, Session { agent_session: Some(session), .. })) =
            self.inner.deps.store.read(found).await?
        else {
            return Ok(());
        };
        if frame.state != FrameState::Running {
            return Ok(());
        }
        let asked = async {
            let client = self.inner.deps.locator.agent(&frame.id).await.map_err(|error| error.to_string())?;
            client.statuses().await.map_err(|error| error.to_string())
        };
        let why = match tokio::time::timeout(ASK_NOW, asked).await {
            Ok(Ok(all)) if all.get(&session).is_none_or(|status| *status == AgentStatus::Idle) => {
                return Ok(());
            }
            Ok(Ok(_)) => "somebody else works in this conversation, in the terminal or past mimir".to_owned(),
            Ok(Err(error)) => format!("the agent cannot be asked whether it is free: {error}"),
            Err(_) => format!("the agent did not say within {} s whether it is free", ASK_NOW.as_secs()),
        };
        Err(SendError::NotNow(why))
    }

    /// Stops what was stored as to be stopped.
    pub(super) fn interrupt(&self, stopped: &[MessageId]) {
        for id in stopped {
            self.cancel_token(id).cancel();
        }
    }

    /// Waits until a queued message may go. None: it is not the next any more, or not at all.
    pub(super) async fn may_go(
        &self,
        message: &Message,
        wakes: &mut Wakes,
    ) -> Result<Option<Permit>, StoreError> {
        let inner = &self.inner;
        let cancel = self.cancel_token(&message.id);
        let mut waiter = None;
        loop {
            let changed = inner.limit.changed();
            match self.look_at_queue(message).await? {
                Now::Changed => return Ok(None),
                // Not among those who wait for a permit: it must not keep those waiting that could go.
                Now::Rest => waiter = None,
                Now::Go => {
                    let waiter = waiter
                        .get_or_insert_with(|| inner.limit.wait(&message.frame, &message.id, message.urgent));
                    if let Some(permit) = waiter.try_acquire(inner.rules.now().parallel) {
                        return Ok(Some(permit));
                    }
                }
            }
            tokio::select! {
                () = changed => {}
                () = wakes.next() => {}
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look_at_queue(&self, message: &Message) -> Result<Now, StoreError> {
        let wanted = message.clone();
        let asked = move |db: &crate::store::Db<'_>| {
            let head = queue::head(db, &wanted.session)?;
            let is_next =
                head.is_some_and(|head| head.id == wanted.id && head.state == DeliveryState::Queued);
            Ok((is_next, queue::rests(db, &wanted)?))
        };
        Ok(match self.inner.deps.store.read(asked).await? {
            (false, _) => Now::Changed,
            (true, true) => Now::Rest,
            (true, false) => Now::Go,
        })
    }

    /// Whether a queued message waits for a frame that somebody put to rest after it was sent.
    pub(super) async fn rests(&self, message: &Message) -> Result<bool, StoreError> {
        if message.state != DeliveryState::Queued {
            return Ok(false);
        }
        let wanted = message.clone();
        self.inner.deps.store.read(move |db| queue::rests(db, &wanted)).await
    }
}

impl Service for Delivery {
    const NAME: &'static str = "queue";

    /// Ends messages whose time to wait is over, wherever in a queue they stand. Runs until `stop`.
    async fn run(&self, stop: CancellationToken) {
        loop {
            let pause = match self.end_overdue().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "messages that waited too long cannot be ended: {error}; again in {SWEEP:?}");
                    SWEEP
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Delivery {
    /// Says when to look again. What is sent meanwhile is due later than what was there.
    async fn end_overdue(&self) -> Result<Duration, StoreError> {
        let store = &self.inner.deps.store;
        let wait = self.inner.rules.now().wait;
        loop {
            let Some(oldest) = store.read(|db| queue::oldest(db)).await? else { return Ok(wait.min(SWEEP)) };
            let waited =
                Duration::from_millis(self.inner.deps.clock.now_ms().saturating_sub(oldest.created_at));
            if waited <= wait {
                // Past its time and not just at it.
                return Ok((wait - waited + Duration::from_millis(1)).min(SWEEP));
            }
            self.give_up_waiting(&oldest).await?;
        }
    }

    async fn give_up_waiting(&self, message: &Message) -> Result<(), StoreError> {
        let id = message.id.clone();
        let wait = span(self.inner.rules.now().wait);
        let why = format!("it waited for more than {wait} and could not be sent (queue.wait)");
        let change = move |tx: &mut Tx<'_>| {
            // Only one that still waits: it may have been taken in this very moment.
            match messages::get(tx, &id)?.state {
                DeliveryState::Queued => {
                    messages::move_to(tx, &id, DeliveryState::Failed, Some(&why)).map(Some)
                }
                _ => Ok(None),
            }
        };
        if self.inner.deps.store.write(change).await?.is_some() {
            // Its worker may be starting the frame on its behalf.
            self.cancel_token(&message.id).cancel();
            self.forget_cancel(&message.id);
            self.notify(&message.session);
        }
        Ok(())
    }

    /// Waits while the session does something else (somebody types in the terminal). An urgent message does
    /// not wait: it stops what runs there.
    pub(super) async fn wait_until_free(
        &self,
        attempt: &Attempt,
    ) -> Result<Option<AttemptOutcome>, StoreError> {
        let mut stopped = false;
        loop {
            match attempt.client.statuses().await {
                Ok(all) if all.get(&attempt.session).is_none_or(|status| *status == AgentStatus::Idle) => {
                    return Ok(None);
                }
                Ok(_) if attempt.message.urgent && !stopped => {
                    stopped = true;
                    if let Err(error) = attempt.client.abort(&attempt.session).await {
                        return Ok(Some(error.into()));
                    }
                }
                Ok(_) => {}
                Err(error) => return Ok(Some(error.into())),
            }
            tokio::select! {
                () = tokio::time::sleep(FREE_POLL) => {}
                () = attempt.cancel.cancelled() => return Ok(Some(AttemptOutcome::Ended(Verdict::Stopped))),
            }
            if !matches!(self.look_at_queue(&attempt.message).await?, Now::Go) {
                return Ok(Some(AttemptOutcome::Ended(Verdict::NotYet)));
            }
        }
    }
}

/// Notes for every message of the conversation that was begun that it is to be stopped.
pub(super) fn stop_what_runs(
    tx: &mut Tx<'_>,
    session: &SessionId,
    by: &MessageId,
    principal: &Principal,
) -> Result<Vec<MessageId>, StoreError> {
    let begun = queue::begun(tx, session)?;
    for message in &begun {
        queue::ask_to_stop(tx, &message.id, &format!("interrupted by {by}"))?;
        tx.audit(principal, "message.interrupt", message.id.as_str(), &json!({"by": by}))?;
    }
    Ok(begun.into_iter().map(|message| message.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_refused_with_what_is_in_the_way() {
        let rules = Queue { parallel: 2, ..Queue::default() };
        let refused = |waiting, state| {
            let frame = FrameName::parse("blog").expect("a name");
            rules.only_now(waiting, &frame, state).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let free = Waiting { busy_sessions: 1, ..Waiting::default() };
        assert_eq!(refused(free, FrameState::Running), "");
        assert!(refused(free, FrameState::Stopped).contains("blog is stopped"));
        let behind = Waiting { open_in_session: 2, ..free };
        assert!(refused(behind, FrameState::Running).contains("2 messages of this conversation"));
        let crowded = Waiting { busy_sessions: 2, ..free };
        assert!(refused(crowded, FrameState::Running).contains("2 conversations of frame blog are busy"));
    }
}

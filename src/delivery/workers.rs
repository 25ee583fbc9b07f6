//! One task per conversation that has something to deliver.
//!
//! Messages of one conversation are delivered one after the other, because opencode would let a second prompt steer the
//! first one's turn. Conversations do not wait for each other.

use std::time::Duration;

use super::concurrency::Permit;
use super::outcome::{Attempt, AttemptOutcome, Interrupted};
use super::{Delivery, FREE_POLL};
use crate::feed::Verdict;
use crate::model::agent::AgentStatus;
use crate::model::ids::SessionId;
use crate::model::message::{DeliveryState, Message};
use crate::store::{StoreError, budgets, queue};
use crate::supervisor::keyed::{Next, Pass, Wakes};

/// How often a waiting message is looked at when nobody calls.
const LOOK: Duration = Duration::from_secs(2);

/// What a message that waits is to do next.
enum Now {
    /// Go, as soon as there is room.
    Go,
    /// Stay: its frame rests, and it was not sent to wake it; or all spending is paused.
    Rest,
    /// The row is another one; look again.
    Changed,
}

impl Delivery {
    /// Sees to it that the open messages of a conversation are looked at.
    pub(super) fn wake(&self, session: &SessionId) {
        let delivery = self.clone();
        self.inner.workers.wake(session, move |mut pass: Pass<SessionId, ()>| {
            let delivery = delivery.clone();
            async move {
                tokio::select! {
                    next = delivery.deliver_next(&pass.key, &mut pass.wakes) => next,
                    () = pass.stop.cancelled() => Next::Done,
                }
            }
        });
    }

    /// The same for a worker that waits; starts none.
    pub(super) fn notify(&self, session: &SessionId) {
        self.inner.workers.notify(session);
    }

    async fn deliver_next(&self, session: &SessionId, wakes: &mut Wakes) -> Next {
        let delivered = match self.head(session).await {
            Ok(None) => return Next::Done,
            Ok(Some(message)) => self.take_turn(message, wakes).await,
            Err(error) => Err(error.into()),
        };
        match delivered {
            Ok(()) => Next::Again,
            Err(Interrupted::Stopping) => Next::Done,
            Err(Interrupted::Store(error)) => {
                tracing::error!(session = %session, %error, "session {session}: {error}; it is tried again");
                Next::Backoff
            }
        }
    }

    /// Delivers the message when it is its turn in the frame; one that was begun does not wait again.
    async fn take_turn(&self, message: Message, wakes: &mut Wakes) -> Result<(), Interrupted> {
        if message.stop.is_some() {
            self.cancel_token(&message.id).cancel();
        }
        let _permit = match message.state {
            DeliveryState::Queued => match self.may_go(&message, wakes).await? {
                Some(permit) => permit,
                None => return Ok(()),
            },
            _ => self.inner.limit.join(&message.frame),
        };
        self.deliver(message).await
    }

    async fn head(&self, session: &SessionId) -> Result<Option<Message>, StoreError> {
        let session = session.clone();
        self.inner.deps.store.read(move |db| queue::head(db, &session)).await
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
            Ok((is_next, queue::rests(db, &wanted)? || budgets::is_paused(db)?))
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

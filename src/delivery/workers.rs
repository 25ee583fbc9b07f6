//! One task per conversation that has something to deliver.
//!
//! Messages of one conversation are delivered one after the other, because opencode would let a second prompt steer the
//! first one's turn. Conversations do not wait for each other.

use super::Delivery;
use super::outcome::Interrupted;
use crate::model::ids::SessionId;
use crate::model::message::{DeliveryState, Message};
use crate::store::{StoreError, queue};
use crate::supervisor::keyed::{Next, Pass, Wakes};

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
}

//! One task per conversation that has something to deliver.
//!
//! Messages of one conversation are delivered one after the other, because
//! opencode would let a second prompt steer the first one's turn. Conversations
//! do not wait for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::Delivery;
use super::delivery::Halt;
use crate::model::ids::SessionId;
use crate::model::message::{DeliveryState, Message};
use crate::store::{StoreError, queue};
use crate::supervisor::OnExit;
use crate::supervisor::backoff::Backoff;

/// Which lanes run, and whether somebody called them since they last looked.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    called: Mutex<HashMap<SessionId, Lane>>,
}

#[derive(Debug, Default)]
struct Lane {
    again: bool,
    /// Rung when something about the conversation's queue has changed.
    bell: Arc<Notify>,
}

impl Lanes {
    /// Says whether the caller has to start the lane.
    fn call(&self, session: &SessionId) -> bool {
        let Ok(mut called) = self.called.lock() else { return false };
        match called.get_mut(session) {
            Some(lane) => {
                lane.again = true;
                lane.bell.notify_one();
                false
            }
            None => called.insert(session.clone(), Lane::default()).is_none(),
        }
    }

    /// What is rung when the lane is to look at its queue again.
    pub(super) fn bell(&self, session: &SessionId) -> Arc<Notify> {
        let Ok(called) = self.called.lock() else { return Arc::default() };
        called.get(session).map(|lane| lane.bell.clone()).unwrap_or_default()
    }

    /// The lane found nothing to do. Says whether it may go; otherwise it was called meanwhile.
    fn leave(&self, session: &SessionId) -> bool {
        let Ok(mut called) = self.called.lock() else { return true };
        if called.get_mut(session).is_some_and(|lane| std::mem::take(&mut lane.again)) {
            return false;
        }
        called.remove(session);
        true
    }
}

/// Gives the lane's place free when it panics; one that ends by itself has left before.
struct Place<'a> {
    router: &'a Delivery,
    session: &'a SessionId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(mut called) = self.router.inner.lanes.called.lock()
        {
            called.remove(self.session);
        }
    }
}

impl Delivery {
    /// Sees to it that the open messages of a conversation are looked at.
    pub(super) fn nudge(&self, session: &SessionId) {
        if !self.inner.lanes.call(session) {
            return;
        }
        let router = self.clone();
        let lane = session.clone();
        // Not `Restart`: a lane that has nothing left to do ends, and a second one beside the next would
        // deliver the same message.
        self.inner.deps.tasks.spawn(format!("session {session}"), OnExit::Report, move |stop| {
            let router = router.clone();
            let lane = lane.clone();
            async move {
                let _place = Place { router: &router, session: &lane };
                tokio::select! {
                    () = router.run_lane(&lane) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }

    /// The same for one that waits; starts nobody.
    pub(super) fn ring(&self, session: &SessionId) {
        self.inner.lanes.bell(session).notify_one();
    }

    async fn run_lane(&self, session: &SessionId) {
        let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        loop {
            match self.head(session).await {
                Ok(None) if self.inner.lanes.leave(session) => return,
                Ok(None) => {}
                Ok(Some(message)) => match self.take_turn(message).await {
                    Ok(()) => delays.reset(),
                    Err(Halt::Stopping) => return,
                    Err(Halt::Store(error)) => {
                        let delay = delays.next_delay();
                        tracing::error!(session = %session, %error, "session {session}: {error}; again in {delay:?}");
                        tokio::time::sleep(delay).await;
                    }
                },
                Err(error) => {
                    let delay = delays.next_delay();
                    tracing::error!(session = %session, %error, "session {session}: {error}; again in {delay:?}");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Delivers the message when it is its turn in the frame; one that was begun does not wait again.
    async fn take_turn(&self, message: Message) -> Result<(), Halt> {
        if message.stop.is_some() {
            self.cancel_token(&message.id).cancel();
        }
        let _inside = match message.state {
            DeliveryState::Queued => match self.may_go(&message).await? {
                Some(inside) => inside,
                None => return Ok(()),
            },
            _ => self.inner.crowd.join(&message.frame),
        };
        self.deliver(message).await
    }

    async fn head(&self, session: &SessionId) -> Result<Option<Message>, StoreError> {
        let session = session.clone();
        self.inner.deps.store.read(move |db| queue::head(db, &session)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_while_the_lane_is_leaving_is_not_lost() {
        let lanes = Lanes::default();
        let session = SessionId::from_parts(1, 1);
        assert!(lanes.call(&session), "the first call starts it");
        assert!(!lanes.call(&session), "the second finds it running");
        assert!(!lanes.leave(&session), "it has to look again");
        assert!(lanes.leave(&session));
        assert!(lanes.call(&session), "it is gone, so it is started again");
    }
}

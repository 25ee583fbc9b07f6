//! One task per conversation that has something to deliver.
//!
//! Messages of one conversation are delivered one after the other, because
//! opencode would let a second prompt steer the first one's turn. Conversations
//! do not wait for each other.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::Router;
use super::delivery::Halt;
use crate::model::ids::SessionId;
use crate::model::message::Message;
use crate::store::{StoreError, messages};
use crate::supervisor::OnExit;
use crate::supervisor::backoff::Backoff;

/// Which lanes run, and whether somebody called them since they last looked.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    called: Mutex<HashMap<SessionId, bool>>,
}

impl Lanes {
    /// Says whether the caller has to start the lane.
    fn call(&self, session: &SessionId) -> bool {
        let Ok(mut called) = self.called.lock() else { return false };
        match called.get_mut(session) {
            Some(again) => {
                *again = true;
                false
            }
            None => called.insert(session.clone(), false).is_none(),
        }
    }

    /// The lane found nothing to do. Says whether it may go; otherwise it was called meanwhile.
    fn leave(&self, session: &SessionId) -> bool {
        let Ok(mut called) = self.called.lock() else { return true };
        if called.get_mut(session).is_some_and(std::mem::take) {
            return false;
        }
        called.remove(session);
        true
    }
}

/// Gives the lane's place free when it panics; one that ends by itself has left before.
struct Place<'a> {
    router: &'a Router,
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

impl Router {
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

    async fn run_lane(&self, session: &SessionId) {
        let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        loop {
            match self.oldest_open(session).await {
                Ok(None) if self.inner.lanes.leave(session) => return,
                Ok(None) => {}
                Ok(Some(message)) => match self.deliver(message).await {
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

    async fn oldest_open(&self, session: &SessionId) -> Result<Option<Message>, StoreError> {
        let session = session.clone();
        let open = self.inner.deps.store.read(|db| messages::list_open(db, None)).await?;
        Ok(open.into_iter().find(|message| message.session == session))
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

//! Messages that waited for longer than the configuration allows.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Delivery;
use super::turn_limits::span;
use crate::model::message::{DeliveryState, Message};
use crate::store::{StoreError, Tx, messages, queue};
use crate::supervisor::Service;

/// How often it is looked for messages that waited too long, at least; a clock may be set.
const SWEEP: Duration = Duration::from_secs(30);

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
}

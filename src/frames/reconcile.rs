//! Comparing all rows with all containers: at the start, when the engine announces something, and on a tick.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Frames;
use super::driver::millis;
use super::error::FrameError;
use super::plan::{self, Step};
use crate::model::container::FoundContainer;
use crate::model::frame::{Desired, Frame, FrameState, Observed};
use crate::model::ids::FrameId;
use crate::model::principal::Principal;
use crate::store::frames;
use crate::supervisor::Service;
use crate::supervisor::backoff::Backoff;

impl Service for Frames {
    const NAME: &'static str = "frames";

    /// Reconciles at once, whenever the engine announces something, and on a tick, until it is stopped.
    async fn run(&self, stop: CancellationToken) {
        let mut delays = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        let mut told = None;
        while !stop.is_cancelled() {
            // Listen first, then look: what happens in between is not missed.
            let events = self.inner.deps.runtime.events().await;
            let looked = self.reconcile_once().await;
            self.inner.ready.send_replace(true);
            let problem = looked.as_ref().err().or(None).map(ToString::to_string);
            if problem != told {
                if let Some(problem) = &problem {
                    tracing::warn!("frames cannot be compared with the engine: {problem}");
                }
                told = problem;
            }
            let tick = self.inner.deps.settings.tick;
            match events {
                Ok(events) if looked.is_ok() => {
                    delays.reset();
                    self.listen(events, tick, &stop).await;
                }
                _ => {
                    tokio::select! {
                        () = tokio::time::sleep(delays.next_delay().min(tick)) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }
}

impl Frames {
    /// Wakes drivers as the engine announces things, until the stream ends or it is time to look around.
    async fn listen(
        &self,
        mut events: futures_util::stream::BoxStream<
            'static,
            Result<crate::model::container::EngineEvent, crate::runtime::RuntimeError>,
        >,
        tick: Duration,
        stop: &CancellationToken,
    ) {
        let mut look_around = tokio::time::interval_at(tokio::time::Instant::now() + tick, tick);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.nudge(&event.frame),
                    // The engine's service went away; something may be missed, so everything is looked at.
                    Some(Err(_)) | None => return,
                },
                _ = look_around.tick() => {
                    if let Err(error) = self.reconcile_once().await {
                        tracing::debug!(%error, "looking around failed: {error}");
                        return;
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Wakes a driver that exists; announcements about containers without a row are no reason to make one.
    fn nudge(&self, id: &FrameId) {
        self.inner.drivers.notify(id);
    }

    /// Compares all rows with all containers once: wakes drivers, destroys what has expired, reports strays.
    ///
    /// # Errors
    /// When the rows or the containers cannot be listed.
    pub async fn reconcile_once(&self) -> Result<(), FrameError> {
        self.destroy_expired().await?;
        let rows = self.inner.all_rows().await?;
        let known: BTreeSet<FrameId> = self.inner.drivers.keys().into_iter().collect();
        for row in rows.iter().filter(|row| !known.contains(&row.id)) {
            self.inner.wake_driver(&row.id);
        }
        let containers = self.inner.deps.runtime.list().await?;
        let by_frame: BTreeMap<&FrameId, &FoundContainer> =
            containers.iter().map(|container| (&container.frame, container)).collect();
        for row in rows.iter().filter(|row| needs_a_look(row, by_frame.get(&row.id).copied())) {
            self.inner.wake_driver(&row.id);
        }
        for stray in self.strays(&containers).await? {
            self.deal_with(&stray).await;
        }
        self.look_at_images_when_due().await;
        self.inner.look_after_warm();
        Ok(())
    }

    /// Containers of ours that no row knows. A row is written before its container is made and removed
    /// after it is gone, so such a container is nobody's.
    pub(super) async fn strays(
        &self,
        containers: &[FoundContainer],
    ) -> Result<Vec<FoundContainer>, FrameError> {
        let rows: BTreeSet<FrameId> = self.inner.all_rows().await?.into_iter().map(|row| row.id).collect();
        let creating = self.inner.creating.lock();
        let is_stray = |container: &&FoundContainer| {
            !rows.contains(&container.frame) && !creating.contains(&container.frame)
        };
        Ok(containers.iter().filter(is_stray).cloned().collect())
    }

    /// Reports a stray, and removes it once it is old enough not to be somebody's work in progress.
    async fn deal_with(&self, stray: &FoundContainer) {
        let age = self.inner.deps.clock.now_ms().saturating_sub(stray.created_at);
        let FoundContainer { container_id, name, .. } = stray;
        if age < millis(self.inner.deps.settings.stray_age) {
            tracing::debug!(container = %container_id, "container of frame {name} belongs to no frame any more");
            return;
        }
        match self.inner.deps.runtime.remove_stray(container_id).await {
            Ok(()) => {
                tracing::warn!(container = %container_id, "removed a container that belonged to no frame ({name})")
            }
            Err(error) => {
                tracing::warn!(container = %container_id, %error, "a container that belongs to no frame ({name}) stays: {error}");
            }
        }
    }

    /// Throwaway frames whose time is up are to be gone.
    async fn destroy_expired(&self) -> Result<(), FrameError> {
        let now_ms = self.inner.deps.clock.now_ms();
        let expired = self.inner.deps.store.read(move |db| frames::expired(db, now_ms)).await?;
        for frame in expired {
            let id = frame.id.clone();
            self.inner
                .deps
                .store
                .write(move |tx| {
                    frames::set_desired(tx, &frame.id, Desired::Removed)?;
                    frames::note(tx, &frame.id, "expired", "its time is up")?;
                    let detail = json!({ "frame": frame.id, "expired_at": frame.expires_at });
                    tx.audit(&Principal::service("frames"), "frame.expire", frame.name.as_str(), &detail)?;
                    Ok(())
                })
                .await?;
            self.inner.failpoints.hit("expire.after_wish").await;
            self.inner.wake_driver(&id);
        }
        Ok(())
    }
}

/// Whether the driver would find something to do.
fn needs_a_look(row: &Frame, container: Option<&FoundContainer>) -> bool {
    if !row.engine.is_local() {
        return false;
    }
    let observed = container.map_or(Observed::Missing, |container| container.observed);
    let other_generation = container.is_some_and(|container| container.generation != row.generation);
    let effective = plan::effective_desired(row.desired, row.state);
    other_generation
        || plan::fact(row.state, observed).is_some()
        || plan::plan(effective, observed) != Step::Settled
        // A starting frame has its driver's eyes on it already.
        || (row.reason.is_none() && row.state != FrameState::Starting && plan::confirmation(effective, row.state).is_some())
}

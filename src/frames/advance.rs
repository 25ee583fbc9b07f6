//! One pass of a frame's task: look at the row and at the engine, record what that proves, decide, take one step.
//!
//! It may be interrupted anywhere: the wish was saved before, every step can be repeated, and the next pass sees
//! what this one achieved.
//!
//! Not here: what to do next (see `plan`), what each step does (see `steps`), whether an agent is ready (see
//! `readiness`) and goes on answering (see `liveness`).

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::driver::{ContainerMismatch, Driver, Handle};
use super::error::FrameError;
use super::plan::{self, Step};
use super::{Inner, provision};
use crate::model::container::{ContainerSpec, FolderIdentity, Observation, mount_difference};
use crate::model::frame::{Desired, EngineKind, Frame, FrameEvent, FrameState, Observed};
use crate::model::ids::FrameId;
use crate::runtime::folder_identity;
use crate::store::frames;
use crate::supervisor::keyed::{Next, Pass};
use crate::tmux;

/// One pass. What goes wrong is shown to those who wait, and tried again.
pub(super) async fn pass(inner: Arc<Inner>, pass: Pass<FrameId, Handle>) -> Next {
    let mut driver = Driver::new(inner, pass.key, pass.state, pass.wakes);
    let next = match driver.advance_once().await {
        Ok(next) => next,
        Err(error) => {
            driver.show_trouble(&error);
            Next::Backoff
        }
    };
    driver.rest();
    next
}

impl Driver {
    /// Moves the frame one step closer to what was asked for.
    async fn advance_once(&mut self) -> Result<Next, FrameError> {
        let id = self.id.clone();
        let Some(frame) = self.inner.deps.store.read(move |db| frames::find(db, &id)).await? else {
            self.inner.deps.attendant.close(&self.id).await;
            return Ok(Next::Done);
        };
        if frame.engine == EngineKind::External {
            return self.watch_server(&frame).await;
        }
        let seen = self.inner.deps.runtime.observe(&self.id).await?;
        self.engine_answered(&seen);

        let wanted = provision::container(&frame, &self.inner.deps.settings.instance, &self.folders);
        let folder = folder_identity(Path::new(&frame.workspace));
        if let Some(mismatch) = container_mismatch(&frame, &seen, &wanted, folder) {
            return self.replace(&frame, mismatch).await;
        }
        if let Some(event) = plan::fact(frame.state, seen.observed) {
            return self.record_fact(&frame, &seen, event).await;
        }
        let effective = plan::effective_desired(frame.desired, frame.state);
        match plan::plan(effective, seen.observed) {
            Step::Settled => self.confirm(&frame, effective, &seen).await,
            step if self.repeats(step) => Ok(Next::Backoff),
            step => self.perform(&frame, step, &seen).await,
        }
    }

    /// Records what the engine's answer proves, and counts an end that nobody asked for.
    async fn record_fact(
        &mut self,
        frame: &Frame,
        seen: &Observation,
        event: FrameEvent,
    ) -> Result<Next, FrameError> {
        let wanted = matches!(frame.desired, Desired::Running | Desired::Paused);
        if event == FrameEvent::StopConfirmed && wanted {
            return self.record_end(frame, seen).await;
        }
        self.record(event, None).await?;
        self.inner.failpoints.hit("facts.after_record").await;
        Ok(Next::Again)
    }

    /// The world looks like the wish: records what the row still lacks.
    async fn confirm(
        &mut self,
        frame: &Frame,
        effective: Desired,
        seen: &Observation,
    ) -> Result<Next, FrameError> {
        // The driver never tidies an error up: only a new request takes the reason away.
        let kept_error =
            frame.state == FrameState::Error && frame.reason.is_some() && effective == Desired::Stopped;
        let event = if kept_error { None } else { plan::confirmation(effective, frame.state) };
        match event {
            Some(FrameEvent::BecameReady) => self.become_ready(frame).await,
            Some(FrameEvent::StartRequested) => {
                self.record(FrameEvent::StartRequested, None).await?;
                self.note("adopted", "its container was running already".into()).await?;
                Ok(Next::Again)
            }
            Some(event) => {
                self.inner.failpoints.hit("confirm.before_record").await;
                self.record(event, None).await?;
                self.inner.failpoints.hit("confirm.after_record").await;
                Ok(Next::Again)
            }
            None => self.keep(frame, seen).await,
        }
    }

    /// Nothing is left to do: keeps what runs running and closes what does not.
    async fn keep(&mut self, frame: &Frame, seen: &Observation) -> Result<Next, FrameError> {
        match seen.observed {
            Observed::Running => {
                let adopted = !self.memory.attended && frame.warm.is_none();
                self.attend(frame).await?;
                if adopted {
                    // Viewers of a gateway that is no more: their clients inside do not know it.
                    tmux::reap_views(self.inner.deps.runtime.as_ref(), &self.id).await;
                }
                self.tell_of_memory(frame, seen).await?;
                self.tell_of_changes(frame).await?;
                self.recycle_if_asked(frame).await?;
                match self.look_after_agent(frame).await? {
                    None => {
                        self.settled(frame);
                        Ok(Next::after(self.inner.deps.settings.tick))
                    }
                    Some(next) => Ok(next),
                }
            }
            Observed::Paused => {
                self.forget_unresponsive();
                self.attend(frame).await?;
                self.settled(frame);
                Ok(Next::after(self.inner.deps.settings.tick))
            }
            Observed::Missing | Observed::Halted => {
                self.inner.deps.attendant.close(&self.id).await;
                self.memory.attended = false;
                self.forget_unresponsive();
                self.settled(frame);
                Ok(Next::after(self.inner.deps.settings.tick * 6))
            }
        }
    }

    /// Out of memory is never reported by itself; the kernel's counter is.
    async fn tell_of_memory(&mut self, frame: &Frame, seen: &Observation) -> Result<(), FrameError> {
        let Some(kills) = seen.details.as_ref().and_then(|details| details.oom_kills) else { return Ok(()) };
        // What happened before we looked for the first time was told by whoever looked then.
        let told = self.memory.oom_kills.replace(kills).unwrap_or(kills);
        if kills > told {
            let text = format!(
                "the kernel killed {} of its processes for want of memory (the limit is {} MiB)",
                kills - told,
                frame.limits.memory_bytes >> 20
            );
            self.note("out_of_memory", text).await?;
        }
        Ok(())
    }

    /// The same step twice in a row means that the engine says yes and does nothing.
    fn repeats(&mut self, step: Step) -> bool {
        let times = match self.memory.last_step {
            Some((last, times)) if last == step => times + 1,
            _ => 1,
        };
        let slow_down = times > 2 && times % 2 == 1;
        self.memory.last_step = Some((step, times));
        slow_down
    }

    /// Something went wrong that may pass by itself; said in the log once.
    fn show_trouble(&mut self, error: &FrameError) {
        let text = error.to_string();
        let news = self.handle.seen.borrow().problem.as_deref() != Some(text.as_str());
        if news {
            tracing::warn!(frame.id = %self.id, %error, "frame {} has to wait: {error}", self.id);
        }
        self.show(text);
        if error.is_engine_away() {
            self.handle.seen.send_modify(|seen| {
                seen.engine_away.get_or_insert_with(Instant::now);
            });
        }
    }
}

fn container_mismatch(
    frame: &Frame,
    seen: &Observation,
    wanted: &ContainerSpec,
    folder: Option<FolderIdentity>,
) -> Option<ContainerMismatch> {
    let details = seen.details.as_ref()?;
    if frame.desired == Desired::Removed || seen.observed == Observed::Missing {
        None
    } else if details.stuck.is_some() {
        Some(ContainerMismatch::Stuck)
    } else if details.generation != frame.generation {
        Some(ContainerMismatch::OtherGeneration)
    } else if details.less_isolated && seen.observed == Observed::Halted {
        // What runs is not interrupted for it: the next start has another container.
        Some(ContainerMismatch::LessIsolated)
    } else if let Some(difference) = mount_difference(&wanted.mounts(), &details.mounts) {
        Some(ContainerMismatch::OtherMounts(difference))
    } else {
        let is_another = details.workspace.is_some() && details.workspace != folder;
        is_another.then_some(ContainerMismatch::OtherFolder)
    }
}

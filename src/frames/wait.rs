//! Waiting until a frame is as desired. Every wait ends, and says where things stood.

use std::time::{Duration, Instant};

use super::Frames;
use super::driver::Seen;
use super::error::FrameError;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::FrameId;

/// Rows are read again after that, even if no driver says anything.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// An engine that is away for so long is the answer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(5);

impl Frames {
    /// Waits until the frame is as desired; for [`Desired::Removed`] until it is gone (then the frame as
    /// it last was).
    ///
    /// # Errors
    /// [`FrameError::Failed`], [`FrameError::TooSlow`], [`FrameError::WishChanged`], or that the engine is away.
    pub async fn wait_for(
        &self,
        id: &FrameId,
        desired: Desired,
        deadline: Duration,
    ) -> Result<Frame, FrameError> {
        self.wait(id, None, desired, deadline).await
    }

    /// The same for whoever has just asked for it: a frame that was gone before the first look was removed.
    ///
    /// # Errors
    /// As [`Frames::wait_for`].
    pub async fn wait_for_asked(
        &self,
        asked: Frame,
        desired: Desired,
        deadline: Duration,
    ) -> Result<Frame, FrameError> {
        let id = asked.id.clone();
        self.wait(&id, Some(asked), desired, deadline).await
    }

    async fn wait(
        &self,
        id: &FrameId,
        mut last_known: Option<Frame>,
        desired: Desired,
        deadline: Duration,
    ) -> Result<Frame, FrameError> {
        let end = Instant::now() + deadline;
        loop {
            let handle = self.inner.drivers.get(id);
            // Subscribe first, then look: what changes in between is not missed.
            let mut changes = handle.as_ref().map(|handle| handle.seen.subscribe());
            let seen =
                changes.as_mut().map(|changes| changes.borrow_and_update().clone()).unwrap_or_default();
            let Some(frame) = self.inner.row(id).await? else {
                return gone(desired, last_known, id);
            };
            if let Some(answer) = verdict(&frame, desired, &seen) {
                return answer.map(|()| frame);
            }
            if handle.is_none() {
                self.inner.wake_driver(id);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(FrameError::TooSlow {
                    name: frame.name.to_string(),
                    state: frame.state,
                    seconds: deadline.as_secs(),
                    last: seen.problem,
                });
            }
            last_known = Some(frame);
            let pause = left.min(LOOK_AGAIN);
            let _ = match changes.as_mut() {
                Some(changes) => tokio::time::timeout(pause, changes.changed()).await.is_ok(),
                None => {
                    tokio::time::sleep(pause.min(Duration::from_millis(20))).await;
                    true
                }
            };
        }
    }
}

fn gone(desired: Desired, last_known: Option<Frame>, id: &FrameId) -> Result<Frame, FrameError> {
    match last_known {
        Some(frame) if desired == Desired::Removed => Ok(frame),
        _ => Err(FrameError::NotFound(id.to_string())),
    }
}

/// Whether the wait is over, and how; `None` while it goes on.
fn verdict(frame: &Frame, desired: Desired, seen: &Seen) -> Option<Result<(), FrameError>> {
    let name = frame.name.to_string();
    if let (FrameState::Error, Some(reason)) = (frame.state, &frame.reason)
        && desired != Desired::Removed
    {
        return Some(Err(FrameError::Failed { name, reason: reason.clone() }));
    }
    if frame.desired != desired {
        return Some(Err(match frame.desired {
            Desired::Removed => FrameError::BeingDestroyed(name),
            other => FrameError::WishChanged { name, desired: other },
        }));
    }
    let as_desired = match desired {
        Desired::Running => frame.state == FrameState::Running,
        Desired::Paused => frame.state == FrameState::Paused,
        Desired::Stopped => matches!(frame.state, FrameState::Stopped | FrameState::Created),
        Desired::Removed => false,
    };
    if as_desired && seen.settled == Some((desired, frame.generation)) {
        return Some(Ok(()));
    }
    match (&seen.problem, seen.engine_away) {
        (Some(why), Some(since)) if since.elapsed() > ENGINE_PATIENCE => {
            Some(Err(FrameError::EngineAway { name, why: why.clone() }))
        }
        _ => None,
    }
}

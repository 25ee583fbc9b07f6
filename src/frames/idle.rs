//! Who is in a frame, and stopping one that has nothing to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::Frames;
use super::error::FrameError;
use crate::model::frame::{Desired, FrameState};
use crate::model::ids::FrameId;
use crate::model::principal::Principal;
use crate::store::{frames, messages};

/// Who is in which frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Visitors(Arc<Mutex<BTreeMap<FrameId, Presence>>>);

/// How many are there, and when the last one left.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    count: usize,
    left_at: Option<Instant>,
}

/// For how long it is remembered when somebody left.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Somebody is in a frame for as long as this lives: at its terminal, with a command, or through its own API.
#[derive(Debug)]
pub struct Visit {
    visitors: Visitors,
    frame: FrameId,
}

impl Visitors {
    pub(super) fn enter(&self, frame: &FrameId) -> Visit {
        let mut present = self.0.lock();
        present.retain(|_, who| who.count > 0 || who.left_at.is_some_and(|at| at.elapsed() < REMEMBERED));
        present.entry(frame.clone()).or_default().count += 1;
        drop(present);
        Visit { visitors: self.clone(), frame: frame.clone() }
    }

    fn count(&self, frame: &FrameId) -> usize {
        self.0.lock().get(frame).map_or(0, |who| who.count)
    }

    fn left_within(&self, frame: &FrameId, within: Duration) -> bool {
        self.0.lock().get(frame).and_then(|who| who.left_at).is_some_and(|at| at.elapsed() <= within)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(who) = self.visitors.0.lock().get_mut(&self.frame) {
            who.count -= 1;
            who.left_at = Some(Instant::now());
        }
    }
}

impl Frames {
    /// Says that somebody is in the frame, until the guard goes: it is not stopped for having nothing to do.
    #[must_use]
    pub fn visit(&self, frame: &FrameId) -> Visit {
        self.inner.visitors.enter(frame)
    }

    /// How many are in the frame: at its terminal, with commands, through its own API, over its host ports.
    #[must_use]
    pub fn visitors(&self, frame: &FrameId) -> usize {
        self.inner.visitors.count(frame) + self.inner.deps.attendant.connections(frame)
    }

    /// Whether somebody is in the frame, or left it within that time.
    #[must_use]
    pub fn was_visited_within(&self, frame: &FrameId, within: Duration) -> bool {
        self.visitors(frame) > 0 || self.inner.visitors.left_within(frame, within)
    }

    /// Stops a frame that has had nothing to do since then, unless something came in between. Says whether it did.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn stop_when_idle(&self, id: &FrameId, since_ms: u64, text: &str) -> Result<bool, FrameError> {
        let (frame, text) = (id.clone(), text.to_owned());
        let stops = self
            .inner
            .deps
            .store
            .write_as(move |tx| {
                let Some(row) = frames::find(tx, &frame)? else { return Ok(false) };
                let is_idle = row.engine.is_local()
                    && row.desired == Desired::Running
                    && row.state == FrameState::Running
                    && row.last_active_at <= since_ms
                    && messages::list_open(tx, Some(&frame))?.is_empty();
                if is_idle {
                    frames::set_desired(tx, &frame, Desired::Stopped)?;
                    frames::note(tx, &frame, "idle_stopped", &text)?;
                    let detail = json!({ "frame": frame, "idle_since": since_ms });
                    tx.audit(&Principal::service("upkeep"), "frame.idle_stop", row.name.as_str(), &detail)?;
                }
                Ok::<_, FrameError>(is_idle)
            })
            .await?;
        if stops {
            self.inner.wake_driver(id);
        }
        Ok(stops)
    }
}

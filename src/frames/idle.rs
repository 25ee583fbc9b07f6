//! Presence in frames (terminals, commands, clients), and stopping a frame that is idle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;

use super::error::FrameError;
use super::{Frames, Inner};
use crate::model::frame::{Desired, FrameState};
use crate::model::ids::FrameId;
use crate::model::principal::Principal;
use crate::store::{frames, messages};

/// Who is in which frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Visitors(Arc<Mutex<BTreeMap<FrameId, Presence>>>);

/// How many connections there are, how many of them are people's, and when the last person left.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    count: usize,
    people: usize,
    left_at: Option<Instant>,
}

/// On whose behalf a connection is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitorKind {
    /// Somebody at the terminal, with a command, or through the frame's own API.
    Person,
    /// A run's own script: it keeps the frame awake and does not count as a person.
    Run,
}

/// For how long the time of the last departure is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Somebody is in a frame for as long as this lives: at its terminal, with a command, or through its own API.
#[derive(Debug)]
pub struct Visit {
    visitors: Visitors,
    frame: FrameId,
    kind: VisitorKind,
}

impl Visitors {
    pub(super) fn enter(&self, frame: &FrameId, kind: VisitorKind) -> Visit {
        let mut present = self.0.lock();
        present.retain(|_, who| who.count > 0 || who.left_at.is_some_and(|at| at.elapsed() < REMEMBERED));
        let who = present.entry(frame.clone()).or_default();
        who.count += 1;
        who.people += usize::from(kind == VisitorKind::Person);
        drop(present);
        Visit { visitors: self.clone(), frame: frame.clone(), kind }
    }

    fn count(&self, frame: &FrameId) -> usize {
        self.0.lock().get(frame).map_or(0, |who| who.count)
    }

    /// Whether a person is there, or left within that time.
    fn had_people_within(&self, frame: &FrameId, within: Duration) -> bool {
        self.0
            .lock()
            .get(frame)
            .is_some_and(|who| who.people > 0 || who.left_at.is_some_and(|at| at.elapsed() <= within))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(who) = self.visitors.0.lock().get_mut(&self.frame) {
            who.count -= 1;
            if self.kind == VisitorKind::Person {
                who.people -= 1;
                who.left_at = Some(Instant::now());
            }
        }
    }
}

impl Inner {
    /// How many are in the frame.
    pub(super) fn visitors_of(&self, frame: &FrameId) -> usize {
        self.visitors.count(frame) + self.deps.attendant.connections(frame)
    }
}

impl Frames {
    /// Says that somebody is in the frame, until the guard goes: it is not stopped for having nothing to do.
    #[must_use]
    pub fn visit(&self, frame: &FrameId) -> Visit {
        self.inner.visitors.enter(frame, VisitorKind::Person)
    }

    /// How many are in the frame: at its terminal, with commands, through its own API, over its host ports.
    #[must_use]
    pub fn visitors(&self, frame: &FrameId) -> usize {
        self.inner.visitors_of(frame)
    }

    /// Whether a person is in the frame or left it within that time. Scripts of runs do not count.
    #[must_use]
    pub fn was_visited_within(&self, frame: &FrameId, within: Duration) -> bool {
        self.inner.deps.attendant.connections(frame) > 0
            || self.inner.visitors.had_people_within(frame, within)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_does_in_its_frame_keeps_it_awake_and_is_no_person() {
        let (visitors, frame) = (Visitors::default(), FrameId::from_parts(1, 1));
        let script = visitors.enter(&frame, VisitorKind::Run);
        assert_eq!(visitors.count(&frame), 1);
        assert!(!visitors.had_people_within(&frame, REMEMBERED), "while it runs");
        drop(script);
        assert!(!visitors.had_people_within(&frame, REMEMBERED), "after it");

        let attached = visitors.enter(&frame, VisitorKind::Person);
        assert!(visitors.had_people_within(&frame, Duration::ZERO), "while they are there");
        drop(attached);
        assert_eq!(visitors.count(&frame), 0);
        assert!(visitors.had_people_within(&frame, REMEMBERED), "a moment after they left");
    }
}

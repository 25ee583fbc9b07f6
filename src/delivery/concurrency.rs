//! How many conversations of a frame run at the same time.
//!
//! An agent that works for twenty conversations at once does none of them well, and its container has the
//! memory for a few. The others wait, the one that was sent first goes first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::model::ids::{FrameId, MessageId};

/// Who works and who waits, frame by frame. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct ConcurrencyLimit {
    frames: Arc<Mutex<HashMap<FrameId, OfFrame>>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct OfFrame {
    running: usize,
    /// Urgent ones first, then as they were sent: ids grow with time.
    waiting: BTreeSet<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    can_wait: bool,
    message: MessageId,
}

/// Waits for a permit; gives its place up when it is dropped.
pub(super) struct Waiter {
    limit: ConcurrencyLimit,
    frame: FrameId,
    place: Place,
}

/// Leave to run, until it is dropped.
pub(super) struct Permit {
    limit: ConcurrencyLimit,
    frame: FrameId,
}

impl ConcurrencyLimit {
    /// Waits behind everybody who was there before.
    pub(super) fn wait(&self, frame: &FrameId, message: &MessageId, urgent: bool) -> Waiter {
        let place = Place { can_wait: !urgent, message: message.clone() };
        let waiting = place.clone();
        self.with(frame, |of_frame| of_frame.waiting.insert(waiting));
        Waiter { limit: self.clone(), frame: frame.clone(), place }
    }

    /// For work that has begun already, by an earlier gateway: it counts, and asks nobody.
    pub(super) fn join(&self, frame: &FrameId) -> Permit {
        self.with(frame, |of_frame| of_frame.running += 1);
        Permit { limit: self.clone(), frame: frame.clone() }
    }

    /// Completes when somebody leaves after this call.
    pub(super) fn changed(&self) -> OwnedNotified {
        self.changed.clone().notified_owned()
    }

    fn with<T>(&self, frame: &FrameId, act: impl FnOnce(&mut OfFrame) -> T) -> T {
        let mut frames = self.frames.lock();
        let of_frame = frames.entry(frame.clone()).or_default();
        let done = act(of_frame);
        if of_frame.running == 0 && of_frame.waiting.is_empty() {
            frames.remove(frame);
        }
        done
    }
}

impl Waiter {
    /// Goes when there is room for everybody before it and for itself.
    pub(super) fn try_acquire(&self, limit: usize) -> Option<Permit> {
        let goes = self.limit.with(&self.frame, |of_frame| {
            let before = of_frame.waiting.range(..&self.place).count();
            let goes = of_frame.running + before < limit.max(1);
            if goes {
                of_frame.waiting.remove(&self.place);
                of_frame.running += 1;
            }
            goes
        });
        goes.then(|| Permit { limit: self.limit.clone(), frame: self.frame.clone() })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.limit.with(&self.frame, |of_frame| of_frame.waiting.remove(&self.place)) {
            self.limit.changed.notify_waiters();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.with(&self.frame, |of_frame| of_frame.running = of_frame.running.saturating_sub(1));
        self.limit.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at: u64) -> MessageId {
        MessageId::from_parts(at, 0)
    }

    #[test]
    fn who_was_sent_first_goes_first_and_who_leaves_makes_room() {
        let runs = ConcurrencyLimit::default();
        let frame = FrameId::from_parts(1, 1);
        let late = runs.wait(&frame, &message(2), false);
        let early = runs.wait(&frame, &message(1), false);
        assert!(late.try_acquire(1).is_none(), "somebody is before it");
        let inside = early.try_acquire(1).expect("room for one");
        assert!(late.try_acquire(1).is_none(), "it is full");
        assert!(late.try_acquire(2).is_some(), "another limit, another answer");
        let last = runs.wait(&frame, &message(3), false);
        drop(inside);
        assert!(last.try_acquire(1).is_some());
    }

    #[test]
    fn urgent_ones_go_before_the_others_and_whoever_gives_up_is_not_waited_for() {
        let runs = ConcurrencyLimit::default();
        let frame = FrameId::from_parts(1, 1);
        let first = runs.wait(&frame, &message(1), false);
        let urgent = runs.wait(&frame, &message(9), true);
        assert!(first.try_acquire(1).is_none());
        drop(urgent);
        assert!(first.try_acquire(1).is_some());
    }

    #[test]
    fn what_has_begun_counts_and_frames_do_not_wait_for_each_other() {
        let runs = ConcurrencyLimit::default();
        let (one, two) = (FrameId::from_parts(1, 1), FrameId::from_parts(2, 2));
        let begun = runs.join(&one);
        assert!(runs.wait(&one, &message(1), false).try_acquire(1).is_none());
        assert!(runs.wait(&two, &message(1), false).try_acquire(1).is_some());
        drop(begun);
        assert!(runs.frames.lock().is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_change_between_looking_and_waiting_is_not_missed() {
        let runs = ConcurrencyLimit::default();
        let frame = FrameId::from_parts(1, 1);
        let inside = runs.join(&frame);
        let changed = runs.changed();
        drop(inside);
        let told = tokio::time::timeout(std::time::Duration::from_secs(5), changed).await;
        assert!(told.is_ok());
    }
}

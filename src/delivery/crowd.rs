//! How many conversations of a frame run at the same time.
//!
//! An agent that works for twenty conversations at once does none of them well, and its container has the
//! memory for a few. The others wait, the one that was sent first goes first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::model::ids::{FrameId, MessageId};

/// Who works and who waits, frame by frame. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd {
    rooms: Arc<Mutex<HashMap<FrameId, Room>>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Room {
    inside: usize,
    /// Urgent ones first, then as they were sent: ids grow with time.
    waiting: BTreeSet<Ticket>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    can_wait: bool,
    message: MessageId,
}

/// A place in the line; given up when it is dropped.
pub(super) struct InLine {
    crowd: Crowd,
    frame: FrameId,
    ticket: Ticket,
}

/// One of those who work; makes room when it is dropped.
pub(super) struct Inside {
    crowd: Crowd,
    frame: FrameId,
}

impl Crowd {
    /// Stands in line.
    pub(super) fn line_up(&self, frame: &FrameId, message: &MessageId, urgent: bool) -> InLine {
        let ticket = Ticket { can_wait: !urgent, message: message.clone() };
        let waiting = ticket.clone();
        self.with_room(frame, |room| room.waiting.insert(waiting));
        InLine { crowd: self.clone(), frame: frame.clone(), ticket }
    }

    /// For work that has begun already, by an earlier gateway: it counts, and asks nobody.
    pub(super) fn join(&self, frame: &FrameId) -> Inside {
        self.with_room(frame, |room| room.inside += 1);
        Inside { crowd: self.clone(), frame: frame.clone() }
    }

    /// Completes when somebody leaves after this call.
    pub(super) fn changed(&self) -> OwnedNotified {
        self.changed.clone().notified_owned()
    }

    fn with_room<T>(&self, frame: &FrameId, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        let mut rooms = self.rooms.lock().ok()?;
        let room = rooms.entry(frame.clone()).or_default();
        let done = act(room);
        if room.inside == 0 && room.waiting.is_empty() {
            rooms.remove(frame);
        }
        Some(done)
    }
}

impl InLine {
    /// Goes in when there is room for everybody before it and for itself.
    pub(super) fn enter(&self, limit: usize) -> Option<Inside> {
        let goes = self.crowd.with_room(&self.frame, |room| {
            let before = room.waiting.range(..&self.ticket).count();
            let goes = room.inside + before < limit.max(1);
            if goes {
                room.waiting.remove(&self.ticket);
                room.inside += 1;
            }
            goes
        });
        (goes == Some(true)).then(|| Inside { crowd: self.crowd.clone(), frame: self.frame.clone() })
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let left = self.crowd.with_room(&self.frame, |room| room.waiting.remove(&self.ticket));
        if left == Some(true) {
            self.crowd.changed.notify_waiters();
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.crowd.with_room(&self.frame, |room| room.inside = room.inside.saturating_sub(1));
        self.crowd.changed.notify_waiters();
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
        let crowd = Crowd::default();
        let frame = FrameId::from_parts(1, 1);
        let late = crowd.line_up(&frame, &message(2), false);
        let early = crowd.line_up(&frame, &message(1), false);
        assert!(late.enter(1).is_none(), "somebody is before it");
        let inside = early.enter(1).expect("room for one");
        assert!(late.enter(1).is_none(), "it is full");
        assert!(late.enter(2).is_some(), "another limit, another answer");
        let last = crowd.line_up(&frame, &message(3), false);
        drop(inside);
        assert!(last.enter(1).is_some());
    }

    #[test]
    fn urgent_ones_go_before_the_others_and_whoever_gives_up_is_not_waited_for() {
        let crowd = Crowd::default();
        let frame = FrameId::from_parts(1, 1);
        let first = crowd.line_up(&frame, &message(1), false);
        let urgent = crowd.line_up(&frame, &message(9), true);
        assert!(first.enter(1).is_none());
        drop(urgent);
        assert!(first.enter(1).is_some());
    }

    #[test]
    fn what_has_begun_counts_and_frames_do_not_wait_for_each_other() {
        let crowd = Crowd::default();
        let (one, two) = (FrameId::from_parts(1, 1), FrameId::from_parts(2, 2));
        let begun = crowd.join(&one);
        assert!(crowd.line_up(&one, &message(1), false).enter(1).is_none());
        assert!(crowd.line_up(&two, &message(1), false).enter(1).is_some());
        drop(begun);
        assert!(crowd.rooms.lock().expect("a lock").is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_change_between_looking_and_waiting_is_not_missed() {
        let crowd = Crowd::default();
        let frame = FrameId::from_parts(1, 1);
        let inside = crowd.join(&frame);
        let changed = crowd.changed();
        drop(inside);
        let told = tokio::time::timeout(std::time::Duration::from_secs(5), changed).await;
        assert!(told.is_ok());
    }
}

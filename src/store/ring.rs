//! The newest events, in memory, so that what was just committed reaches many readers without the
//! database being asked by each of them.
//!
//! Filled by the writer after each commit. Whoever is further behind than it reaches reads rows.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::event::Event;
use crate::wire::events::Logged;

/// So many events at most,
const MOST_EVENTS: usize = 4096;
/// and so many bytes.
const MOST_BYTES: usize = 4 << 20;
/// So many are looked at in one go, wanted or not: the lock is held for a moment only.
const MOST_SEEN: usize = 1024;

/// The newest events.
#[derive(Debug)]
pub struct Ring {
    state: RwLock<State>,
    most_events: usize,
}

#[derive(Debug)]
struct State {
    events: VecDeque<Arc<Logged>>,
    bytes: usize,
    /// Everything after this id is here.
    floor: u64,
    newest: u64,
}

/// Some events, and the position up to which everything was looked at.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Those that were wanted, oldest first.
    pub events: Vec<Arc<Logged>>,
    /// Where to go on.
    pub position: u64,
}

impl Ring {
    /// An empty one that begins after the event `newest`.
    pub(super) fn new(newest: u64) -> Self {
        Self::with_room(newest, MOST_EVENTS)
    }

    /// The same, with room for so many.
    #[must_use]
    pub(super) fn with_room(newest: u64, most_events: usize) -> Self {
        let state = State { events: VecDeque::new(), bytes: 0, floor: newest, newest };
        Self { state: RwLock::new(state), most_events: most_events.max(1) }
    }

    /// Takes events that were just committed, oldest first.
    pub(super) fn push(&self, events: Vec<Event>) {
        // Written before the lock is taken: readers do not wait for it.
        let logged: Vec<Arc<Logged>> = events.into_iter().map(|event| Arc::new(Logged::new(event))).collect();
        let mut state = self.state.write();
        for event in logged {
            state.newest = event.event().id;
            state.bytes += event.weight();
            state.events.push_back(event);
        }
        while state.events.len() > self.most_events || (state.bytes > MOST_BYTES && state.events.len() > 1) {
            let Some(oldest) = state.events.pop_front() else { break };
            state.bytes -= oldest.weight();
            state.floor = oldest.event().id;
        }
    }

    /// At most `limit` events after `position` that are wanted; `None` when older ones than are here
    /// have to be read first.
    #[must_use]
    pub fn after(&self, position: u64, limit: usize, wanted: impl Fn(&Event) -> bool) -> Option<Window> {
        let state = self.state.read();
        if position < state.floor {
            return None;
        }
        let first = state.events.partition_point(|event| event.event().id <= position);
        let mut window = Window { events: Vec::new(), position: position.max(state.newest) };
        for (seen, event) in state.events.range(first..).enumerate() {
            if window.events.len() >= limit || seen >= MOST_SEEN {
                let last = (first + seen).checked_sub(1).and_then(|at| state.events.get(at));
                window.position = last.map_or(position, |last| last.event().id.max(position));
                break;
            }
            if wanted(event.event()) {
                window.events.push(event.clone());
            }
        }
        Some(window)
    }

    /// The newest event's id.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.state.read().newest
    }

    /// Everything after this id can be had without asking the database.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.state.read().floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{EventKind, Subject};

    fn event(id: u64, delta: &str) -> Event {
        let what = EventKind::Text { delta: delta.into(), part: "p".into() };
        Event { id, at: 1, subject: Subject::default(), what }
    }

    fn ids(window: &Window) -> Vec<u64> {
        window.events.iter().map(|event| event.id).collect()
    }

    #[test]
    fn it_knows_what_it_has_and_what_it_has_not() {
        let ring = Ring::with_room(10, 3);
        let nothing = ring.after(10, 9, |_| true).expect("nothing is missing");
        assert_eq!((ids(&nothing), nothing.position), (vec![], 10));
        assert!(ring.after(9, 9, |_| true).is_none(), "event 10 is a row only");
        ring.push(vec![event(11, "a"), event(13, "b")]);
        let both = ring.after(10, 9, |_| true).expect("all are here");
        assert_eq!((ids(&both), both.position), (vec![11, 13], 13));
        ring.push(vec![event(14, "c"), event(15, "d")]);
        assert!(ring.after(10, 9, |_| true).is_none(), "11 was given up");
        assert_eq!(ring.floor(), 11);
        assert_eq!(ids(&ring.after(11, 9, |_| true).expect("the rest")), [13, 14, 15]);
    }

    #[test]
    fn a_window_ends_at_the_limit_and_goes_on_from_there() {
        let ring = Ring::with_room(0, 100);
        ring.push((1..=10).map(|id| event(id, if id % 2 == 0 { "even" } else { "odd" })).collect());
        let even = |event: &Event| matches!(&event.what, EventKind::Text { delta, .. } if delta == "even");
        let first = ring.after(0, 2, even).expect("here");
        assert_eq!((ids(&first), first.position), (vec![2, 4], 4));
        let rest = ring.after(first.position, 9, even).expect("here");
        assert_eq!((ids(&rest), rest.position), (vec![6, 8, 10], 10));
        let none = ring.after(10, 9, even).expect("here");
        assert_eq!((ids(&none), none.position), (vec![], 10));
        let ahead = ring.after(99, 9, even).expect("here");
        assert_eq!((ids(&ahead), ahead.position), (vec![], 99), "a position never goes back");
    }

    #[test]
    fn large_events_leave_room_for_fewer() {
        let ring = Ring::with_room(0, 100);
        let large = "x".repeat(MOST_BYTES / 4);
        ring.push((1..=5).map(|id| event(id, &large)).collect());
        assert!(ring.floor() >= 3, "{}", ring.floor());
        let huge = "x".repeat(MOST_BYTES * 2);
        ring.push(vec![event(6, &huge)]);
        assert_eq!(ids(&ring.after(5, 9, |_| true).expect("the newest is always here")), [6]);
    }
}

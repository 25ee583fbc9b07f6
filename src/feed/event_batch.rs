//! Events of one turn that wait to be stored: collected while something is being written, then stored together.

use tokio::time::Instant;

use crate::model::event::EventKind;

/// Events that wait to be stored.
#[derive(Debug, Default)]
pub(super) struct EventBatch {
    waiting: Vec<EventKind>,
    since: Option<Instant>,
}

impl EventBatch {
    /// Adds events that come from something heard at `now`; text of one part becomes one piece.
    pub(super) fn add(&mut self, events: Vec<EventKind>, now: Instant) {
        for event in events {
            self.since.get_or_insert(now);
            match (self.waiting.last_mut(), event) {
                (Some(EventKind::Text { delta, part }), EventKind::Text { delta: more, part: same })
                    if *part == same =>
                {
                    delta.push_str(&more);
                }
                (
                    Some(EventKind::Reasoning { delta, part }),
                    EventKind::Reasoning { delta: more, part: same },
                ) if *part == same => {
                    delta.push_str(&more);
                }
                (_, event) => self.waiting.push(event),
            }
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hands over everything that waits, and since when the oldest of it does.
    pub(super) fn take(&mut self) -> (Vec<EventKind>, Option<Instant>) {
        (std::mem::take(&mut self.waiting), self.since.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_one_part_becomes_one_piece_and_the_order_stays() {
        let text = |delta: &str, part: &str| EventKind::Text { delta: delta.into(), part: part.into() };
        let mut batch = EventBatch::default();
        batch.add(vec![text("a", "p1"), text("b", "p1"), text("c", "p2"), text("d", "p1")], Instant::now());
        let (told, since) = batch.take();
        assert_eq!(told, [text("ab", "p1"), text("c", "p2"), text("d", "p1")]);
        assert!(since.is_some() && batch.is_empty());
        assert_eq!(batch.take(), (Vec::new(), None));
    }
}

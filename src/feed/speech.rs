//! What is told of a turn while it runs: collected while something is being written, then stored together.

use tokio::time::Instant;

use crate::model::event::EventKind;

/// Happenings that wait to be stored.
#[derive(Debug, Default)]
pub struct Speech {
    waiting: Vec<EventKind>,
    since: Option<Instant>,
}

impl Speech {
    /// Adds happenings that come from something heard at `now`; text of one part becomes one piece.
    pub fn add(&mut self, happenings: Vec<EventKind>, now: Instant) {
        for happening in happenings {
            self.since.get_or_insert(now);
            match (self.waiting.last_mut(), happening) {
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
                (_, happening) => self.waiting.push(happening),
            }
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hands over everything that waits, and since when the oldest of it does.
    pub fn take(&mut self) -> (Vec<EventKind>, Option<Instant>) {
        (std::mem::take(&mut self.waiting), self.since.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_one_part_becomes_one_piece_and_the_order_stays() {
        let text = |delta: &str, part: &str| EventKind::Text { delta: delta.into(), part: part.into() };
        let mut speech = Speech::default();
        speech.add(vec![text("a", "p1"), text("b", "p1"), text("c", "p2"), text("d", "p1")], Instant::now());
        let (told, since) = speech.take();
        assert_eq!(told, [text("ab", "p1"), text("c", "p2"), text("d", "p1")]);
        assert!(since.is_some() && speech.is_empty());
        assert_eq!(speech.take(), (Vec::new(), None));
    }
}

//! What is told of a turn while it runs: collected for a moment, then stored.

use tokio::time::Instant;

use crate::model::event::Happening;

/// More than this is not held back.
const ENOUGH: usize = 8 * 1024;

/// Happenings that wait to be stored.
#[derive(Debug, Default)]
pub(super) struct Speech {
    waiting: Vec<Happening>,
    bytes: usize,
    since: Option<Instant>,
}

impl Speech {
    /// Adds happenings; text of one part becomes one piece.
    pub(super) fn add(&mut self, happenings: Vec<Happening>, now: Instant) {
        for happening in happenings {
            self.since.get_or_insert(now);
            match (self.waiting.last_mut(), happening) {
                (Some(Happening::Text { delta, part }), Happening::Text { delta: more, part: same })
                    if *part == same =>
                {
                    self.bytes += more.len();
                    delta.push_str(&more);
                }
                (
                    Some(Happening::Reasoning { delta, part }),
                    Happening::Reasoning { delta: more, part: same },
                ) if *part == same => {
                    self.bytes += more.len();
                    delta.push_str(&more);
                }
                (_, happening) => self.waiting.push(happening),
            }
        }
    }

    /// Since when something waits.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Whether it should be stored without waiting any longer: tools and prompts are waited for by people.
    pub(super) fn is_urgent(&self) -> bool {
        let is_text =
            |happening: &Happening| matches!(happening, Happening::Text { .. } | Happening::Reasoning { .. });
        self.bytes > ENOUGH || self.waiting.iter().any(|happening| !is_text(happening))
    }

    /// Hands over everything that waits.
    pub(super) fn take(&mut self) -> Vec<Happening> {
        self.bytes = 0;
        self.since = None;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_one_part_becomes_one_piece_and_the_order_stays() {
        let text = |delta: &str, part: &str| Happening::Text { delta: delta.into(), part: part.into() };
        let mut speech = Speech::default();
        speech.add(vec![text("a", "p1"), text("b", "p1"), text("c", "p2"), text("d", "p1")], Instant::now());
        assert!(!speech.is_urgent() && speech.since().is_some());
        assert_eq!(speech.take(), [text("ab", "p1"), text("c", "p2"), text("d", "p1")]);
        assert_eq!((speech.take(), speech.since()), (Vec::new(), None));
    }
}

//! Which refusals are written down. A flood of them must not fill the disk, nor hide who else was refused.

use parking_lot::Mutex;
use std::collections::HashMap;

/// So many rows a minute in all,
const ROWS: u32 = 20;
/// and so many about one.
const OF_ONE: u32 = 3;
const MINUTE_MS: u64 = 60_000;

/// What was written down in this minute.
#[derive(Default)]
pub(super) struct Notes {
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    since_ms: u64,
    rows: u32,
    /// No longer than there are rows.
    of: HashMap<String, u32>,
    unwritten: u64,
}

impl Notes {
    /// Whether one more about `whom` is to be written down, and how many were not since the last one that was.
    pub(super) fn note(&self, whom: &str, now_ms: u64) -> Option<u64> {
        let mut minute = self.minute.lock();
        // Also when the clock was set back.
        if now_ms.abs_diff(minute.since_ms) >= MINUTE_MS {
            *minute = Minute { since_ms: now_ms, unwritten: minute.unwritten, ..Minute::default() };
        }
        let so_far = minute.of.get(whom).copied().unwrap_or(0);
        if minute.rows >= ROWS || so_far >= OF_ONE {
            minute.unwritten = minute.unwritten.saturating_add(1);
            return None;
        }
        minute.rows += 1;
        minute.of.insert(whom.to_owned(), so_far + 1);
        Some(std::mem::take(&mut minute.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_each_and_not_many_in_all_are_written_down_and_the_rest_is_counted() {
        let notes = Notes::default();
        let now = 1_000_000;
        let of_one: Vec<Option<u64>> = (0..10).map(|_| notes.note("one", now)).collect();
        assert_eq!(of_one.iter().flatten().count(), 3);
        assert_eq!(notes.note("two", now), Some(7), "another one is not hidden by the first");
        let crowd = (0..10_000).filter(|n| notes.note(&format!("{n}"), now).is_some()).count();
        assert_eq!(crowd, 16, "20 in all");
        assert!(notes.minute.lock().of.len() <= 20);
        assert_eq!(notes.note("one", now + 59_999), None);
        assert_eq!(notes.note("one", now + 60_000), Some(9_985), "a new minute");
        assert_eq!(notes.note("one", 0), Some(0), "the clock was set back");
    }
}

//! Events that come twice. Pure.
//!
//! A piece of text must not be added twice, and nothing but its number tells a
//! repeated piece from another one with the same letters.

use std::collections::VecDeque;

/// How many numbers are remembered; what is doubled on its way comes close together.
const REMEMBERED: usize = 256;
/// A number that the server made itself is longer than this.
const LEAST: usize = 16;

/// The numbers of the last events.
#[derive(Debug, Default)]
pub(super) struct Doubles {
    recent: VecDeque<Vec<u8>>,
}

impl Doubles {
    /// Whether this very event came before; takes note of it otherwise.
    pub(super) fn is_double(&mut self, payload: &[u8]) -> bool {
        let Some(id) = id_of(payload) else { return false };
        if self.recent.iter().rev().any(|known| known == id) {
            return true;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(id.to_vec());
        false
    }
}

/// The server writes the number first, so the rest need not be read for it.
fn id_of(payload: &[u8]) -> Option<&[u8]> {
    let rest = payload.strip_prefix(br#"{"id":"evt_"#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    (end >= LEAST).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event_is_known_again_and_others_are_not() {
        let event =
            |id: &str| format!(r#"{{"id":"evt_{id}","type":"message.part.delta","properties":{{}}}}"#);
        let mut doubles = Doubles::default();
        let first = event("1fd69ca38001r9tmEGVT9A7tcF");
        assert!(!doubles.is_double(first.as_bytes()) && doubles.is_double(first.as_bytes()));
        assert!(!doubles.is_double(event("1fd69ca38002r9tmEGVT9A7tcF").as_bytes()));
        assert!(doubles.is_double(first.as_bytes()));
        for odd in [event("1"), "not json".to_owned(), r#"{"type":"x"}"#.to_owned()] {
            assert!(!doubles.is_double(odd.as_bytes()) && !doubles.is_double(odd.as_bytes()), "{odd}");
        }
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut doubles = Doubles::default();
        for count in 0..10_000 {
            assert!(!doubles.is_double(format!(r#"{{"id":"evt_{count:026}"}}"#).as_bytes()));
        }
        assert_eq!(doubles.recent.len(), REMEMBERED);
    }

    /// A recording has no event twice.
    #[test]
    fn nothing_of_a_recording_is_taken_for_a_double() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode/bash.event.sse");
        let payloads = super::super::sse::SseParser::default()
            .push(&std::fs::read(path).expect("a recording"))
            .expect("short events");
        let mut doubles = Doubles::default();
        assert!(payloads.iter().all(|payload| !doubles.is_double(payload)));
        assert!(doubles.recent.len() > 10, "their numbers are read");
    }
}

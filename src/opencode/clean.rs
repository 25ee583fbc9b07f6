//! What an agent says, without the secrets that it may have been given.

use std::collections::HashMap;

use bytes::Bytes;

use super::translate;
use crate::model::agent::{AgentEvent, AgentPartId};
use crate::redact::{self, Known, Redactor};

/// How many texts that come in pieces are followed at once.
const TEXTS: usize = 256;

/// Between an event stream and whoever reads it.
pub(super) struct Cleaner {
    known: Known,
    /// Texts that come in pieces.
    texts: HashMap<AgentPartId, Redactor>,
}

impl Cleaner {
    pub(super) fn new(known: Known) -> Self {
        Self { known, texts: HashMap::new() }
    }

    /// An event without secrets. None when all of its text may be the beginning of one: the next piece brings it, or
    /// the whole part at its end.
    pub(super) fn event(&mut self, payload: &[u8]) -> Option<AgentEvent> {
        let (event, secrets) = (translate::event(payload), self.known.now());
        if secrets.is_empty() {
            return Some(event);
        }
        match event {
            AgentEvent::PartDelta { session, message, part, delta } => {
                if self.texts.len() >= TEXTS && !self.texts.contains_key(&part) {
                    self.texts.clear();
                }
                let text = self.texts.entry(part.clone()).or_insert_with(|| Redactor::new(&secrets));
                let passed = text.pass(&Bytes::from(delta));
                let delta = String::from_utf8_lossy(&passed).into_owned();
                (!delta.is_empty()).then_some(AgentEvent::PartDelta { session, message, part, delta })
            }
            event => {
                if let AgentEvent::Part(part) = &event
                    && part.ended
                {
                    self.texts.remove(&part.id);
                }
                if !secrets.are_in(payload) {
                    return Some(event);
                }
                let clean = redact::clean_document(Bytes::copy_from_slice(payload), &secrets);
                Some(translate::event(&clean))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::agent::PartBody;
    use crate::model::secret::Secret;

    const SECRET: &str = "ghp_a8d7Kq2mX0vZ4rT6";

    fn cleaner() -> Cleaner {
        let known = Known::default();
        known.set("test", vec![Secret::new(SECRET)]);
        Cleaner::new(known)
    }

    fn event(cleaner: &mut Cleaner, kind: &str, properties: &Value) -> Option<AgentEvent> {
        cleaner.event(json!({"type": kind, "properties": properties}).to_string().as_bytes())
    }

    fn delta(cleaner: &mut Cleaner, part: &str, text: &str) -> String {
        let properties = json!({"sessionID": "ses_1", "messageID": "msg_1", "partID": part, "field": "text", "delta": text});
        match event(cleaner, "message.part.delta", &properties) {
            Some(AgentEvent::PartDelta { delta, .. }) => delta,
            None => String::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_that_comes_in_pieces_is_taken_out_of_each_text_by_itself() {
        let mut cleaner = cleaner();
        let said: Vec<String> = ["it is gh", "p_a8d7Kq", "2mX0vZ4rT6", ", you see"]
            .into_iter()
            .map(|piece| {
                assert_eq!(delta(&mut cleaner, "prt_other", "ghost "), "ghost ");
                delta(&mut cleaner, "prt_1", piece)
            })
            .collect();
        // Its last letter may begin another spelling, so that it waits for the next.
        assert_eq!(said, ["it is ", "", "", "[redacted], you see"]);
    }

    #[test]
    fn what_was_held_back_comes_with_the_whole_part() {
        let mut cleaner = cleaner();
        assert_eq!(delta(&mut cleaner, "prt_1", "they begin with ghp_"), "they begin with ");
        let part = |text: &str| {
            json!({"part": {"id": "prt_1", "sessionID": "ses_1", "messageID": "msg_1", "type": "text", "text": text,
                "time": {"start": 1, "end": 2}}})
        };
        for (text, wanted) in [
            ("they begin with ghp_", "they begin with ghp_"),
            (&format!("mine is {SECRET}\nkeep it")[..], "mine is [redacted]\nkeep it"),
        ] {
            let Some(AgentEvent::Part(found)) = event(&mut cleaner, "message.part.updated", &part(text))
            else {
                panic!("no part");
            };
            assert!(matches!(&found.body, PartBody::Text { text, .. } if text == wanted), "{found:?}");
        }
        assert!(cleaner.texts.is_empty());
    }

    #[test]
    fn without_secrets_everything_is_as_it_was() {
        let mut cleaner = Cleaner::new(Known::default());
        assert_eq!(delta(&mut cleaner, "prt_1", SECRET), SECRET);
        assert!(cleaner.texts.is_empty());
    }
}

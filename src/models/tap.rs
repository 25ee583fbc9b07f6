//! Reads an answer while it passes: counts it, and mends its end where that is needed.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::repair::Repair;
use super::usage::{Format, Seen};

/// A line longer than this passes unread.
const LINE_LIMIT: usize = 1024 * 1024;

/// An answer that does not stream is read up to this size; beyond it passes uncounted.
const WHOLE_LIMIT: usize = 8 * 1024 * 1024;

/// What stands between the provider's bytes and the frame.
#[derive(Debug)]
pub struct Tap {
    format: Format,
    /// What was counted so far.
    pub seen: Seen,
    /// How many bytes passed that nobody could read.
    pub unread: u64,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// Server-sent events.
    Lines { held: BytesMut, overlong: bool, repair: Option<Repair> },
    /// One JSON document.
    Whole { kept: BytesMut },
}

impl Tap {
    /// For a stream of server-sent events.
    #[must_use]
    pub fn stream(format: Format) -> Self {
        let repair = (format == Format::Chat).then(Repair::default);
        let mode = Mode::Lines { held: BytesMut::new(), overlong: false, repair };
        Self { format, seen: Seen::default(), unread: 0, mode }
    }

    /// For one JSON document.
    #[must_use]
    pub fn whole(format: Format) -> Self {
        let mode = Mode::Whole { kept: BytesMut::new() };
        Self { format, seen: Seen::default(), unread: 0, mode }
    }

    /// Takes what came from the provider and gives what goes to the frame; that may be less, never out of order.
    pub fn pass(&mut self, chunk: Bytes) -> Bytes {
        match &mut self.mode {
            Mode::Whole { kept } => {
                if kept.len() + chunk.len() <= WHOLE_LIMIT {
                    kept.extend_from_slice(&chunk);
                } else {
                    self.unread += chunk.len() as u64;
                }
                chunk
            }
            Mode::Lines { held, overlong, repair } => {
                held.extend_from_slice(&chunk);
                let mut out = BytesMut::with_capacity(held.len());
                while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                    let line = held.split_to(end + 1).freeze();
                    if std::mem::take(overlong) {
                        self.unread += line.len() as u64;
                        out.extend_from_slice(&line);
                    } else {
                        read_line(&line, self.format, &mut self.seen, repair.as_mut(), &mut out);
                    }
                }
                if held.len() > LINE_LIMIT {
                    self.unread += held.len() as u64;
                    out.extend_from_slice(&held.split());
                    *overlong = true;
                }
                out.freeze()
            }
        }
    }

    /// What is kept of a document that may not have come to its end.
    pub fn read_whole(&mut self) {
        let Mode::Whole { kept } = &mut self.mode else { return };
        let kept = std::mem::take(kept);
        match serde_json::from_slice::<Value>(&kept) {
            Ok(json) => self.seen.take(self.format, &json),
            Err(_) => self.unread += kept.len() as u64,
        }
    }

    /// What is said in the middle of an answer that has to end here: an error that its reader understands.
    pub fn cut(&self, code: &str, text: &str) -> Option<Bytes> {
        let Mode::Lines { .. } = self.mode else { return None };
        let error = json!({"message": text, "type": code, "code": code});
        // Whatever came before may have ended in the middle of a line.
        let event = match self.format {
            Format::Anthropic => {
                format!("\n\nevent: error\ndata: {}\n\n", json!({"type": "error", "error": error}))
            }
            Format::Responses => format!(
                "\n\nevent: error\ndata: {}\n\n",
                json!({"type": "error", "code": code, "message": text, "param": null, "sequence_number": 0})
            ),
            Format::Google => {
                let error = json!({"code": 402, "message": text, "status": code});
                format!("\n\ndata: {}\n\n", json!({"error": error}))
            }
            Format::Chat | Format::Uncounted => {
                format!("\n\ndata: {}\n\ndata: [DONE]\n\n", json!({"error": error}))
            }
        };
        Some(event.into())
    }

    /// The body ended in order: gives what is still to be sent.
    pub fn end(&mut self) -> Bytes {
        match &mut self.mode {
            Mode::Whole { .. } => {
                self.read_whole();
                Bytes::new()
            }
            Mode::Lines { held, repair, .. } => {
                let mut out = BytesMut::new();
                let rest = held.split().freeze();
                if !rest.is_empty() {
                    read_line(&rest, self.format, &mut self.seen, repair.as_mut(), &mut out);
                    // Whatever we add must begin on a line of its own.
                    if repair.is_some() && !rest.ends_with(b"\n") {
                        out.extend_from_slice(b"\n\n");
                    }
                }
                if let Some(end) = repair.as_mut().and_then(Repair::at_end) {
                    out.extend_from_slice(end.as_bytes());
                }
                out.freeze()
            }
        }
    }
}

fn read_line(
    line: &Bytes,
    format: Format,
    seen: &mut Seen,
    mut repair: Option<&mut Repair>,
    out: &mut BytesMut,
) {
    let data = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii);
    if data == Some(b"[DONE]") {
        if let Some(end) = repair.as_mut().and_then(|repair| repair.before_done()) {
            out.extend_from_slice(end.as_bytes());
        }
    } else if let Some(mut json) = data.and_then(|data| serde_json::from_slice::<Value>(data).ok()) {
        seen.take(format, &json);
        if repair.as_mut().is_some_and(|repair| repair.event(&mut json)) {
            out.extend_from_slice(format!("data: {json}\n").as_bytes());
            return;
        }
    }
    out.extend_from_slice(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(tap: &mut Tap, body: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().map(|cut| cut % (body.len() + 1)) {
            if cut > from {
                out.extend_from_slice(&tap.pass(Bytes::copy_from_slice(&body[from..cut])));
                from = cut;
            }
        }
        out.extend_from_slice(&tap.pass(Bytes::copy_from_slice(&body[from..])));
        out.extend_from_slice(&tap.end());
        out
    }

    const GOOD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hé\"},\"finish_reason\":null}]}\n\n\
        : a comment\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

    proptest! {
        #[test]
        fn a_stream_in_order_passes_byte_for_byte_however_it_is_cut(mut cuts in prop::collection::vec(0_usize..400, 0..8)) {
            cuts.sort_unstable();
            let mut tap = Tap::stream(Format::Chat);
            prop_assert_eq!(through(&mut tap, GOOD.as_bytes(), &cuts), GOOD.as_bytes());
            prop_assert_eq!((tap.seen.tokens.input, tap.seen.tokens.output), (5, 2));
        }

        #[test]
        fn no_bytes_of_a_stranger_make_it_fall(body in prop::collection::vec(any::<u8>(), 0..400)) {
            for format in [Format::Chat, Format::Anthropic, Format::Responses, Format::Google] {
                through(&mut Tap::stream(format), &body, &[7, 100]);
                through(&mut Tap::whole(format), &body, &[7, 100]);
            }
        }
    }

    #[test]
    fn a_body_that_just_ends_gets_an_end() {
        let body = "data: {\"choices\":[{\"delta\":{\"content\":\"part\"},\"finish_reason\":null}]}";
        let out = through(&mut Tap::stream(Format::Chat), body.as_bytes(), &[]);
        let out = String::from_utf8(out).expect("text");
        assert!(out.starts_with(body) && out.contains("\"finish_reason\":\"length\""), "{out}");
        assert!(out.ends_with("\n\ndata: [DONE]\n\n"), "{out}");
    }

    #[test]
    fn an_endless_line_passes_without_being_kept() {
        let mut tap = Tap::stream(Format::Chat);
        let mut passed = 0;
        for _ in 0..40 {
            passed += tap.pass(Bytes::from(vec![b'x'; 64 * 1024])).len();
        }
        assert!(passed > 1024 * 1024, "only {passed} bytes passed");
        let rest = tap.pass(Bytes::from_static(b"\ndata: {\"usage\":{\"prompt_tokens\":3}}\n"));
        assert!(rest.ends_with(b"}\n"));
        assert_eq!(tap.seen.tokens.input, 3, "the next line is read again");
    }
}

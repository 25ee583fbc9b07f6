//! The framing of an event stream (`text/event-stream`): bytes in, payloads out. Pure.
//!
//! opencode sends only `data:` lines. The other fields are read and dropped, so
//! that a later version which adds `id:` or `event:` changes nothing here.

/// The most that one event may hold. The sender is inside a frame and not to be trusted with our memory.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// More than [`MAX_EVENT_BYTES`] came without an end of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLong;

/// Collects bytes until they are events. Any split of the bytes gives the same events.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
}

impl SseParser {
    /// Takes bytes as they come and returns the payloads that they complete.
    ///
    /// # Errors
    /// [`EventTooLong`]; the stream cannot be used any further then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, EventTooLong> {
        let mut complete = Vec::new();
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            // CR LF is one line end, also when the two bytes come apart.
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            match rest.iter().position(|b| matches!(b, b'\n' | b'\r')) {
                Some(end) => {
                    self.grow(&rest[..end])?;
                    self.after_cr = rest[end] == b'\r';
                    rest = &rest[end + 1..];
                    complete.extend(self.end_line());
                }
                None => {
                    self.grow(rest)?;
                    break;
                }
            }
        }
        Ok(complete)
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.line.len() + self.data.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(EventTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return std::mem::take(&mut self.has_data).then(|| std::mem::take(&mut self.data));
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        pieces
            .iter()
            .flat_map(|piece| parser.push(piece).expect("short"))
            .map(|event| String::from_utf8(event).expect("text"))
            .collect()
    }

    #[test]
    fn half_a_frame_waits_for_the_other_half() {
        assert_eq!(all(&[b"data: {\"a\"", b":1}\n", b"\n"]), ["{\"a\":1}"]);
        assert_eq!(all(&[b"data: never ended\n"]), Vec::<String>::new());
    }

    #[test]
    fn comments_other_fields_and_empty_events_are_dropped() {
        assert_eq!(all(&[b": hi\n\nid: 3\nevent: x\nretry: 1\ndata: a\n\n\n\ndata:b\n\n"]), ["a", "b"]);
    }

    #[test]
    fn several_data_lines_are_one_event_and_every_line_end_counts() {
        assert_eq!(all(&[b"data: a\r\ndata: b\r", b"\n\r\ndata: c\r\rdata: d\n\n"]), ["a\nb", "c", "d"]);
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_fills_the_memory() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; 1024 * 1024];
        let refused = (0..17).map(|_| parser.push(&piece)).find(Result::is_err);
        assert_eq!(refused, Some(Err(EventTooLong)));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_events(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()], 0..200),
            size in 1_usize..7,
        ) {
            let mut text = b"data: ".to_vec();
            text.extend(bytes);
            let whole = SseParser::default().push(&text).expect("short");
            let mut parser = SseParser::default();
            let pieces: Vec<Vec<u8>> =
                text.chunks(size).flat_map(|piece| parser.push(piece).expect("short")).collect();
            prop_assert_eq!(whole, pieces);
        }
    }
}

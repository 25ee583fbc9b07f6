//! Secrets that are spread over the events of a stream.
//!
//! An agent puts the pieces of a text together, so they are looked at together: each place of a JSON event that holds a
//! text is one text over all events. While its last letters may be the beginning of a secret, the events from there on
//! wait; a few letters may have gone by then, so that ordinary words wait for nothing.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::REDACTED;
use super::scan::{Scan, Wanted};

/// So many letters of a form are a reason to wait.
const LIKELY: u32 = 4;

/// A line longer than this is not read as an event.
const LINE_LIMIT: usize = 1024 * 1024;

/// What waits at most. Beyond it what may be a secret counts as one.
const HELD_LINES: usize = 1024;
const HELD_BYTES: usize = 256 * 1024;

/// How many texts of a stream are followed at once; beyond it what may be a secret counts as one.
const MOST_TEXTS: usize = 1024;

/// How much room the places of one event's texts may take. An event with more is no model's, and is left out.
const PLACES_BYTES: usize = 8 * 1024 * 1024;
/// What stands in its place: a comment of the stream.
const LEFT_OUT: &[u8] = b": an event with too many parts was left out\n";

/// How deep an event is looked into.
const DEEPEST: usize = 24;

/// What stands between the redacted bytes and who reads the events.
pub(super) struct Events {
    wanted: Arc<Wanted>,
    /// The beginning of a line.
    line: BytesMut,
    held: Vec<Held>,
    /// How many lines went before those.
    gone: u64,
    texts: HashMap<String, Text>,
    hits: u64,
}

/// A line that waits.
struct Held {
    line: Bytes,
    event: Option<Value>,
    /// What is to be cut out of its texts.
    cuts: Vec<Cut>,
}

/// A part of a secret in a text of an event.
struct Cut {
    pointer: String,
    range: Range<usize>,
    /// Whether it is the first part, in whose place something is said.
    is_first: bool,
}

/// A text that is spread over events.
struct Text {
    scan: Scan,
    pieces: Vec<Piece>,
}

/// A part of it.
struct Piece {
    /// Which line it is in, and where in its event.
    line: u64,
    pointer: String,
    /// What of the text it is.
    range: Range<u64>,
}

/// A text in an event: what it belongs to, and where it stands.
struct Leaf<'a> {
    place: String,
    pointer: String,
    text: &'a str,
}

/// The texts of an event, and how much more room their places may take.
struct Leaves<'a> {
    found: Vec<Leaf<'a>>,
    room: usize,
}

impl Events {
    pub(super) fn new(wanted: Arc<Wanted>) -> Self {
        let (line, held, texts) = (BytesMut::new(), Vec::new(), HashMap::new());
        Self { wanted, line, held, gone: 0, texts, hits: 0 }
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) -> Bytes {
        self.line.extend_from_slice(bytes);
        let mut out = BytesMut::new();
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line = self.line.split_to(end + 1).freeze();
            self.take(line, &mut out);
        }
        if self.line.len() > LINE_LIMIT {
            let line = self.line.split().freeze();
            self.take(line, &mut out);
        }
        out.freeze()
    }

    pub(super) fn end(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        let rest = self.line.split().freeze();
        if !rest.is_empty() {
            self.take(rest, &mut out);
        }
        for text in self.texts.values_mut() {
            if let Some(cut) = text.scan.finish() {
                self.hits += text.cut(cut, &mut self.held, self.gone);
            }
        }
        self.release(&mut out);
        out.freeze()
    }

    fn take(&mut self, line: Bytes, out: &mut BytesMut) {
        let data = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii);
        let event = data.and_then(|data| serde_json::from_slice::<Value>(data).ok());
        self.held.push(Held { line, event: None, cuts: Vec::new() });
        if let Some(event) = event {
            let is_read = self.read(&event);
            if let Some(held) = self.held.last_mut() {
                match is_read {
                    true => held.event = Some(event),
                    false => held.line = Bytes::from_static(LEFT_OUT),
                }
            }
        }
        let waits = self.texts.values().any(|text| text.scan.pending(LIKELY).is_some());
        if waits && !self.is_full() {
            return;
        }
        for text in self.texts.values_mut().filter(|_| waits) {
            if let Some(start) = text.scan.pending(LIKELY) {
                let range = start..text.scan.at();
                self.hits += text.cut(range, &mut self.held, self.gone);
                text.scan = Scan::new(self.wanted.clone());
            }
        }
        if self.texts.len() > MOST_TEXTS {
            self.texts.clear();
        }
        self.release(out);
    }

    fn is_full(&self) -> bool {
        self.held.len() > HELD_LINES
            || self.texts.len() > MOST_TEXTS
            || self.held.iter().map(|held| held.line.len()).sum::<usize>() > HELD_BYTES
    }

    /// Goes on with the texts of an event, which is the last that waits. Says whether it could be read.
    fn read(&mut self, event: &Value) -> bool {
        let mut leaves = Leaves { found: Vec::new(), room: PLACES_BYTES };
        if !collect(event, &mut (String::new(), String::new()), 0, &mut leaves) {
            return false;
        }
        let line = self.gone + self.held.len() as u64 - 1;
        for leaf in leaves.found {
            let new = || Text { scan: Scan::new(self.wanted.clone()), pieces: Vec::new() };
            let text = self.texts.entry(leaf.place).or_insert_with(new);
            let start = text.scan.at();
            let mut found = Vec::new();
            leaf.text.bytes().for_each(|byte| text.scan.step(byte, &mut |range| found.push(range)));
            text.pieces.push(Piece { line, pointer: leaf.pointer, range: start..text.scan.at() });
            for range in found {
                self.hits += text.cut(range, &mut self.held, self.gone);
            }
        }
        self.texts.retain(|_, text| !text.scan.is_idle());
        true
    }

    /// Lets everything go that waits.
    fn release(&mut self, out: &mut BytesMut) {
        self.gone += self.held.len() as u64;
        for held in self.held.drain(..) {
            match held.event.filter(|_| !held.cuts.is_empty()) {
                Some(event) => out.extend_from_slice(&without(event, held.cuts, &held.line)),
                None => out.extend_from_slice(&held.line),
            }
        }
        self.texts.values_mut().for_each(|text| text.pieces.clear());
    }
}

impl Text {
    /// Has what lies in that range cut out of the lines that wait. Says how many secrets that makes.
    fn cut(&self, range: Range<u64>, held: &mut [Held], gone: u64) -> u64 {
        let at =
            |offset: u64, piece: &Piece| usize::try_from(offset - piece.range.start).unwrap_or(usize::MAX);
        let mut is_first = true;
        for piece in &self.pieces {
            let (start, end) = (range.start.max(piece.range.start), range.end.min(piece.range.end));
            let waiting =
                piece.line.checked_sub(gone).and_then(|line| held.get_mut(usize::try_from(line).ok()?));
            if let Some(waiting) = waiting.filter(|_| start < end) {
                let range = at(start, piece)..at(end, piece);
                waiting.cuts.push(Cut { pointer: piece.pointer.clone(), range, is_first });
                is_first = false;
            }
        }
        u64::from(!is_first)
    }
}

/// The line of an event without what is to be cut out of it.
fn without(mut event: Value, cuts: Vec<Cut>, line: &[u8]) -> Vec<u8> {
    let mut by_place: HashMap<String, Vec<Cut>> = HashMap::new();
    cuts.into_iter().for_each(|cut| by_place.entry(cut.pointer.clone()).or_default().push(cut));
    for (pointer, mut cuts) in by_place {
        let Some(Value::String(text)) = event.pointer_mut(&pointer) else { continue };
        cuts.sort_by_key(|cut| cut.range.start);
        let (mut kept, mut from) = (Vec::new(), 0);
        for Cut { range, is_first, .. } in cuts {
            if range.start >= from {
                kept.extend_from_slice(&text.as_bytes()[from..range.start]);
                kept.extend_from_slice(if is_first { REDACTED.as_bytes() } else { b"" });
            }
            from = from.max(range.end);
        }
        kept.extend_from_slice(&text.as_bytes()[from..]);
        *text = String::from_utf8_lossy(&kept).into_owned();
    }
    let end: &[u8] = if line.ends_with(b"\r\n") {
        b"\r\n"
    } else if line.ends_with(b"\n") {
        b"\n"
    } else {
        b""
    };
    [format!("data: {event}").as_bytes(), end].concat()
}

/// All texts of an event; `false` when they are too many. `at` is where we are: as a place of the stream, in which things
/// that count themselves (the second tool call) are told apart, and as a pointer into this event.
fn collect<'a>(value: &'a Value, at: &mut (String, String), depth: usize, leaves: &mut Leaves<'a>) -> bool {
    let lengths = (at.0.len(), at.1.len());
    match value {
        Value::String(text) => {
            let Some(room) = leaves.room.checked_sub(at.0.len() + at.1.len() + size_of::<Leaf<'_>>()) else {
                return false;
            };
            leaves.room = room;
            leaves.found.push(Leaf { place: at.0.clone(), pointer: at.1.clone(), text });
            true
        }
        Value::Array(items) if depth < DEEPEST => items.iter().enumerate().all(|(number, item)| {
            let step = format!("/{number}");
            at.0.push_str(&step);
            at.1.push_str(&step);
            let is_whole = collect(item, at, depth + 1, leaves);
            at.0.truncate(lengths.0);
            at.1.truncate(lengths.1);
            is_whole
        }),
        Value::Object(fields) if depth < DEEPEST => {
            let index = fields.get("index").and_then(Value::as_u64);
            let index = index.map(|index| format!("#{index}")).unwrap_or_default();
            fields.iter().all(|(name, field)| {
                let step = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                at.0.push_str(&index);
                at.0.push_str(&step);
                at.1.push_str(&step);
                let is_whole = collect(field, at, depth + 1, leaves);
                at.0.truncate(lengths.0);
                at.1.truncate(lengths.1);
                is_whole
            })
        }
        _ => true,
    }
}

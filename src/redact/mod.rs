//! Takes secrets out of what others say, while it passes.
//!
//! A provider may repeat the key that it was asked with: in an error, in a header, in what it streams; an agent that was
//! given a secret may say it. What comes from there goes through a [`Redactor`], which finds secrets in every form of
//! `forms`, however the bytes are cut into pieces; [`events`] finds those that are spread over the events of a stream.
//! Bytes are held back only while they may be the beginning of a form. [`Known`] is what a gateway knows of secrets now.
//!
//! This is against echoes. Who has a key and wants to give it away can always write it in a way that nobody looks for.

mod events;
mod forms;
mod json;
mod known;
mod scan;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::model::secret::Secret;
use events::Events;
use scan::{Scan, Wanted};

pub use json::{clean_document, clean_value};
pub use known::Known;

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// The secrets that must not pass, in all their forms. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<Wanted>);

impl Secrets {
    /// Those; texts under 8 bytes are no secrets, and are not looked for.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut known: Vec<&str> = secrets.into_iter().map(Secret::reveal).collect();
        known.sort_unstable();
        known.dedup();
        Self(Arc::new(Wanted::new(
            known.into_iter().flat_map(|secret| forms::all(secret.as_bytes())).collect(),
        )))
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text without them.
    #[must_use]
    pub fn out_of(&self, text: &str) -> String {
        // Forms are of whole letters, unless a secret is none of text.
        String::from_utf8_lossy(&self.out_of_bytes(text.as_bytes())).into_owned()
    }

    /// Bytes without them.
    #[must_use]
    pub fn out_of_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut redactor = Redactor::new(self);
        let mut out = redactor.pass(&Bytes::copy_from_slice(bytes)).to_vec();
        out.extend_from_slice(&redactor.end());
        out
    }

    /// Where they stand in a text, in order. What was cut off at its end counts.
    #[must_use]
    pub fn places(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let (mut scan, mut covered) = (Scan::new(self.0.clone()), VecDeque::new());
        if !scan.wants_nothing() {
            bytes.iter().for_each(|byte| scan.step(*byte, &mut |found| cover(&mut covered, found)));
            scan.finish().into_iter().for_each(|cut| cover(&mut covered, cut));
        }
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        covered.into_iter().map(|range| at(range.start)..at(range.end)).collect()
    }

    /// Whether one of them stands in a text.
    #[must_use]
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        !self.places(bytes).is_empty()
    }
}

/// What an answer passes through on its way to a frame.
pub struct Redactor {
    scan: Scan,
    /// What was not given yet; empty when there is nothing to look for.
    held: BytesMut,
    /// Where in the text that begins.
    base: u64,
    /// Where in it secrets are.
    covered: VecDeque<Range<u64>>,
    hits: u64,
    events: Option<Events>,
}

impl Redactor {
    /// For any text.
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            scan: Scan::new(secrets.0.clone()),
            held: BytesMut::new(),
            base: 0,
            covered: VecDeque::new(),
            hits: 0,
            events: None,
        }
    }

    /// For a stream of server-sent events, whose texts are pieces of longer ones.
    #[must_use]
    pub fn of_events(secrets: &Secrets) -> Self {
        let events = (!secrets.0.is_empty()).then(|| Events::new(secrets.0.clone()));
        Self { events, ..Self::new(secrets) }
    }

    /// How many secrets there were so far.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits + self.events.as_ref().map_or(0, Events::hits)
    }

    /// Takes the next bytes, and gives those that may go on.
    pub fn pass(&mut self, bytes: &Bytes) -> Bytes {
        if self.scan.wants_nothing() {
            return bytes.clone();
        }
        self.held.extend_from_slice(bytes);
        let covered = &mut self.covered;
        for byte in bytes {
            self.scan.step(*byte, &mut |found| cover(covered, found));
        }
        let until = self.scan.pending(0).unwrap_or(self.scan.at());
        let out = self.release(until);
        match &mut self.events {
            Some(events) => events.pass(&out),
            None => out,
        }
    }

    /// The text has ended: gives the rest.
    pub fn end(&mut self) -> Bytes {
        if let Some(cut) = self.scan.finish() {
            cover(&mut self.covered, cut);
        }
        let out = self.release(self.scan.at());
        match &mut self.events {
            Some(events) => {
                let mut all = BytesMut::from(&events.pass(&out)[..]);
                all.extend_from_slice(&events.end());
                all.freeze()
            }
            None => out,
        }
    }

    /// Gives what stands before `until`; a secret as a whole, or not yet.
    fn release(&mut self, until: u64) -> Bytes {
        let mut out = BytesMut::new();
        while let Some(secret) = self.covered.front().cloned().filter(|secret| secret.start < until) {
            out.extend_from_slice(&self.take(secret.start));
            if secret.end > until {
                return out.freeze();
            }
            self.covered.pop_front();
            self.take(secret.end);
            self.hits += 1;
            out.extend_from_slice(REDACTED.as_bytes());
        }
        out.extend_from_slice(&self.take(until));
        out.freeze()
    }

    fn take(&mut self, until: u64) -> BytesMut {
        let count =
            usize::try_from(until.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.held.len());
        self.base += count as u64;
        self.held.split_to(count)
    }
}

/// Adds a place to others that are in order; what overlaps is one.
fn cover(covered: &mut VecDeque<Range<u64>>, mut new: Range<u64>) {
    covered.retain(|known| {
        let is_apart = known.end <= new.start || new.end <= known.start;
        if !is_apart {
            new = new.start.min(known.start)..new.end.max(known.end);
        }
        is_apart
    });
    let at = covered.iter().position(|known| known.start > new.start).unwrap_or(covered.len());
    covered.insert(at, new);
}

#[cfg(test)]
mod tests;

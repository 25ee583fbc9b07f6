//! Looks for all forms of all secrets in bytes that come one after the other, in one pass.
//!
//! Wherever a form may have begun there is a trace of it, which goes on with each byte or ends. A letter may be written
//! as itself, `%73`, `%2573`, `\u0073`, `\x73`, `\/`, `&#115;` or any mixture of these, so a trace is also at a place
//! within an escape, and one byte can continue it in two ways.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::forms::Form;

/// How many backslashes in a row, and how many `%25` within each other, are read as one escape.
const DEEPEST: u8 = 8;

/// How many bytes may stand between two letters.
const BETWEEN: u8 = 2;

/// What is looked for.
#[derive(Default)]
pub(super) struct Wanted {
    forms: Vec<Form>,
    /// Those that begin with a letter, for each letter there is.
    beginning: Vec<Vec<u16>>,
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} forms", self.forms.len())
    }
}

impl Wanted {
    pub(super) fn new(forms: Vec<Form>) -> Self {
        let with = |byte: u8| (0_u16..).zip(&forms).filter(move |(_, form)| form.has(0, byte));
        let beginning = (0..=u8::MAX).map(|byte| with(byte).map(|(number, _)| number).collect()).collect();
        Self { forms, beginning }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// The forms that begin with that letter.
    fn beginning_with(&self, letter: u8) -> &[u16] {
        self.beginning.get(usize::from(letter)).map_or(&[], Vec::as_slice)
    }

    /// Whether no form begins with this byte, however its first letter is written.
    fn is_no_beginning(&self, byte: u8) -> bool {
        !matches!(byte, b'%' | b'\\' | b'&') && self.beginning_with(byte).is_empty()
    }
}

/// Where a trace is within a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Before one.
    Nothing,
    /// Behind `%` and some of its two digits.
    Percent { digits: u8, value: u8, deep: u8 },
    /// Behind so many backslashes.
    Slashes(u8),
    /// Behind `\u` or `\x`, with so many digits to come.
    Digits { left: u8, value: u16 },
    /// Behind `&`, `&#` or `&#x`.
    Entity { hash: bool, hex: bool, digits: u8, value: u16 },
}

impl Within {
    /// What a byte makes of it: the letter that it completes, and the escape that it goes on with.
    fn read(self, byte: u8) -> (Option<u8>, Option<Self>) {
        match self {
            Self::Nothing => {
                let opened = match byte {
                    b'%' => Some(Self::Percent { digits: 0, value: 0, deep: 1 }),
                    b'\\' => Some(Self::Slashes(1)),
                    b'&' => Some(Self::Entity { hash: false, hex: false, digits: 0, value: 0 }),
                    _ => None,
                };
                (Some(byte), opened)
            }
            Self::Percent { digits: 0, deep: 1, .. } if byte == b'u' => {
                (None, Some(Self::Digits { left: 4, value: 0 }))
            }
            Self::Percent { digits, value, deep } => match (digit(byte), digits) {
                (None, _) => (None, None),
                (Some(more), 0) => (None, Some(Self::Percent { digits: 1, value: more, deep })),
                (Some(more), _) => {
                    let letter = value * 16 + more;
                    let again = letter == b'%' && deep < DEEPEST;
                    (
                        Some(letter),
                        again.then_some(Self::Percent { digits: 0, value: 0, deep: deep.saturating_add(1) }),
                    )
                }
            },
            Self::Slashes(count) => match byte {
                b'\\' => (Some(byte), (count < DEEPEST).then_some(Self::Slashes(count.saturating_add(1)))),
                b'u' => (None, Some(Self::Digits { left: 4, value: 0 })),
                b'x' => (None, Some(Self::Digits { left: 2, value: 0 })),
                b'n' => (Some(b'\n'), None),
                b'r' => (Some(b'\r'), None),
                b't' => (Some(b'\t'), None),
                b'0' => (Some(0), None),
                _ => (byte.is_ascii_punctuation().then_some(byte), None),
            },
            Self::Digits { left, value } => match digit(byte) {
                None => (None, None),
                Some(more) => {
                    let value = (value << 4) | u16::from(more);
                    if left > 1 {
                        (None, Some(Self::Digits { left: left - 1, value }))
                    } else {
                        (u8::try_from(value).ok(), None)
                    }
                }
            },
            Self::Entity { hash: false, .. } => {
                let begun = Self::Entity { hash: true, hex: false, digits: 0, value: 0 };
                (None, (byte == b'#').then_some(begun))
            }
            Self::Entity { hex, digits, value, .. } => match byte {
                b';' => ((digits > 0).then_some(value).and_then(|value| u8::try_from(value).ok()), None),
                b'x' | b'X' if digits == 0 && !hex => {
                    (None, Some(Self::Entity { hash: true, hex: true, digits, value }))
                }
                _ => {
                    let base = if hex { 16 } else { 10 };
                    let more = digit(byte).map(u16::from).filter(|more| *more < base && digits < 6);
                    let value = more.and_then(|more| value.checked_mul(base)?.checked_add(more));
                    (None, value.map(|value| Self::Entity { hash: true, hex, digits: digits + 1, value }))
                }
            },
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// A form that may have begun.
#[derive(Clone, Copy, Debug)]
struct Trace {
    start: u64,
    /// Behind the last letter that matched.
    end: u64,
    /// None while the first letter is not read yet.
    form: Option<u16>,
    matched: u32,
    between: u8,
    within: Within,
}

/// The look for secrets in one text.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    wanted: Arc<Wanted>,
    traces: Vec<Trace>,
    spare: Vec<Trace>,
    at: u64,
}

impl Scan {
    pub(super) fn new(wanted: Arc<Wanted>) -> Self {
        Self { wanted, traces: Vec::new(), spare: Vec::new(), at: 0 }
    }

    /// Whether there is nothing to look for.
    pub(super) fn wants_nothing(&self) -> bool {
        self.wanted.is_empty()
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Whether nothing has begun.
    pub(super) fn is_idle(&self) -> bool {
        self.traces.is_empty()
    }

    /// Where the first form begins of which so many letters are there and that is not ended yet.
    pub(super) fn pending(&self, letters: u32) -> Option<u64> {
        self.traces.iter().filter(|trace| trace.matched >= letters).map(|trace| trace.start).min()
    }

    /// Reads a byte; `found` hears where secrets are, in the order of their ends or nearly so.
    pub(super) fn step(&mut self, byte: u8, found: &mut impl FnMut(Range<u64>)) {
        let here = self.at;
        self.at += 1;
        if self.traces.is_empty() && self.wanted.is_no_beginning(byte) {
            return;
        }
        let wanted = self.wanted.clone();
        let mut next = std::mem::take(&mut self.spare);
        let fresh =
            Trace { start: here, end: here, form: None, matched: 0, between: 0, within: Within::Nothing };
        for trace in self.traces.drain(..).chain([fresh]) {
            let (letter, escape) = trace.within.read(byte);
            let mut goes_on = escape.is_some();
            if let Some(within) = escape {
                push(&mut next, Trace { within, ..trace });
            }
            if let Some(letter) = letter {
                goes_on |= follow(&wanted, trace, letter, self.at, &mut next, found);
            }
            let nearly = |form: u16| trace.matched as usize >= wanted.forms[form as usize].nearly;
            if !goes_on && trace.form.is_some_and(nearly) {
                found(trace.start..trace.end);
            }
        }
        self.spare = std::mem::replace(&mut self.traces, next);
        self.spare.clear();
    }

    /// The text has ended: where a secret was cut off.
    pub(super) fn finish(&mut self) -> Option<Range<u64>> {
        let cut = |trace: &Trace| {
            let form = &self.wanted.forms[trace.form? as usize];
            (trace.matched as usize >= form.at_end).then_some(trace.start)
        };
        let start = self.traces.iter().filter_map(cut).min();
        self.traces.clear();
        start.map(|start| start..self.at)
    }
}

/// Goes on with a letter that was read until `at`, and says whether there was a way to.
fn follow(
    wanted: &Wanted,
    trace: Trace,
    letter: u8,
    at: u64,
    next: &mut Vec<Trace>,
    found: &mut impl FnMut(Range<u64>),
) -> bool {
    let mut take = |number: u16| {
        let matched = trace.matched + 1;
        if matched as usize == wanted.forms[number as usize].len() {
            found(trace.start..at);
        } else {
            let form = Some(number);
            push(next, Trace { end: at, form, matched, between: 0, within: Within::Nothing, ..trace });
        }
    };
    let Some(number) = trace.form else {
        wanted.beginning_with(letter).iter().for_each(|form| take(*form));
        return true;
    };
    let form = &wanted.forms[number as usize];
    if form.has(trace.matched as usize, letter) {
        take(number);
        return true;
    }
    let bridged = trace.between < BETWEEN && form.bridges(trace.matched as usize, letter);
    if bridged {
        push(next, Trace { between: trace.between + 1, within: Within::Nothing, ..trace });
    }
    bridged
}

/// Two traces at the same place go on alike; the older one covers more.
fn push(traces: &mut Vec<Trace>, new: Trace) {
    let key = |it: &Trace| (it.form, it.matched, it.between, it.within);
    if let Some(known) = traces.iter_mut().find(|known| key(known) == key(&new)) {
        known.start = known.start.min(new.start);
    } else {
        traces.push(new);
    }
}

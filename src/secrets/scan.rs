//! Looks for secrets in a text that is about to leave: those that are known first, then what looks like one.
//!
//! A known secret is found in every spelling of [`redact`](crate::redact). What is not known is found by the shape of
//! well-known tokens (`patterns`), of private keys, of passwords in addresses, and by the names of things that hold
//! secrets. No finding ever holds what it found.

use std::ops::Range;

use super::patterns::{NAMES, PATTERNS, Pattern};
use crate::model::secret::Secret;
use crate::model::secrets::PLACEHOLDER;
use crate::redact::Secrets;

/// How much of a line is shown on each side of what was found.
const AROUND: usize = 48;

/// How random a text must be to be taken for a secret because of its name alone, in bits for each letter.
const RANDOM: f64 = 3.5;

/// Something in a text that should not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which line it begins in, from 1.
    pub line: usize,
    /// A stable word: `known`, `github-token`, `private-key`, …
    pub kind: &'static str,
    /// What it is, for people: `the secret github`, `a GitHub token`.
    pub what: String,
    /// Whether it is one; else it only looks like one.
    pub is_sure: bool,
    /// Its line, cut short, without any secret.
    pub excerpt: String,
}

/// Looks for what has the shape of a secret.
#[must_use]
pub fn scan(text: &str) -> Vec<Finding> {
    Scanner::default().scan(text)
}

/// Looks for secrets that are known, and for what has the shape of one.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    all: Secrets,
    each: Vec<(String, Secrets)>,
}

/// Something that was found.
#[derive(Clone, Debug)]
struct Place {
    range: Range<usize>,
    kind: &'static str,
    what: String,
    is_sure: bool,
    /// What may stand in its place: its public beginning.
    shown: &'static str,
}

impl Scanner {
    /// With these, each with what it is called: `the secret github`, `the key of provider openai`.
    #[must_use]
    pub fn knowing<'a>(named: impl IntoIterator<Item = (String, &'a Secret)>) -> Self {
        let named: Vec<(String, &Secret)> = named.into_iter().collect();
        Self {
            all: Secrets::new(named.iter().map(|(_, secret)| *secret)),
            each: named.into_iter().map(|(what, secret)| (what, Secrets::new([secret]))).collect(),
        }
    }

    /// What should not leave, from the first line to the last.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Finding> {
        let mut places = self.known(text);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            for mut place in in_line(line.trim_end_matches(['\n', '\r'])) {
                place.range = place.range.start + start..place.range.end + start;
                add(&mut places, place);
            }
            start += line.len();
        }
        places.sort_by_key(|place| place.range.start);
        let mut lines = Lines { text, start: 0, number: 1 };
        places.iter().map(|place| lines.finding(place, &places)).collect()
    }

    fn known(&self, text: &str) -> Vec<Place> {
        let found = self.all.places(text.as_bytes());
        let named = |range: Range<usize>| {
            let part = &text.as_bytes()[range.clone()];
            let of = self.each.iter().find(|(_, secret)| secret.are_in(part));
            let what = of.map_or_else(|| "a secret".to_owned(), |(what, _)| what.clone());
            Place { range, kind: "known", what, is_sure: true, shown: "" }
        };
        found.into_iter().map(named).collect()
    }
}

/// Where we are in a text.
struct Lines<'a> {
    text: &'a str,
    /// Where the line begins that we are in.
    start: usize,
    number: usize,
}

impl Lines<'_> {
    /// Places come in order, so that each line is counted once.
    fn finding(&mut self, place: &Place, all: &[Place]) -> Finding {
        while let Some(end) = self.text[self.start..].find('\n').map(|at| self.start + at + 1)
            && end <= place.range.start
        {
            self.start = end;
            self.number += 1;
        }
        let end = self.text[self.start..].find('\n').map_or(self.text.len(), |at| self.start + at);
        let Place { kind, what, is_sure, .. } = place.clone();
        let excerpt = excerpt(self.text, self.start..end, place, all);
        Finding { line: self.number, kind, what, is_sure, excerpt }
    }
}

/// A line without anything that was found in it.
fn excerpt(text: &str, line: Range<usize>, place: &Place, all: &[Place]) -> String {
    let floor = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = floor(place.range.start.saturating_sub(AROUND).max(line.start)).max(line.start);
    let until = floor(place.range.end.saturating_add(AROUND).min(line.end)).max(from);
    let mut out = String::new();
    let mut at = from;
    for other in all.iter().filter(|other| other.range.end > from && other.range.start < until) {
        if other.range.start > at {
            out.push_str(&text[at..floor(other.range.start).max(at)]);
        }
        out.push_str(other.shown);
        out.push('…');
        at = at.max(other.range.end.min(until));
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    out.push_str(&text[at.min(until)..until]);
    out.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The first word on a place counts.
fn add(places: &mut Vec<Place>, new: Place) {
    let overlaps = |known: &Place| known.range.start < new.range.end && new.range.start < known.range.end;
    if !places.iter().any(overlaps) {
        places.push(new);
    }
}

fn in_line(line: &str) -> Vec<Place> {
    let mut places = Vec::new();
    private_keys(line).into_iter().for_each(|place| add(&mut places, place));
    for pattern in PATTERNS {
        tokens(line, pattern).into_iter().for_each(|place| add(&mut places, place));
    }
    for look in [web_tokens, telegram, passwords_in_addresses, assigned] {
        look(line).into_iter().for_each(|place| add(&mut places, place));
    }
    places
}

fn tokens(line: &str, pattern: &Pattern) -> Vec<Place> {
    let mut found = Vec::new();
    for begin in pattern.begins {
        for (at, _) in line.match_indices(begin) {
            let body = at + begin.len();
            let end = run(line, body, |byte| pattern.letters.have(byte));
            let length = end - body;
            let fits = (pattern.least..=pattern.most).contains(&length);
            if fits && is_word_start(line, at) && is_meant(&line[body..end]) {
                found.push(Place {
                    range: at..end,
                    kind: pattern.kind,
                    what: pattern.what.to_owned(),
                    is_sure: true,
                    shown: begin,
                });
            }
        }
    }
    found
}

/// Where letters end that `fit`.
fn run(line: &str, from: usize, fit: impl Fn(u8) -> bool) -> usize {
    line.as_bytes()[from..].iter().position(|byte| !fit(*byte)).map_or(line.len(), |count| from + count)
}

fn is_word_start(line: &str, at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| line.as_bytes()[before]);
    before.is_none_or(|before| !before.is_ascii_alphanumeric() && before != b'_')
}

/// Documents say `xxxx`, `EXAMPLE` or `1234` where a token would stand.
fn is_meant(body: &str) -> bool {
    let upper = body.to_ascii_uppercase();
    let stands_for =
        ["EXAMPLE", "PLACEHOLDER", "XXXXXX", "YOUR_", "YOUR-", "123456789", "ABCDEFGH", "REDACTED"];
    !stands_for.iter().any(|word| upper.contains(word)) && bits(body) >= 2.0
}

/// How random a text is, in bits for each letter.
fn bits(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    #[expect(clippy::cast_precision_loss, reason = "a line is no longer than 2^52 bytes")]
    let length = text.len() as f64;
    let share = |count: u32| f64::from(count) / length;
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
}

fn private_keys(line: &str) -> Vec<Place> {
    let ends = ["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"];
    let starts = line.match_indices("-----BEGIN ");
    let key = starts.filter_map(|(at, begin)| {
        let rest = &line[at + begin.len()..];
        let end = ends.iter().filter_map(|end| rest.find(end).map(|found| found + end.len())).min()?;
        let kind = &rest[..end];
        let is_label =
            kind.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b" -".contains(&b));
        // A key in one line (as in JSON) goes on to that line's end.
        is_label.then(|| Place {
            range: at..run(line, at + begin.len() + end, |byte| byte != b'"' && byte != b'\''),
            kind: "private-key",
            what: "a private key".to_owned(),
            is_sure: true,
            shown: "-----BEGIN PRIVATE KEY-----",
        })
    });
    key.take(1).collect()
}

/// `eyJ….eyJ….signature`
fn web_tokens(line: &str) -> Vec<Place> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'=');
    let starts = line.match_indices("eyJ").filter(|(at, _)| is_word_start(line, *at));
    let token = starts.filter_map(|(at, _)| {
        let end = run(line, at, letters);
        let mut parts = line[at..end].split('.');
        let (head, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = head.len() >= 12 && body.starts_with("eyJ") && body.len() >= 12 && signature.len() >= 20;
        fits.then(|| Place {
            range: at..end,
            kind: "jwt",
            what: "a JSON web token".to_owned(),
            is_sure: true,
            shown: "eyJ",
        })
    });
    token.collect()
}

/// `123456789:AA…`
fn telegram(line: &str) -> Vec<Place> {
    let bots = line.match_indices(":AA").filter_map(|(at, _)| {
        let digits = line[..at].bytes().rev().take_while(u8::is_ascii_digit).count();
        let end = run(line, at + 1, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let fits = (8..=10).contains(&digits) && end - at - 1 == 35;
        fits.then(|| Place {
            range: at - digits..end,
            kind: "telegram-token",
            what: "a Telegram bot token".to_owned(),
            is_sure: true,
            shown: "",
        })
    });
    bots.collect()
}

/// `https://user:password@host`
fn passwords_in_addresses(line: &str) -> Vec<Place> {
    let addresses = line.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let end = run(line, start, |byte| byte.is_ascii_graphic() && !b"/?#\"'<>`|\\".contains(&byte));
        let before_host = line[start..end].rfind('@')?;
        let (_, password) = line[start..start + before_host].split_once(':')?;
        let stands_for = password.starts_with(['$', '{', '*', '%', '[']) || password.contains("…");
        let usual = ["password", "pass", "secret", "postgres", "user", "root", "mysql", "test", "changeme"];
        let fits = password.len() >= 4 && !stands_for && !usual.contains(&password) && !is_repeated(password);
        let from = start + before_host - password.len();
        fits.then(|| Place {
            range: from..start + before_host,
            kind: "password-in-address",
            what: "a password in an address".to_owned(),
            is_sure: true,
            shown: "",
        })
    });
    addresses.collect()
}

fn is_repeated(text: &str) -> bool {
    text.bytes().all(|byte| Some(byte) == text.bytes().next())
}

/// `api_key = "…"`, `TOKEN=…`: a random text behind a telling name.
fn assigned(line: &str) -> Vec<Place> {
    let lower = line.to_ascii_lowercase();
    let named = NAMES.iter().flat_map(|name| lower.match_indices(name).map(|(at, name)| at + name.len()));
    let values = named.filter_map(|behind| {
        // The rest of the name, then a mark, then perhaps a quote.
        let name_end = run(line, behind, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let rest = line[name_end..].trim_start_matches(['"', '\'', ' ', '\t', ']']);
        let rest = rest
            .strip_prefix(":=")
            .or_else(|| rest.strip_prefix("=>"))
            .or_else(|| rest.strip_prefix(['=', ':']))?;
        let rest = rest.trim_start().trim_start_matches(['"', '\'', '`']);
        let from = line.len() - rest.len();
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+/=.~!@#%^&*".contains(&byte);
        let end = run(line, from, letters);
        let value = &line[from..end];
        let mixed =
            value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic());
        let is_path =
            value.starts_with(['/', '.']) || value.contains("://") || value.matches('.').count() > 2;
        let is_ours = value.starts_with(PLACEHOLDER);
        let fits = (20..=200).contains(&value.len()) && mixed && !is_path && !is_ours && is_meant(value);
        (fits && bits(value) >= RANDOM).then(|| Place {
            range: from..end,
            kind: "named-secret",
            what: "what is called a secret and looks random".to_owned(),
            is_sure: false,
            shown: "",
        })
    });
    values.collect()
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;

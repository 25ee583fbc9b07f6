//! When a forge wants to be left alone, and for how long. What it said once holds for everybody who uses that credential.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::HeaderMap;

use crate::model::secret::Secret;

/// How long a forge is left alone that does not say how long.
const UNSAID_MS: u64 = 60_000;
/// No forge is left alone for longer, whatever it says.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// Until when an answer asks to be left alone; none when it does not.
///
/// GitHub has two kinds of limits. Of the primary one `x-ratelimit-remaining` says 0, and when it ends. The secondary ones
/// come with `retry-after`, or with nothing but a sentence.
pub(super) fn until(status: u16, headers: &HeaderMap, message: &str, now_ms: u64) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let after = number("retry-after").map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1000)));
    let is_used_up = number("x-ratelimit-remaining") == Some(0);
    // One second more: it counts whole ones.
    let reset = || number("x-ratelimit-reset").map(|at| at.saturating_add(1).saturating_mul(1000));
    let message = message.to_ascii_lowercase();
    let is_said = ["secondary rate limit", "rate limit exceeded", "abuse detection"]
        .iter()
        .any(|words| message.contains(words));
    let until = match status {
        403 | 429 if after.is_some() => after,
        403 | 429 if is_used_up => Some(reset().unwrap_or(now_ms.saturating_add(UNSAID_MS))),
        429 => Some(now_ms.saturating_add(UNSAID_MS)),
        403 if is_said => Some(now_ms.saturating_add(UNSAID_MS)),
        503 => after,
        _ => None,
    };
    until.map(|until| until.clamp(now_ms.saturating_add(1), now_ms.saturating_add(LONGEST_MS)))
}

/// What forges said. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Limits(Arc<Mutex<HashMap<Holder, u64>>>);

/// Whose limit it is: at which host, and of which credential.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Holder(String, u64);

impl Holder {
    pub(super) fn new(authority: &str, token: Option<&Secret>) -> Self {
        let mut hasher = DefaultHasher::new();
        token.map(Secret::reveal).hash(&mut hasher);
        Self(authority.to_owned(), hasher.finish())
    }
}

impl Limits {
    /// Until when it is to be left alone.
    pub(super) fn of(&self, holder: &Holder, now_ms: u64) -> Option<u64> {
        let mut limits = self.0.lock();
        limits.retain(|_, until| *until > now_ms);
        limits.get(holder).copied()
    }

    pub(super) fn set(&self, holder: &Holder, until_ms: u64) {
        self.0.lock().insert(holder.clone(), until_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn of(status: u16, headers: &[(&'static str, &'static str)], message: &str) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a value"));
        }
        until(status, &map, message, NOW).map(|until| until - NOW)
    }

    #[test]
    fn both_kinds_of_limits_are_told_from_a_refusal() {
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000300")];
        assert_eq!(of(403, &used_up, "API rate limit exceeded for user 1"), Some(301_000));
        assert_eq!(of(429, &used_up, ""), Some(301_000));
        assert_eq!(of(403, &[("retry-after", "17")], ""), Some(17_000));
        assert_eq!(of(429, &[], ""), Some(UNSAID_MS));
        assert_eq!(of(403, &[], "You have exceeded a secondary rate limit."), Some(UNSAID_MS));
        assert_eq!(of(503, &[("retry-after", "3")], ""), Some(3_000));
        assert_eq!(of(403, &[("x-ratelimit-remaining", "12")], "Resource not accessible"), None);
        assert_eq!(of(200, &used_up, ""), None, "the last one that was allowed");
        assert_eq!(of(500, &[], ""), None);
    }

    #[test]
    fn what_it_says_has_limits() {
        assert_eq!(of(429, &[("retry-after", "99999999999999")], ""), Some(LONGEST_MS));
        assert_eq!(of(429, &[("retry-after", "0")], ""), Some(1));
        let past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "7")];
        assert_eq!(of(403, &past, ""), Some(1), "its clock goes before ours");
        assert_eq!(of(429, &[("retry-after", "soon")], ""), Some(UNSAID_MS));
    }

    #[test]
    fn a_limit_is_of_one_credential_at_one_host() {
        let limits = Limits::default();
        let one = Holder::new("github.com", Some(&Secret::new("a-token")));
        let other = Holder::new("github.com", Some(&Secret::new("b-token")));
        limits.set(&one, NOW + 5);
        assert_eq!((limits.of(&one, NOW), limits.of(&other, NOW)), (Some(NOW + 5), None));
        assert_eq!(limits.of(&one, NOW + 5), None, "it is over");
    }
}

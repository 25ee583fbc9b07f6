//! Refused attempts, counted by where they come from.
//!
//! What opens something is let in however many wrong ones came from the same address:
//! a secret of 256 bits cannot be guessed, and nobody can lock somebody else out. The
//! limit keeps wrong ones from filling logs and from being told why each was wrong.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// So many are answered in full,
const ALLOWED: u32 = 10;
/// within this time.
const WINDOW_MS: u64 = 60_000;
/// So many addresses are remembered.
const REMEMBERED: usize = 4096;

/// Who was refused how often.
#[derive(Default)]
pub(super) struct Failures {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

struct Window {
    since_ms: u64,
    count: u32,
}

/// What one more refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// The first for a while.
    First,
    /// One of a few.
    Within,
    /// One too many.
    Beyond {
        /// Whether it is the first of those.
        first: bool,
        /// Until the count begins anew.
        seconds: u64,
    },
}

impl Failures {
    /// Counts one.
    pub(super) fn note(&self, from: IpAddr, now_ms: u64) -> Noted {
        let mut windows = self.windows.lock();
        let key = neighbourhood(from);
        let is_over = |window: &Window| now_ms.saturating_sub(window.since_ms) >= WINDOW_MS;
        if windows.len() >= REMEMBERED && !windows.contains_key(&key) {
            windows.retain(|_, window| !is_over(window));
            if windows.len() >= REMEMBERED {
                // Somebody with very many addresses: counting each alone helps no more.
                windows.clear();
            }
        }
        let window = windows.entry(key).or_insert(Window { since_ms: now_ms, count: 0 });
        if is_over(window) {
            *window = Window { since_ms: now_ms, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        match window.count {
            1 => Noted::First,
            count if count <= ALLOWED => Noted::Within,
            count => {
                let left = (window.since_ms + WINDOW_MS).saturating_sub(now_ms);
                Noted::Beyond { first: count == ALLOWED + 1, seconds: left.div_ceil(1000).max(1) }
            }
        }
    }
}

/// Where somebody is, as far as it is counted: whoever has one address of IPv6 has the 2^64 around it as well, and
/// whoever is on this machine has all of 127.0.0.0/8.
#[must_use]
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        here if here.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_eleventh_of_a_minute_is_one_too_many_and_the_next_minute_is_new() {
        let failures = Failures::default();
        let here = address("10.0.0.1");
        assert_eq!(failures.note(here, 1_000), Noted::First);
        for _ in 1..ALLOWED {
            assert_eq!(failures.note(here, 1_000), Noted::Within);
        }
        assert_eq!(failures.note(here, 31_000), Noted::Beyond { first: true, seconds: 30 });
        assert_eq!(failures.note(here, 31_000), Noted::Beyond { first: false, seconds: 30 });
        assert_eq!(
            failures.note(address("10.0.0.2"), 31_000),
            Noted::First,
            "the neighbour is somebody else"
        );
        assert_eq!(failures.note(here, 61_000), Noted::First);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_and_memory_has_an_end() {
        let failures = Failures::default();
        assert_eq!(failures.note(address("2001:db8::1"), 0), Noted::First);
        assert_eq!(failures.note(address("2001:db8::2"), 0), Noted::Within);
        assert_eq!(failures.note(address("2001:db8:0:1::1"), 0), Noted::First);
        assert_eq!(failures.note(address("127.0.0.1"), 0), Noted::First);
        for here in ["127.9.8.7", "::1", "::ffff:127.0.0.2"] {
            assert_eq!(failures.note(address(here), 0), Noted::Within, "{here} is this machine");
        }
        for n in 0..20_000_u32 {
            failures.note(IpAddr::from(n.to_be_bytes()), 0);
        }
        assert!(failures.windows.lock().len() <= REMEMBERED);
    }
}

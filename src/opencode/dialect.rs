//! What the releases of opencode 1.x do differently, as far as it matters to us. Pure.
//!
//! Found by running the same contract against releases of three years; see
//! `docs/opencode-versions.md`, which has the table, and `tests/it/versions.rs`.

use std::time::Duration;

/// The oldest release that asks for its password; whatever is older answers to everybody.
const OLDEST: Release = Release { major: 1, minor: 1, patch: 16 };
/// The newest line that the contract was run against.
const NEWEST_LINE: u64 = 18;
/// Releases before this one say `true` to an answer for a prompt that is not there any more.
const SAYS_WHO_WAS_LATE: Release = Release { major: 1, minor: 15, patch: 13 };

/// A release, as `/global/health` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// `1` for all that we can speak with.
    pub major: u64,
    /// The line.
    pub minor: u64,
    /// Fixes in the line.
    pub patch: u64,
}

impl Release {
    /// Reads `1.18.33`; what stands behind a `-` or `+` is left out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.trim().trim_start_matches('v').split(['-', '+']).next()?;
        let mut numbers = plain.split('.').map(|number| number.parse::<u64>().ok());
        let release = Self { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next()?? };
        numbers.next().is_none().then_some(release)
    }
}

/// How to speak with one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Whether the contract was run against its line. Otherwise it is asked for what we need, once, before
    /// anything is sent to it.
    pub tested: bool,
    /// Whether it says so when an answer comes for a prompt that somebody else answered first.
    pub says_who_was_late: bool,
}

impl Dialect {
    /// That of the release in the frame image.
    pub(super) const NEWEST: Self = Self { tested: true, says_who_was_late: true };

    /// The dialect of a version.
    ///
    /// # Errors
    /// Why we cannot speak with it, as the end of a sentence.
    pub fn of(version: &str) -> Result<Self, &'static str> {
        let Some(release) = Release::parse(version) else {
            return Err("it does not say which release it is");
        };
        if release.major != 1 {
            return Err("this mimir speaks with opencode 1.x");
        }
        if release < OLDEST {
            return Err(
                "releases before 1.1.16 do not ask for a password, so everybody on this machine could use it",
            );
        }
        Ok(Self { tested: release.minor <= NEWEST_LINE, says_who_was_late: release >= SAYS_WHO_WAS_LATE })
    }
}

/// Before the first heartbeat of a stream nobody knows how often they come: every 10 s, or every 30 s up to 1.2.x.
const BEFORE_THE_FIRST: Duration = Duration::from_secs(35);
/// Two heartbeats and a half.
const SHORTEST: Duration = Duration::from_secs(25);
const LONGEST: Duration = Duration::from_secs(90);

/// How long an event stream may be silent, learned from its own heartbeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    limit: Duration,
    learned: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self { limit: BEFORE_THE_FIRST, learned: false }
    }
}

impl Patience {
    /// How long to wait for the next byte.
    pub(super) fn limit(self) -> Duration {
        self.limit
    }

    /// A heartbeat came, `after` the stream began. The first one tells how far they are apart.
    pub(super) fn heard(&mut self, after: Duration) {
        if !std::mem::replace(&mut self.learned, true) {
            self.limit = (after * 5 / 2).clamp(SHORTEST, LONGEST);
        }
    }

    #[cfg(any(test, feature = "test-support"))]
    pub(super) fn fixed(limit: Duration) -> Self {
        Self { limit, learned: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_nonsense_is_not() {
        assert_eq!(Release::parse("1.18.33"), Some(Release { major: 1, minor: 18, patch: 33 }));
        assert_eq!(Release::parse("v1.19.0-beta.2+x"), Some(Release { major: 1, minor: 19, patch: 0 }));
        for nonsense in
            ["", "1", "1.18", "1.18.33.1", "1.x.3", "latest", "1.-2.3", "99999999999999999999.1.1"]
        {
            assert_eq!(Release::parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn every_release_is_tested_untested_or_refused_with_a_reason() {
        for tested in ["1.1.16", "1.3.2", "1.14.34", "1.18.33", "1.18.99"] {
            assert!(Dialect::of(tested).expect("spoken").tested, "{tested}");
        }
        assert!(!Dialect::of("1.19.0").expect("spoken where the contract holds").tested);
        for (refused, why) in
            [("1.1.11", "password"), ("1.0.185", "password"), ("2.0.1", "1.x"), ("?", "which")]
        {
            assert!(Dialect::of(refused).expect_err(refused).contains(why), "{refused}");
        }
    }

    #[test]
    fn an_answer_that_came_too_late_is_told_by_newer_releases_only() {
        assert!(!Dialect::of("1.14.34").expect("spoken").says_who_was_late);
        assert!(Dialect::of("1.15.13").expect("spoken").says_who_was_late);
    }

    #[test]
    fn a_stream_may_be_silent_for_two_and_a_half_of_its_own_heartbeats() {
        let mut patience = Patience::default();
        assert_eq!(patience.limit(), Duration::from_secs(35), "a heartbeat of 30 s must have its time");
        patience.heard(Duration::from_secs(30));
        assert_eq!(patience.limit(), Duration::from_secs(75));
        patience.heard(Duration::from_secs(3));
        assert_eq!(patience.limit(), Duration::from_secs(75), "only the first one says it");

        let mut newer = Patience::default();
        newer.heard(Duration::from_secs(10));
        assert_eq!(newer.limit(), Duration::from_secs(25));
        let mut odd = Patience::default();
        odd.heard(Duration::from_millis(1));
        assert_eq!(odd.limit(), Duration::from_secs(25));
    }
}

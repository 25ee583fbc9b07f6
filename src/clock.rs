//! The only caller of "now", and the only source of randomness for ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::schedule::Zone;

/// Tells the time: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// A clock that stands at `at_ms` until it is moved.
    #[must_use]
    pub fn manual(at_ms: u64) -> Self {
        Self { manual: Some(Arc::new(AtomicU64::new(at_ms))) }
    }

    /// UTC milliseconds since 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now_ms(&self) -> u64 {
        match &self.manual {
            Some(time) => time.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Moves a manual clock forward. The system's clock ignores it.
    pub fn advance_ms(&self, by_ms: u64) {
        if let Some(time) = &self.manual {
            time.fetch_add(by_ms, Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, also back, as a machine's is when somebody sets it. The system's clock ignores it.
    pub fn set_ms(&self, at_ms: u64) {
        if let Some(time) = &self.manual {
            time.store(at_ms, Ordering::SeqCst);
        }
    }
}

/// A time as other programs read it: `2026-11-21T11:49:16.000Z`.
#[must_use]
pub fn rfc3339(at_ms: u64) -> String {
    format!("{}.{:03}Z", timestamp(at_ms).strftime("%Y-%m-%dT%H:%M:%S"), at_ms % 1_000)
}

/// A time as people read it: `2026-11-21 11:49:16`, UTC.
#[must_use]
pub fn utc(at_ms: u64) -> String {
    timestamp(at_ms).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The end of the year 9999 for everything behind it.
fn timestamp(at_ms: u64) -> Timestamp {
    let known = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    known.unwrap_or(Timestamp::MAX)
}

/// The time zone of this machine; UTC when it has none that the database of zones knows.
#[must_use]
pub fn zone() -> Zone {
    let system = TimeZone::system();
    system.iana_name().and_then(|name| Zone::parse(name).ok()).unwrap_or_else(Zone::utc)
}

/// Fresh entropy for ids and passwords.
///
/// # Panics
/// When the kernel has no randomness to give; nothing safe could be done then.
#[must_use]
pub fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    #[expect(clippy::expect_used, reason = "without randomness no id and no password is safe")]
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}

/// 128 fresh random bits, as the ids take them.
#[must_use]
pub fn entropy_128() -> u128 {
    u128::from_le_bytes(entropy::<16>())
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, utc};

    #[test]
    fn times_are_written_as_other_programs_read_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_007), "2000-02-29T00:00:00.007Z");
        assert_eq!(rfc3339(1_795_261_756_000), "2026-11-21T11:49:16.000Z");
        assert_eq!(utc(1_795_261_756_999), "2026-11-21 11:49:16");
        assert_eq!(
            (utc(0), utc(951_782_400_000)),
            ("1970-01-01 00:00:00".into(), "2000-02-29 00:00:00".into())
        );
        assert!(utc(u64::MAX).starts_with("9999-12-3"));
    }
}

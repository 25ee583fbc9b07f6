//! The only caller of "now", and the only source of randomness for ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

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

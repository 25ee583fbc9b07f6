//! Growing delays.

use std::time::Duration;

/// Doubles from a first delay up to a limit.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
    has_jitter: bool,
}

impl Backoff {
    /// Starts at `first`, never exceeds `limit`.
    #[must_use]
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, next: first.min(limit), has_jitter: false }
    }

    /// Shortens each delay by up to a quarter, by chance, so that many that failed together do not try together.
    #[must_use]
    pub fn with_jitter(self) -> Self {
        Self { has_jitter: true, ..self }
    }

    /// The delay to wait now; the one after it is twice as long.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.limit);
        // Without randomness from the system everybody waits the full delay, which is correct as well.
        let chance = if self.has_jitter { getrandom::u32().unwrap_or(0) } else { 0 };
        delay - delay.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 4.0)
    }

    /// Begins again, after things went well.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let seen: Vec<u64> = (0..4).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(seen, [1, 2, 4, 5]);
        backoff.reset();
        assert_eq!(backoff.next_delay().as_secs(), 1);
    }

    #[test]
    fn jitter_shortens_a_delay_by_a_quarter_at_most() {
        for _ in 0..1000 {
            let delay =
                Backoff::new(Duration::from_secs(4), Duration::from_secs(4)).with_jitter().next_delay();
            assert!((Duration::from_secs(3)..=Duration::from_secs(4)).contains(&delay), "{delay:?}");
        }
    }
}

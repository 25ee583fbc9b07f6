//! Growing delays.

use std::time::Duration;

/// Doubles from a first delay up to a limit.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first`, never exceeds `limit`.
    #[must_use]
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, next: first.min(limit) }
    }

    /// The delay to wait now; the one after it is twice as long.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.limit);
        delay
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
}

//! How long writing takes, counted for `GET /metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::change::Durability;

/// The upper ends of the buckets, in microseconds.
const BUCKETS_US: [u64; 12] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// What the writer counts about itself.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    disk: Histogram,
    process: Histogram,
    sync: Histogram,
    commits: AtomicU64,
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

/// A distribution of times at one moment, as Prometheus has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// How many took at most so many seconds.
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// Of all of them, in seconds.
    pub sum_seconds: f64,
}

/// What writing took since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteTimes {
    /// Until a change was safe from a power cut, the queue included.
    pub disk: Times,
    /// Until a change that need not be was committed, the queue included.
    pub process: Times,
    /// Of the disk alone.
    pub sync: Times,
    /// Transactions.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Changes that wait now.
    pub waiting: usize,
}

impl Latencies {
    pub(super) fn saved(&self, durability: Durability, took: Duration) {
        match durability {
            Durability::Disk => self.disk.add(took),
            Durability::Process => self.process.add(took),
        }
    }

    pub(super) fn synced(&self, took: Duration) {
        self.sync.add(took);
    }

    pub(super) fn committed(&self, changes: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.changes.fetch_add(changes as u64, Ordering::Relaxed);
    }

    pub(super) fn now(&self, waiting: usize) -> WriteTimes {
        WriteTimes {
            disk: self.disk.now(),
            process: self.process.now(),
            sync: self.sync.now(),
            commits: self.commits.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            waiting,
        }
    }
}

impl Histogram {
    fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = BUCKETS_US.iter().position(|end| us <= *end) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn now(&self) -> Times {
        let mut so_far = 0;
        let buckets = BUCKETS_US.iter().zip(&self.buckets).map(|(end, bucket)| {
            so_far += bucket.load(Ordering::Relaxed);
            (Duration::from_micros(*end).as_secs_f64(), so_far)
        });
        Times {
            buckets: buckets.collect(),
            count: self.count.load(Ordering::Relaxed),
            sum_seconds: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_what_took_at_most_so_long() {
        let latencies = Latencies::default();
        for ms in [1, 1, 3, 30_000] {
            latencies.saved(Durability::Disk, Duration::from_millis(ms));
        }
        let disk = latencies.now(0).disk;
        let of = |seconds: f64| disk.buckets.iter().find(|(end, _)| *end == seconds).map(|(_, count)| *count);
        assert_eq!((of(0.0005), of(0.001), of(0.005), of(5.0)), (Some(0), Some(2), Some(3), Some(3)));
        assert_eq!(disk.count, 4);
        assert!((disk.sum_seconds - 30.005).abs() < 0.001, "{}", disk.sum_seconds);
    }
}

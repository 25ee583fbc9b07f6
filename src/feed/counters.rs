//! What feeds count, for the metrics.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of the relay's latency in seconds.
const BOUNDS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Counted since the gateway started. The parts can be registered as they are.
#[derive(Clone, Debug)]
pub struct Counters {
    /// Event streams that stood again after they had broken.
    pub reconnects: Counter,
    /// Times in which something may have been missed.
    pub gaps: Counter,
    /// Things that had been missed and were added.
    pub repaired: Counter,
    /// Times that an agent said more than an agent does, and had to wait.
    pub throttled: Counter,
    /// From reading an agent's event to having it committed, in seconds.
    pub relay: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            reconnects: Counter::default(),
            gaps: Counter::default(),
            repaired: Counter::default(),
            throttled: Counter::default(),
            relay: Histogram::new(BOUNDS),
        }
    }
}

impl Counters {
    /// An agent's event was committed that long after it had been read.
    pub fn relayed(&self, after: Duration) {
        self.relay.observe(after.as_secs_f64());
    }
}

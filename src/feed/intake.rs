//! How fast an agent may talk. Everything that it says takes memory and disk of the host, and it is a stranger: one that
//! floods is read more slowly, so that what it said waits on its own side (`link/agent.sock` has no more than a socket's buffer).
//!
//! The limits are far above what a working agent needs; a burst is taken at full speed.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::agent::{AgentEvent, AgentSessionId};

/// Sessions that are new to this connection: each becomes a conversation with a row. As many at once, then so many a second.
const SESSIONS: (f64, f64) = (300.0, 1.0);
/// Events: twenty sessions that stream at full speed say some 1500 a second.
const EVENTS: (f64, f64) = (20_000.0, 5_000.0);
/// Bytes of the stream: a tool's output comes again whole with each of its updates, so a busy agent says megabytes.
const BYTES: (f64, f64) = (64.0 * 1024.0 * 1024.0, 4.0 * 1024.0 * 1024.0);
/// How many sessions are remembered as not new; more are counted anew.
const REMEMBERED: usize = 10_000;

/// What one connection may still say at once.
pub(super) struct Intake {
    sessions: Bucket,
    events: Bucket,
    bytes: Bucket,
    seen: HashSet<AgentSessionId>,
    read_before: u64,
}

impl Intake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sessions: Bucket::new(SESSIONS, now),
            events: Bucket::new(EVENTS, now),
            bytes: Bucket::new(BYTES, now),
            seen: HashSet::new(),
            read_before: 0,
        }
    }

    /// Takes an event, after `read` bytes of the connection: how long to wait before the next one is read.
    pub(super) fn take(&mut self, event: &AgentEvent, read: u64, now: Instant) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a connection's next piece is far below 2^52 bytes")]
        let bytes = read.saturating_sub(self.read_before) as f64;
        self.read_before = read;
        let mut wait = self.events.take(1.0, now).max(self.bytes.take(bytes, now));
        if let Some(session) = event.session().filter(|session| !self.seen.contains(*session)) {
            if self.seen.len() >= REMEMBERED {
                self.seen.clear();
            }
            self.seen.insert(session.clone());
            wait = wait.max(self.sessions.take(1.0, now));
        }
        wait
    }
}

/// A token bucket that may go below nothing: whoever took that much waits until it is filled again.
struct Bucket {
    level: f64,
    capacity: f64,
    per_second: f64,
    at: Instant,
}

impl Bucket {
    fn new((capacity, per_second): (f64, f64), at: Instant) -> Self {
        Self { level: capacity, capacity, per_second, at }
    }

    fn take(&mut self, amount: f64, now: Instant) -> Duration {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.at = now;
        self.level = (self.level + filled).min(self.capacity) - amount;
        if self.level >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(-self.level / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(number: u32) -> AgentEvent {
        AgentEvent::SessionUpdated {
            session: AgentSessionId(format!("ses_{number}")),
            parent: None,
            title: String::new(),
            metadata: serde_json::Value::Null,
            undone: None,
        }
    }

    /// Says all of it as fast as it may: how long that takes.
    fn takes(events: impl Iterator<Item = AgentEvent>, bytes_each: u64) -> Duration {
        let begun = Instant::now();
        let (mut now, mut read) = (begun, 0);
        let mut intake = Intake::new(now);
        for event in events {
            read += bytes_each;
            now += intake.take(&event, read, now);
        }
        now - begun
    }

    #[test]
    fn an_agent_that_works_never_waits() {
        let streaming = (0..20_000).map(|number| updated(number % 20));
        assert_eq!(takes(streaming, 400), Duration::ZERO);
    }

    #[test]
    fn conversations_that_nobody_began_come_one_a_second() {
        let forged = takes((0..1300).map(updated), 200);
        assert!((990..=1010).contains(&forged.as_secs()), "{forged:?}");
    }

    #[test]
    fn a_flood_of_events_or_bytes_is_read_more_slowly() {
        let events = takes((0..70_000).map(|_| AgentEvent::Heartbeat), 20);
        assert!((9..=11).contains(&events.as_secs()), "{events:?}");
        let bytes = takes((0..104).map(|_| AgentEvent::Heartbeat), 1024 * 1024);
        assert!((9..=11).contains(&bytes.as_secs()), "{bytes:?}");
    }
}

//! What a turn did so far, as far as limits are measured by it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::agent::{AgentEvent, AgentPart, AgentPartId, AgentStatus, PartBody};

/// What a turn did so far, sub-agents included.
#[derive(Clone, Debug)]
pub struct Activity {
    /// When anything was last heard of it.
    pub last_sign: Instant,
    /// Tokens, cached ones included.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
    /// Retries after errors of the provider, over all model calls.
    pub retries: u32,
    /// How long the provider asks to wait before the next try.
    pub pause: Option<Duration>,
    /// Whether a person has to answer something.
    pub waits_for_person: bool,
    calls: BTreeSet<AgentPartId>,
    attempt: Option<u32>,
}

impl Activity {
    /// Nothing yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            last_sign: now,
            tokens: 0,
            cost_microusd: 0,
            retries: 0,
            pause: None,
            waits_for_person: false,
            calls: BTreeSet::new(),
            attempt: None,
        }
    }

    /// How often the model was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Takes note of a sign of life. `now_ms` is the wall clock, which retry times are given in. Says whether it is
    /// more than that.
    pub fn see(&mut self, event: &AgentEvent, now: Instant, now_ms: u64) -> bool {
        self.last_sign = now;
        match event {
            AgentEvent::Part(part) => return self.count(part),
            AgentEvent::Status(_, AgentStatus::Retry { attempt, next_at, .. }) => {
                self.pause = Some(Duration::from_millis(next_at.saturating_sub(now_ms)));
                // The same attempt is told of several times; the next model call begins again with the first.
                if self.attempt.replace(*attempt) != Some(*attempt) {
                    self.retries += 1;
                }
                return true;
            }
            AgentEvent::Status(..) => self.pause = None,
            AgentEvent::PartDelta { .. } => self.attempt = None,
            _ => {}
        }
        false
    }

    /// Counts a model call that was heard of or re-read, once.
    pub fn count(&mut self, part: &AgentPart) -> bool {
        let PartBody::StepFinish { tokens, cost_microusd, .. } = &part.body else { return false };
        let is_new = self.calls.insert(part.id.clone());
        if is_new {
            self.attempt = None;
            self.tokens = self.tokens.saturating_add(tokens.total());
            self.cost_microusd = self.cost_microusd.saturating_add(*cost_microusd);
        }
        is_new
    }
}

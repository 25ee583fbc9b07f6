//! Limits of one turn. Pure.
//!
//! opencode has none that can be relied on: a model stream without a finish
//! reason makes it call the model for ever, a question waits for ever, and a
//! provider may ask for any pause before a retry (opencode.md, traps 2, 3, 20, 21).

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::agent::{AgentEvent, AgentPartId, AgentStatus, PartBody};

/// How long and how far a turn may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Working time in all, without the time it waits for a person.
    pub work: Duration,
    /// Model calls.
    pub steps: usize,
    /// Time without any sign of life while it works.
    pub silence: Duration,
    /// Time that one question or permission prompt may wait for a person.
    pub person: Duration,
    /// The longest pause before a retry that is worth waiting for.
    pub retry_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            work: Duration::from_secs(2 * 3600),
            steps: 400,
            silence: Duration::from_secs(15 * 60),
            person: Duration::from_secs(12 * 3600),
            retry_pause: Duration::from_secs(10 * 60),
        }
    }
}

/// Watches one turn.
#[derive(Debug)]
pub struct Guard {
    limits: Limits,
    seen_at: Instant,
    last_sign: Instant,
    worked: Duration,
    waited: Duration,
    steps: BTreeSet<AgentPartId>,
    pause: Option<Duration>,
}

impl Guard {
    /// Begins now.
    #[must_use]
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            seen_at: now,
            last_sign: now,
            worked: Duration::ZERO,
            waited: Duration::ZERO,
            steps: BTreeSet::new(),
            pause: None,
        }
    }

    /// Takes note of a sign of life. `now_ms` is the wall clock, which retry times are given in.
    pub fn see(&mut self, event: &AgentEvent, now: Instant, now_ms: u64) {
        self.last_sign = now;
        match event {
            AgentEvent::Part(part) if matches!(part.body, PartBody::StepFinish { .. }) => {
                self.steps.insert(part.id.clone());
            }
            AgentEvent::Status(_, AgentStatus::Retry { next_at, .. }) => {
                self.pause = Some(Duration::from_millis(next_at.saturating_sub(now_ms)));
            }
            AgentEvent::Status(..) => self.pause = None,
            _ => {}
        }
    }

    /// Why the turn has to be stopped, if it has to.
    pub fn check(&mut self, waits_for_person: bool, now: Instant) -> Option<String> {
        let passed = now.saturating_duration_since(self.seen_at);
        self.seen_at = now;
        if waits_for_person {
            self.waited += passed;
            self.last_sign = now;
        } else {
            self.worked += passed;
            self.waited = Duration::ZERO;
        }
        let silent = now.saturating_duration_since(self.last_sign);
        let limits = &self.limits;
        if self.steps.len() > limits.steps {
            return Some(format!("the turn was stopped after {} model calls", limits.steps));
        }
        if self.pause.is_some_and(|pause| pause > limits.retry_pause) {
            let pause = self.pause.unwrap_or_default().as_secs();
            return Some(format!("the turn was stopped: the provider asks to wait for {pause} s"));
        }
        if self.waited > limits.person {
            let hours = limits.person.as_secs() / 3600;
            return Some(format!("the turn was stopped: nobody answered its question within {hours} h"));
        }
        if silent > limits.silence {
            let silent = limits.silence.as_secs();
            return Some(format!("the turn was stopped: the agent gave no sign for {silent} s"));
        }
        (self.worked > limits.work)
            .then(|| format!("the turn was stopped after {} min of work", limits.work.as_secs() / 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::{AgentMessageId, AgentPart, AgentSessionId};
    use crate::model::usage::Tokens;

    fn step(id: usize) -> AgentEvent {
        AgentEvent::Part(AgentPart {
            id: AgentPartId(format!("prt_{id}")),
            session: AgentSessionId("ses".into()),
            message: AgentMessageId("msg".into()),
            ended: true,
            started_at: None,
            ended_at: None,
            body: PartBody::StepFinish {
                reason: "unknown".into(),
                tokens: Tokens::default(),
                cost_microusd: 0,
            },
        })
    }

    /// opencode.md trap 2: a missing finish reason means an endless loop.
    #[test]
    fn an_endless_loop_ends_at_the_limit_of_model_calls() {
        let now = Instant::now();
        let mut guard = Guard::new(Limits { steps: 3, ..Limits::default() }, now);
        for id in [1, 2, 3, 3, 3] {
            guard.see(&step(id), now, 0);
        }
        assert_eq!(guard.check(false, now), None, "the same step is told of several times");
        guard.see(&step(4), now, 0);
        assert!(guard.check(false, now).is_some_and(|why| why.contains("3 model calls")));
    }

    #[test]
    fn waiting_for_a_person_is_neither_work_nor_silence_and_has_its_own_end() {
        let now = Instant::now();
        let minutes = |count: u64| now + Duration::from_secs(60 * count);
        let limits = Limits {
            work: Duration::from_secs(600),
            silence: Duration::from_secs(300),
            person: Duration::from_secs(3600),
            ..Limits::default()
        };
        let mut guard = Guard::new(limits, now);
        assert_eq!(guard.check(true, minutes(50)), None);
        assert_eq!(guard.check(false, minutes(51)), None);
        assert!(guard.check(true, minutes(120)).is_some_and(|why| why.contains("nobody answered")));

        let mut guard = Guard::new(limits, now);
        assert!(guard.check(false, minutes(6)).is_some_and(|why| why.contains("no sign")));
        let mut guard = Guard::new(limits, now);
        guard.see(&AgentEvent::Heartbeat, minutes(11), 0);
        assert!(guard.check(false, minutes(11)).is_some_and(|why| why.contains("of work")));
    }

    /// opencode.md trap 21: `retry-after` is obeyed without an upper bound.
    #[test]
    fn a_pause_of_weeks_is_not_waited_for() {
        let now = Instant::now();
        let mut guard = Guard::new(Limits::default(), now);
        let retry = |next_at| {
            let status = AgentStatus::Retry { attempt: 1, message: "later".into(), next_at };
            AgentEvent::Status(AgentSessionId("ses".into()), status)
        };
        guard.see(&retry(1_000_000 + 2_000), now, 1_000_000);
        assert_eq!(guard.check(false, now), None);
        guard.see(&retry(1_000_000 + (1 << 31)), now, 1_000_000);
        assert!(guard.check(false, now).is_some_and(|why| why.contains("asks to wait")));
    }
}

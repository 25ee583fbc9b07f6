//! Limits of one turn. Pure.
//!
//! opencode has none that can be relied on: a model stream without a finish
//! reason makes it call the model for ever, a question waits for ever, and a
//! provider may ask for any pause before a retry (docs/traps.md: 2, 3, 20, 21).
//!
//! Time counts from when the agent was given the message, whichever gateway gave it: one that takes a turn over
//! reckons from the rows how long it worked and waited ([`Past`]). Only the time in which a prompt waited for a
//! person is no work; time in which no gateway ran is.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use crate::feed::Activity;

/// What a turn did before somebody began to watch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    worked: Duration,
    waited: Duration,
}

impl Past {
    /// Of a turn that began at `began`. `waits` are the times in which something waited for a person, by when they
    /// began; one without an end still does.
    #[must_use]
    pub fn reckon(began: u64, now: u64, waits: &[(u64, Option<u64>)]) -> Self {
        let (mut waited, mut until, mut this_wait) = (0, began, 0);
        for (from, to) in waits {
            let to = to.unwrap_or(now).min(now);
            // Prompts overlap: a sub-agent asks while another one waits.
            let (from, is_same) = ((*from).max(until), *from <= until);
            let more = to.saturating_sub(from);
            waited += more;
            this_wait = if is_same { this_wait + more } else { more };
            until = until.max(to);
        }
        let waits_still = waits.iter().any(|(_, to)| to.is_none());
        Self {
            worked: Duration::from_millis(now.saturating_sub(began).saturating_sub(waited)),
            waited: Duration::from_millis(if waits_still { this_wait } else { 0 }),
        }
    }
}

/// Checks one turn against its limits.
#[derive(Debug)]
pub struct LimitCheck {
    limits: Limits,
    checked_at: Instant,
    worked: Duration,
    waited: Duration,
    /// When something last waited for a person: that is no silence.
    last_wait: Instant,
}

impl LimitCheck {
    /// Time counts from now on, and from before as `past` says.
    #[must_use]
    pub fn new(limits: Limits, now: Instant, past: Past) -> Self {
        Self { limits, checked_at: now, worked: past.worked, waited: past.waited, last_wait: now }
    }

    /// Why the turn has to be stopped, if it has to.
    pub fn check(&mut self, turn: &Activity, now: Instant) -> Option<String> {
        let passed = now.saturating_duration_since(self.checked_at);
        self.checked_at = now;
        if turn.waits_for_person {
            self.waited += passed;
            self.last_wait = now;
        } else {
            self.worked += passed;
            self.waited = Duration::ZERO;
        }
        self.beyond(turn, now.saturating_duration_since(turn.last_sign.max(self.last_wait)))
    }

    /// Which limit was passed, as a sentence with the key that moves it.
    fn beyond(&self, turn: &Activity, silent: Duration) -> Option<String> {
        let limits = &self.limits;
        let why = if turn.calls() > limits.steps {
            format!("after {} model calls (turn.steps)", limits.steps)
        } else if turn.tokens > limits.tokens {
            format!("after {} tokens of at most {} (turn.tokens)", turn.tokens, limits.tokens)
        } else if turn.cost_microusd > limits.cost_microusd {
            let (cost, most) = (dollars(turn.cost_microusd), dollars(limits.cost_microusd));
            format!("after {cost} of at most {most} (turn.cost)")
        } else if turn.retries > limits.retries {
            format!("after {} retries of the provider (turn.retries)", limits.retries)
        } else if turn.pause.is_some_and(|pause| pause > limits.retry_pause) {
            let pause = turn.pause.unwrap_or_default().as_secs();
            format!(": the provider asks to wait for {pause} s (turn.retry_pause)")
        } else if self.waited > limits.person {
            format!(": nobody answered its question within {} (turn.person)", span(limits.person))
        } else if silent > limits.silence {
            format!(": the agent gave no sign for {} (turn.silence)", span(silent))
        } else if self.worked > limits.work {
            format!("after {} of work (turn.work)", span(limits.work))
        } else {
            return None;
        };
        let gap = if why.starts_with(':') { "" } else { " " };
        Some(format!("the turn was stopped{gap}{why}"))
    }
}

fn dollars(microusd: u64) -> String {
    format!("${}.{:02}", microusd / 1_000_000, microusd % 1_000_000 / 10_000)
}

/// A time as people say it.
pub(super) fn span(of: Duration) -> String {
    match of.as_secs() {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::{
        AgentEvent, AgentMessageId, AgentPart, AgentPartId, AgentSessionId, AgentStatus, PartBody,
    };
    use crate::model::usage::Tokens;

    /// A turn and its check.
    struct Watched {
        turn: Activity,
        check: LimitCheck,
    }

    impl Watched {
        fn new(limits: Limits, now: Instant, past: Past) -> Self {
            Self { turn: Activity::new(now), check: LimitCheck::new(limits, now, past) }
        }

        fn see(&mut self, event: &AgentEvent, now: Instant, now_ms: u64) {
            self.turn.see(event, now, now_ms);
        }

        fn check(&mut self, waits_for_person: bool, now: Instant) -> Option<String> {
            self.turn.waits_for_person = waits_for_person;
            self.check.check(&self.turn, now)
        }
    }

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
                tokens: Tokens { input: 600, cache_read: 400, ..Tokens::default() },
                cost_microusd: 300_000,
            },
        })
    }

    fn retry(attempt: u32, next_at: u64) -> AgentEvent {
        let status = AgentStatus::Retry { attempt, message: "later".into(), next_at };
        AgentEvent::Status(AgentSessionId("ses".into()), status)
    }

    #[test]
    fn tokens_and_money_have_an_end_and_each_call_counts_once() {
        let now = Instant::now();
        let mut turn = Watched::new(Limits { tokens: 3000, ..Limits::default() }, now, Past::default());
        for id in [1, 2, 3, 3] {
            turn.see(&step(id), now, 0);
        }
        assert_eq!(turn.check(false, now), None, "3000 of 3000");
        turn.see(&step(4), now, 0);
        assert!(turn.check(false, now).is_some_and(|why| why.contains("4000 tokens of at most 3000")));

        let mut turn =
            Watched::new(Limits { cost_microusd: 1_000_000, ..Limits::default() }, now, Past::default());
        for id in 1..=3 {
            turn.see(&step(id), now, 0);
        }
        assert_eq!(turn.check(false, now), None);
        let AgentEvent::Part(reread) = step(4) else { unreachable!() };
        turn.turn.count(&reread);
        assert!(turn.check(false, now).is_some_and(|why| why.contains("$1.20 of at most $1.00")));
    }

    #[test]
    fn retries_are_counted_over_all_calls_of_a_turn() {
        let now = Instant::now();
        let mut turn = Watched::new(Limits { retries: 3, ..Limits::default() }, now, Past::default());
        for (attempt, call) in [(1, 1), (1, 1), (2, 1), (1, 2)] {
            turn.see(&retry(attempt, 0), now, 0);
            if attempt == 2 {
                turn.see(&step(call), now, 0);
            }
        }
        assert_eq!(turn.check(false, now), None, "three so far, one was told of twice");
        turn.see(&retry(2, 0), now, 0);
        assert!(turn.check(false, now).is_some_and(|why| why.contains("3 retries")));
    }

    /// Trap 2 of docs/traps.md: a missing finish reason means an endless loop.
    #[test]
    fn an_endless_loop_ends_at_the_limit_of_model_calls() {
        let now = Instant::now();
        let mut turn = Watched::new(Limits { steps: 3, ..Limits::default() }, now, Past::default());
        for id in [1, 2, 3, 3, 3] {
            turn.see(&step(id), now, 0);
        }
        assert_eq!(turn.check(false, now), None, "the same step is told of several times");
        turn.see(&step(4), now, 0);
        assert!(turn.check(false, now).is_some_and(|why| why.contains("3 model calls")));
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
        let mut turn = Watched::new(limits, now, Past::default());
        assert_eq!(turn.check(true, minutes(50)), None);
        assert_eq!(turn.check(false, minutes(51)), None);
        assert!(turn.check(true, minutes(120)).is_some_and(|why| why.contains("nobody answered")));

        let mut turn = Watched::new(limits, now, Past::default());
        assert!(turn.check(false, minutes(6)).is_some_and(|why| why.contains("no sign")));
        let mut turn = Watched::new(limits, now, Past::default());
        turn.see(&AgentEvent::Heartbeat, minutes(11), 0);
        assert!(turn.check(false, minutes(11)).is_some_and(|why| why.contains("of work")));
    }

    #[test]
    fn a_turn_that_is_taken_over_has_worked_since_it_began_without_its_waits() {
        let past = |waits: &[(u64, Option<u64>)]| {
            let Past { worked, waited } = Past::reckon(1_000, 11_000, waits);
            (worked.as_secs(), waited.as_secs())
        };
        assert_eq!(past(&[]), (10, 0));
        assert_eq!(past(&[(2_000, Some(5_000))]), (7, 0));
        assert_eq!(
            past(&[(2_000, Some(5_000)), (3_000, Some(4_000)), (4_000, Some(6_000))]),
            (6, 0),
            "overlaps"
        );
        assert_eq!(past(&[(2_000, Some(3_000)), (7_000, None)]), (5, 4), "the person's time goes on");
        assert_eq!(past(&[(7_000, None), (8_000, Some(9_000))]), (6, 4));
        assert_eq!(past(&[(0, Some(500))]), (10, 0), "of before");
        assert_eq!(Past::reckon(11_000, 1_000, &[]), Past::default(), "a clock that was set back");

        let now = Instant::now();
        let limits = Limits { work: Duration::from_secs(9), ..Limits::default() };
        let mut turn = Watched::new(limits, now, Past::reckon(1_000, 11_000, &[]));
        assert!(turn.check(false, now).is_some_and(|why| why.contains("after 9 s of work (turn.work)")));
        let mut turn = Watched::new(limits, now, Past::reckon(1_000, 11_000, &[(2_000, Some(5_000))]));
        assert_eq!(turn.check(false, now), None);
    }

    /// Trap 21 of docs/traps.md: `retry-after` is obeyed without an upper bound.
    #[test]
    fn a_pause_of_weeks_is_not_waited_for() {
        let now = Instant::now();
        let mut turn = Watched::new(Limits::default(), now, Past::default());
        turn.see(&retry(1, 1_000_000 + 2_000), now, 1_000_000);
        assert_eq!(turn.check(false, now), None);
        turn.see(&retry(1, 1_000_000 + (1 << 31)), now, 1_000_000);
        assert!(turn.check(false, now).is_some_and(|why| why.contains("asks to wait")));
    }
}

//! What becomes of a run when a stage has said how it went. Decides only.

use super::context::sweep_ms;
use super::definition::Workflow;
use super::kind::StageKind;
use super::stage::{Outcome, StageError};
use crate::model::run::{Run, RunHold, RunProgress, RunState};
use crate::store::runs::RunChange;

/// How often in a row an agent may fail before the run does.
const MOST_OF_AGENT: u32 = 8;
/// How often in a row what is around us may: with the pauses below, half an hour at least and an hour at most. Paid work
/// is in the frame, which goes with the run, and an outage of a forge or a network lasts longer than some minutes.
pub(super) const MOST_ATTEMPTS: u32 = 20;
/// The pause after the first failure; the next ones are twice as long each, by chance up to half as long.
const FIRST_PAUSE_MS: u64 = 2_000;
/// The longest pause.
const LONGEST_PAUSE_MS: u64 = 5 * 60 * 1000;
/// While a person is asked, what happens outside is looked at that often.
const HELD_LOOK_MS: u64 = 5 * 60 * 1000;
/// Nothing is looked at again sooner.
const SHORTEST_WAIT_MS: u64 = 250;

/// The circumstances in which a stage ended.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// UTC ms.
    pub now: u64,
    /// 0 to 1, by chance.
    pub chance: f64,
    /// How long it worked this time.
    pub worked_ms: u64,
    /// Why the run may spend nothing more, if that is so.
    pub used_up: Option<String>,
}

/// What becomes of the run.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub change: RunChange,
    /// A line of the timeline: kind and text.
    pub line: Option<(&'static str, String)>,
}

/// Decides.
pub(super) fn settle(
    run: &Run,
    workflow: &Workflow,
    result: Result<Outcome, StageError>,
    moment: &Moment,
) -> Settled {
    let mut progress = run.progress.clone();
    progress.stage_worked_ms = progress.stage_worked_ms.saturating_add(moment.worked_ms);
    let decided = Decided { run, progress, now: moment.now };
    let result = match (result, &moment.used_up) {
        (Err(_), Some(why)) => Err(StageError::Permanent(format!("budget_stopped: {why}"))),
        (result, _) => result,
    };
    match result {
        Ok(Outcome::Done) => decided.next(workflow),
        Ok(Outcome::Wait { until, why }) => decided.wait(until, 0, why),
        Ok(Outcome::Hold { gate, subject, why }) => {
            let kind = workflow.stage(&run.stage).map(|stage| StageKind::of(&stage.kind, &stage.settings));
            let follows = matches!(kind, Some(Ok(kind)) if kind.follows());
            decided.hold(RunHold { gate, subject }, why, follows)
        }
        Ok(Outcome::End { state, reason }) if state.is_end() => decided.end(state, reason),
        Ok(Outcome::End { state, reason }) => {
            decided.end(RunState::Failed, format!("a stage cannot end a run as {state} ({reason})"))
        }
        Err(StageError::RateLimited { until, why }) => decided.wait(until, run.attempt, why),
        Err(StageError::Agent(why)) => decided.again(why),
        Err(StageError::Infrastructure(why)) => decided.later(why, moment.chance),
        Err(StageError::Auth(why) | StageError::Permanent(why)) => decided.end(RunState::Failed, why),
        // The engine does not ask then; should it, the row says what it said.
        Err(StageError::Changed) => decided.later("the run was changed meanwhile".to_owned(), 0.0),
    }
}

/// How long to wait after so many failures in a row, the last one included.
pub(super) fn pause_ms(failures: u32, chance: f64) -> u64 {
    let doubled = FIRST_PAUSE_MS.saturating_mul(1_u64 << failures.saturating_sub(1).min(20));
    let longest = doubled.min(LONGEST_PAUSE_MS);
    let whole = std::time::Duration::from_millis(longest).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    u64::try_from(whole.as_millis()).unwrap_or(longest).max(SHORTEST_WAIT_MS)
}

struct Decided<'a> {
    run: &'a Run,
    progress: RunProgress,
    now: u64,
}

impl Decided<'_> {
    fn to(self, state: RunState, attempt: u32, reason: Option<String>, wake_at: Option<u64>) -> RunChange {
        RunChange {
            state,
            stage: self.run.stage.clone(),
            attempt,
            reason,
            progress: self.progress,
            wake_at,
            keeps_place: state == RunState::Running,
        }
    }

    fn next(mut self, workflow: &Workflow) -> Settled {
        self.progress.stage_since = None;
        self.progress.stage_worked_ms = 0;
        self.progress.held = None;
        let Some(next) = workflow.after(&self.run.stage) else {
            let change = self.to(RunState::Succeeded, 0, None, None);
            return Settled { change, line: Some(("state", "succeeded".to_owned())) };
        };
        let is_work = workflow
            .stage(next)
            .and_then(|stage| StageKind::of(&stage.kind, &stage.settings).ok())
            .is_some_and(|kind| kind.is_work());
        let at = self.now + sweep_ms();
        let change = self.to(RunState::Running, 0, None, Some(at));
        Settled { change: RunChange { stage: next.to_owned(), keeps_place: is_work, ..change }, line: None }
    }

    fn wait(mut self, until: u64, attempt: u32, why: String) -> Settled {
        self.progress.held = None;
        let is_new = self.run.reason.as_ref() != Some(&why);
        let at = until.max(self.now + SHORTEST_WAIT_MS);
        let line = is_new.then(|| ("state", format!("waits: {why}")));
        Settled { change: self.to(RunState::Waiting, attempt, Some(why), Some(at)), line }
    }

    /// What follows something outside looks at it meanwhile.
    fn hold(mut self, held: RunHold, why: String, follows: bool) -> Settled {
        let is_new = self.progress.held.as_ref() != Some(&held) || self.run.state != RunState::Held;
        self.progress.held = Some(held);
        let line = is_new.then(|| ("state", format!("held: {why}")));
        let look_at = follows.then_some(self.now + HELD_LOOK_MS);
        Settled { change: self.to(RunState::Held, 0, Some(why), look_at), line }
    }

    fn again(self, why: String) -> Settled {
        let failures = self.run.attempt + 1;
        if failures >= MOST_OF_AGENT {
            return self.gives_up(failures, &why);
        }
        let at = self.now + sweep_ms();
        Settled { change: self.to(RunState::Running, failures, None, Some(at)), line: Some(("error", why)) }
    }

    fn later(self, why: String, chance: f64) -> Settled {
        let failures = self.run.attempt + 1;
        if failures >= MOST_ATTEMPTS {
            return self.gives_up(failures, &why);
        }
        let at = self.now + pause_ms(failures, chance);
        let line = ("error", format!("{why}; tried again, {failures} of {}", MOST_ATTEMPTS - 1));
        Settled { change: self.to(RunState::Waiting, failures, Some(why), Some(at)), line: Some(line) }
    }

    fn gives_up(self, failures: u32, why: &str) -> Settled {
        self.end(RunState::Failed, format!("given up after {failures} tries: {why}"))
    }

    fn end(mut self, state: RunState, reason: String) -> Settled {
        self.progress.held = None;
        let attempt = self.run.attempt;
        let line = ("state", format!("{state}: {reason}"));
        Settled { change: self.to(state, attempt, Some(reason), None), line: Some(line) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::model::ids::RunId;
    use crate::model::origin::Origin;
    use crate::model::run::RunInput;
    use crate::workflows::definition::{Caps, StageDefinition};

    #[test]
    fn pauses_grow_to_five_minutes_and_are_shorter_by_chance() {
        let whole: Vec<u64> = (1..=9).map(|failures| pause_ms(failures, 1.0) / 1000).collect();
        assert_eq!(whole, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(pause_ms(3, 0.5), 6_000);
        assert_eq!(pause_ms(1, 0.0), 1_000, "never at once");
        assert_eq!(pause_ms(u32::MAX, 2.0), LONGEST_PAUSE_MS);
    }

    /// A run in the only stage of that workflow.
    fn begun() -> (Run, Workflow) {
        let settings = json!({ "argv": ["true"] }).as_object().cloned().unwrap_or_default();
        let stage = StageDefinition { name: "look".to_owned(), kind: "command".to_owned(), settings };
        let workflow = Workflow {
            name: "fix".to_owned(),
            description: String::new(),
            inputs: BTreeMap::new(),
            stages: vec![stage],
            caps: Caps::default(),
        };
        let run = Run {
            id: RunId::from_parts(1, 1),
            workflow: workflow.name.clone(),
            key: "one".to_owned(),
            origin: Origin::Person,
            origin_ref: None,
            project: None,
            title: "it fails".to_owned(),
            input: RunInput::default(),
            state: RunState::Running,
            stage: "look".to_owned(),
            attempt: 0,
            reason: None,
            progress: RunProgress::default(),
            version: 1,
            not_before: 0,
            priority: 0,
            budget_microusd: None,
            created_at: 0,
            started_at: Some(0),
            ended_at: None,
        };
        (run, workflow)
    }

    /// How often it is tried until it is over, the pause before each further try, and how it ends.
    fn tried(error: &StageError) -> (Vec<u64>, Run) {
        let ((mut run, workflow), mut now, mut pauses) = (begun(), 1_000_000, Vec::new());
        while pauses.len() < 100 {
            let moment = Moment { now, chance: 1.0, worked_ms: 0, used_up: None };
            let Settled { change, line } = settle(&run, &workflow, Err(error.clone()), &moment);
            let (kind, text) = line.expect("whatever goes wrong is told");
            run = Run {
                state: change.state,
                stage: change.stage,
                attempt: change.attempt,
                reason: change.reason,
                progress: change.progress,
                not_before: change.wake_at.unwrap_or(run.not_before),
                ..run
            };
            if run.state.is_end() {
                assert_eq!(
                    (kind, text),
                    ("state", format!("failed: {}", run.reason.as_deref().unwrap_or_default()))
                );
                return (pauses, run);
            }
            assert_eq!((kind, run.attempt as usize), ("error", pauses.len() + 1), "{text}");
            // One that is at work goes on at once; the time is when it is looked at should it be forgotten.
            pauses.push(if run.state == RunState::Running { 0 } else { run.not_before - now });
            now = run.not_before;
        }
        panic!("it has no end: {run:?}");
    }

    #[test]
    fn what_goes_wrong_is_tried_as_often_as_its_kind_says_and_ends_where_people_see_it() {
        let (pauses, run) = tried(&StageError::Infrastructure("the forge says 502".to_owned()));
        let doubled = [2, 4, 8, 16, 32, 64, 128, 256].map(|seconds| seconds * 1000);
        assert_eq!((pauses.len(), &pauses[..8]), (19, &doubled[..]));
        assert!(pauses[8..].iter().all(|pause| *pause == LONGEST_PAUSE_MS), "{pauses:?}");
        let given_up = "given up after 20 tries: the forge says 502";
        assert_eq!((run.state, run.reason.as_deref()), (RunState::Failed, Some(given_up)));

        let (pauses, run) = tried(&StageError::Agent("no report".to_owned()));
        assert_eq!(pauses, [0; 7]);
        assert_eq!(run.reason.as_deref(), Some("given up after 8 tries: no report"));

        for error in
            [StageError::Auth("a new token".to_owned()), StageError::Permanent("no branch".to_owned())]
        {
            let (pauses, run) = tried(&error);
            assert_eq!((pauses.len(), run.reason), (0, Some(error.to_string())), "time does not help");
        }
    }

    #[test]
    fn patience_that_is_asked_for_is_no_try_and_what_works_counts_anew() {
        let (run, workflow) = begun();
        let run = Run { attempt: 5, ..run };
        let moment = Moment { now: 1_000, chance: 0.0, worked_ms: 0, used_up: None };
        let limited =
            Err(StageError::RateLimited { until: 91_000, why: "the forge asks for patience".to_owned() });
        let change = settle(&run, &workflow, limited, &moment).change;
        assert_eq!((change.state, change.attempt, change.wake_at), (RunState::Waiting, 5, Some(91_000)));
        let waits = Ok(Outcome::Wait { until: 61_000, why: "it waits for checks".to_owned() });
        let change = settle(&run, &workflow, waits, &moment).change;
        assert_eq!((change.state, change.attempt, change.wake_at), (RunState::Waiting, 0, Some(61_000)));
    }

    #[test]
    fn what_is_away_for_half_an_hour_ends_no_run() {
        let until_given_up =
            |chance: f64| (1..MOST_ATTEMPTS).map(|failures| pause_ms(failures, chance)).sum::<u64>() / 60_000;
        assert!((30..=75).contains(&until_given_up(0.0)), "{} minutes", until_given_up(0.0));
        assert!((30..=75).contains(&until_given_up(1.0)), "{} minutes", until_given_up(1.0));
    }
}

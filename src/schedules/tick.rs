//! One time of a schedule: the tick, its run and the next timer are one transaction.

use serde_json::json;

use super::PRINCIPAL;
use crate::clock;
use crate::model::event::{EventKind, EventRef, Subject};
use crate::model::ids::RunId;
use crate::model::origin::Origin;
use crate::model::quantity::money;
use crate::model::run::{NewRun, Run, RunInput, RunState};
use crate::model::schedule::{Due, GATE, Overlap, Plan, Schedule, ScheduleAction, TickCause, TickOutcome};
use crate::store::runs::{self, RunChange};
use crate::store::schedules::{self, NewTick};
use crate::store::{StoreError, Tx, projects};

/// The time in which costs count.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// What became of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ticked {
    /// It was seen to, or there is nothing to see to.
    Done,
    /// So long from now (ms) it is not due.
    NotYet(u64),
}

/// The timer of a schedule fired.
pub(super) fn tick(tx: &mut Tx<'_>, id: u64) -> Result<Ticked, StoreError> {
    let Some(schedule) = schedules::of_id(tx, id)? else { return Ok(Ticked::Done) };
    let (None, Some(instant)) = (&schedule.paused, schedule.next_at) else { return Ok(Ticked::Done) };
    let plan = match schedule.spec.plan() {
        Ok(plan) => plan,
        // The machine's zones changed, or another version reads expressions otherwise.
        Err(error) => {
            pause(tx, &schedule, &error.to_string())?;
            return Ok(Ticked::Done);
        }
    };
    let jitter = schedule.jitter_ms(instant);
    match plan.due(instant, jitter, schedule.spec.catch_up, tx.now_ms()) {
        Due::NotYet(at) => return Ok(Ticked::NotYet(at - tx.now_ms())),
        Due::Now(cause) => match limit_reached(tx, &schedule)? {
            None => drop(begin(tx, &schedule, instant, cause)?),
            Some(why) => {
                note(tx, &schedule, instant, cause, TickOutcome::Skipped, Some(why.clone()), None)?;
                pause(tx, &schedule, &why)?;
                return Ok(Ticked::Done);
            }
        },
        Due::Missed => {
            let why = format!("nobody was there until {} UTC", clock::utc(tx.now_ms()));
            note(tx, &schedule, instant, TickCause::Time, TickOutcome::Missed, Some(why), None)?;
        }
    }
    let next = plan.next(instant, jitter, tx.now_ms());
    // Never the due time of the timer that fires now, which is settled after this.
    plan_for(tx, &schedule, next, instant + jitter + 1)?;
    Ok(Ticked::Done)
}

/// The next time, not seen to before `earliest`.
fn plan_for(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    next: Option<u64>,
    earliest: u64,
) -> Result<(), StoreError> {
    let due = |instant: u64| (instant, (instant + schedule.jitter_ms(instant)).max(earliest));
    schedules::plan(tx, schedule.id, next.map(due))
}

/// The first time after now, for one that is new, changed or goes on.
pub(super) fn plan_anew(tx: &mut Tx<'_>, schedule: &Schedule, plan: &Plan) -> Result<(), StoreError> {
    let next = match schedule.paused {
        Some(_) => None,
        None => plan.expression.next_after(&plan.zone, tx.now_ms()),
    };
    plan_for(tx, schedule, next, 0)
}

/// It does nothing from now on.
pub(super) fn pause(tx: &mut Tx<'_>, schedule: &Schedule, why: &str) -> Result<(), StoreError> {
    schedules::set_paused(tx, schedule.id, Some(why))?;
    schedules::plan(tx, schedule.id, None)?;
    tx.audit(&PRINCIPAL, "schedule.pause", schedule.name.as_str(), &json!({ "why": why }))?;
    let subject = Subject {
        refs: vec![EventRef { kind: "schedule".to_owned(), id: schedule.name.to_string() }],
        ..Subject::default()
    };
    let what = EventKind::SchedulePaused { schedule: schedule.name.to_string(), reason: why.to_owned() };
    tx.emit(&subject, &what)?;
    Ok(())
}

/// Why it must not go on by itself, if so.
fn limit_reached(tx: &Tx<'_>, schedule: &Schedule) -> Result<Option<String>, StoreError> {
    if let Some(limit) = schedule.spec.pause_after_failures {
        // Those that somebody ended say nothing.
        let ends = schedules::ends(tx, schedule.id, schedule.counts_from, limit.saturating_mul(4).max(50))?;
        let telling = ends.into_iter().filter(|end| matches!(end, RunState::Failed | RunState::Succeeded));
        let failures = telling.take_while(|end| *end == RunState::Failed).count();
        if failures >= limit as usize {
            let times = if limit == 1 {
                "its last run failed".to_owned()
            } else {
                format!("its last {limit} runs failed")
            };
            return Ok(Some(times));
        }
    }
    if let Some(limit) = schedule.spec.pause_at_microusd {
        let since = tx.now_ms().saturating_sub(DAY).max(schedule.counts_from);
        let spent = schedules::spent(tx, schedule.id, since)?;
        if spent >= limit {
            return Ok(Some(format!("its runs cost {} within 24 hours", money(spent))));
        }
    }
    Ok(None)
}

/// Makes the run of a time, or says why not. Nothing at all, when that time was seen to.
pub(super) fn begin(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    instant: u64,
    cause: TickCause,
) -> Result<Option<TickOutcome>, StoreError> {
    if cause != TickCause::Person && schedules::is_noted(tx, schedule.id, instant)? {
        return Ok(None);
    }
    let open = runs::open_of_key(tx, &key(schedule))?;
    let (outcome, reason, run) = match (open, schedule.spec.overlap) {
        (None, _) => (TickOutcome::Run, None, enqueue(tx, schedule)?),
        (Some(open), Overlap::Replace) => {
            supersede(tx, &open, &schedule.name.to_string())?;
            (TickOutcome::Run, Some(format!("in the place of {}", open.id)), enqueue(tx, schedule)?)
        }
        (Some(open), Overlap::Queue) => {
            let waits = schedules::waiting(tx)?.iter().any(|(of, _)| *of == schedule.id);
            let why = format!("the run {} still goes on", open.id);
            match waits {
                true => (TickOutcome::Skipped, Some(format!("{why}, and one waits for it")), open.id),
                false => (TickOutcome::Waiting, Some(why), open.id),
            }
        }
        (Some(open), Overlap::Forbid) => {
            (TickOutcome::Skipped, Some(format!("the run {} still goes on", open.id)), open.id)
        }
    };
    note(tx, schedule, instant, cause, outcome, reason, Some(run))?;
    Ok(Some(outcome))
}

/// What its runs are about.
pub(super) fn key(schedule: &Schedule) -> String {
    format!("schedule:{}", schedule.name)
}

fn note(
    tx: &mut Tx<'_>,
    schedule: &Schedule,
    instant: u64,
    cause: TickCause,
    outcome: TickOutcome,
    reason: Option<String>,
    run: Option<RunId>,
) -> Result<(), StoreError> {
    let tick = NewTick { schedule: schedule.id, instant, cause, outcome, reason, run };
    schedules::note(tx, &tick).map(drop)
}

fn supersede(tx: &mut Tx<'_>, open: &Run, name: &str) -> Result<(), StoreError> {
    let change = RunChange {
        state: RunState::Superseded,
        stage: open.stage.clone(),
        attempt: open.attempt,
        reason: Some(format!("it was time for the schedule {name} again, which replaces its runs")),
        progress: open.progress.clone(),
        wake_at: None,
        keeps_place: false,
    };
    runs::change(tx, open, &change).map(drop)
}

/// Makes the run of a schedule.
pub(super) fn enqueue(tx: &mut Tx<'_>, schedule: &Schedule) -> Result<RunId, StoreError> {
    let action = &schedule.spec.action;
    let mut input = RunInput::default();
    let mut say = |name: &str, value: &str| drop(input.variables.insert(name.to_owned(), value.to_owned()));
    match action {
        ScheduleAction::Prompt { text, frame, model, .. } => {
            say("text", text);
            (input.frame, input.model) = (frame.clone(), model.clone());
        }
        ScheduleAction::Workflow { variables, .. } => {
            variables.iter().for_each(|(name, value)| say(name, value));
        }
        ScheduleAction::Frame { wish, frame } => {
            say("action", wish.into());
            input.frame = Some(frame.clone());
        }
        ScheduleAction::Review { .. } => {}
    }
    // Whatever a row holds: the line that a shell runs is the gate, which only the owner gives.
    input.variables.remove(GATE);
    if let Some(gate) = &schedule.spec.gate {
        input.variables.insert(GATE.to_owned(), gate.clone());
    }
    if let Some(project) = action.project()
        && let Some(project) = projects::find_by_name(tx, project)?
    {
        input.repository = projects::settings(tx, &project.id)?.repository;
    }
    let new = NewRun {
        workflow: action.workflow().to_owned(),
        key: key(schedule),
        origin: Origin::Schedule,
        origin_ref: Some(key(schedule)),
        project: action.project().cloned(),
        title: format!("{}: {}", schedule.name, action.words()),
        input,
        priority: 0,
        budget_microusd: schedule.spec.budget_microusd,
        not_before: None,
    };
    let id = RunId::from_parts(tx.now_ms(), clock::entropy_128());
    Ok(runs::enqueue(tx, id, &new)?.id().clone())
}

/// Begins what waited for a run that is over. Says how many still wait.
pub(super) fn release(tx: &mut Tx<'_>) -> Result<usize, StoreError> {
    let mut still = 0;
    for (of, waiting) in schedules::waiting(tx)? {
        let Some(schedule) = schedules::of_id(tx, of)? else { continue };
        if let Some(why) = &schedule.paused {
            let why = format!("it was paused meanwhile: {why}");
            schedules::settle(tx, waiting.id, TickOutcome::Skipped, Some(&why), None)?;
        } else if runs::open_of_key(tx, &key(&schedule))?.is_some() {
            still += 1;
        } else if let Some(why) = limit_reached(tx, &schedule)? {
            schedules::settle(tx, waiting.id, TickOutcome::Skipped, Some(&why), None)?;
            pause(tx, &schedule, &why)?;
        } else {
            let run = enqueue(tx, &schedule)?;
            schedules::settle(
                tx,
                waiting.id,
                TickOutcome::Run,
                Some("it waited for the last run"),
                Some(&run),
            )?;
        }
    }
    Ok(still)
}

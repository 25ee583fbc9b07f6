//! Before a stage is performed: whether it is the run's turn, what it follows, what it may spend, and its place among
//! those at work. One transaction decides all of it.

use std::sync::Arc;

use super::context::sweep_ms;
use super::definition::Workflow;
use super::kind::StageKind;
use super::settle::MOST_ATTEMPTS;
use crate::model::budget::{BudgetKey, BudgetPeriod, BudgetScope};
use crate::model::origin::Origin;
use crate::model::run::{Run, RunHold, RunState};
use crate::store::runs::{self, RunChange};
use crate::store::{StoreError, Tx, budgets};

/// So many runs of one workflow and project that failed within [`BREAKER_WITHIN_MS`] hold the next one.
const BREAKER_AFTER: u32 = 3;
const BREAKER_WITHIN_MS: u64 = 24 * 60 * 60 * 1000;
/// A run that waits for a place looks again by itself, should nobody tell it.
const PLACE_AGAIN_MS: u64 = 30_000;

/// What is to be done now.
pub(super) enum Begun {
    /// This stage.
    Perform(Box<Run>, Box<StageKind>),
    /// Nothing.
    Rest,
}

/// What the workflow's file says, for a run that has not begun.
pub(super) enum Found {
    /// That.
    Workflow(Arc<Workflow>),
    /// It cannot be followed, and why.
    Nothing(String),
}

/// Begins, or goes on, or lets it rest.
pub(super) fn begin(
    tx: &mut Tx<'_>,
    run: Run,
    woken: bool,
    found: &Found,
    is_new: bool,
    max_parallel: u32,
) -> Result<Begun, StoreError> {
    let now = tx.now_ms();
    let is_early = run.not_before > now && runs::place(tx, &run.id)?.is_none();
    let rests = match run.state {
        RunState::Running => false,
        RunState::Queued => is_early,
        RunState::Waiting => is_early && !woken,
        RunState::Held => is_held_by_breaker(&run) || (!woken && run.not_before > now),
        RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Superseded => true,
    };
    if rests {
        let has_a_time = !run.state.is_end() && !is_held_by_breaker(&run) && run.not_before > now;
        if has_a_time {
            runs::rest(tx, &run)?;
        }
        return Ok(Begun::Rest);
    }
    let workflow = match found {
        Found::Workflow(workflow) => workflow,
        Found::Nothing(why) => return fail(tx, &run, why),
    };
    if is_new {
        let missing = workflow
            .inputs
            .iter()
            .find(|(name, input)| input.default.is_none() && !run.input.variables.contains_key(*name));
        if let Some((name, _)) = missing {
            return fail(tx, &run, &format!("workflow {} needs {name}", workflow.name));
        }
        adopt(tx, &run, workflow)?;
    }
    let stage = match run.stage.as_str() {
        "" => workflow.first(),
        stage => stage,
    };
    let kind = match workflow.stage(stage).map(|stage| StageKind::of(&stage.kind, &stage.settings)) {
        Some(Ok(kind)) => kind,
        Some(Err(why)) => {
            return fail(tx, &run, &format!("stage {stage} of workflow {}: {why}", workflow.name));
        }
        None => return fail(tx, &run, &format!("workflow {} has no stage {stage}", workflow.name)),
    };
    // What a person is asked is asked again only by stages that just look, and by itself only by those that follow
    // something outside.
    let is_asked = run.state == RunState::Held;
    if is_asked && (kind.is_work() || (!woken && !kind.follows())) {
        return Ok(Begun::Rest);
    }
    if run.state == RunState::Queued && is_broken(tx, &run)? {
        return hold(tx, &run, stage);
    }
    let mut progress = run.progress.clone();
    let begins = progress.stage_since.is_none();
    progress.stage_since.get_or_insert(now);
    let change = RunChange {
        state: RunState::Running,
        stage: stage.to_owned(),
        attempt: run.attempt.min(MOST_ATTEMPTS),
        reason: None,
        progress,
        wake_at: Some(now + sweep_ms()),
        keeps_place: true,
    };
    if kind.is_work() {
        if !runs::take_place(tx, &run.id, max_parallel)? {
            let state = if run.state == RunState::Queued { RunState::Queued } else { RunState::Waiting };
            let change = RunChange {
                state,
                reason: Some("other runs are at work".to_owned()),
                progress: run.progress.clone(),
                wake_at: Some(now + PLACE_AGAIN_MS),
                ..change
            };
            runs::change(tx, &run, &change)?;
            return Ok(Begun::Rest);
        }
    } else if matches!(run.state, RunState::Waiting | RunState::Held) && !begins {
        // It only looks, again and again: nobody has to hear of that.
        return Ok(Begun::Perform(Box::new(run), Box::new(kind)));
    }
    let run = runs::change(tx, &run, &change)?;
    if begins {
        runs::log(tx, &run.id, stage, "state", &format!("stage {stage} begins"), None)?;
    }
    Ok(Begun::Perform(Box::new(run), Box::new(kind)))
}

/// What the run follows from now on, and what it may spend.
fn adopt(tx: &mut Tx<'_>, run: &Run, workflow: &Workflow) -> Result<(), StoreError> {
    let text = serde_json::to_string(workflow)
        .map_err(|error| StoreError::Unexpected { expected: "a workflow", value: error.to_string() })?;
    runs::adopt(tx, &run.id, &text, workflow.caps.parallel)?;
    let key = BudgetKey { scope: BudgetScope::Run, subject: run.id.to_string(), period: BudgetPeriod::Total };
    budgets::set(tx, &key, Some(run.budget_microusd.unwrap_or(workflow.caps.cost_microusd)))
}

fn fail(tx: &mut Tx<'_>, run: &Run, why: &str) -> Result<Begun, StoreError> {
    let change = RunChange {
        state: RunState::Failed,
        stage: run.stage.clone(),
        attempt: run.attempt,
        reason: Some(why.to_owned()),
        progress: run.progress.clone(),
        wake_at: None,
        keeps_place: false,
    };
    runs::change(tx, run, &change)?;
    runs::log(tx, &run.id, &run.stage, "state", &format!("failed: {why}"), None)?;
    Ok(Begun::Rest)
}

/// Whether the runs before it failed, so that a person is to look first. Whoever starts one by hand has looked.
fn is_broken(tx: &Tx<'_>, run: &Run) -> Result<bool, StoreError> {
    if run.origin == Origin::Person || run.progress.approved.contains_key(RunHold::BREAKER) {
        return Ok(false);
    }
    let since = tx.now_ms().saturating_sub(BREAKER_WITHIN_MS);
    Ok(runs::failures(tx, &run.workflow, run.project.as_ref(), since)? >= BREAKER_AFTER)
}

fn is_held_by_breaker(run: &Run) -> bool {
    run.progress.held.as_ref().is_some_and(|held| held.gate == RunHold::BREAKER)
}

fn hold(tx: &mut Tx<'_>, run: &Run, stage: &str) -> Result<Begun, StoreError> {
    let whose = run.project.as_ref().map(|name| format!(" of project {name}")).unwrap_or_default();
    let why = format!(
        "the last {BREAKER_AFTER} runs of workflow {}{whose} failed within 24 hours; \
         `mimir runs list --state failed` shows them",
        run.workflow
    );
    let mut progress = run.progress.clone();
    progress.held = Some(RunHold { gate: RunHold::BREAKER.to_owned(), subject: String::new() });
    let change = RunChange {
        state: RunState::Held,
        stage: stage.to_owned(),
        attempt: 0,
        reason: Some(why.clone()),
        progress,
        wake_at: None,
        keeps_place: false,
    };
    runs::change(tx, run, &change)?;
    runs::log(tx, &run.id, stage, "state", &format!("held: {why}"), None)?;
    Ok(Begun::Rest)
}

//! One pass of a run's task: its turn, its stage, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Workflows;
use super::begin::{self, Begun, Found};
use super::context::RowContext;
use super::cost;
use super::definition::Workflow;
use super::engine;
use super::gated;
use super::kind::StageKind;
use super::settle::{self, Moment};
use super::stage::{Outcome, StageError};
use crate::model::budget::BudgetScope;
use crate::model::ids::RunId;
use crate::model::run::{Asker, Run, RunState};
use crate::store::budgets::{self, Defaults};
use crate::store::{StoreError, runs, webhooks};
use crate::supervisor::keyed::{Next, Pass};
use crate::timers::Fired;

impl Workflows {
    /// The timer of a run: its time has come, or somebody told of something. What goes wrong then is tried again by the
    /// run's own task.
    pub fn timer_fired(&self, subject: &str) -> Fired {
        if let Ok(id) = RunId::parse(subject) {
            self.wake(&id);
        }
        Fired::Done
    }

    pub(super) async fn pass(&self, pass: Pass<RunId, ()>) -> Next {
        // Let go of anywhere, as by a crash: the run was cancelled, and its row says so; or the gateway stops, and the
        // next one goes on.
        let stop = pass.stop.clone();
        let Some(stepped) = stop.run_until_cancelled(self.step(&pass)).await else { return Next::Done };
        match stepped {
            Ok(next) => next,
            Err(StoreError::NotFound { .. } | StoreError::Closed) => Next::Done,
            Err(error) => {
                tracing::warn!(%error, "run {} cannot go on yet: {error}", pass.key);
                Next::Backoff
            }
        }
    }

    async fn step(&self, pass: &Pass<RunId, ()>) -> Result<Next, StoreError> {
        let simple = &self.inner.stages.simple;
        let id = pass.key.clone();
        let (run, woken) = simple.store.write(move |tx| runs::look(tx, &id)).await?;
        if run.state.is_end() {
            return Ok(Next::Done);
        }
        let (found, is_new) = self.followed(&run).await?;
        let workflow = match &found {
            Found::Workflow(workflow) => Some(workflow.clone()),
            Found::Nothing(_) => None,
        };
        let most = self.inner.settings.now().max_parallel;
        simple.failpoints.hit("workflows.begin.before").await;
        let begun = simple.store.write(move |tx| begin::begin(tx, run, woken, &found, is_new, most));
        let begun = match begun.await {
            // Somebody changed it in between.
            Err(StoreError::Conflict { .. }) => return Ok(Next::Again),
            begun => begun?,
        };
        simple.failpoints.hit("workflows.begin.after").await;
        let (Begun::Perform(run, kind), Some(workflow)) = (begun, workflow) else { return Ok(Next::Done) };
        self.perform(*run, *kind, workflow).await
    }

    /// The workflow that the run follows: as it began, or as it is written now when it has not begun.
    async fn followed(&self, run: &Run) -> Result<(Found, bool), StoreError> {
        let id = run.id.clone();
        let kept = self.inner.stages.simple.store.read(move |db| runs::definition(db, &id)).await?;
        if let Some(text) = kept {
            let found = match serde_json::from_str::<Workflow>(&text) {
                Ok(workflow) => Found::Workflow(Arc::new(workflow)),
                Err(error) => {
                    Found::Nothing(format!("the workflow that it began with cannot be read: {error}"))
                }
            };
            return Ok((found, false));
        }
        let (library, name) = (self.inner.library.clone(), run.workflow.clone());
        let entry = tokio::task::spawn_blocking(move || library.find(&name)).await;
        let found = match entry.map_err(|_| StoreError::Closed)?.map(|entry| entry.workflow) {
            Some(Ok(workflow)) => Found::Workflow(Arc::new(gated::gated(workflow, run))),
            Some(Err(invalid)) => Found::Nothing(format!("its workflow has a mistake: {invalid}")),
            None => Found::Nothing(format!("there is no workflow {}", run.workflow)),
        };
        Ok((found, true))
    }

    async fn perform(&self, run: Run, kind: StageKind, workflow: Arc<Workflow>) -> Result<Next, StoreError> {
        let simple = &self.inner.stages.simple;
        let (store, clock, failpoints) =
            (simple.store.clone(), simple.clock.clone(), simple.failpoints.clone());
        let most = workflow.caps.stage_time;
        let left = most.saturating_sub(Duration::from_millis(run.progress.stage_worked_ms));
        let stage = run.stage.clone();
        let mut cx = RowContext::new(store, clock, failpoints, workflow.clone(), run);
        let began = Instant::now();
        let work = engine::perform(&kind, &mut cx, &self.inner.stages);
        let result = tokio::time::timeout(left, work).await.unwrap_or_else(|_| {
            let minutes = most.as_secs().div_ceil(60);
            Err(StageError::Permanent(format!(
                "stage {stage} worked for longer than {minutes} minutes (`caps.stage_time`)"
            )))
        });
        simple.failpoints.hit("workflows.settle.before").await;
        let worked_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = self.settle(cx.into_run(), &workflow, result, worked_ms).await;
        simple.failpoints.hit("workflows.settle.after").await;
        next
    }

    async fn settle(
        &self,
        run: Run,
        workflow: &Arc<Workflow>,
        result: Result<Outcome, StageError>,
        worked_ms: u64,
    ) -> Result<Next, StoreError> {
        if result == Err(StageError::Changed) {
            return Ok(Next::Backoff);
        }
        let simple = &self.inner.stages.simple;
        let (now, workflow) = (simple.clock.now_ms(), workflow.clone());
        let chance = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let written = simple.store.write(move |tx| {
            let standings =
                budgets::of_subject(tx, BudgetScope::Run, run.id.as_str(), Defaults::default(), now)?;
            let used_up = standings.iter().find(|budget| budget.is_used_up()).map(|budget| budget.used_up());
            let moment = Moment { now, chance, worked_ms, used_up };
            let settled = settle::settle(&run, &workflow, result, &moment);
            let after = runs::change(tx, &run, &settled.change)?;
            if let Some((kind, text)) = &settled.line {
                runs::log(tx, &run.id, &run.stage, kind, text, runs::pull_link(&after))?;
            }
            if after.state.is_end() || after.stage != run.stage {
                cost::say(tx, &run)?;
            }
            if after.state.is_end() && after.progress.asker() == Some(Asker::MayNot) {
                webhooks::turn_away(tx, &after)?;
            }
            Ok((after, settled.change.keeps_place))
        });
        let (after, keeps_place) = match written.await {
            // Somebody cancelled it, or told of something: looked at again.
            Err(StoreError::Conflict { .. }) => return Ok(Next::Again),
            written => written?,
        };
        if !keeps_place {
            self.wake_those_in_line().await;
        }
        Ok(if after.state == RunState::Running { Next::Again } else { Next::Done })
    }

    /// A place among those at work may be free.
    pub(super) async fn wake_those_in_line(&self) {
        match self.inner.stages.simple.store.read(|db| runs::in_line(db)).await {
            Ok(line) => line.iter().for_each(|id| self.wake(id)),
            Err(error) => tracing::warn!(%error, "runs that wait for others cannot be read: {error}"),
        }
    }
}

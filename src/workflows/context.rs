//! What a stage works with, as the engine has it: the run's row, saved by compare and set.

use std::sync::Arc;
use std::time::Duration;

use super::definition::Workflow;
use super::stage::{StageContext, StageError};
use super::trouble::of_store;
use crate::clock::Clock;
use crate::model::run::{Run, RunProgress};
use crate::store::Store;
use crate::store::runs::{self, RunChange};
use crate::supervisor::failpoint::Failpoints;

/// A run that works is looked at again after that, should it be forgotten by whoever works for it.
pub(super) const SWEEP: Duration = Duration::from_secs(10 * 60);

/// A stage that is being performed.
pub struct RowContext {
    store: Store,
    clock: Clock,
    failpoints: Failpoints,
    workflow: Arc<Workflow>,
    run: Run,
}

impl RowContext {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        failpoints: Failpoints,
        workflow: Arc<Workflow>,
        run: Run,
    ) -> Self {
        Self { store, clock, failpoints, workflow, run }
    }

    /// The run with everything that was found out, saved or not.
    pub(super) fn into_run(self) -> Run {
        self.run
    }
}

impl StageContext for RowContext {
    fn run(&self) -> &Run {
        &self.run
    }

    fn progress(&mut self) -> &mut RunProgress {
        &mut self.run.progress
    }

    fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    async fn save(
        &mut self,
        kind: &'static str,
        text: String,
        link: Option<String>,
    ) -> Result<(), StageError> {
        let seen = self.run.clone();
        let written = self.store.write(move |tx| {
            let change = RunChange {
                state: seen.state,
                stage: seen.stage.clone(),
                attempt: seen.attempt,
                reason: seen.reason.clone(),
                progress: seen.progress.clone(),
                wake_at: Some(tx.now_ms() + sweep_ms()),
                keeps_place: true,
            };
            let now = runs::change(tx, &seen, &change)?;
            runs::log(tx, &now.id, &now.stage, kind, &text, link.as_deref())?;
            Ok(now)
        });
        self.run = written.await.map_err(of_store)?;
        self.failpoints.hit("workflows.save.after").await;
        Ok(())
    }
}

pub(super) fn sweep_ms() -> u64 {
    u64::try_from(SWEEP.as_millis()).unwrap_or(u64::MAX)
}

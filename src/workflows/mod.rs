//! Runs of workflows: what happened, or whose time has come, goes through stages to an end that can be seen.
//!
//! A run is a row (`store::runs`, state diagram in `model::run`); whoever makes one (a webhook's rule, a schedule, a person)
//! sets its timer in the same transaction. One task for each open run (`supervisor::keyed`) performs the stage that it
//! is in. A stage can be repeated: it first asks what of it is done already, saves what it chose before it acts on it, and
//! what it found out after it. So a gateway that dies anywhere goes on where it was, and nothing outside happens twice.
//!
//! A pass: `begin` decides whether it is the run's turn, `engine` performs the stage, `settle` decides what becomes of
//! the run. What an ended run leaves behind (`clean_up`) goes by a timer that is set with its end. People's words come in
//! through `asked`.
//!
//! Not here: what the outside says (`webhooks`, `forge`), when something is due (`schedules`), the turns of agents (`feed`).

mod asked;
mod begin;
mod clean_up;
mod command;
pub mod context;
mod cost;
pub mod definition;
pub mod deps;
pub mod engine;
mod error;
pub mod fix;
mod frame;
mod gate;
mod gated;
pub mod kind;
pub mod library;
#[cfg(test)]
mod moves_tests;
pub mod parse;
mod pass;
mod prompt;
pub mod pull;
pub mod quantities;
mod settle;
pub mod stage;
pub mod template;
pub mod trouble;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use asked::{NewManualRun, Shown};
pub use error::RunError;

use crate::config::Live;
use crate::model::ids::RunId;
use crate::store::runs;
use crate::supervisor::keyed::Keyed;
use crate::supervisor::{Service, Tasks};
use engine::AllDeps;
use library::Library;

/// What the configuration says of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many may be at work at the same time; those that wait or are held do not count.
    pub max_parallel: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_parallel: 2 }
    }
}

/// What the service needs.
pub struct WorkflowsDeps {
    /// What the stages work with.
    pub stages: AllDeps,
    /// Owner of what works for runs.
    pub tasks: Tasks,
    /// From the configuration.
    pub settings: Live<Settings>,
    /// Its folder `workflows` holds the home's own.
    pub home: PathBuf,
}

/// Sees to runs. Cheap to clone.
#[derive(Clone)]
pub struct Workflows {
    inner: Arc<Inner>,
}

struct Inner {
    stages: AllDeps,
    settings: Live<Settings>,
    library: Library,
    /// The task of each open run.
    at_work: Keyed<RunId>,
}

impl Workflows {
    /// Makes the service; nothing is done before it runs, or a timer fires.
    #[must_use]
    pub fn new(deps: WorkflowsDeps) -> Self {
        let inner = Inner {
            settings: deps.settings,
            library: Library::of_home(&deps.home),
            at_work: Keyed::new(&deps.tasks, "run", |_| ()),
            stages: deps.stages,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Other settings from now on. Runs that wait for a place look again within half a minute.
    pub fn configure(&self, settings: Settings) {
        self.inner.settings.set(settings);
    }

    /// Has a run looked at.
    pub fn wake(&self, id: &RunId) {
        let workflows = self.clone();
        self.inner.at_work.wake(id, move |pass| {
            let workflows = workflows.clone();
            async move { workflows.pass(pass).await }
        });
    }
}

impl Service for Workflows {
    const NAME: &'static str = "workflows";

    /// Takes up every run that is open; timers see to the rest.
    async fn run(&self, stop: CancellationToken) {
        match self.inner.stages.simple.store.read(|db| runs::open(db)).await {
            Ok(open) => open.iter().for_each(|run| self.wake(&run.id)),
            Err(error) => tracing::error!(%error, "open runs cannot be read: {error}"),
        }
        stop.cancelled().await;
    }
}

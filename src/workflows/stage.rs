//! What a stage is: something that may be repeated until it says that it is done.

use std::future::Future;

use super::definition::Workflow;
use crate::model::run::{Run, RunState};

/// How a stage ended this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has done what it is for: the next one.
    Done,
    /// Nothing can be done until then (UTC ms), or until somebody tells of something (`store::runs::wake_named`).
    Wait {
        /// UTC ms.
        until: u64,
        /// For what.
        why: String,
    },
    /// A person must say yes. Their yes is in `progress.approved` under the gate's name when the stage runs again.
    Hold {
        /// The gate's name: `fix`, `pull_request`, `merge`.
        gate: String,
        /// What the yes is bound to, such as the commit that would be merged; empty: nothing.
        subject: String,
        /// What they are asked, in a sentence.
        why: String,
    },
    /// The run is over, here.
    End {
        /// How.
        state: RunState,
        /// Why, in a sentence.
        reason: String,
    },
}

/// Why a stage could not go on, by what is done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The agent did not do what it was to do: asked again, within the stage's bounds.
    #[error("{0}")]
    Agent(String),
    /// Something of ours or of the machine's does not work now: again later, with growing pauses.
    #[error("{0}")]
    Infrastructure(String),
    /// Somebody outside wants us to wait.
    #[error("{why}")]
    RateLimited {
        /// UTC ms.
        until: u64,
        /// Who, in a sentence.
        why: String,
    },
    /// Somebody outside does not let us in: a person has to do something, then `mimir runs retry`.
    #[error("{0}")]
    Auth(String),
    /// It will not work, however often it is tried.
    #[error("{0}")]
    Permanent(String),
    /// Somebody changed the run meanwhile, or the gateway stops: what was done is looked at again by the next pass.
    #[error("the run was changed meanwhile")]
    Changed,
}

/// What a stage works with. Implemented by the engine (and by tests of pure parts).
pub trait StageContext: Send + Sync {
    /// The run as it is now, with what was saved.
    fn run(&self) -> &Run;

    /// Its progress, to change; kept by the next `save`, or with the stage's outcome.
    fn progress(&mut self) -> &mut crate::model::run::RunProgress;

    /// The workflow that it follows.
    fn workflow(&self) -> &Workflow;

    /// The time (UTC ms).
    fn now_ms(&self) -> u64;

    /// Saves the progress and a line of the timeline, in one transaction: before anything outside is done that must not be
    /// done twice, and after it.
    ///
    /// # Errors
    /// [`StageError::Changed`], [`StageError::Infrastructure`].
    fn save(
        &mut self,
        kind: &'static str,
        text: String,
        link: Option<String>,
    ) -> impl Future<Output = Result<(), StageError>> + Send;
}

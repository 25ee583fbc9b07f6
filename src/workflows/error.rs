//! What can go wrong when somebody asks something of runs, as its callers must tell it apart.

use super::parse::InvalidWorkflow;
use crate::model::run::RunState;
use crate::store::StoreError;

/// What can go wrong when somebody asks something of runs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(String),
    /// The word fits several; say more of it.
    #[error("`{word}` may be any of {} runs", ids.len())]
    Several {
        /// What was asked for.
        word: String,
        /// Those that fit, the newest first.
        ids: Vec<String>,
    },
    /// There is no such workflow.
    #[error("there is no workflow {0}")]
    NoWorkflow(String),
    /// Its file has a mistake.
    #[error("{0}")]
    Invalid(#[from] InvalidWorkflow),
    /// Say what it is.
    #[error("workflow {workflow} needs {input}")]
    NeedsInput {
        /// Which workflow.
        workflow: String,
        /// What it is to be given.
        input: String,
    },
    /// It knows nothing of that.
    #[error("workflow {workflow} is given no {input}")]
    UnknownInput {
        /// Which workflow.
        workflow: String,
        /// What it was to be given.
        input: String,
    },
    /// Register it first.
    #[error("there is no project {0}")]
    NoProject(String),
    /// Nobody is asked about it.
    #[error("run {id} is not held: it is {state}")]
    NotHeld {
        /// Which run.
        id: String,
        /// How far it is.
        state: RunState,
    },
    /// The yes is for something else, or does not say what for.
    #[error("run {id} is held for {subject}, at gate {gate}")]
    HeldForOther {
        /// Which run.
        id: String,
        /// At which gate.
        gate: String,
        /// What for, now.
        subject: String,
    },
    /// It is over.
    #[error("run {id} is over: it is {state}")]
    Over {
        /// Which run.
        id: String,
        /// How it ended.
        state: RunState,
    },
    /// Only what failed or was cancelled is tried again.
    #[error("run {id} cannot be tried again: it is {state}")]
    NotFailed {
        /// Which run.
        id: String,
        /// How far it is.
        state: RunState,
    },
    /// Another run sees to the same.
    #[error("run {0} is open for the same already")]
    Joined(String),
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

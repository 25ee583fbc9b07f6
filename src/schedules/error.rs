//! What can go wrong with schedules.

use crate::model::names::ScheduleName;
use crate::model::schedule::InvalidSchedule;
use crate::store::StoreError;

/// What can go wrong with schedules.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Look at those there are.
    #[error("there is no schedule {0}")]
    NotFound(ScheduleName),
    /// Say it otherwise.
    #[error(transparent)]
    Invalid(#[from] InvalidSchedule),
    /// Change the file.
    #[error("the schedule {0} stands in the configuration")]
    Configured(ScheduleName),
    /// Say it on the gateway's own machine.
    #[error("a gate runs on the gateway's machine, and only its owner may say what runs there")]
    OwnerOnly,
    /// Wait, or end that run.
    #[error("the last run of {name} still goes on: {run}")]
    StillRuns {
        /// Which.
        name: ScheduleName,
        /// Its run.
        run: String,
    },
    /// Ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

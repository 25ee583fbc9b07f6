//! What stages make of what frames and messages say: who has to do something about it.

use super::stage::StageError;
use crate::delivery::SendError;
use crate::frames::FrameError;
use crate::model::ids::RunId;
use crate::store::StoreError;

/// What a stage makes of the database's word.
#[must_use]
pub fn of_store(error: StoreError) -> StageError {
    match error {
        StoreError::Conflict { .. } | StoreError::NotFound { .. } | StoreError::Closed => StageError::Changed,
        error => StageError::Infrastructure(error.to_string()),
    }
}

/// What a stage makes of what a frame cannot do.
#[must_use]
pub fn of_frame(error: FrameError) -> StageError {
    match error {
        FrameError::Interrupted => StageError::Changed,
        FrameError::Store(error) => of_store(error),
        // Somebody makes room, or a frame ends. A run's frame has a name of its own: taken is the one before it.
        error @ (FrameError::NoFreePort(_)
        | FrameError::NameTaken(_)
        | FrameError::NoRoom { .. }
        | FrameError::NoFiles { .. }
        | FrameError::DiskFull(_)
        | FrameError::TooSlow { .. }
        | FrameError::Failed { .. }
        | FrameError::AgentUnreachable { .. }
        | FrameError::StoppedFor { .. }
        | FrameError::WishChanged { .. }
        | FrameError::BeingDestroyed(_)) => StageError::Infrastructure(error.to_string()),
        error if error.may_pass() => StageError::Infrastructure(error.to_string()),
        error => StageError::Permanent(error.to_string()),
    }
}

/// What is said of a turn that was stopped in its frame: at the terminal, or by the agent, which must not end its run so.
#[must_use]
pub fn stopped_inside(run: &RunId) -> String {
    format!(
        "the agent did not answer: its turn was stopped in the frame (`mimir runs cancel {run}` ends the run)"
    )
}

/// What a stage makes of a message that was not taken.
#[must_use]
pub fn of_send(error: SendError) -> StageError {
    match error {
        SendError::Store(error) => of_store(error),
        error @ (SendError::NoSession { .. } | SendError::ManySessions { .. } | SendError::KeyTaken) => {
            StageError::Permanent(error.to_string())
        }
        error => StageError::Infrastructure(error.to_string()),
    }
}

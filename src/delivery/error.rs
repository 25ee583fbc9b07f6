//! What can go wrong when a message is sent, as its callers must tell it apart.
//!
//! What goes wrong later, on the way to the agent, is the message's own state and reason.

use crate::model::ids::SessionId;
use crate::model::message::DeliveryState;
use crate::store::StoreError;

/// Why a message was not accepted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no frame of that name.
    #[error("there is no frame {0}")]
    NoFrame(String),
    /// It is on its way out.
    #[error("frame {0} is being destroyed")]
    BeingDestroyed(String),
    /// It was stopped for a reason that a message does not mend.
    #[error("no message wakes frame {frame}: {why}")]
    StoppedFor {
        /// Which frame.
        frame: String,
        /// Why, and what to do.
        why: String,
    },
    /// The frame has no such conversation.
    #[error("frame {frame} has no session `{session}`")]
    NoSession {
        /// Which frame.
        frame: String,
        /// What was asked for.
        session: String,
    },
    /// The word fits several conversations; say which by its id.
    #[error("`{session}` may be any of {} sessions", ids.len())]
    ManySessions {
        /// What was asked for.
        session: String,
        /// Those that fit, last used first.
        ids: Vec<SessionId>,
    },
    /// Too many messages wait already.
    #[error("{waiting} messages wait already {place}, and {limit} is the most")]
    QueueFull {
        /// How many.
        waiting: u64,
        /// Where, such as `in this conversation`.
        place: String,
        /// What is allowed.
        limit: u64,
        /// Which frame.
        frame: String,
    },
    /// It was to be sent now or not at all.
    #[error("it cannot be sent now: {0}")]
    NotNow(String),
    /// The key was used for another message.
    #[error("the idempotency key belongs to another message")]
    KeyTaken,
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no message of that id.
    #[error("there is no message {0}")]
    NotFound(String),
    /// It does not wait any more.
    #[error("the message is {0} and cannot be changed any more")]
    NotWaiting(DeliveryState),
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message could not be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no message of that id.
    #[error("there is no message {0}")]
    NotFound(String),
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

//! What can go wrong when a message is given to the router, as its callers must tell it apart.
//!
//! What goes wrong later, on the way to the agent, is the message's own state and reason.

use crate::model::ids::SessionId;
use crate::store::StoreError;

/// Why a message was not accepted. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Write something.
    #[error("the message is empty")]
    Empty,
    /// Write less, or put it into a file in the workspace.
    #[error("the message has {bytes} bytes, and {limit} is the most")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// There is no frame of that name.
    #[error("there is no frame {0}")]
    NoFrame(String),
    /// It is on its way out.
    #[error("frame {0} is being destroyed")]
    BeingDestroyed(String),
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
    /// The key was used for another message.
    #[error("the idempotency key belongs to another message")]
    KeyTaken,
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

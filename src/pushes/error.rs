//! Why a push cannot be decided or passed on.

use crate::git::{CredentialError, GitError};
use crate::model::git::PushState;
use crate::store::StoreError;

/// Why a push, or a question to a repository, comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Look at the list.
    #[error("there is no push {0}")]
    NotFound(u64),
    /// Somebody was first, or it is over.
    #[error("push {id} is {state} and cannot be decided any more")]
    TooLate {
        /// Which.
        id: u64,
        /// How far it is.
        state: PushState,
    },
    /// The frame has none, or another one.
    #[error("{0}")]
    NotTheirs(String),
    /// See the configuration.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The forge, or what was sent.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway ends.
    #[error("the gateway is stopping")]
    Stopping,
}

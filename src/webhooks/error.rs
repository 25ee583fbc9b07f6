//! Why something is not taken, by what its sender or the caller does next.

use super::signature::NotSigned;
use crate::store::StoreError;

/// Why something is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Nobody of that name is configured.
    #[error("there is nothing of that name")]
    UnknownSource,
    /// It is not believed. The sender learns no more than that.
    #[error("{0}")]
    NotSigned(#[from] NotSigned),
    /// Too many come at once: send it again.
    #[error("too many come at once")]
    Busy,
    /// There is no such delivery.
    #[error("there is no delivery {0}")]
    NoDelivery(String),
    /// It could not be stored: send it again.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for IntakeError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { key, .. } => Self::NoDelivery(key),
            other => Self::Store(other),
        }
    }
}

//! What can go wrong with a forge, by what the caller does next.

/// What can go wrong when a forge is asked for something. No text in it holds what opens the forge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// A person must give it another credential, or grant more to this one; the sentence says what.
    #[error("{0}")]
    Auth(String),
    /// Ask again at that time (UTC milliseconds), not before.
    #[error("the forge asks for patience")]
    RateLimited {
        /// When.
        until_ms: u64,
    },
    /// It was not reached, so nothing was done there: try again.
    #[error("the forge cannot be reached: {0}")]
    Unreachable(String),
    /// It broke off or is not well; what was asked may have been done or not: look, or ask again.
    #[error("the forge gave no good answer: {0}")]
    Transient(String),
    /// There is no such thing, or the credential may not see it.
    #[error("the forge knows no {0}")]
    NotFound(String),
    /// There is more of it than is read, so nobody knows what it says: it is no error of the forge's.
    #[error("there is more than mimir reads of {0}")]
    TooMuch(String),
    /// It will not do that, however often it is asked.
    #[error("the forge refused: {0}")]
    Refused(String),
}

impl ForgeError {
    /// Whether the same may succeed later, without anybody doing something about it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Unreachable(_) | Self::Transient(_))
    }
}

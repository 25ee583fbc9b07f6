//! What can go wrong with an error tracker, by what the caller does next.

/// What can go wrong when Sentry is asked for something. No text in it holds the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SentryError {
    /// A person must give it another token, or grant more to this one; the sentence says what.
    #[error("{0}")]
    Auth(String),
    /// Ask again at that time (UTC milliseconds), not before.
    #[error("Sentry asks for patience")]
    RateLimited {
        /// When.
        until_ms: u64,
    },
    /// It was not reached, broke off or is not well: try again. What was asked may have been done or not.
    #[error("Sentry gave no good answer: {0}")]
    Transient(String),
    /// There is no such thing, or the token may not see it.
    #[error("Sentry knows no {0}")]
    NotFound(String),
    /// It will not do that, however often it is asked.
    #[error("Sentry refused: {0}")]
    Refused(String),
}

impl SentryError {
    /// Whether the same may succeed later, without anybody doing something about it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Transient(_))
    }
}

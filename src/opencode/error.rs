//! What can go wrong when we talk to an agent, sorted by what the caller can do next.

use std::time::Duration;

/// What can go wrong when we talk to an agent.
#[derive(Debug, thiserror::Error)]
pub enum OpencodeError {
    /// No connection stood, so nothing was asked. Try again when the agent is back.
    #[error("the agent at {place} cannot be reached: {source}")]
    Unreachable {
        /// Where it should be.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// The request went out and no answer came in time. It may have arrived: ask before repeating it.
    ///
    /// A server that has just begun to listen swallows requests for about a second; see `health`.
    #[error("the agent did not answer `{call}` within {waited:?}")]
    Silent {
        /// What was asked.
        call: &'static str,
        /// How long we waited.
        waited: Duration,
    },
    /// The connection ended before the answer did. It may have arrived: ask before repeating it.
    #[error("the agent broke off while answering `{call}`: {why}")]
    BrokenOff {
        /// What was asked.
        call: &'static str,
        /// Why.
        why: String,
    },
    /// The password is not the one it was started with: somebody restarted it. Fetch a new client.
    #[error("the agent refused our password")]
    WrongPassword,
    /// It does not know what we mean.
    #[error("the agent knows no {what}")]
    NotFound {
        /// What it does not know.
        what: String,
    },
    /// It does not want to; asking again will not help unless it is a server error.
    #[error("the agent refused `{call}` ({status}): {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It answered with something that we cannot read, or with too much of it.
    #[error("the agent's answer to `{call}` cannot be read: {why}")]
    Unreadable {
        /// What was asked.
        call: &'static str,
        /// Why.
        why: String,
    },
    /// Another program, or a version whose protocol we do not speak. Build another image.
    #[error("the agent is opencode {found}, which this mimir does not work with: {why}")]
    WrongVersion {
        /// What it says it is.
        found: String,
        /// What it lacks, or does.
        why: String,
    },
}

impl OpencodeError {
    /// Whether the request may have had its effect although we got no answer.
    #[must_use]
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::BrokenOff { .. } | Self::Unreadable { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Unreachable { .. }
            | Self::WrongPassword
            | Self::NotFound { .. }
            | Self::WrongVersion { .. } => false,
        }
    }

    /// Whether the agent is away or coming back, so that trying again later makes sense.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::BrokenOff { .. } | Self::WrongPassword
        )
    }
}

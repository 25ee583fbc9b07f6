//! What can go wrong with a conversation, sorted by what the caller can do next.

use super::query::QueryError;
use crate::frames::PlaceError;
use crate::model::ids::SessionId;
use crate::opencode::OpencodeError;
use crate::store::StoreError;

/// What can go wrong with a conversation.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is none of that name.
    #[error("there is no session `{0}`")]
    NotFound(String),
    /// The word fits several; say which by its id.
    #[error("`{word}` may be any of {} sessions", ids.len())]
    Ambiguous {
        /// What was asked for.
        word: String,
        /// Those that fit, last used first.
        ids: Vec<SessionId>,
    },
    /// Wait for it, or abort it.
    #[error("session {0} is at work")]
    Busy(SessionId),
    /// Only its history is left.
    #[error("frame {0} was destroyed; only the history of this session is left")]
    FrameGone(String),
    /// The agent has not heard of it: its first message is still on its way, or never arrived.
    #[error("nothing was said in session {0} yet")]
    NotBegun(SessionId),
    /// Its frame cannot be started.
    #[error("the agent cannot be asked: {0}")]
    NoAgent(String),
    /// Nothing of that id was said in it.
    #[error("there is no message `{message}` in session {session}")]
    NoMessage {
        /// The conversation.
        session: SessionId,
        /// What was asked for.
        message: String,
    },
    /// The search cannot be understood.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The gateway stops; try again.
    #[error("the gateway stops")]
    Stopping,
    /// The agent could not do it.
    #[error(transparent)]
    Agent(#[from] OpencodeError),
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PlaceError> for SessionError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::NotThere(why) => Self::NoAgent(why),
            PlaceError::Stopping => Self::Stopping,
        }
    }
}

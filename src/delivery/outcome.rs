//! What an attempt works with, and how it ends.

use tokio_util::sync::CancellationToken;

use crate::feed::{FeedError, Verdict};
use crate::model::agent::AgentSessionId;
use crate::model::message::Message;
use crate::opencode::{OpencodeClient, OpencodeError};
use crate::store::StoreError;

/// Why a worker cannot go on with a message. The message stays as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// The gateway stops.
    #[error("the gateway stops")]
    Stopping,
    /// The database could not do it; try again later.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// The message is at its end, or about to be written so.
    Ended(Verdict),
    /// The agent went away; look for it and go on.
    Lost(String),
}

/// The agent may be on its way back, or it will never like this message.
impl From<OpencodeError> for AttemptOutcome {
    fn from(error: OpencodeError) -> Self {
        if error.is_passing() || error.may_have_arrived() {
            Self::Lost(error.to_string())
        } else {
            Self::Ended(Verdict::Failed(error.to_string()))
        }
    }
}

impl From<FeedError> for AttemptOutcome {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Away(why) => Self::Lost(why),
            FeedError::Refused(why) => Self::Ended(Verdict::Failed(why)),
        }
    }
}

/// What an attempt works with.
pub(super) struct Attempt {
    pub message: Message,
    pub session: AgentSessionId,
    pub client: OpencodeClient,
    pub cancel: CancellationToken,
}

//! What listeners to a feed get.

use std::sync::Arc;

use tokio::time::Instant;

use crate::model::agent::AgentEvent;

/// How many events may wait for one listener. One that is slower has to read again.
pub(super) const QUEUE: usize = 4096;

/// Why there is nothing to listen to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The agent is away or on its way back: try again.
    #[error("{0}")]
    Away(String),
    /// The agent does not want to be listened to; trying again will not help.
    #[error("{0}")]
    Refused(String),
}

/// An event, and when it was read.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it was read from the agent's stream.
    pub at: Instant,
    /// What was said.
    pub event: Arc<AgentEvent>,
}

/// What a listener gets.
#[derive(Clone, Debug)]
pub enum FeedItem {
    /// The agent said something.
    Event(Heard),
    /// From here on something may be missing. Subscribe again, and read again.
    Lost(String),
}

/// What a feed sends, with the number of the connection it belongs to. The queue of each frame has room for it
/// [`QUEUE`] times from the beginning, so it is one pointer.
pub(super) type Sent = Arc<(u64, FeedItem)>;

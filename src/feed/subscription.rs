//! Listening to a feed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::reader::Feed;
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

/// What a feed sends, with the number of the connection it belongs to.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Event(u64, Heard),
    Lost(u64, Arc<str>),
}

/// One listener. Dropping it is the end of listening.
pub struct Subscription {
    items: broadcast::Receiver<Sent>,
    connection: u64,
}

impl Subscription {
    /// Waits until the stream stands, or the next try to connect has failed.
    pub(super) async fn begin(feed: &Feed, within: Duration) -> Result<Self, FeedError> {
        // Before the look at the connection: what it says from then on is in here.
        let items = feed.listen();
        let mut link = feed.link();
        let failed_before = link.borrow().failures;
        feed.hurry();
        let stands = async {
            loop {
                {
                    let now = link.borrow_and_update();
                    if now.stands {
                        return Ok(now.connection);
                    }
                    if now.failures > failed_before
                        && let Some(why) = &now.trouble
                    {
                        return Err(why.clone());
                    }
                }
                if link.changed().await.is_err() {
                    return Err(FeedError::Away("the feed ended".to_owned()));
                }
            }
        };
        match tokio::time::timeout(within, stands).await {
            Ok(stands) => Ok(Self { items, connection: stands? }),
            Err(_) => {
                Err(FeedError::Away(format!("the agent's event stream did not begin within {within:?}")))
            }
        }
    }

    /// Waits until the stream stands, however long that takes, and hurries nobody.
    pub(super) async fn when_it_stands(feed: &Feed) -> Self {
        let items = feed.listen();
        let mut link = feed.link();
        loop {
            let (stands, connection) = {
                let now = link.borrow_and_update();
                (now.stands, now.connection)
            };
            if stands {
                return Self { items, connection };
            }
            if link.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The next item. May be dropped and called again; nothing is lost.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            match self.items.recv().await {
                Ok(Sent::Event(connection, heard)) if connection == self.connection => {
                    return FeedItem::Event(heard);
                }
                Ok(Sent::Lost(connection, why)) if connection == self.connection => {
                    return FeedItem::Lost(why.to_string());
                }
                // Of a connection before the one that this began with.
                Ok(Sent::Event(connection, _) | Sent::Lost(connection, _))
                    if connection < self.connection => {}
                Ok(_) => return FeedItem::Lost("the connection to the agent was renewed".to_owned()),
                Err(RecvError::Lagged(count)) => {
                    return FeedItem::Lost(format!("{count} events came faster than they were taken"));
                }
                Err(RecvError::Closed) => return FeedItem::Lost("the feed ended".to_owned()),
            }
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("connection", &self.connection).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::FrameId;

    fn feed() -> Feed {
        Feed::new(FrameId::from_parts(1, 1), tokio::sync::watch::Sender::new(0))
    }

    /// A listener that does not listen holds nobody up, and learns that it missed something.
    #[tokio::test]
    async fn a_listener_that_is_too_slow_is_told_so() {
        let feed = feed();
        let connection = feed.stands(1);
        let mut slow = Subscription::when_it_stands(&feed).await;
        for _ in 0..=QUEUE {
            feed.hear(connection, AgentEvent::Heartbeat, 2);
        }
        assert!(matches!(slow.next().await, FeedItem::Lost(why) if why.starts_with("1 events")));
        let mut fresh = Subscription::when_it_stands(&feed).await;
        feed.hear(connection, AgentEvent::Disposed, 3);
        assert!(matches!(fresh.next().await, FeedItem::Event(heard) if *heard.event == AgentEvent::Disposed));
    }

    #[tokio::test]
    async fn what_was_said_over_an_older_connection_is_not_taken_for_new() {
        let feed = feed();
        let first = feed.stands(1);
        let mut old = Subscription::when_it_stands(&feed).await;
        feed.hear(first, AgentEvent::Disposed, 2);
        feed.close("gone");
        let second = feed.stands(3);
        let mut new = Subscription::when_it_stands(&feed).await;
        feed.hear(second, AgentEvent::Heartbeat, 4);
        assert!(matches!(old.next().await, FeedItem::Event(_)));
        assert!(matches!(old.next().await, FeedItem::Lost(why) if why == "gone"));
        assert!(matches!(new.next().await, FeedItem::Event(heard) if *heard.event == AgentEvent::Heartbeat));
    }
}

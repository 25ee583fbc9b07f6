//! Listening to a feed.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::item::{FeedError, FeedItem, Sent};
use super::reader::Feed;

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
        Ok(Self { items, connection: feed.stands_within(within).await? })
    }

    /// Waits until the stream stands, however long that takes, and hurries nobody.
    pub(super) async fn when_it_stands(feed: &Feed) -> Self {
        let items = feed.listen();
        let mut link = feed.link();
        let stands = link.wait_for(|now| now.stands).await.map(|now| now.connection);
        match stands {
            Ok(connection) => Self { items, connection },
            Err(_) => std::future::pending().await,
        }
    }

    /// The next item, if it is here already.
    pub(super) fn ready(&mut self) -> Option<FeedItem> {
        self.next().now_or_never()
    }

    /// The next item. May be dropped and called again; nothing is lost.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            match self.items.recv().await {
                Ok(sent) if sent.0 == self.connection => return sent.1.clone(),
                // Of a connection before the one that this began with.
                Ok(sent) if sent.0 < self.connection => {}
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
    use super::super::item::QUEUE;
    use super::super::reader::ENDED;
    use super::*;
    use crate::model::agent::AgentEvent;
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
    async fn what_is_here_already_is_taken_without_waiting() {
        let feed = feed();
        let connection = feed.stands(1);
        let mut listener = Subscription::when_it_stands(&feed).await;
        assert!(listener.ready().is_none());
        feed.hear(connection, AgentEvent::Disposed, 2);
        assert!(
            matches!(listener.ready(), Some(FeedItem::Event(heard)) if *heard.event == AgentEvent::Disposed)
        );
        assert!(listener.ready().is_none());
    }

    #[tokio::test]
    async fn what_was_said_over_an_older_connection_is_not_taken_for_new() {
        let feed = feed();
        let first = feed.stands(1);
        let mut old = Subscription::when_it_stands(&feed).await;
        feed.hear(first, AgentEvent::Disposed, 2);
        feed.close();
        let second = feed.stands(3);
        let mut new = Subscription::when_it_stands(&feed).await;
        feed.hear(second, AgentEvent::Heartbeat, 4);
        assert!(matches!(old.next().await, FeedItem::Event(_)));
        assert!(matches!(old.next().await, FeedItem::Lost(why) if why == ENDED));
        assert!(matches!(new.next().await, FeedItem::Event(heard) if *heard.event == AgentEvent::Heartbeat));
    }
}

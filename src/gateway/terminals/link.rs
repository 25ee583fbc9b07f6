//! Both ends of one connection to a browser: what is said to it, and what it says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::mpsc;

use super::flow::{InputFlow, OutputFlow};
use crate::wire::problem::Problem;
use crate::wire::web_terminal::{TerminalClientMessage, TerminalServerMessage};

/// So many messages wait for the connection to take them.
const WAITING: usize = 16;
/// A client that answers no ping for so many turns is gone.
const PINGS_UNANSWERED: u32 = 4;
/// The turns.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What is said to the client, and how much of both directions is on its way.
pub(super) struct Link {
    messages: mpsc::Sender<Message>,
    unanswered: AtomicU32,
    pub(super) output: OutputFlow,
    pub(super) input: InputFlow,
}

/// What came from the client.
pub(super) enum Heard {
    Said(TerminalClientMessage),
    Typed(Bytes),
    /// No message of the protocol.
    Garbled,
    Gone,
}

impl Link {
    /// A link, and what waits to be sent over it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (messages, waiting) = mpsc::channel(WAITING);
        let link = Self {
            messages,
            unanswered: AtomicU32::new(0),
            output: Default::default(),
            input: Default::default(),
        };
        (link, waiting)
    }

    /// Says something; whether it may still be heard.
    pub(super) async fn say(&self, said: &TerminalServerMessage) -> bool {
        let text = serde_json::to_string(said).unwrap_or_default();
        self.messages.send(Message::Text(text.into())).await.is_ok()
    }

    pub(super) async fn refuse(&self, problem: Problem) -> bool {
        self.say(&TerminalServerMessage::Error { problem }).await
    }

    /// Shows output, when there is room for it.
    pub(super) async fn show(&self, bytes: Bytes) -> bool {
        self.output.room().await;
        // Counted only when it leaves: whoever waits here may be dropped, and nobody acknowledges what never left.
        let Ok(place) = self.messages.reserve().await else { return false };
        self.output.sent(bytes.len());
        place.send(Message::Binary(bytes));
        true
    }

    /// Says how much input was taken.
    pub(super) async fn took(&self, bytes: u64) -> bool {
        self.say(&TerminalServerMessage::InputAck { bytes }).await
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        let goodbye = CloseFrame { code: 1000, reason: "".into() };
        let _ = self.messages.send(Message::Close(Some(goodbye))).await;
    }

    /// Asks again and again whether the client is there; ends when it is not.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            if self.unanswered.fetch_add(1, Ordering::Relaxed) >= PINGS_UNANSWERED {
                return;
            }
            // Where messages wait already, this one would say nothing new.
            let _ = self.messages.try_send(Message::Ping(Bytes::new()));
        }
    }

    /// What the client says next. May be dropped while it waits.
    pub(super) async fn hear(&self, from_client: &mut SplitStream<WebSocket>) -> Heard {
        loop {
            let message = match from_client.next().await {
                None | Some(Err(_) | Ok(Message::Close(_))) => return Heard::Gone,
                Some(Ok(message)) => message,
            };
            self.unanswered.store(0, Ordering::Relaxed);
            match message {
                Message::Binary(bytes) => return Heard::Typed(bytes),
                Message::Text(text) => {
                    return match serde_json::from_str(&text) {
                        Ok(said) => Heard::Said(said),
                        Err(error) => {
                            tracing::debug!(%error, "a terminal's client said something unknown");
                            Heard::Garbled
                        }
                    };
                }
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn what_never_left_takes_no_room() {
        let (link, mut waiting) = Link::new();
        for _ in 0..WAITING {
            assert!(link.show(Bytes::from_static(b"1")).await);
        }
        let given_up = link.show(Bytes::from_static(b"23")).now_or_never();
        assert!(given_up.is_none(), "there is no place for it");
        let all = WAITING as u64;
        assert!(!link.output.acknowledge(all + 1), "what was given up counts as sent");
        assert!(link.output.acknowledge(all));
        assert!(waiting.recv().await.is_some());
        assert!(link.show(Bytes::from_static(b"4")).await && link.output.acknowledge(all + 1));
    }
}

//! The agent's event stream, for as long as one connection lasts.
//!
//! It has no position to resume from. Whoever reads it reconnects and re-reads
//! what may have been missed; see `feed`.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use tokio::time::Instant;

use super::call::Streaming;
use super::clean::Cleaner;
use super::dialect::Patience;
use super::doubles::Doubles;
use super::sse::SseParser;
use crate::model::agent::AgentEvent;
use crate::redact::Known;

/// Why a stream ended. All of them mean: connect again and re-read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// The server closed it or died.
    #[error("the agent closed its event stream")]
    Closed,
    /// Nothing came, not even a heartbeat.
    #[error("the agent's event stream was silent for {0:?}")]
    Silent(Duration),
    /// The bytes made no sense.
    #[error("the agent's event stream cannot be read: {0}")]
    Unreadable(String),
}

/// One connection to `/event`.
pub struct EventStream {
    body: Incoming,
    connection: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    parser: SseParser,
    doubles: Doubles,
    ready: VecDeque<AgentEvent>,
    cleaner: Cleaner,
    read: u64,
    patience: Patience,
    begun_at: Instant,
    /// When the last whole event came. Bytes alone are no sign of life.
    heard_at: Instant,
}

impl EventStream {
    pub(super) fn new(streaming: Streaming, known: Known) -> Self {
        let now = Instant::now();
        Self {
            body: streaming.body,
            connection: Some(streaming.connection),
            parser: SseParser::default(),
            doubles: Doubles::default(),
            ready: VecDeque::new(),
            cleaner: Cleaner::new(known),
            read: 0,
            patience: Patience::default(),
            begun_at: now,
            heard_at: now,
        }
    }

    /// With another limit for silence, for tests that cannot wait that long.
    #[cfg(any(test, feature = "test-support"))]
    #[must_use]
    pub fn with_silence(mut self, limit: Duration) -> Self {
        self.patience = Patience::fixed(limit);
        self
    }

    /// How many bytes were read of it so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read
    }

    /// The next event. May be dropped and called again; nothing is lost, and silence goes on being counted.
    ///
    /// # Errors
    /// [`StreamEnd`] when there will be no more of them.
    pub async fn next(&mut self) -> Result<AgentEvent, StreamEnd> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let limit = self.patience.limit();
            let bytes = tokio::time::timeout_at(self.heard_at + limit, self.bytes())
                .await
                .map_err(|_| StreamEnd::Silent(limit))??;
            self.read += bytes.len() as u64;
            let payloads =
                self.parser.push(&bytes).map_err(|error| StreamEnd::Unreadable(error.to_string()))?;
            for payload in &payloads {
                self.heard_at = Instant::now();
                if self.doubles.is_double(payload) {
                    continue;
                }
                let Some(event) = self.cleaner.event(payload) else { continue };
                if event == AgentEvent::Heartbeat {
                    self.patience.heard(self.begun_at.elapsed());
                }
                self.ready.push_back(event);
            }
        }
    }

    async fn bytes(&mut self) -> Result<Bytes, StreamEnd> {
        loop {
            let frame = match &mut self.connection {
                None => self.body.frame().await,
                Some(connection) => match select(Box::pin(self.body.frame()), connection).await {
                    Either::Left((frame, _)) => frame,
                    Either::Right(((), _)) => {
                        self.connection = None;
                        continue;
                    }
                },
            };
            match frame {
                None => return Err(StreamEnd::Closed),
                Some(Err(_)) => return Err(StreamEnd::Closed),
                // Trailers say nothing to us.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(data);
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

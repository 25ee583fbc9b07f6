//! Readers who stop reading.
//!
//! A connection whose peer takes nothing, while there is something to take, holds
//! memory and a place among the connections. A handler that streams for ever says
//! how long that may last; for all others the peer has all the time it wants.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::guarded_stream::{GuardedStream, Rule};

/// How long the peer of one connection may take nothing. Handlers find it among a request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    /// 0: for ever.
    ms: Arc<AtomicU64>,
}

impl Patience {
    /// Sets it, for the rest of the connection.
    pub fn limit(&self, to: Duration) {
        self.ms.store(u64::try_from(to.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn current(&self) -> Option<Duration> {
        Some(self.ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0).map(Duration::from_millis)
    }
}

/// A stream whose writes fail when the peer takes nothing for longer than patience lasts.
pub type Impatient<S> = GuardedStream<S, WriteTimeout>;

impl<S> Impatient<S> {
    /// Wraps a stream.
    pub fn new(stream: S, patience: Patience) -> Self {
        GuardedStream::by(WriteTimeout { patience, since: None }, stream)
    }
}

/// Counts the time while a stream says "later" to what is written.
pub struct WriteTimeout {
    patience: Patience,
    since: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Rule for WriteTimeout {
    fn after_write(
        &mut self,
        cx: &mut Context<'_>,
        said: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if said.is_ready() {
            self.since = None;
            return said;
        }
        let Some(limit) = self.patience.current() else { return Poll::Pending };
        let (since, timer) = self.since.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(limit))));
        // Patience may have been set while the stream was stalled already.
        timer.as_mut().reset(*since + limit);
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up_and_one_that_is_slow_is_not() {
        const LIMIT: Duration = Duration::from_millis(800);
        let (ours, mut theirs) = tokio::io::duplex(64);
        let patience = Patience::default();
        patience.limit(LIMIT);
        let mut stream = Impatient::new(ours, patience);
        let slow = async {
            for _ in 0..10 {
                sleep(LIMIT / 8).await;
                theirs.read_exact(&mut [0; 64]).await.expect("something is there");
            }
            theirs
        };
        let (written, _theirs) = tokio::join!(stream.write_all(&[1; 640]), slow);
        written.expect("slow is not stalled");

        stream.write_all(&[1; 64]).await.expect("there is room");
        let begun = Instant::now();
        let error = stream.write_all(&[1]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn nobody_is_given_up_unless_a_handler_says_so() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut stream = Impatient::new(ours, Patience::default());
        let write = tokio::time::timeout(Duration::from_millis(300), stream.write_all(&[1; 9]));
        assert!(write.await.is_err(), "still waiting");
    }
}

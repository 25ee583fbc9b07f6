//! Ends connections whose token is over, whatever they have become: a request, a stream, a terminal.
//!
//! A WebSocket outlives the HTTP connection that it was, so the end is not told to
//! the connection but built into the stream underneath it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Context;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::guarded_stream::{GuardedStream, Rule};

/// What holds one connection.
#[derive(Clone, Default)]
pub struct Revocable {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The token of the newest request: the ones before it on this connection are answered.
    held: Mutex<Option<CancellationToken>>,
    other: Notify,
    cut: CancellationToken,
    closed: CancellationToken,
}

impl Revocable {
    /// From now on the connection ends when that token does; never, when there is none.
    pub fn hold(&self, ended: Option<CancellationToken>) {
        *self.inner.held.lock() = ended;
        self.inner.other.notify_one();
    }

    /// What ends it now, if anything does. What is made for later in its name ends with that, too.
    pub fn held(&self) -> Option<CancellationToken> {
        self.inner.held.lock().clone()
    }

    /// The stream, which is cut when the connection ends.
    pub fn on<S>(&self, stream: S) -> RevocableStream<S> {
        let cut = || Box::pin(self.inner.cut.clone().cancelled_owned());
        let _closed = self.inner.closed.clone().drop_guard();
        GuardedStream::by(Cut { reading: cut(), writing: cut(), _closed }, stream)
    }

    /// Waits until the stream is closed; cuts it when the token of its newest request ends before that.
    pub async fn watch(&self) {
        let mut closed = pin!(self.inner.closed.cancelled());
        loop {
            let held = self.inner.held.lock().clone().unwrap_or_default();
            tokio::select! {
                // Whoever gives a token back lets go of it first, and still gets the answer.
                biased;
                () = &mut closed => return,
                () = self.inner.other.notified() => {}
                () = held.cancelled() => {
                    self.inner.cut.cancel();
                    return;
                }
            }
        }
    }
}

/// A stream that can be cut from elsewhere.
pub type RevocableStream<S> = GuardedStream<S, Cut>;

/// Lets nothing through any more once it is cancelled; each direction wakes on its own.
pub struct Cut {
    reading: Pin<Box<WaitForCancellationFutureOwned>>,
    writing: Pin<Box<WaitForCancellationFutureOwned>>,
    _closed: DropGuard,
}

fn unless_over(cut: &mut Pin<Box<WaitForCancellationFutureOwned>>, cx: &mut Context<'_>) -> io::Result<()> {
    if cut.as_mut().poll(cx).is_pending() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the token of this connection is over"))
}

impl Rule for Cut {
    fn before_read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        unless_over(&mut self.reading, cx)
    }

    fn before_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        unless_over(&mut self.writing, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_stream_is_cut_when_its_newest_token_ends_and_let_go_when_it_is_closed() {
        let (near, _far) = tokio::io::duplex(16);
        let revocable = Revocable::default();
        let mut stream = revocable.on(near);
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        revocable.hold(Some(first.clone()));
        let mut byte = [0_u8; 1];
        let read = async { stream.read(&mut byte).await.expect_err("cut").kind() };
        let end = async {
            revocable.hold(Some(second.clone()));
            first.cancel();
            tokio::task::yield_now().await;
            second.cancel();
        };
        let all = async { tokio::join!(read, end, revocable.watch()).0 };
        let kind = tokio::time::timeout(Duration::from_secs(5), all).await.expect("in time");
        assert_eq!(kind, io::ErrorKind::ConnectionAborted);

        let revocable = Revocable::default();
        drop(revocable.on(tokio::io::duplex(16).0));
        tokio::time::timeout(Duration::from_secs(5), revocable.watch()).await.expect("nothing left to watch");
    }
}

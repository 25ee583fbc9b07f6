//! An answer on its way from a provider to a frame.
//!
//! A work of its own reads it, takes secrets out of it, counts it and cuts it, whether the frame reads or not. Between
//! the two are a few pieces; a frame that leaves them unread for too long loses the rest of its answer, so that what was
//! held for the call is given back.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::ending::Ending;
use crate::model::budget::OURS;
use crate::redact::Redactor;

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(180);

/// How long a frame may leave a piece of an answer unread.
pub(super) const UNREAD: Duration = Duration::from_secs(60);

/// How many pieces wait for a frame.
const WAITING: usize = 4;

/// A stream of bytes.
pub type BodyStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Something that is to be done.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Called when a key was taken out of an answer, with the place where it was; once for each place.
pub type OnRedacted = Box<dyn Fn(&'static str) + Send + Sync>;

/// What the work says to the body: a piece, its end, or that it breaks off.
type Piece = io::Result<Option<Bytes>>;

/// An answer that has begun.
pub(super) struct Passing {
    /// What the provider says.
    pub(super) source: BodyStream,
    pub(super) redactor: Redactor,
    /// Told once.
    pub(super) on_redacted: Option<OnRedacted>,
    pub(super) ending: Ending,
    /// How long a piece may stay unread.
    pub(super) unread: Duration,
}

/// Why nothing more is read of a provider.
enum Over {
    /// That was all.
    Whole,
    /// It costs too much.
    Cut(String),
    /// The provider broke off, or the frame did not read.
    Broken(io::Error),
    /// The frame went away.
    Gone,
}

impl Passing {
    /// The body for the frame, and the work that fills it.
    pub(super) fn begin(self) -> (BodyStream, Work) {
        let (frame, pieces) = mpsc::channel(WAITING);
        (body(pieces), Box::pin(self.run(frame)))
    }

    async fn run(mut self, frame: mpsc::Sender<Piece>) {
        let over = self.pass(&frame).await;
        let last: Vec<Piece> = match over {
            Over::Whole => {
                let mut rest = BytesMut::from(&self.ending.count(self.redactor.end())[..]);
                rest.extend_from_slice(&self.ending.finish());
                self.tell_redacted();
                vec![Ok(Some(rest.freeze())), Ok(None)]
            }
            Over::Cut(why) => match self.ending.cut("budget", &format!("{OURS}{why}")) {
                Some(words) => vec![Ok(Some(words)), Ok(None)],
                // One that does not stream just breaks off.
                None => vec![Err(io::Error::other(why))],
            },
            Over::Broken(error) => vec![Err(error)],
            Over::Gone => Vec::new(),
        };
        let unread = self.unread;
        // The provider is let go and the call is booked before anybody is waited for.
        drop(self);
        for piece in last.into_iter().filter(|piece| !matches!(piece, Ok(Some(bytes)) if bytes.is_empty())) {
            let Ok(Ok(())) = timeout(unread, frame.send(piece)).await else { return };
        }
    }

    /// Passes pieces on until there is a reason not to.
    async fn pass(&mut self, frame: &mpsc::Sender<Piece>) -> Over {
        let meter = self.ending.meter();
        loop {
            let next = tokio::select! {
                biased;
                why = meter.is_cut() => return Over::Cut(why),
                () = frame.closed() => return Over::Gone,
                next = timeout(SILENCE, self.source.next()) => next,
            };
            let chunk = match next {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => return Over::Broken(error),
                Ok(None) => return Over::Whole,
                Err(_) => return Over::Broken(timed_out("the provider fell silent")),
            };
            let piece = self.ending.count(self.redactor.pass(&chunk));
            self.tell_redacted();
            // A chunk may hold half a line, which is kept until the rest comes.
            if piece.is_empty() {
                continue;
            }
            let sent = tokio::select! {
                biased;
                why = meter.is_cut() => return Over::Cut(why),
                sent = timeout(self.unread, frame.send(Ok(Some(piece)))) => sent,
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Over::Gone,
                Err(_) => return Over::Broken(timed_out("the answer was not read")),
            }
        }
    }

    fn tell_redacted(&mut self) {
        let has_hits = self.redactor.hits() > 0;
        if let Some(tell) = self.on_redacted.take_if(|_| has_hits) {
            tell("an answer");
        }
    }
}

fn timed_out(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, why)
}

/// What the frame reads. One whose work ends without a word must not look whole.
fn body(pieces: mpsc::Receiver<Piece>) -> BodyStream {
    Box::pin(futures_util::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Ok(Some(bytes))) => Some((Ok(bytes), Some(pieces))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(io::Error::other("the answer was broken off")), None)),
        }
    }))
}

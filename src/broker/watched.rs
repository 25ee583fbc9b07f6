//! Answers that others give at their own pace: none may fall silent for long, and each ends.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::Instant;

/// How long somebody is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte.
    pub(super) silent: Duration,
    /// Altogether.
    pub(super) whole: Duration,
}

/// The same answer, which ends with an error when it takes too long. The time in which nobody wants to hear the next
/// piece is no silence.
pub(super) fn watched<S>(answer: S, patience: Patience) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let end = Instant::now() + patience.whole;
    stream::unfold(Some(Box::pin(answer)), move |answer| async move {
        let mut answer = answer?;
        let late = |text| Some((Err(io::Error::new(io::ErrorKind::TimedOut, text)), None));
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return late("the answer took too long");
        }
        match tokio::time::timeout(patience.silent.min(left), answer.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(answer))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(_) => late("the answer stopped in the middle"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(silent: u64, whole: u64) -> Patience {
        Patience { silent: Duration::from_millis(silent), whole: Duration::from_millis(whole) }
    }

    fn piece() -> io::Result<Bytes> {
        Ok(Bytes::from_static(b"x"))
    }

    #[tokio::test]
    async fn an_answer_that_falls_silent_ends() {
        let silent = stream::iter([piece(), piece()]).chain(stream::pending());
        let heard: Vec<_> = watched(silent, patience(50, 60_000)).collect().await;
        assert_eq!(heard.len(), 3);
        assert_eq!(heard[2].as_ref().expect_err("an end").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_answer_without_an_end_ends() {
        let endless = stream::repeat_with(piece).then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        let mut heard = Box::pin(watched(endless, patience(60_000, 100)));
        let mut last = None;
        while let Some(piece) = heard.next().await {
            last = Some(piece);
        }
        let last = last.expect("something").expect_err("an end");
        assert!(last.to_string().contains("took too long"), "{last}");
    }

    #[tokio::test]
    async fn what_comes_in_time_comes_whole() {
        let answer = stream::iter([piece(), Err(io::Error::other("broken")), piece()]);
        let heard: Vec<_> = watched(answer, patience(60_000, 60_000)).collect().await;
        assert_eq!(
            heard.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false],
            "nothing after an error"
        );
        let whole: Vec<_> =
            watched(stream::iter([piece(), piece()]), patience(60_000, 60_000)).collect().await;
        assert_eq!(whole.len(), 2);
    }
}

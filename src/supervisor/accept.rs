//! The loop of every listener: so many connections at once, a rest when the system refuses one, an end by token.

use std::io;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a listener rests after it was refused a connection: out of file descriptors, or the peer left at once.
const REST: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `stop`, at most `most` at the same time; the next ones wait in the kernel.
///
/// Gives back the connections that are still served. They are cut off when that is dropped.
pub async fn accept<C, Accepting, Work>(
    what: &str,
    most: usize,
    mut accept: impl FnMut() -> Accepting,
    mut serve: impl FnMut(C) -> Work,
    stop: &CancellationToken,
) -> JoinSet<()>
where
    Accepting: Future<Output = io::Result<C>>,
    Work: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while !stop.is_cancelled() {
        while connections.try_join_next().is_some() {}
        let refused = tokio::select! {
            () = stop.cancelled() => None,
            _ = connections.join_next(), if connections.len() >= most => None,
            accepted = accept(), if connections.len() < most => match accepted {
                Ok(connection) => {
                    connections.spawn(serve(connection));
                    None
                }
                Err(error) => Some(error),
            },
        };
        if let Some(error) = refused {
            tracing::warn!(%error, "{what}: a connection could not be accepted: {error}");
            let _ = stop.run_until_cancelled(tokio::time::sleep(REST)).await;
        }
    }
    connections
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn no_more_than_allowed_are_served_at_once_and_an_error_ends_nothing() {
        let (stop, tries) = (CancellationToken::new(), AtomicUsize::new(0));
        let (now, most, served) = (Arc::new(AtomicUsize::new(0)), Arc::default(), AtomicUsize::new(0));
        let next = || async {
            match tries.fetch_add(1, Ordering::SeqCst) {
                1 => Err(io::Error::other("no descriptors")),
                n => Ok(n),
            }
        };
        let serve = |_| {
            let (now, most): (_, Arc<AtomicUsize>) = (now.clone(), Arc::clone(&most));
            if served.fetch_add(1, Ordering::SeqCst) == 20 {
                stop.cancel();
            }
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), accept("a test", 3, next, serve, &stop));
        let left = ended.await.expect("it ends with its token");
        assert!(left.len() <= 3 && most.load(Ordering::SeqCst) == 3, "{} left, {most:?}", left.len());
    }
}

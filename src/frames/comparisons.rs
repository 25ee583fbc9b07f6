//! Comparisons of projects that nobody waits for: one folder is read at a time, or the threads of everything else are taken
//! by it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::error::FrameError;

/// How long one may wait for another frame's. When it is over, it is tried again later.
const COMES_UP_WITHIN: Duration = Duration::from_secs(5);
/// How long one is waited for; it goes on alone then, and the next one waits for it.
const COMPARES_WITHIN: Duration = Duration::from_secs(10);

/// Whose turn it is.
pub(super) struct Comparisons {
    turns: Arc<Semaphore>,
    comes_up_within: Duration,
    compares_within: Duration,
}

impl Default for Comparisons {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(1)),
            comes_up_within: COMES_UP_WITHIN,
            compares_within: COMPARES_WITHIN,
        }
    }
}

impl Comparisons {
    /// What `look` finds; none when it was not its turn in time, or it took too long.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, FrameError> {
        let turn = tokio::time::timeout(self.comes_up_within, self.turns.clone().acquire_owned());
        let Ok(turn) = turn.await else { return Ok(None) };
        let turn = turn.map_err(|_| FrameError::Interrupted)?;
        let looking = tokio::task::spawn_blocking(move || {
            let found = look();
            // The turn ends with the reading, and not with the waiting for it.
            drop(turn);
            found
        });
        let Ok(found) = tokio::time::timeout(self.compares_within, looking).await else { return Ok(None) };
        found.map(Some).map_err(|_| FrameError::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(10);

    fn comparisons(comes_up_within: Duration, compares_within: Duration) -> Comparisons {
        Comparisons { comes_up_within, compares_within, ..Comparisons::default() }
    }

    #[tokio::test]
    async fn one_is_read_at_a_time_and_each_has_its_turn() {
        let (all, at_once, most) = (comparisons(LONG, LONG), Arc::new(AtomicUsize::new(0)), Arc::default());
        let one = |number: usize| {
            let (at_once, most): (Arc<AtomicUsize>, Arc<AtomicUsize>) = (at_once.clone(), Arc::clone(&most));
            all.in_turn(move || {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(SHORT);
                at_once.fetch_sub(1, Ordering::SeqCst);
                number
            })
        };
        let (a, b, c) = tokio::join!(one(1), one(2), one(3));
        assert!(matches!((&a, &b, &c), (Ok(Some(1)), Ok(Some(2)), Ok(Some(3)))), "{a:?} {b:?} {c:?}");
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn whoever_does_not_come_up_in_time_reads_nothing() {
        let all = comparisons(SHORT, LONG);
        let other = all.turns.clone().try_acquire_owned().expect("nobody reads");
        let (reads, read) = channel();
        let seen = all.in_turn(move || reads.send(())).await;
        assert!(matches!(seen, Ok(None)), "{seen:?}");
        assert!(read.try_recv().is_err(), "it has read");
        drop(other);
        let seen = all.in_turn(|| 7).await;
        assert!(matches!(seen, Ok(Some(7))), "{seen:?}");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_not_waited_for_and_keeps_its_turn_to_its_end() {
        let all = comparisons(LONG, SHORT);
        let (ends, end) = channel::<()>();
        let seen = all.in_turn(move || end.recv().is_ok()).await;
        assert!(matches!(seen, Ok(None)), "{seen:?}");
        assert_eq!(all.turns.available_permits(), 0, "it goes on reading");
        drop(ends);
        let turn = tokio::time::timeout(LONG, all.turns.acquire()).await;
        assert!(matches!(turn, Ok(Ok(_))), "its turn ends with it");
    }
}

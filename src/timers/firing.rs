//! Firing one timer: asks its handler, and notes in the row what becomes of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Fired, Handler, Inner, millis};
use crate::store::StoreError;
use crate::store::timers::{self, Timer};
use crate::supervisor::keyed::{Next, Pass};

/// The pause after the first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// So often at most.
const MOST_DOUBLINGS: u32 = 9;

/// Which timer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    kind: String,
    subject: String,
}

impl Key {
    pub(super) fn of(timer: &Timer) -> Self {
        Self { kind: timer.kind.clone(), subject: timer.subject.clone() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.subject)
    }
}

/// Fires it, if it is still due.
pub(super) async fn pass(inner: Arc<Inner>, pass: Pass<Key, ()>, handler: Handler) -> Next {
    let fired = async {
        match due(&inner, &pass.key).await? {
            Some(timer) => fire(&inner, &timer, handler).await,
            None => Ok(()),
        }
    };
    match pass.stop.run_until_cancelled(fired).await {
        None => Next::Done,
        Some(Ok(())) => {
            // Whoever looks next does not find it being fired any more, and may sleep until then otherwise.
            inner.store.timers_changed().notify_one();
            Next::Done
        }
        Some(Err(error)) => {
            tracing::error!(%error, "timer {}: what became of it could not be noted: {error}", pass.key);
            Next::Backoff
        }
    }
}

/// The row as it is now: it may have been set anew or taken away meanwhile.
async fn due(inner: &Inner, key: &Key) -> Result<Option<Timer>, StoreError> {
    let (now, key) = (inner.clock.now_ms(), key.clone());
    let found = inner.store.read(move |db| timers::find(db, &key.kind, &key.subject)).await?;
    Ok(found.filter(|timer| timer.due_at <= now))
}

async fn fire(inner: &Inner, timer: &Timer, handler: Handler) -> Result<(), StoreError> {
    let outcome = handler(timer.subject.clone()).await;
    let (now, timer) = (inner.clock.now_ms(), timer.clone());
    match outcome {
        // Died before this: it fires once more, and its handler finds it done.
        Ok(Fired::Done) => inner.store.write_soon(move |tx| timers::settle(tx, &timer, None)).await,
        Ok(Fired::AgainAfter(pause)) => {
            let again_at = Some(now + millis(pause));
            inner.store.write_soon(move |tx| timers::settle(tx, &timer, again_at)).await
        }
        Err(why) => {
            let pause = pause_after(timer.attempts);
            tracing::warn!("timer {} {}: {why}; again in {pause:?}", timer.kind, timer.subject);
            let again_at = now + millis(pause);
            inner.store.write_soon(move |tx| timers::postpone(tx, &timer, again_at, &why)).await
        }
    }
}

/// 1 s, 2 s, 4 s … about 8 minutes.
fn pause_after(attempts: u32) -> Duration {
    FIRST_PAUSE * 2_u32.pow(attempts.min(MOST_DOUBLINGS))
}

//! Old events: texts of ended turns first lose their pieces, then the oldest events go.

use std::time::Duration;

use crate::clock::Clock;
use crate::config::Live;
use crate::store::retention::{self, Forgotten};
use crate::store::{Store, StoreError};
use crate::supervisor::failpoint::Failpoints;

/// How often it is looked at.
pub const RETENTION_EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two steps the writer has time for everybody else.
const BREATH: Duration = Duration::from_millis(10);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events older than this are forgotten.
    pub age: Duration,
    /// When all events take more, the oldest are forgotten.
    pub bytes: u64,
    /// The pieces of a text are kept for so long after they were written.
    pub pieces: Duration,
}

impl Retention {
    /// The usual time for pieces.
    #[must_use]
    pub fn new(age: Duration, bytes: u64) -> Self {
        Self { age, bytes, pieces: Duration::from_secs(60 * 60) }
    }
}

/// What one look did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Pieces of text that are now part of another one.
    pub merged: usize,
    /// Events that are gone.
    pub forgotten: u64,
}

/// Keeps the log as large as it may be. Cheap to clone.
#[derive(Clone)]
pub struct EventRetention {
    /// Where events are.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// What is kept.
    pub keep: Live<Retention>,
    /// Where tests let it die.
    pub failpoints: Failpoints,
}

impl EventRetention {
    /// Makes the log as small as it is to be, and says in ours what was done.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let done = tidy_once(&self.store, self.clock.now_ms(), *self.keep.now(), &self.failpoints).await?;
        if done != Tidied::default() {
            tracing::info!(
                merged = done.merged,
                forgotten = done.forgotten,
                "{} old events were forgotten, {} pieces of text put together",
                done.forgotten,
                done.merged
            );
        }
        Ok(())
    }
}

/// One look. May be interrupted anywhere; the next one goes on.
///
/// # Errors
/// Whatever the database says.
pub async fn tidy_once(
    store: &Store,
    now_ms: u64,
    keep: Retention,
    failpoints: &Failpoints,
) -> Result<Tidied, StoreError> {
    let before = |age: Duration| now_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let mut done = Tidied::default();
    let whole = before(keep.pieces);
    while let Some(stretch) = store.read(move |db| retention::next_stretch(db, whole)).await? {
        done.merged += store.write_soon(move |tx| retention::merge(tx, &stretch)).await?;
        failpoints.hit("events.after_merge").await;
        tokio::time::sleep(BREATH).await;
    }
    let young = before(keep.age);
    loop {
        let gone = store.write_soon(move |tx| retention::forget_older(tx, young)).await?;
        if gone == Forgotten::default() {
            break;
        }
        done.forgotten += gone.rows;
        failpoints.hit("events.after_forget_older").await;
        tokio::time::sleep(BREATH).await;
    }
    let mut size = store.read(|db| retention::size(db)).await?;
    while size > keep.bytes {
        let gone = store.write_soon(retention::forget_oldest).await?;
        if gone == Forgotten::default() {
            break;
        }
        done.forgotten += gone.rows;
        failpoints.hit("events.after_forget_oldest").await;
        size = size.saturating_sub(gone.bytes);
        tokio::time::sleep(BREATH).await;
    }
    Ok(done)
}

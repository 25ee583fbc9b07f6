//! What happened, sent out in order and without gaps.
//!
//! Events are rows before they are sent. The newest are in memory, too: whoever
//! keeps up is served from there, whoever is behind reads rows at his own pace.
//! Nobody waits for a slow reader, and one who comes back goes on where he was.

mod consumer;
mod follow;
mod retention;
mod snapshot;

use std::time::Duration;

use futures_util::stream::{Stream, TryStreamExt, unfold};

use crate::store::{Store, StoreError};

pub use crate::store::events::Filter;
pub use consumer::{Consumer, EventHandler};
pub use follow::{Follow, Followed};
pub use retention::{EventRetention, RETENTION_EVERY, Retention, tidy_once};

/// How readers are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A quiet stream says something this often, so that a dead one is noticed.
    pub comment_every: Duration,
    /// A reader who takes nothing for so long, while there is something to take, is cut off.
    pub stalled_after: Duration,
    /// How much of what happened is kept for them.
    pub keep: Retention,
}

impl Default for Settings {
    fn default() -> Self {
        let keep = Retention::new(Duration::from_secs(30 * 24 * 60 * 60), 256 << 20);
        Self { comment_every: Duration::from_secs(10), stalled_after: Duration::from_secs(30), keep }
    }
}

/// Sends events out. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    store: Store,
    settings: Settings,
}

impl Events {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, settings: Settings::default() }
    }

    /// The same with other settings.
    #[must_use]
    pub fn with(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// How readers are treated.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The id of the newest event; following after it shows only what happens from now on.
    #[must_use]
    pub fn newest(&self) -> u64 {
        *self.store.last_event().borrow()
    }

    /// A reader who has had everything up to `position`; 0 is the beginning of what is kept.
    #[must_use]
    pub fn reader(&self, position: u64, filter: Filter) -> Follow {
        Follow::new(self.store.clone(), position, filter)
    }

    /// Everything after the event `after` that `filter` lets through, then whatever happens, for ever.
    /// Ends after an error.
    pub fn follow(
        &self,
        after: u64,
        filter: Filter,
    ) -> impl Stream<Item = Result<Followed, StoreError>> + Send + use<> {
        let pages = unfold(Some(self.reader(after, filter)), |reader| async move {
            let mut reader = reader?;
            match reader.next_page().await {
                Ok(Some(page)) => Some((Ok(page), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        pages.map_ok(|page| futures_util::stream::iter(page.into_iter().map(Ok))).try_flatten()
    }
}

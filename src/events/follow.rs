//! One reader of the log.

use std::sync::Arc;

use tokio::sync::watch;

use super::snapshot;
use crate::store::events::{self, Filter};
use crate::store::{Store, StoreError};
use crate::wire::events::{Logged, Snapshot};

/// How many events are taken at once.
const PAGE: usize = 256;

/// What a follower gets.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The position was too old, or from another database. How things stand now; what happens later follows.
    Reset(Arc<Snapshot>),
    /// Something happened.
    Event(Arc<Logged>),
}

/// A reader with a position.
pub struct Follow {
    store: Store,
    filter: Filter,
    position: u64,
    newest: watch::Receiver<u64>,
}

enum Read {
    Rows(Vec<crate::model::event::Event>),
    TooOld(Snapshot),
}

impl Follow {
    pub(super) fn new(store: Store, position: u64, filter: Filter) -> Self {
        let newest = store.last_event();
        Self { store, filter, position, newest }
    }

    /// Everything up to this event was looked at, and given out if it was wanted.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next events, at least one. Waits for as long as nothing happens; `None` when nothing will any
    /// more. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Followed>>, StoreError> {
        loop {
            // Seen before anything is read: what is committed meanwhile wakes us again.
            let newest = *self.newest.borrow_and_update();
            let before = self.position;
            // An event is in memory a moment before everybody is told of it.
            let page = if before > newest.max(self.store.ring().newest()) {
                self.begin_anew().await?
            } else if let Some(window) =
                self.store.ring().after(before, PAGE, |event| self.filter.wants(event))
            {
                self.position = window.position;
                window.events.into_iter().map(Followed::Event).collect()
            } else {
                self.read_rows(newest).await?
            };
            if !page.is_empty() {
                return Ok(Some(page));
            }
            if self.position > before {
                continue;
            }
            if self.newest.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// For one who is further behind than what is in memory.
    async fn read_rows(&mut self, newest: u64) -> Result<Vec<Followed>, StoreError> {
        let (position, filter) = (self.position, self.filter.clone());
        // Looked at together: what is forgotten between two pages must be noticed.
        let read = self.store.read(move |db| {
            if events::is_too_old(db, position)? {
                return Ok(Read::TooOld(snapshot::take(db, &filter)?));
            }
            Ok(Read::Rows(events::after(db, position, &filter, PAGE)?))
        });
        match read.await? {
            Read::TooOld(snapshot) => Ok(self.adopt(snapshot)),
            Read::Rows(rows) => {
                let last = rows.last().map(|event| event.id);
                // Rows that the filter keeps back need not be looked at again.
                self.position = match last {
                    Some(last) if rows.len() == PAGE => last,
                    last => last.unwrap_or(position).max(newest),
                };
                Ok(rows.into_iter().map(|event| Followed::Event(Arc::new(Logged::new(event)))).collect())
            }
        }
    }

    /// For a position from the future: it belongs to another database, or to one before a backup was restored.
    async fn begin_anew(&mut self) -> Result<Vec<Followed>, StoreError> {
        let filter = self.filter.clone();
        let snapshot = self.store.read(move |db| snapshot::take(db, &filter)).await?;
        Ok(self.adopt(snapshot))
    }

    fn adopt(&mut self, snapshot: Snapshot) -> Vec<Followed> {
        self.position = snapshot.after;
        vec![Followed::Reset(Arc::new(snapshot))]
    }
}

//! What happened, sent out in order and without gaps.
//!
//! Events are rows before they are sent. Everybody who follows reads the rows at
//! his own pace, woken by the newest id, so nobody waits for a slow reader and a
//! reader who comes back goes on where he was.

use std::collections::VecDeque;

use futures_util::stream::{Stream, unfold};
use tokio::sync::watch;

use crate::model::event::Event;
use crate::store::{Store, StoreError, events};

pub use crate::store::events::Filter;

/// How many rows are read at once.
const PAGE: usize = 256;

/// Sends events out. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    store: Store,
}

/// What a follower gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// The position was too old: events between it and `oldest` are gone. Look at the whole state again.
    Reset {
        /// The oldest event that is still there.
        oldest: u64,
    },
    /// Something happened.
    Event(Box<Event>),
}

struct Follower {
    store: Store,
    filter: Filter,
    after: u64,
    ready: VecDeque<Followed>,
    newest: watch::Receiver<u64>,
    is_first: bool,
}

impl Events {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The id of the newest event; following after it shows only what happens from now on.
    #[must_use]
    pub fn newest(&self) -> u64 {
        *self.store.last_event().borrow()
    }

    /// Everything after the event `after` that `filter` lets through, then whatever happens, for ever.
    /// Ends after an error.
    pub fn follow(
        &self,
        after: u64,
        filter: Filter,
    ) -> impl Stream<Item = Result<Followed, StoreError>> + Send + use<> {
        let follower = Follower {
            store: self.store.clone(),
            filter,
            after,
            ready: VecDeque::new(),
            newest: self.store.last_event(),
            is_first: true,
        };
        unfold(Some(follower), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(followed)) => Some((Ok(followed), Some(follower))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Followed>, StoreError> {
        if std::mem::take(&mut self.is_first) {
            self.check_position().await?;
        }
        loop {
            if let Some(followed) = self.ready.pop_front() {
                return Ok(Some(followed));
            }
            // Seen before the rows are read: what is stored meanwhile wakes us again.
            let newest = *self.newest.borrow_and_update();
            if self.read_page(newest).await? {
                continue;
            }
            if self.newest.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// A position before the oldest row has a gap behind it; one from the future belongs to another database.
    async fn check_position(&mut self) -> Result<(), StoreError> {
        let (oldest, newest) =
            self.store.read(|db| Ok((events::oldest_id(db)?, events::newest_id(db)?))).await?;
        let first_kept = if oldest == 0 { newest + 1 } else { oldest };
        if self.after + 1 < first_kept || self.after > newest {
            self.after = first_kept - 1;
            self.ready.push_back(Followed::Reset { oldest: first_kept });
        }
        Ok(())
    }

    /// Says whether there may be more to read at once.
    async fn read_page(&mut self, newest: u64) -> Result<bool, StoreError> {
        let (after, filter) = (self.after, self.filter.clone());
        let page = self.store.read(move |db| events::after(db, after, &filter, PAGE)).await?;
        let is_full = page.len() == PAGE;
        let last = page.last().map(|event| event.id);
        // Rows that the filter keeps back need not be looked at again.
        self.after = if is_full { last.unwrap_or(after) } else { last.unwrap_or(after).max(newest) };
        self.ready.extend(page.into_iter().map(|event| Followed::Event(Box::new(event))));
        Ok(!self.ready.is_empty())
    }
}

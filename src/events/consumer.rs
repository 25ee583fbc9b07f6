//! A durable reader of events: goes on where it stopped, over every restart.
//!
//! What is done with a page of events and how far the reader has come are one transaction, so each event is dealt
//! with at least once, and exactly once as far as rows go. Writers of events never wait for it. Events that were
//! forgotten before it came are a gap, which is said in the log.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Events, Filter, Followed};
use crate::model::event::Event;
use crate::store::{Store, StoreError, Tx, event_cursors};
use crate::supervisor::backoff::Backoff;
use crate::supervisor::failpoint::Failpoints;

/// How often a reader that finds nothing for it notes how far it has come,
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// when it has passed at least so many events that are nothing to it.
const NOTE_AFTER: u64 = 1_000;

/// What is done with events. Cloned for each page.
pub trait EventHandler: Clone + Send + 'static {
    /// Deals with one event, in the transaction that also notes that it was dealt with.
    ///
    /// # Errors
    /// Whatever the database says: the whole page is tried again.
    fn handle(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), StoreError>;

    /// The page is saved. What is done here may be lost with the gateway.
    fn handled(&self, _page: &[Event]) {}
}

/// A durable reader.
pub struct Consumer<H> {
    store: Store,
    name: &'static str,
    filter: Filter,
    handler: H,
    failpoints: Failpoints,
}

impl<H: EventHandler> Consumer<H> {
    /// A reader of that name. One that never read begins with what happens from now on.
    #[must_use]
    pub fn new(store: Store, name: &'static str, filter: Filter, handler: H, failpoints: Failpoints) -> Self {
        Self { store, name, filter, handler, failpoints }
    }

    /// Reads until it is stopped, or no more events will come. What fails is tried again, later each time.
    pub async fn run(&self, stop: CancellationToken) {
        let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30)).with_jitter();
        while !stop.is_cancelled() {
            let Err(error) = self.read(&stop, &mut delays).await else { return };
            let pause = delays.next_delay();
            let name = self.name;
            tracing::error!(%error, "{name}: events could not be dealt with: {error}; again in {pause:?}");
            let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    async fn read(&self, stop: &CancellationToken, delays: &mut Backoff) -> Result<(), StoreError> {
        let name = self.name;
        let known = self.store.read(move |db| event_cursors::position(db, name)).await?;
        let mut noted = match known {
            Some(position) => position,
            None => {
                let newest = *self.store.last_event().borrow();
                self.note(newest).await?;
                newest
            }
        };
        let mut reader = Events::new(self.store.clone()).reader(noted, self.filter.clone());
        loop {
            let page = tokio::select! {
                page = tokio::time::timeout(NOTE_EVERY, reader.next_page()) => page,
                () = stop.cancelled() => return Ok(()),
            };
            let page = match page {
                Ok(page) => page?,
                Err(_) if reader.position() < noted + NOTE_AFTER => continue,
                Err(_) => Some(Vec::new()),
            };
            let Some(page) = page else { return Ok(()) };
            self.deal_with(page, noted, reader.position()).await?;
            noted = reader.position();
            delays.reset();
        }
    }

    async fn deal_with(&self, page: Vec<Followed>, noted: u64, position: u64) -> Result<(), StoreError> {
        let mut events = Vec::new();
        for item in page {
            match item {
                Followed::Event(logged) => events.push(logged.event().clone()),
                Followed::Reset(now) => tracing::warn!(
                    "{}: events after {noted} are not kept any more; it goes on after {}",
                    self.name,
                    now.after
                ),
            }
        }
        if events.is_empty() {
            return self.note(position).await;
        }
        self.failpoints.hit("consumer.before_page").await;
        let (name, handler) = (self.name, self.handler.clone());
        let change = move |tx: &mut Tx<'_>| {
            for event in &events {
                handler.handle(tx, event)?;
            }
            event_cursors::set(tx, name, position)?;
            Ok(events)
        };
        let events = self.store.write(change).await?;
        self.failpoints.hit("consumer.after_page").await;
        self.handler.handled(&events);
        Ok(())
    }

    /// A power cut may take it: then the same events are passed once more.
    async fn note(&self, position: u64) -> Result<(), StoreError> {
        let name = self.name;
        self.store.write_soon(move |tx| event_cursors::set(tx, name, position)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use crate::clock::Clock;
    use crate::model::event::{EventKind, Subject};
    use crate::model::frame::FrameState;
    use crate::model::secret::Secret;
    use crate::store::{OpenOptions, Queryable as _, meta};

    const SOON: Duration = Duration::from_secs(20);

    fn open(folder: &Path) -> Store {
        let options = OpenOptions {
            path: folder.join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: folder.join("backups"),
        };
        Store::open(options, Clock::system()).expect("a database")
    }

    /// Counts in rows; fails as often as it is told to.
    #[derive(Clone, Default)]
    struct Counter {
        failures: Arc<Mutex<u32>>,
        told: Arc<Mutex<Vec<u64>>>,
    }

    impl EventHandler for Counter {
        fn handle(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), StoreError> {
            let before = meta::find(tx, "seen")?.unwrap_or_default();
            meta::set(tx, "seen", &format!("{before}{} ", event.id))?;
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return Err(StoreError::Conflict { what: "a test".into() });
            }
            Ok(())
        }

        fn handled(&self, page: &[Event]) {
            self.told.lock().extend(page.iter().map(|event| event.id));
        }
    }

    fn other() -> EventKind {
        EventKind::FrameMoved { from: FrameState::Created, to: FrameState::Starting, reason: None }
    }

    async fn emit(store: &Store, kind: EventKind) -> u64 {
        store.write(move |tx| tx.emit(&Subject::default(), &kind)).await.expect("an event")
    }

    fn consumer(store: &Store, handler: &Counter, failpoints: &Failpoints) -> Arc<Consumer<Counter>> {
        let filter = Filter { kinds: vec!["message.queued".into()], ..Filter::default() };
        Arc::new(Consumer::new(store.clone(), "test", filter, handler.clone(), failpoints.clone()))
    }

    /// Runs it until the database says that it has seen this.
    async fn sees(store: &Store, consumer: Arc<Consumer<Counter>>, wanted: &str) {
        let stop = CancellationToken::new();
        let seen = async {
            while store.read(|db| meta::find(db, "seen")).await.expect("read").unwrap_or_default() != wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // What is done after the commit.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stop.cancel();
        };
        let both = async { tokio::join!(consumer.run(stop.clone()), seen) };
        if tokio::time::timeout(SOON, both).await.is_err() {
            let seen = store.read(|db| meta::find(db, "seen")).await;
            panic!("{wanted:?} was expected, and {seen:?} was seen");
        }
    }

    #[tokio::test]
    async fn what_happened_while_nobody_read_is_dealt_with_once_also_after_failures() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        emit(&store, EventKind::MessageQueued {}).await;
        store.write(|tx| event_cursors::set(tx, "test", 0)).await.expect("a cursor");
        emit(&store, other()).await;
        emit(&store, EventKind::MessageQueued {}).await;
        let handler = Counter { failures: Arc::new(Mutex::new(2)), ..Counter::default() };
        sees(&store, consumer(&store, &handler, &Failpoints::default()), "1 3 ").await;
        assert_eq!(*handler.told.lock(), [1, 3]);
        emit(&store, EventKind::MessageQueued {}).await;
        drop(store);
        let store = open(folder.path());
        sees(&store, consumer(&store, &handler, &Failpoints::default()), "1 3 4 ").await;
        assert_eq!(*handler.told.lock(), [1, 3, 4]);
    }

    #[tokio::test]
    async fn a_gateway_that_dies_around_a_page_deals_with_it_after_all_and_in_rows_once() {
        for (point, told) in [("consumer.before_page", vec![2]), ("consumer.after_page", vec![])] {
            let folder = tempfile::tempdir().expect("a folder");
            let (store, handler) = (open(folder.path()), Counter::default());
            emit(&store, other()).await;
            store.write(|tx| event_cursors::set(tx, "test", 1)).await.expect("a cursor");
            emit(&store, EventKind::MessageQueued {}).await;
            let failpoints = Failpoints::default();
            failpoints.arm(point, 1);
            let dying = consumer(&store, &handler, &failpoints);
            tokio::select! {
                () = dying.run(CancellationToken::new()) => panic!("it goes on"),
                died = tokio::time::timeout(SOON, failpoints.died()) => assert_eq!(died, Ok(point)),
            }
            sees(&store, consumer(&store, &handler, &Failpoints::default()), "2 ").await;
            assert_eq!(*handler.told.lock(), told, "{point}");
        }
    }

    #[tokio::test]
    async fn a_new_reader_begins_now_and_one_that_missed_something_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, handler) = (open(folder.path()), Counter::default());
        emit(&store, EventKind::MessageQueued {}).await;
        let failpoints = Failpoints::default();
        sees(&store, consumer(&store, &handler, &failpoints), "").await;
        emit(&store, EventKind::MessageQueued {}).await;
        sees(&store, consumer(&store, &handler, &failpoints), "2 ").await;
        // Two were forgotten while it was away.
        for _ in 0..3 {
            emit(&store, EventKind::MessageQueued {}).await;
        }
        store.write(|tx| tx.change("DELETE FROM events WHERE id < 5", ())).await.expect("forgotten");
        let left =
            store.read(|db| db.rows("SELECT id FROM events", (), |row| Ok(row.get::<_, i64>(0)?))).await;
        assert_eq!(left.expect("rows"), [5]);
        drop(store);
        let store = open(folder.path());
        let again = consumer(&store, &handler, &failpoints);
        let stop = CancellationToken::new();
        let later = async {
            let until = tokio::time::Instant::now() + SOON;
            while store.read(|db| event_cursors::position(db, "test")).await.expect("read") != Some(5) {
                assert!(tokio::time::Instant::now() < until, "it does not go on");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            stop.cancel();
        };
        tokio::join!(again.run(stop.clone()), later);
        emit(&store, EventKind::MessageQueued {}).await;
        sees(&store, again, "2 6 ").await;
    }
}

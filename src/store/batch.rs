//! Changes that share a transaction: each has a savepoint and an answer of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as queue;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;

use super::change::{Change, Durability, Waiting};
use super::latency::Latencies;
use super::reserve::Reserve;
use super::ring::Ring;
use super::wal::Log;
use super::{StoreError, Tx};
use crate::clock::Clock;
use crate::model::event::Event;

/// No commit is of more changes,
const MOST_CHANGES: usize = 256;
/// or is put off for longer: the first one waits for the last.
const LONGEST_BATCH: Duration = Duration::from_millis(8);
/// A change that took longer waited for the disk,
const WAITED: Duration = Duration::from_millis(50);
/// and so many after it would.
const WAITS_AFTER_IT: usize = 32;
/// After so many commits the log is written back into the database, as far as readers allow.
const CHECKPOINT_EVERY: usize = 200;

/// What everybody outside sees of the writer's work.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) ring: Arc<Ring>,
    pub(super) last_event: watch::Sender<u64>,
    pub(super) latencies: Arc<Latencies>,
}

/// More ids of events may be given out, as soon as the disk knows.
struct Raise<F> {
    when_synced: F,
    submitted_at: Instant,
}

impl<F: FnOnce() + Send> Change for Raise<F> {
    fn make(&mut self, _: &mut Tx<'_>) -> bool {
        true
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        if fate.is_ok() {
            (self.when_synced)();
        }
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }

    fn submitted_at(&self) -> Instant {
        self.submitted_at
    }
}

/// What makes changes and commits them: one batch at a time.
pub(super) struct Batches {
    connection: Connection,
    reserve: Reserve,
    log: Log,
    clock: Clock,
    published: Published,
    saved: queue::Sender<Vec<Waiting>>,
    checkpoint: queue::SyncSender<()>,
    since_checkpoint: usize,
    /// So many of the next changes are expected to wait for the disk.
    waits: usize,
}

impl Batches {
    /// `saved` takes what waits for the disk, `checkpoint` tells whoever writes the log back.
    pub(super) fn new(
        (connection, reserve): (Connection, Reserve),
        log: Log,
        clock: Clock,
        published: Published,
        saved: queue::Sender<Vec<Waiting>>,
        checkpoint: queue::SyncSender<()>,
    ) -> Self {
        Self { connection, reserve, log, clock, published, saved, checkpoint, since_checkpoint: 0, waits: 0 }
    }

    /// Nothing more comes: the next gateway goes on without a hole in the ids.
    pub(super) fn end(&mut self) {
        if let Err(error) = self.reserve.give_back(&self.connection) {
            tracing::debug!(%error, "the ids that are left could not be given back: {error}");
        }
    }

    /// Whether the next change may have to wait for the disk, as one before it did: a log that is too long is written
    /// back with every commit, and ids that the disk does not know yet are waited for.
    pub(super) fn may_wait(&mut self) -> bool {
        let is_expected = self.waits > 0;
        self.waits = self.waits.saturating_sub(1);
        is_expected || self.reserve.is_behind()
    }

    /// One transaction of one change.
    pub(super) fn make_one(&mut self, change: Waiting) {
        let begun = Instant::now();
        self.make(change, || None);
        if begun.elapsed() > WAITED {
            self.waits = WAITS_AFTER_IT;
        }
    }

    /// One transaction of the change `first` and of those that `waiting` gives.
    pub(super) fn make(&mut self, first: Waiting, mut waiting: impl FnMut() -> Option<Waiting>) {
        let begun = Instant::now();
        if let Err(error) = self.statement("BEGIN IMMEDIATE") {
            return first.answer(Err(error));
        }
        let (mut made, mut events) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(mut change) = next.take() {
            let kept = self.within_savepoint(change.as_mut());
            made.push(change);
            match kept {
                Ok(told) => events.extend(told),
                Err(error) => return self.undone(made, &error),
            }
            if made.len() < MOST_CHANGES && begun.elapsed() < LONGEST_BATCH {
                next = waiting();
            }
        }
        let newest = events.last().map(|event: &Event| event.id);
        let raised = match self.reserve.extend(&self.connection, newest.unwrap_or(0)) {
            Ok(raised) => raised,
            Err(error) => return self.undone(made, &error),
        };
        match self.execute("COMMIT") {
            Ok(()) => {
                self.reserve.committed(newest, raised);
                if self.reserve.is_behind() {
                    self.sync();
                }
                self.publish(made, events);
                if raised.is_some() {
                    self.raise();
                }
                self.since_checkpoint += 1;
                // One that is still at it will be told again.
                if self.since_checkpoint >= CHECKPOINT_EVERY && self.checkpoint.try_send(()).is_ok() {
                    self.since_checkpoint = 0;
                }
            }
            Err(error) => self.undone(made, &error),
        }
    }

    /// What was reserved is for sure when the syncer has seen it.
    fn raise(&self) {
        let raise = Raise { when_synced: self.reserve.when_synced(), submitted_at: Instant::now() };
        // Without a syncer the writer itself waits for the disk, the next time.
        let _ = self.saved.send(vec![Box::new(raise)]);
    }

    fn sync(&self) {
        match self.log.sync() {
            Ok(()) => (self.reserve.when_synced())(),
            Err(error) => tracing::error!(%error, "ids of events may come twice after a power cut: {error}"),
        }
    }

    /// Makes one change, or nothing of it; returns its events. An error is the end of the whole transaction.
    fn within_savepoint(&mut self, change: &mut dyn Change) -> Result<Vec<Event>, rusqlite::Error> {
        self.execute("SAVEPOINT one")?;
        let mut tx = Tx::new(&self.connection, self.clock.now_ms());
        // A panic in one change undoes that change alone; the next one must find a writer.
        let keep = catch_unwind(AssertUnwindSafe(|| change.make(&mut tx))).unwrap_or(false);
        let events = tx.into_events();
        if self.connection.is_autocommit() {
            // The database gave up the whole transaction: a full disk, most likely.
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            return Err(rusqlite::Error::SqliteFailure(code, None));
        }
        if keep {
            self.execute("RELEASE one")?;
            return Ok(events);
        }
        self.execute("ROLLBACK TO one")?;
        self.execute("RELEASE one")?;
        Ok(Vec::new())
    }

    fn publish(&self, made: Vec<Waiting>, events: Vec<Event>) {
        let newest = events.last().map(|event| event.id);
        self.published.latencies.committed(made.len());
        if let Some(newest) = newest {
            self.published.ring.push(events);
            self.published.last_event.send_replace(newest);
        }
        let (for_disk, done): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|change| change.durability() == Durability::Disk);
        for change in done {
            self.published.latencies.saved(change.durability(), change.submitted_at().elapsed());
            change.answer(Ok(()));
        }
        if !for_disk.is_empty()
            && let Err(unsent) = self.saved.send(for_disk)
        {
            // There is no syncer: better no answer than one that is not true.
            drop(unsent);
        }
    }

    /// None of them happened.
    fn undone(&self, made: Vec<Waiting>, error: &rusqlite::Error) {
        if !self.connection.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        for change in made {
            change.answer(Err(again(error).into()));
        }
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute(()).map(|_| ())
    }

    fn statement(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.execute(sql)?)
    }
}

/// The same error once more: each caller gets one.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
            Some(other.to_string()),
        ),
    }
}

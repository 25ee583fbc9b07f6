//! The one thread that writes, and those that wait for the disk.
//!
//! Changes that wait at the same time become one transaction: each has a savepoint
//! and an answer of its own, and all share one commit. A commit is in the file when
//! it returns (it survives the end of this process); whoever wants it to survive a
//! power cut is answered after the next sync of the log, which another thread does,
//! so that text that streams by never waits for a disk. A third folds the log into the
//! database from time to time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc as queue;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::latency::Latencies;
use super::reserve::Reserve;
use super::ring::Ring;
use super::{StoreError, Tx};
use crate::clock::Clock;
use crate::model::event::Event;

/// How many changes may wait for the writer. When there are more, callers wait for a place in the queue.
const QUEUE: usize = 1024;
/// No commit is of more changes,
const MOST_CHANGES: usize = 256;
/// or is put off for longer: the first one waits for the last.
const LONGEST_BATCH: Duration = Duration::from_millis(8);
/// After so many commits the log is folded into the database, as far as readers allow.
const FOLD_EVERY: usize = 200;
/// A log of more pages is folded in by the writer itself, which then writes it from its beginning.
const LONGEST_LOG: u32 = 16_384;

/// How sure a change must be when its caller is told that it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives a power cut.
    Disk,
    /// It survives the end of this process; a power cut may take the last ones.
    Process,
}

/// What everybody outside sees of the writer's work.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) ring: Arc<Ring>,
    pub(super) last_event: watch::Sender<u64>,
    pub(super) latencies: Arc<Latencies>,
}

/// A change on its way through a batch.
pub(super) trait Change: Send {
    /// Makes it. Says whether it is to be kept.
    fn make(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells its caller. `fate` is that of the transaction it was part of.
    fn answer(self: Box<Self>, fate: Result<(), StoreError>);
    fn durability(&self) -> Durability;
    fn submitted_at(&self) -> Instant;
}

/// The usual change: a closure and where its answer goes.
pub(super) struct WriteJob<T, E, F> {
    change: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    durability: Durability,
    submitted_at: Instant,
}

impl<T, E, F> WriteJob<T, E, F> {
    pub(super) fn new(change: F, durability: Durability) -> (Box<Self>, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let asked =
            Self { change: Some(change), outcome: None, reply, durability, submitted_at: Instant::now() };
        (Box::new(asked), answer)
    }
}

impl<T, E, F> Change for WriteJob<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    fn make(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(change) = self.change.take() else { return false };
        let outcome = change(tx);
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        let answer = match (self.outcome, fate) {
            // Nothing of it was to be saved, so what became of the others is nothing to it.
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(E::from(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            // It panicked: the reply channel closes without a word, which its caller knows how to read.
            (None, Ok(())) => return,
        };
        let _ = self.reply.send(answer);
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn submitted_at(&self) -> Instant {
        self.submitted_at
    }
}

type Waiting = Box<dyn Change>;

pub(super) struct Writer {
    /// Present until this is dropped.
    changes: Option<mpsc::Sender<Waiting>>,
    threads: Vec<JoinHandle<()>>,
    #[cfg(test)]
    log: Log,
}

impl Writer {
    /// `folder` is a connection of its own for the folding.
    pub(super) fn start(
        connection: Connection,
        folder: Result<Connection, StoreError>,
        reserve: Reserve,
        clock: Clock,
        path: &Path,
        outlet: Published,
    ) -> Self {
        let (changes, waiting) = mpsc::channel::<Waiting>(QUEUE);
        let (saved, unsynced) = queue::channel::<Vec<Waiting>>();
        let log = Log::beside(path);
        // The syncer does it, for those who want it. Before a checkpoint the log is always synced.
        let _ = connection.pragma_update(None, "synchronous", "NORMAL");
        let latencies = outlet.latencies.clone();
        let (fold, folding) = queue::sync_channel::<()>(1);
        if folder.is_ok() {
            let _ = connection.pragma_update(None, "wal_autocheckpoint", LONGEST_LOG);
        }
        let mut batches =
            Batches { connection, reserve, log: log.clone(), clock, outlet, saved, fold, unfolded: 0 };
        #[cfg(test)]
        let log_of_tests = log.clone();
        // Without its threads every write answers "closed", which callers already handle.
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).ok()
        };
        let writer = spawn("store-writer", Box::new(move || batches.run(waiting)));
        let syncer = spawn("store-syncer", Box::new(move || sync_and_answer(&unsynced, &log, &latencies)));
        let folder = folder
            .ok()
            .and_then(|folder| spawn("store-folder", Box::new(move || fold_when_told(&folding, &folder))));
        Self {
            changes: Some(changes),
            threads: writer.into_iter().chain(syncer).chain(folder).collect(),
            #[cfg(test)]
            log: log_of_tests,
        }
    }

    pub(super) async fn submit(&self, change: Waiting) -> Result<(), StoreError> {
        let changes = self.changes.as_ref().ok_or(StoreError::Closed)?;
        changes.send(change).await.map_err(|_| StoreError::Closed)
    }

    /// How many bytes of the log a power cut would leave.
    #[cfg(test)]
    pub(super) fn synced(&self) -> u64 {
        self.log.synced.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// How many changes wait.
    pub(super) fn waiting(&self) -> usize {
        self.changes.as_ref().map_or(0, |changes| changes.max_capacity() - changes.capacity())
    }
}

impl Drop for Writer {
    /// Finishes what was accepted and closes the connection, which folds the log into the database.
    fn drop(&mut self) {
        self.changes = None;
        let here = std::thread::current().id();
        // In this order: the others end when the writer has.
        for thread in std::mem::take(&mut self.threads) {
            if thread.thread().id() == here {
                return;
            }
            let _ = thread.join();
        }
    }
}

/// The log beside the database.
#[derive(Clone, Debug)]
struct Log {
    path: PathBuf,
    /// How much of it a power cut would leave.
    #[cfg(test)]
    synced: Arc<std::sync::atomic::AtomicU64>,
}

impl Log {
    fn beside(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        #[cfg(test)]
        let synced = Arc::new(std::fs::metadata(&path).map_or(0, |file| file.len()).into());
        Self {
            path: path.into(),
            #[cfg(test)]
            synced,
        }
    }

    /// Everything that was committed before survives a power cut from now on.
    fn sync(&self) -> std::io::Result<()> {
        // Opened anew: the database may begin another log at any time. Without one, everything is in the file.
        match File::open(&self.path) {
            Ok(file) => {
                #[cfg(test)]
                let length = file.metadata()?.len();
                file.sync_data()?;
                #[cfg(test)]
                self.synced.store(length, std::sync::atomic::Ordering::SeqCst);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
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

/// The writer's thread.
struct Batches {
    connection: Connection,
    reserve: Reserve,
    log: Log,
    clock: Clock,
    outlet: Published,
    saved: queue::Sender<Vec<Waiting>>,
    fold: queue::SyncSender<()>,
    unfolded: usize,
}

impl Batches {
    fn run(&mut self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.blocking_recv() {
            self.batch(first, &mut waiting);
        }
        // The next one goes on without a hole.
        if let Err(error) = self.reserve.give_back(&self.connection) {
            tracing::debug!(%error, "the ids that are left could not be given back: {error}");
        }
    }

    /// One transaction of everything that waits.
    fn batch(&mut self, first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) {
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
                next = waiting.try_recv().ok();
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
                self.unfolded += 1;
                // One that is still at it will be told again.
                if self.unfolded >= FOLD_EVERY && self.fold.try_send(()).is_ok() {
                    self.unfolded = 0;
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
        self.outlet.latencies.committed(made.len());
        if let Some(newest) = newest {
            self.outlet.ring.push(events);
            self.outlet.last_event.send_replace(newest);
        }
        let (for_disk, done): (Vec<_>, Vec<_>) =
            made.into_iter().partition(|change| change.durability() == Durability::Disk);
        for change in done {
            self.outlet.latencies.saved(change.durability(), change.submitted_at().elapsed());
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

/// The folder's thread: syncs the log and then the database, for which a writer would stand still.
fn fold_when_told(told: &queue::Receiver<()>, connection: &Connection) {
    while told.recv().is_ok() {
        // Passive: waits for nobody. What it cannot do now, it does the next time.
        let folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
        if let Err(error) = folded {
            tracing::debug!(%error, "the log could not be folded into the database: {error}");
        }
    }
}

/// The syncer's thread: whatever was saved while one sync ran shares the next.
fn sync_and_answer(unsynced: &queue::Receiver<Vec<Waiting>>, log: &Log, latencies: &Latencies) {
    while let Ok(mut saved) = unsynced.recv() {
        while let Ok(more) = unsynced.try_recv() {
            saved.extend(more);
        }
        let begun = Instant::now();
        let synced = log.sync();
        latencies.synced(begun.elapsed());
        for change in saved {
            latencies.saved(change.durability(), change.submitted_at().elapsed());
            change.answer(match &synced {
                Ok(()) => Ok(()),
                Err(error) => Err(StoreError::Damaged(error.to_string())),
            });
        }
    }
}

//! The one who writes.
//!
//! Changes that wait at the same time become one transaction (`batch`): each has a savepoint and an answer of its own,
//! and all share one commit. A commit is in the file when it returns (it survives the end of this process); whoever
//! wants it to survive a power cut is answered after the next sync of the log, which another thread does (`wal`), so
//! that text that streams by never waits for a disk. A third thread writes the log back into the database from time to
//! time.
//!
//! Usually a thread of its own makes the changes. A small one that must not wait for that thread to be woken is made
//! by whoever brings it, while nobody else is at it and nothing waits: so all changes keep their order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as queue;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::StoreError;
use super::batch::{Batches, Published};
use super::change::Waiting;
use super::reserve::Reserve;
use super::wal::{Log, checkpoint_when_told, sync_and_answer};
use crate::clock::Clock;

/// How many changes may wait for the writer. When there are more, callers wait for a place in the queue.
const QUEUE: usize = 1024;
/// A log of more pages is written back by the writer itself, which then writes it from its beginning.
const LONGEST_LOG: u32 = 16_384;

/// A place in the queue, until what stood there was made. While one is taken, nothing goes past it.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Self {
        taken.fetch_add(1, Ordering::SeqCst);
        Self(taken.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Queued {
    change: Waiting,
    place: Place,
}

pub(super) struct Writer {
    /// Both are present until this is dropped.
    changes: Option<mpsc::Sender<Queued>>,
    batches: Option<Arc<Mutex<Batches>>>,
    taken: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    #[cfg(test)]
    log: Log,
}

impl Writer {
    /// `checkpointer` is a connection of its own for writing the log back.
    pub(super) fn start(
        connection: Connection,
        checkpointer: Result<Connection, StoreError>,
        reserve: Reserve,
        clock: Clock,
        path: &Path,
        published: Published,
    ) -> Self {
        let (changes, waiting) = mpsc::channel::<Queued>(QUEUE);
        let (saved, unsynced) = queue::channel::<Vec<Waiting>>();
        let log = Log::beside(path);
        // The syncer does it, for those who want it. Before a checkpoint the log is always synced.
        let _ = connection.pragma_update(None, "synchronous", "NORMAL");
        let latencies = published.latencies.clone();
        let (checkpoint, told) = queue::sync_channel::<()>(1);
        if checkpointer.is_ok() {
            let _ = connection.pragma_update(None, "wal_autocheckpoint", LONGEST_LOG);
        }
        #[cfg(test)]
        let log_of_tests = log.clone();
        let batches = Batches::new((connection, reserve), log.clone(), clock, published, saved, checkpoint);
        let batches = Arc::new(Mutex::new(batches));
        // Without its threads every write answers "closed", which callers already handle.
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run).ok()
        };
        let shared = batches.clone();
        let writer = spawn("store-writer", Box::new(move || make_all(waiting, &shared)));
        let syncer = spawn("store-syncer", Box::new(move || sync_and_answer(&unsynced, &log, &latencies)));
        let checkpointer = checkpointer.ok().and_then(|connection| {
            spawn("store-wal", Box::new(move || checkpoint_when_told(&told, &connection)))
        });
        Self {
            changes: Some(changes),
            batches: Some(batches),
            taken: Arc::default(),
            threads: writer.into_iter().chain(syncer).chain(checkpointer).collect(),
            #[cfg(test)]
            log: log_of_tests,
        }
    }

    /// Puts a change into the queue.
    pub(super) async fn submit(&self, change: Waiting) -> Result<(), StoreError> {
        let changes = self.changes.as_ref().ok_or(StoreError::Closed)?;
        let queued = Queued { change, place: Place::take(&self.taken) };
        changes.send(queued).await.map_err(|_| StoreError::Closed)
    }

    /// Makes a change on this thread, unless somebody is at it or waits to be, or the disk keeps changes waiting: then it is
    /// given back.
    pub(super) fn make_here(&self, change: Waiting) -> Result<(), Waiting> {
        let Some(mut batches) = self.batches.as_ref().and_then(|batches| batches.try_lock()) else {
            return Err(change);
        };
        // Asked with the lock held: what was submitted before this has a place until it was made.
        if self.taken.load(Ordering::SeqCst) > 0 || batches.may_wait() {
            return Err(change);
        }
        batches.make_one(change);
        Ok(())
    }

    /// How many bytes of the log a power cut would leave.
    #[cfg(test)]
    pub(super) fn synced(&self) -> u64 {
        self.log.synced()
    }

    /// How many changes wait.
    pub(super) fn waiting(&self) -> usize {
        self.changes.as_ref().map_or(0, |changes| changes.max_capacity() - changes.capacity())
    }
}

impl Drop for Writer {
    /// Finishes what was accepted and closes the connection, which writes the log back into the database.
    fn drop(&mut self) {
        self.changes = None;
        // Before the threads are waited for: the writer's thread closes the connection, and the others end with that.
        self.batches = None;
        let here = std::thread::current().id();
        for thread in std::mem::take(&mut self.threads) {
            if thread.thread().id() == here {
                return;
            }
            let _ = thread.join();
        }
    }
}

/// The writer's thread.
fn make_all(mut waiting: mpsc::Receiver<Queued>, batches: &Mutex<Batches>) {
    while let Some(Queued { change, place }) = waiting.blocking_recv() {
        let mut places = vec![place];
        let mut next = || {
            let Queued { change, place } = waiting.try_recv().ok()?;
            places.push(place);
            Some(change)
        };
        batches.lock().make(change, &mut next);
    }
    batches.lock().end();
}

//! The one thread that writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, watch};

use super::{StoreError, Tx};
use crate::clock::Clock;

type Job = Box<dyn FnOnce(&mut Connection, &Clock, &watch::Sender<u64>) + Send>;

/// How many changes may wait for the disk. When there are more, callers wait for a place in the queue.
const QUEUE: usize = 1024;

/// How sure a change must be when its caller is told that it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives a power cut.
    Disk,
    /// It survives the end of this process; a power cut may take the last ones.
    Process,
}

pub(super) struct Writer {
    /// Present until this is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, clock: Clock, last_event: watch::Sender<u64>) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let run = move || {
            while let Some(job) = queue.blocking_recv() {
                // A panic in one change undoes that change (its transaction is dropped); the caller
                // finds its reply channel closed. The next change must find a writer.
                let _ = catch_unwind(AssertUnwindSafe(|| job(&mut connection, &clock, &last_event)));
            }
        };
        // Without a thread every write answers "closed", which callers already handle.
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(run).ok();
        Self { jobs: Some(jobs), thread }
    }

    pub(super) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for Writer {
    /// Finishes what was accepted and closes the connection, which folds the log into the database.
    fn drop(&mut self) {
        self.jobs = None;
        let is_itself = |thread: &JoinHandle<()>| thread.thread().id() == std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| !is_itself(thread)) {
            let _ = thread.join();
        }
    }
}

/// Runs `change` as one transaction and, once it is committed, tells who waits for events.
pub(super) fn transact<T, E>(
    connection: &mut Connection,
    clock: &Clock,
    last_event: &watch::Sender<u64>,
    durability: Durability,
    change: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<StoreError>,
{
    let sync = match durability {
        Durability::Disk => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", sync).map_err(|error| E::from(error.into()))?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| E::from(error.into()))?;
    let mut tx = Tx { transaction, now_ms: clock.now_ms(), last_event: 0 };
    let value = change(&mut tx)?;
    let newest = tx.last_event;
    tx.transaction.commit().map_err(|error| E::from(error.into()))?;
    if newest > 0 {
        last_event.send_replace(newest);
    }
    Ok(value)
}

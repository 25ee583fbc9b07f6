//! The one thread that writes.

use std::sync::mpsc;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use super::{StoreError, Tx};
use crate::clock::Clock;

type Job = Box<dyn FnOnce(&mut Connection, &Clock, &watch::Sender<u64>) + Send>;

/// How many changes may wait; more means that the disk hangs, and callers wait with it.
const QUEUE: usize = 1024;

pub(super) struct Writer {
    jobs: mpsc::SyncSender<Job>,
}

impl Writer {
    pub(super) fn start(mut connection: Connection, clock: Clock, last_event: watch::Sender<u64>) -> Self {
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let run = move || {
            while let Ok(job) = queue.recv() {
                job(&mut connection, &clock, &last_event);
            }
        };
        // Without a thread every write answers "closed", which callers already handle.
        let _ = std::thread::Builder::new().name("store-writer".into()).spawn(run);
        Self { jobs }
    }

    pub(super) fn submit(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.try_send(job).map_err(|_| StoreError::Closed)
    }
}

/// Runs `change` as one transaction and, once it is committed, tells who waits for events.
pub(super) fn transact<T, E>(
    connection: &mut Connection,
    clock: &Clock,
    last_event: &watch::Sender<u64>,
    change: impl FnOnce(&mut Tx<'_>) -> Result<T, E>,
) -> Result<T, E>
where
    E: From<StoreError>,
{
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

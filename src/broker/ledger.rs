//! Keeps every model call that went through the broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::store::usage::{self, ModelCall};
use crate::store::{Store, StoreError};
use crate::supervisor::{OnExit, Tasks};

/// How many calls may wait to be written; more means that the disk hangs for long.
const QUEUE: usize = 1024;

/// How long after a stop the last calls may come in, one after the other.
const LAST_CALLS: Duration = Duration::from_millis(200);

/// How often a write is tried before a call is given up.
const TRIES: u32 = 5;

/// Writes model calls, in the order in which they ended.
#[derive(Clone)]
pub(super) struct Ledger {
    calls: mpsc::Sender<ModelCall>,
}

impl Ledger {
    pub(super) fn start(store: Store, tasks: &Tasks) -> Self {
        let (calls, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        tasks.spawn("usage", OnExit::Restart, move |stop| {
            let (store, queue) = (store.clone(), queue.clone());
            async move {
                let mut queue = queue.lock().await;
                loop {
                    let call = tokio::select! {
                        call = queue.recv() => call,
                        () = stop.cancelled() => break,
                    };
                    let Some(call) = call else { return };
                    write(&store, call).await;
                }
                // The stop ends the calls that run; they are not lost.
                while let Ok(Some(call)) = tokio::time::timeout(LAST_CALLS, queue.recv()).await {
                    write(&store, call).await;
                }
            }
        });
        Self { calls }
    }

    pub(super) fn record(&self, call: ModelCall) {
        if let Err(error) = self.calls.try_send(call) {
            tracing::error!("a model call is missing in the books: {error}");
        }
    }
}

async fn write(store: &Store, call: ModelCall) {
    for attempt in 1..=TRIES {
        let row = call.clone();
        let written: Result<(), StoreError> = store.write(move |tx| usage::insert(tx, &row)).await;
        let Err(error) = written else { return };
        if attempt == TRIES || matches!(error, StoreError::Closed) {
            tracing::error!(%error, frame.id = %call.frame, "a model call of {} is missing in the books: {error}", call.frame);
            return;
        }
        tokio::time::sleep(Duration::from_millis(200) * attempt).await;
    }
}

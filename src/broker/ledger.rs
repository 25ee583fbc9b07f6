//! Keeps every model call that went through the broker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::budget::Budgets;
use crate::models::CallReport;
use crate::store::StoreError;
use crate::supervisor::{OnExit, Tasks};

/// How long after a stop the last calls may come in, one after the other.
const LAST_CALLS: Duration = Duration::from_millis(200);

/// How often a write is tried before a call is given up.
const TRIES: u32 = 5;

/// The end of a call.
struct Ended {
    /// Which call.
    id: u64,
    /// What it used; none when no provider was asked.
    report: Option<CallReport>,
}

/// Writes the ends of model calls, in the order in which they came. None is left out: its row would hold what is left of
/// budgets until the next start. They come no faster than providers answer.
#[derive(Clone)]
pub(super) struct Ledger {
    calls: mpsc::UnboundedSender<Ended>,
}

impl Ledger {
    pub(super) fn start(budgets: Budgets, tasks: &Tasks) -> Self {
        let (calls, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        tasks.spawn("usage", OnExit::Restart, move |stop| {
            let (budgets, queue) = (budgets.clone(), queue.clone());
            async move {
                let mut queue = queue.lock().await;
                loop {
                    let call = tokio::select! {
                        call = queue.recv() => call,
                        () = stop.cancelled() => break,
                    };
                    let Some(call) = call else { return };
                    write(&budgets, call).await;
                }
                // The stop ends the calls that run; they are not lost.
                while let Ok(Some(call)) = tokio::time::timeout(LAST_CALLS, queue.recv()).await {
                    write(&budgets, call).await;
                }
            }
        });
        Self { calls }
    }

    fn record(&self, ended: Ended) {
        if let Err(error) = self.calls.send(ended) {
            tracing::error!("a model call is booked only at the next start: {error}");
        }
    }
}

/// A call that was let begin. However it ends, the ledger hears of it once.
pub(super) struct Entry {
    ledger: Ledger,
    id: Option<u64>,
}

impl Entry {
    pub(super) fn new(ledger: &Ledger, id: u64) -> Self {
        Self { ledger: ledger.clone(), id: Some(id) }
    }

    /// It is over.
    pub(super) fn ended(mut self, report: CallReport) {
        if let Some(id) = self.id.take() {
            self.ledger.record(Ended { id, report: Some(report) });
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.ledger.record(Ended { id, report: None });
        }
    }
}

async fn write(budgets: &Budgets, ended: Ended) {
    for attempt in 1..=TRIES {
        let written = match ended.report.clone() {
            Some(report) => budgets.book(ended.id, report).await,
            None => budgets.release(ended.id).await,
        };
        let Err(error) = written else { return };
        if attempt == TRIES || matches!(error, StoreError::Closed) {
            tracing::error!(%error, "a model call is booked only at the next start: {error}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(200) * attempt).await;
    }
}

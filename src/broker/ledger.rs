//! Keeps what happened at the broker: every model call, and refusals now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Client;
use crate::budget::Budgets;
use crate::model::event::{EventKind, Subject};
use crate::models::CallReport;
use crate::store::{Store, StoreError};
use crate::supervisor::{OnExit, Tasks};

/// How many calls may wait to be written; more means that the disk hangs for long.
const QUEUE: usize = 1024;

/// How long after a stop the last calls may come in, one after the other.
const LAST_CALLS: Duration = Duration::from_millis(200);

/// How often a write is tried before a call is given up.
const TRIES: u32 = 5;

/// A frame that asks again and again for the same host is told of once in this time.
const QUIET: Duration = Duration::from_secs(600);

/// How many hosts of one frame are told of in that time.
const HOSTS: usize = 64;

/// The end of a call.
struct Ended {
    /// Which call.
    id: u64,
    /// What it used; none when no provider was asked.
    report: Option<CallReport>,
}

/// Writes the ends of model calls, in the order in which they came.
#[derive(Clone)]
pub(super) struct Ledger {
    calls: mpsc::Sender<Ended>,
}

impl Ledger {
    pub(super) fn start(budgets: Budgets, tasks: &Tasks) -> Self {
        let (calls, queue) = mpsc::channel(QUEUE);
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
        if let Err(error) = self.calls.try_send(ended) {
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

/// What one frame was refused of late.
#[derive(Default)]
pub(super) struct Refusals {
    told: Mutex<HashMap<(String, u16), Instant>>,
}

impl Refusals {
    /// Whether this refusal is news.
    fn is_news(&self, host: &str, port: u16, now: Instant) -> bool {
        let mut told = self.told.lock();
        told.retain(|_, at| now.duration_since(*at) < QUIET);
        let key = (host.to_owned(), port);
        if told.contains_key(&key) || told.len() >= HOSTS {
            return false;
        }
        told.insert(key, now);
        true
    }

    /// Keeps a refusal as an event, unless the same was kept a moment ago.
    pub(super) async fn record(&self, store: &Store, client: &Client, host: &str, port: u16, why: &str) {
        let host: String = host.chars().take(253).collect();
        if !self.is_news(&host, port, Instant::now()) {
            return;
        }
        tracing::info!(frame.id = %client.frame, host, port, "frame {} was refused {host}:{port}: {why}", client.name);
        let subject = Subject {
            frame: Some(client.frame.clone()),
            frame_name: Some(client.name.clone()),
            ..Subject::default()
        };
        let what = EventKind::ConnectionRefused { host, port, why: why.to_owned() };
        let kept: Result<u64, StoreError> = store.write_soon(move |tx| tx.emit(&subject, &what)).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "a refusal could not be kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_knocks_for_ever_is_heard_now_and_then() {
        let refusals = Refusals::default();
        let now = Instant::now();
        assert!(refusals.is_news("a.test", 443, now));
        assert!(!refusals.is_news("a.test", 443, now + QUIET / 2));
        assert!(refusals.is_news("a.test", 80, now));
        let later = now + QUIET;
        assert!(refusals.is_news("a.test", 443, later));
        let heard = (0..1000).filter(|n| refusals.is_news(&format!("{n}.test"), 443, later)).count();
        assert_eq!(heard, HOSTS - 1, "a frame that makes up names is heard so often");
    }
}

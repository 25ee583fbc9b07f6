//! Storing what was heard, beside listening.
//!
//! What streams by is stored by one write at a time, on this thread if it can be; what comes while it cannot is collected
//! and goes with the next one. It does not wait for the disk. What ends a turn, and what only the history lacks, does,
//! in a transaction of its own that holds nobody else's words up. Changes reach the database in the order in which they
//! were put here.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::counters::Counters;
use super::tracking::{Follower, TurnPhase};
use super::verdict::Verdict;
use crate::model::agent::AgentMessage;
use crate::model::event::{EventKind, Subject};
use crate::model::ids::MessageId;
use crate::model::message::DeliveryState;
use crate::model::usage::Tokens;
use crate::store::{Store, StoreError, Tx, agent_messages, frames, messages, sessions};
use crate::supervisor::failpoint::Failpoints;

/// More events of one turn than so many are left to the writer's thread.
const MOST_HERE: usize = 16;

/// What is stored of one turn, or of one conversation, in one transaction.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Of what.
    pub subject: Subject,
    /// What happened.
    pub events: Vec<EventKind>,
    /// Since when the oldest of that waits.
    pub since: Option<Instant>,
    /// The message that runs, as is seen from this.
    pub begins: Option<MessageId>,
    /// What goes into the history.
    pub messages: Vec<AgentMessage>,
    /// A turn ends with it.
    pub is_end: bool,
    /// Who awaits that end, and what it is.
    pub awaited_by: Option<(Follower, Verdict, (Tokens, u64))>,
}

impl Stored {
    /// Whether storing it takes no longer than a moment: some words, and nothing whole.
    fn is_small(&self) -> bool {
        self.messages.is_empty() && self.events.len() <= MOST_HERE
    }
}

type Writing = BoxFuture<'static, Result<(), StoreError>>;

/// What is being stored.
pub(super) struct Outbox {
    store: Store,
    counters: Counters,
    failpoints: Failpoints,
    stream: Option<Writing>,
    ends: FuturesUnordered<Writing>,
}

impl Outbox {
    pub(super) fn new(store: Store, counters: Counters, failpoints: Failpoints) -> Self {
        Self { store, counters, failpoints, stream: None, ends: FuturesUnordered::new() }
    }

    /// Whether what streams by can be stored now.
    pub(super) fn is_free(&self) -> bool {
        self.stream.is_none()
    }

    /// Whether nothing is being stored.
    pub(super) fn is_empty(&self) -> bool {
        self.stream.is_none() && self.ends.is_empty()
    }

    /// Begins to store what streams by; only while it is free.
    pub(super) fn put_stream(&mut self, stored: Vec<Stored>) -> Result<(), StoreError> {
        let (store, counters, failpoints) =
            (self.store.clone(), self.counters.clone(), self.failpoints.clone());
        let oldest = stored.iter().filter_map(|stored| stored.since).min();
        let begins = stored.iter().any(|stored| stored.begins.is_some());
        let is_small = stored.iter().all(Stored::is_small);
        let change = move |tx: &mut Tx<'_>| stored.iter().try_for_each(|stored| write(tx, stored));
        let writing = async move {
            if is_small {
                store.write_here(change).await?;
            } else {
                store.write_soon(change).await?;
            }
            counters.relayed(oldest.map_or(Duration::ZERO, |at| at.elapsed()));
            if begins {
                failpoints.hit("send.after_running").await;
            }
            Ok(())
        };
        self.stream = begun(writing.boxed())?;
        Ok(())
    }

    /// Begins to store the end of a turn, or what only the history lacks.
    pub(super) fn put_end(&mut self, mut stored: Stored) -> Result<(), StoreError> {
        let (store, counters, failpoints) =
            (self.store.clone(), self.counters.clone(), self.failpoints.clone());
        let (is_end, since) = (stored.is_end, stored.since);
        let awaited_by = stored.awaited_by.take();
        let change = move |tx: &mut Tx<'_>| write(tx, &stored);
        let writing = async move {
            if is_end {
                failpoints.hit("feed.before_end").await;
            }
            store.write(change).await?;
            if let Some(since) = since {
                counters.relayed(since.elapsed());
            }
            if is_end {
                failpoints.hit("feed.after_end").await;
            }
            if let Some((follower, verdict, usage)) = awaited_by {
                follower.0.send_modify(|progress| {
                    (progress.phase, progress.usage) = (TurnPhase::Ended(verdict), Some(usage));
                });
            }
            Ok(())
        };
        if let Some(writing) = begun(writing.boxed())? {
            self.ends.push(writing);
        }
        Ok(())
    }

    /// Waits until something was stored; for ever when nothing is.
    pub(super) async fn done(&mut self) -> Result<(), StoreError> {
        let stream = async {
            match &mut self.stream {
                Some(writing) => writing.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            written = stream => {
                self.stream = None;
                written
            }
            Some(written) = self.ends.next() => written,
        }
    }
}

/// Hands the change to the database at once, so that those after it come after it there, too: also at the end of this
/// task's turn, when the runtime would let everything else wait for the next one.
fn begun(mut writing: Writing) -> Result<Option<Writing>, StoreError> {
    match unconstrained(&mut writing).now_or_never() {
        Some(written) => written.map(|()| None),
        None => Ok(Some(writing)),
    }
}

fn write(tx: &mut Tx<'_>, stored: &Stored) -> Result<(), StoreError> {
    if let Some(id) = &stored.begins {
        // It may have been ended in this very moment.
        match messages::get(tx, id)?.state {
            DeliveryState::Sending | DeliveryState::Sent => {
                messages::move_to(tx, id, DeliveryState::Running, None)?;
            }
            _ => {}
        }
    }
    for event in &stored.events {
        tx.emit(&stored.subject, event)?;
    }
    let (Some(session), Some(frame)) = (&stored.subject.session, &stored.subject.frame) else {
        return Ok(());
    };
    for message in &stored.messages {
        agent_messages::upsert(tx, session, message)?;
    }
    if stored.is_end {
        sessions::touch(tx, session)?;
        frames::touch(tx, frame)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_handed_over_however_long_its_task_has_run() {
        let mut turns = 0..10_000;
        while tokio::task::coop::consume_budget().now_or_never().is_some() {
            assert!(turns.next().is_some(), "the task's turn never ends");
        }
        let (changes, mut waiting) = tokio::sync::mpsc::channel(1);
        let writing = async move { changes.send(()).await.map_err(|_| StoreError::Closed) };
        let left = begun(writing.boxed()).expect("nothing failed");
        assert!(left.is_none() && waiting.try_recv().is_ok(), "the next one may go past it");
    }
}

//! Storing what is told, one write at a time, beside listening.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::scribe::Scribe;
use crate::model::agent::AgentSessionId;
use crate::model::event::{EventKind, Subject};
use crate::store::{StoreError, Tx};

/// A write in flight.
pub(super) type Writing = BoxFuture<'static, Result<(), StoreError>>;

impl Scribe<'_> {
    /// Begins to store what waits to be told.
    pub(super) fn write(&mut self) -> Option<Writing> {
        let waiting: Vec<AgentSessionId> = self.talks.keys().cloned().collect();
        self.write_of(&waiting)
    }

    fn write_of(&mut self, sessions: &[AgentSessionId]) -> Option<Writing> {
        let mut all: Vec<(Subject, Vec<EventKind>)> = Vec::new();
        let mut oldest: Option<Instant> = None;
        for session in sessions {
            let Some(talk) = self.talks.get_mut(session).filter(|talk| !talk.speech.is_empty()) else {
                continue;
            };
            let (told, since) = talk.speech.take();
            oldest = oldest.into_iter().chain(since).min();
            all.push((talk.subject.clone(), told));
        }
        if all.is_empty() {
            return None;
        }
        let (store, counters) = (self.inner.deps.store.clone(), self.inner.counters.clone());
        let change = move |tx: &mut Tx<'_>| {
            for (subject, told) in &all {
                for happening in told {
                    tx.emit(subject, happening)?;
                }
            }
            Ok(())
        };
        let writing = async move {
            store.write_soon(change).await?;
            counters.relayed(oldest.map(|at| at.elapsed()).unwrap_or(Duration::ZERO));
            Ok(())
        };
        Some(writing.boxed())
    }

    /// Stores everything that waits to be told.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        while let Some(writing) = self.writing.take().or_else(|| self.write()) {
            writing.await?;
        }
        Ok(())
    }

    /// Waits for what is being written.
    pub(super) async fn settle_write(&mut self) -> Result<(), StoreError> {
        match self.writing.take() {
            Some(writing) => writing.await,
            None => Ok(()),
        }
    }
}

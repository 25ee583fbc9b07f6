//! What people take back in the terminal, or past mimir elsewhere: `/undo`, `/redo`, and messages that are deleted.
//!
//! opencode marks a session from where on it is undone, and goes on listing what is. When somebody speaks then, it
//! removes that for good before it does anything else. Who did it, it does not say.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::inquiry::Page;
use super::reconciler::SessionReconciler;
use crate::model::agent::{AgentMessageId, AgentSessionId, UndoPoint};
use crate::store::{StoreError, taken_back};

impl SessionReconciler<'_> {
    /// The agent said from where on a conversation is undone, if it is.
    pub(super) async fn undone(
        &mut self,
        session: &AgentSessionId,
        point: Option<&UndoPoint>,
    ) -> Result<(), StoreError> {
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        if point.is_some() {
            state.undo_is_over = false;
        }
        // It says so with every change of the session.
        if state.undone.as_ref() == point {
            return Ok(());
        }
        (state.undone, state.undo_is_over) = (point.cloned(), false);
        let (id, point) = (state.id.clone(), point.cloned());
        // What was said before is to be there when it is marked.
        self.settle().await?;
        self.deps.store.write_soon(move |tx| taken_back::undo(tx, &id, point.as_ref())).await
    }

    /// The agent has a message no longer.
    pub(super) async fn removed(
        &mut self,
        session: &AgentSessionId,
        message: &AgentMessageId,
    ) -> Result<(), StoreError> {
        if self.feed.is_child(session) || !self.roots.contains(session) || !self.session(session).await? {
            return Ok(());
        }
        self.settle().await?;
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        state.unfinished.remove(message);
        state.removed_at = Some(Instant::now());
        let (id, gone) = (state.id.clone(), [message.clone()]);
        self.deps.store.write_soon(move |tx| taken_back::remove(tx, &id, &gone)).await
    }

    /// Compares what was read with what is kept up to `newest`, which was kept when the agent was asked, at `asked`.
    pub(super) async fn compare(
        &mut self,
        session: &AgentSessionId,
        page: &Page,
        newest: &AgentMessageId,
        asked: Instant,
    ) -> Result<(), StoreError> {
        let Page::Read { messages, is_whole, .. } = page else { return Ok(()) };
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        let there: BTreeSet<AgentMessageId> =
            messages.iter().map(|message| message.head.id.clone()).collect();
        // By time, as the agent lists them: its ids begin anew every few years.
        let from =
            if *is_whole { None } else { messages.iter().map(|message| message.head.created_at).min() };
        let (id, until) = (state.id.clone(), newest.clone());
        let read = self.deps.store.read(move |db| {
            let gone = taken_back::missing(db, &id, (from, &until), &there)?;
            Ok((gone, taken_back::listed_again(db, &id, &there)?))
        });
        let (gone, back) = read.await?;
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        let is_over = state.undo_is_over;
        if !back.is_empty() {
            // What was removed while the question was on its way stands in an answer that is older.
            if state.removed_at.is_some_and(|removed| removed >= asked) {
                self.inquiries.want(session.clone());
            } else {
                let id = state.id.clone();
                self.deps.store.write_soon(move |tx| taken_back::found(tx, &id, &back)).await?;
            }
        }
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        if !gone.is_empty() {
            state.unfinished.retain(|message| !gone.contains(message));
            self.gaps.found(gone.len());
            let id = state.id.clone();
            self.deps.store.write_soon(move |tx| taken_back::remove(tx, &id, &gone)).await?;
        }
        // What is still there was redone.
        if is_over { self.undone(session, None).await } else { Ok(()) }
    }

    /// The agent listed from where on a conversation is undone. When nothing is that was, somebody brought it back, or
    /// went on without it: what was said has to be read to know.
    pub(super) async fn listed_undone(
        &mut self,
        session: &AgentSessionId,
        point: Option<&UndoPoint>,
    ) -> Result<(), StoreError> {
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        if point.is_some() || state.undone.is_none() {
            return self.undone(session, point).await;
        }
        state.undo_is_over = true;
        self.inquiries.want(session.clone());
        Ok(())
    }
}

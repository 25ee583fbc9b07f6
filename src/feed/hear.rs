//! What is heard, event by event.

use std::collections::BTreeSet;

use super::item::Heard;
use super::progress::Emitted;
use super::reconciler::SessionReconciler;
use super::session_state;
use super::sort::Whose;
use super::tracked_turn::TrackedTurn;
use super::turn::Turn;
use crate::approvals::Replied;
use crate::model::agent::{AgentEvent, AgentMessageId, AgentSessionId, AgentStatus, Role};
use crate::model::approval::AgentRequest;
use crate::model::event::EventKind;
use crate::store::{StoreError, Tx, sessions};

/// Sub-agents of sub-agents of …
const DEPTH: usize = 8;

impl SessionReconciler<'_> {
    pub(super) async fn hear(&mut self, heard: &Heard) -> Result<(), StoreError> {
        match &*heard.event {
            AgentEvent::Connected | AgentEvent::Heartbeat | AgentEvent::Other(_) => {}
            AgentEvent::Disposed => self.inquiries.look_now(heard.at),
            AgentEvent::Asked(request) => self.asked(request, heard).await?,
            AgentEvent::PermissionReplied { session, permission, reply } => {
                self.moved(session, heard);
                self.requests.replied(permission, Replied::Permission(reply.clone()));
            }
            AgentEvent::QuestionAnswered { session, question } => {
                self.moved(session, heard);
                self.requests.replied(question, Replied::Question);
            }
            AgentEvent::SessionUpdated { session, parent: Some(_), .. } => drop(self.moved(session, heard)),
            AgentEvent::SessionUpdated { session, parent: None, title, metadata, undone } => {
                self.moved(session, heard);
                if self.roots.updated(session, title, metadata, heard.at) {
                    self.retitled(session, title).await?;
                }
                self.undone(session, undone.as_ref()).await?;
            }
            AgentEvent::SessionDeleted(session) => self.deleted(session, heard).await?,
            AgentEvent::Failed(None, _) => {
                let sessions: Vec<AgentSessionId> = self.sessions.keys().cloned().collect();
                sessions.iter().for_each(|session| self.failed(session, heard));
            }
            AgentEvent::Failed(Some(session), _) => self.failed(session, heard),
            AgentEvent::Status(session, status) => {
                let root = self.moved(session, heard);
                if let Some(state) = self.sessions.get_mut(&root)
                    && *status == AgentStatus::Idle
                    && state.has_work()
                {
                    state.look_at = Some(heard.at);
                }
            }
            AgentEvent::Message(head) => self.said(&head.session, &head.id, heard).await?,
            AgentEvent::Part(part) => self.said(&part.session, &part.message, heard).await?,
            AgentEvent::PartDelta { session, message, .. } => self.said(session, message, heard).await?,
            AgentEvent::MessageRemoved(session, message) => {
                self.moved(session, heard);
                self.removed(session, message).await?;
            }
        }
        Ok(())
    }

    /// Something about a session, as far as the turn that goes on there is concerned. Returns its conversation.
    fn moved(&mut self, session: &AgentSessionId, heard: &Heard) -> AgentSessionId {
        let (root, now_ms) = (self.feed.root_of(session), self.now_ms());
        if let Some(turn) = self.sessions.get_mut(&root).and_then(|state| state.current()) {
            if root == *session {
                turn.see(&heard.event, heard.at, now_ms);
            } else {
                turn.see_child(session, &heard.event, heard.at, now_ms);
            }
        }
        root
    }

    fn failed(&mut self, session: &AgentSessionId, heard: &Heard) {
        let root = self.moved(session, heard);
        if let Some(state) = self.sessions.get_mut(&root).filter(|state| !state.turns.is_empty()) {
            state.look_at = Some(heard.at);
        }
    }

    /// Something about a message.
    async fn said(
        &mut self,
        session: &AgentSessionId,
        message: &AgentMessageId,
        heard: &Heard,
    ) -> Result<(), StoreError> {
        if self.feed.is_child(session) {
            self.moved(session, heard);
            return Ok(());
        }
        self.gaps.hear(session, message);
        let is_head = matches!(&*heard.event, AgentEvent::Message(_));
        if !self.sessions.contains_key(session) {
            if !self.roots.contains(session) {
                // Whose it is has to be asked; what is missed meanwhile is read then.
                self.inquiries.want(session.clone());
                return Ok(());
            }
            if !is_head || !self.session(session).await? {
                return Ok(());
            }
        }
        let now_ms = self.now_ms();
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        state.saw(message);
        if let Some(turn) = state.turn_of(message) {
            turn.see(&heard.event, heard.at, now_ms);
            return Ok(());
        }
        if state.awaited.as_ref().is_some_and(|awaited| message >= awaited) {
            return Ok(());
        }
        if !state.is_news(message) {
            if state.unfinished.contains(message) {
                self.came_late(session);
            }
            return Ok(());
        }
        match &*heard.event {
            AgentEvent::Message(head) if head.role == Role::User => {
                self.prompted(session, heard, message).await
            }
            _ => {
                self.came_late(session);
                Ok(())
            }
        }
    }

    /// Somebody spoke in a session that rested.
    async fn prompted(
        &mut self,
        session: &AgentSessionId,
        heard: &Heard,
        prompt: &AgentMessageId,
    ) -> Result<(), StoreError> {
        let ids = vec![prompt.clone()];
        let whose = self.deps.store.read(move |db| session_state::whose(db, &ids)).await?;
        let (now_ms, patience) = (self.now_ms(), self.deps.settings.patience);
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        match whose.get(prompt) {
            Some(Whose::Open) => state.awaited = Some(prompt.clone()),
            Some(Whose::Ended) => state.is_late = true,
            None if !state.is_read => self.inquiries.want(session.clone()),
            None => {
                state.is_old = false;
                let (emitted, begun) = (Emitted::default(), BTreeSet::new());
                let turn = Turn::of_others(session.clone(), prompt.clone(), emitted, begun, patience);
                let mut turn = TrackedTurn::of_others(turn, state.subject.clone());
                turn.see(&heard.event, heard.at, now_ms);
                state.turns.insert(prompt.clone(), turn);
            }
        }
        Ok(())
    }

    /// Something was said that only the history lacks.
    fn came_late(&mut self, session: &AgentSessionId) {
        if let Some(state) = self.sessions.get_mut(session) {
            state.is_late = true;
        }
        if !self.feed.is_busy(session) {
            self.inquiries.want(session.clone());
        }
    }

    async fn asked(&mut self, request: &AgentRequest, heard: &Heard) -> Result<(), StoreError> {
        let root = self.root_of(&request.session).await;
        self.session(&root).await?;
        self.moved(&request.session, heard);
        self.requests.asked(root, request);
        Ok(())
    }

    async fn retitled(&mut self, session: &AgentSessionId, title: &str) -> Result<(), StoreError> {
        let Some(state) = self.sessions.get(session) else { return Ok(()) };
        let (id, title) = (state.id.clone(), title.to_owned());
        // Everybody in the frame would wait for the disk; what a power cut takes is asked for again.
        self.deps.store.write_soon(move |tx| sessions::retitle(tx, &id, &title)).await
    }

    async fn deleted(&mut self, session: &AgentSessionId, heard: &Heard) -> Result<(), StoreError> {
        self.settle().await?;
        self.roots.remove(session);
        self.inquiries.forget(session);
        let Some(state) = self.sessions.get_mut(session) else { return Ok(()) };
        let (id, subject, lost) = (state.id.clone(), state.subject.clone(), session.clone());
        // A turn of ours ends when it cannot be read any more.
        if state.turns.values().any(|turn| turn.owner.is_some()) {
            state.look_at = Some(heard.at);
        } else {
            self.sessions.remove(session);
        }
        let change = move |tx: &mut Tx<'_>| {
            match sessions::clear_agent_session(tx, &id, &lost) {
                // Whoever deleted it through mimir has told of it.
                Err(StoreError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(()) => tx.emit(&subject, &EventKind::SessionRemoved {}).map(drop),
            }
        };
        self.deps.store.write(change).await
    }

    /// The session whose agent made this one, or itself. One that nobody has heard of is asked for, and everything
    /// else waits for that: only a request in a sub-agent's session of which the beginning was missed comes here.
    pub(super) async fn root_of(&mut self, session: &AgentSessionId) -> AgentSessionId {
        let mut at = self.feed.root_of(session);
        for _ in 0..DEPTH {
            if self.roots.contains(&at) || self.sessions.contains_key(&at) {
                break;
            }
            let Ok(client) = self.deps.locator.agent(self.feed.frame()).await else { break };
            match client.find_session(&at).await {
                Ok(Some(found)) => match found.parent {
                    Some(parent) => {
                        self.feed.found_parent(&at, &parent);
                        at = parent;
                    }
                    None => self.roots.found(&at, found.title, found.metadata),
                },
                _ => break,
            }
        }
        at
    }
}

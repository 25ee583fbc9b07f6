//! What is heard, event by event.

use std::collections::BTreeSet;

use super::run::{Run, Whose};
use super::scribe::Scribe;
use super::subscription::Heard;
use super::talk;
use super::transcript::Told;
use crate::approvals::Replied;
use crate::model::agent::{AgentEvent, AgentMessageId, AgentSessionId, AgentStatus, Role};
use crate::model::approval::AgentRequest;
use crate::store::StoreError;

impl Scribe<'_> {
    pub(super) async fn hear(&mut self, heard: &Heard) -> Result<(), StoreError> {
        match &*heard.event {
            AgentEvent::Connected | AgentEvent::Heartbeat | AgentEvent::Other(_) => Ok(()),
            AgentEvent::Disposed => {
                self.overview_at = Some(heard.at);
                self.must_look = true;
                Ok(())
            }
            AgentEvent::Asked(ask) => self.asked(ask).await,
            AgentEvent::PermissionReplied { permission, reply, .. } => {
                self.replied(permission, Replied::Permission(reply.clone())).await
            }
            AgentEvent::QuestionAnswered { question, .. } => self.replied(question, Replied::Question).await,
            AgentEvent::SessionUpdated { parent: Some(_), .. } => Ok(()),
            AgentEvent::SessionUpdated { session, parent: None, title, metadata } => {
                self.updated(session, title, metadata, heard.at).await
            }
            AgentEvent::SessionDeleted(session) => self.deleted(session).await,
            AgentEvent::Failed(None, _) => {
                for talk in self.talks.values_mut() {
                    if let Some(run) = &mut talk.run {
                        talk.speech.add(run.see(&heard.event, heard.at), heard.at);
                    }
                }
                Ok(())
            }
            AgentEvent::Status(session, status) => {
                self.moved(session, status, heard);
                Ok(())
            }
            AgentEvent::Message(head) => self.said(&head.session, &head.id, heard).await,
            AgentEvent::Part(part) => self.said(&part.session, &part.message, heard).await,
            AgentEvent::PartDelta { session, message, .. } | AgentEvent::MessageRemoved(session, message) => {
                self.said(session, message, heard).await
            }
            AgentEvent::Failed(Some(session), _) => {
                if let Some(talk) = self.talks.get_mut(session)
                    && let Some(run) = &mut talk.run
                {
                    talk.speech.add(run.see(&heard.event, heard.at), heard.at);
                    talk.look_at = Some(heard.at);
                }
                Ok(())
            }
        }
    }

    fn moved(&mut self, session: &AgentSessionId, status: &AgentStatus, heard: &Heard) {
        let claimed = self.inner.claims.prompt(self.feed.frame(), session).is_some();
        let Some(talk) = self.talks.get_mut(session) else { return };
        if let Some(run) = &mut talk.run {
            talk.speech.add(run.see(&heard.event, heard.at), heard.at);
        }
        let is_ours = talk.ours.is_some() && claimed;
        if *status == AgentStatus::Idle && talk.has_work() && !is_ours {
            talk.look_at = Some(heard.at);
        }
    }

    /// Something about a message.
    async fn said(
        &mut self,
        session: &AgentSessionId,
        message: &AgentMessageId,
        heard: &Heard,
    ) -> Result<(), StoreError> {
        let claimed = self.inner.claims.prompt(self.feed.frame(), session);
        let is_claimed = claimed.is_some_and(|prompt| *message >= prompt);
        if is_claimed || self.feed.parent_of(session).is_some() {
            // A lane tells of it; a sub-agent's words are not told.
            if let Some(talk) = self.talks.get_mut(session) {
                talk.seen = talk.seen.take().max(Some(message.clone()));
                talk.was_claimed |= is_claimed;
            }
            return Ok(());
        }
        let first = self.heard.entry(session.clone()).or_insert_with(|| message.clone());
        if message < first {
            first.clone_from(message);
        }
        let is_head = matches!(&*heard.event, AgentEvent::Message(_));
        if !self.talks.contains_key(session) {
            if !self.roots.contains_key(session) {
                // Whose it is has to be asked; what is missed meanwhile is read then.
                self.wanted.insert(session.clone());
                return Ok(());
            }
            if !is_head || !self.talk(session).await? {
                return Ok(());
            }
        }
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        talk.seen = talk.seen.take().max(Some(message.clone()));
        if talk.ours.as_ref().is_some_and(|ours| message >= ours) {
            return Ok(());
        }
        if !talk.is_news(message) {
            if talk.unfinished.contains(message) {
                self.came_late(session);
            }
            return Ok(());
        }
        if let Some(run) = talk.run.as_mut().filter(|run| message >= run.prompt()) {
            talk.speech.add(run.see(&heard.event, heard.at), heard.at);
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
        let whose = self.inner.deps.store.read(move |db| talk::whose(db, &ids)).await?;
        let Some(talk) = self.talks.get_mut(session) else { return Ok(()) };
        match whose.get(prompt) {
            Some(Whose::Open) => talk.ours = Some(prompt.clone()),
            Some(Whose::Ended) => talk.is_late = true,
            None if !talk.is_read => drop(self.wanted.insert(session.clone())),
            None => {
                talk.is_old = false;
                let mut run = Run::new(session.clone(), prompt.clone(), Told::default(), BTreeSet::new());
                talk.speech.add(run.see(&heard.event, heard.at), heard.at);
                talk.run = Some(run);
            }
        }
        Ok(())
    }

    /// Something was said that only the history lacks.
    fn came_late(&mut self, session: &AgentSessionId) {
        if let Some(talk) = self.talks.get_mut(session) {
            talk.is_late = true;
        }
        if !self.feed.is_busy(session) {
            self.wanted.insert(session.clone());
        }
    }

    async fn asked(&mut self, ask: &AgentRequest) -> Result<(), StoreError> {
        self.asked_meanwhile.push(ask.clone());
        let root = self.root_of(&ask.session).await;
        self.talk(&root).await?;
        self.inner.deps.approvals.asked(self.feed.frame(), Some(&root), ask).await
    }

    async fn replied(&mut self, prompt: &str, how: Replied) -> Result<(), StoreError> {
        self.answered_meanwhile.insert(prompt.to_owned());
        self.inner.deps.approvals.replied(self.feed.frame(), prompt, how).await
    }
}

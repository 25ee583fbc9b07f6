//! What is known of one turn, and which events tell of it. Pure.
//!
//! Fed from the event stream and from re-reading, in any order and as often as
//! you like: a part is told once, in order, with nothing doubled.

use std::collections::{BTreeMap, BTreeSet};

use super::progress::{Emitted, MessageProgress, PartProgress, Source};
use crate::model::agent::{
    AgentEvent, AgentFailure, AgentMessage, AgentMessageId, AgentPart, AgentPartId, AgentSessionId,
    AgentStatus, MessageInfo, PartBody, Role,
};
use crate::model::event::EventKind;
use crate::model::usage::Tokens;

/// One turn, from its prompt on.
#[derive(Debug)]
pub struct Transcript {
    session: AgentSessionId,
    prompt: AgentMessageId,
    children: BTreeSet<AgentSessionId>,
    messages: BTreeMap<AgentMessageId, MessageProgress>,
    emitted: Emitted,
    failure: Option<AgentFailure>,
    waiting: BTreeSet<String>,
    retry: u32,
}

impl Transcript {
    /// The turn that `prompt` begins; `emitted` are the events that an earlier gateway stored of it.
    #[must_use]
    pub fn new(session: AgentSessionId, prompt: AgentMessageId, emitted: Emitted) -> Self {
        Self {
            session,
            prompt,
            children: BTreeSet::new(),
            messages: BTreeMap::new(),
            emitted,
            // Those that wait already are in the first look at the agent.
            waiting: BTreeSet::new(),
            failure: None,
            retry: 0,
        }
    }

    /// Takes an event and returns what is to be emitted. Events of other sessions say nothing.
    pub fn see(&mut self, event: &AgentEvent) -> Vec<EventKind> {
        match event {
            AgentEvent::SessionUpdated { session, parent: Some(parent), .. } if self.is_ours(parent) => {
                self.children.insert(session.clone());
                Vec::new()
            }
            AgentEvent::Status(session, status) if *session == self.session => self.status(status),
            AgentEvent::Failed(session, failure) if session.as_ref().is_none_or(|id| *id == self.session) => {
                self.failure.get_or_insert_with(|| failure.clone());
                Vec::new()
            }
            AgentEvent::Message(head) => self.message(head),
            AgentEvent::Part(part) => self.part(part, Source::Stream),
            AgentEvent::PartDelta { session, message, part, delta } if *session == self.session => {
                self.delta(message, part, delta)
            }
            AgentEvent::MessageRemoved(session, message) if *session == self.session => {
                self.messages.remove(message);
                Vec::new()
            }
            AgentEvent::Asked(ask) if self.is_ours(&ask.session) => {
                self.waiting.insert(ask.id.clone());
                Vec::new()
            }
            AgentEvent::PermissionReplied { permission: prompt, .. }
            | AgentEvent::QuestionAnswered { question: prompt, .. } => {
                self.waiting.remove(prompt);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Takes what was re-read. Text that streams is not stored by the agent, so parts that have not ended are
    /// emitted again only when they are whole.
    pub fn absorb(&mut self, messages: &[AgentMessage]) -> Vec<EventKind> {
        let mut events = Vec::new();
        for message in messages {
            events.extend(self.message(&message.head));
            for part in &message.parts {
                events.extend(self.part(part, Source::Reread));
            }
        }
        events
    }

    /// A sub-agent's session, made by the turn's own or by another sub-agent.
    pub fn add_child(&mut self, session: &AgentSessionId) {
        if !self.is_ours(session) {
            self.children.insert(session.clone());
        }
    }

    /// The stream was cut: whatever was being written may lack a piece now.
    pub fn cut(&mut self) {
        for known in self.messages.values_mut() {
            for progress in known.parts.values_mut().filter(|progress| !progress.part.ended) {
                progress.gap = true;
            }
        }
    }

    /// The prompts that wait for a person, as they were just listed; others have been answered meanwhile.
    pub fn still_waiting(&mut self, listed: &BTreeSet<String>) {
        self.waiting.retain(|prompt| listed.contains(prompt));
    }

    /// Whether a session is the turn's own or a sub-agent's of it.
    #[must_use]
    pub fn is_ours(&self, session: &AgentSessionId) -> bool {
        *session == self.session || self.children.contains(session)
    }

    /// Whether a person has to answer something.
    #[must_use]
    pub fn waits_for_person(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The prompt that begins it.
    #[must_use]
    pub fn prompt(&self) -> &AgentMessageId {
        &self.prompt
    }

    /// The words of a prompt; those that the agent added itself only when there are no others.
    #[must_use]
    pub fn words_of(&self, message: &AgentMessageId) -> String {
        let parts = || self.messages.get(message).into_iter().flat_map(|known| known.parts.values());
        let words = |wanted: bool| {
            let texts = parts().filter_map(|progress| match &progress.part.body {
                PartBody::Text { synthetic, .. } if *synthetic == wanted => Some(progress.text.as_str()),
                _ => None,
            });
            texts.collect::<Vec<_>>().join("\n\n")
        };
        let own = words(false);
        if own.is_empty() { words(true) } else { own }
    }

    /// Forgets what is not among `written`, which was read when the session was idle: the agent took it back.
    pub fn align(&mut self, written: &[AgentMessage]) {
        let parts: BTreeMap<&AgentMessageId, BTreeSet<&AgentPartId>> = written
            .iter()
            .map(|message| (&message.head.id, message.parts.iter().map(|part| &part.id).collect()))
            .collect();
        self.messages.retain(|id, known| match parts.get(id) {
            Some(kept) => {
                known.parts.retain(|part, _| kept.contains(part));
                true
            }
            None => false,
        });
    }

    /// The last message that belongs to the answer of the turn's own prompt. What follows was begun by somebody
    /// who spoke to the agent after it, and is another turn.
    #[must_use]
    pub fn last_own(&self) -> Option<&AgentMessageId> {
        let end = self.end_before_next(&self.prompt).map(|head| &head.id);
        end.or_else(|| self.messages.keys().next_back())
    }

    /// The agent's last message for a prompt of the turn. A prompt that comes while the agent works steers it and is
    /// answered with the ones before it.
    #[must_use]
    pub fn last_answer_to(&self, prompt: &AgentMessageId) -> Option<&MessageInfo> {
        self.end_before_next(prompt).or_else(|| self.answers().filter(|head| head.id > *prompt).last())
    }

    /// The end of an answer behind which somebody spoke again.
    fn end_before_next(&self, prompt: &AgentMessageId) -> Option<&MessageInfo> {
        self.other_prompts().filter(|next| *next > prompt).find_map(|next| {
            let answer = self.answers().filter(|head| head.id > *prompt && head.id < *next).last()?;
            answer.is_end().then_some(answer)
        })
    }

    /// The answer to a prompt: the text of the last message that has any, because a turn may end with a step that
    /// only used a tool.
    #[must_use]
    pub fn final_text(&self, prompt: &AgentMessageId) -> String {
        let Some(last) = self.last_answer_to(prompt) else { return String::new() };
        let heads = self.answers().filter(|head| head.id > *prompt && head.id <= last.id);
        heads.map(|head| self.text_of(&head.id)).filter(|text| !text.is_empty()).last().unwrap_or_default()
    }

    /// Whether the agent has the prompt, as far as was seen.
    #[must_use]
    pub fn has_prompt(&self) -> bool {
        self.messages.get(&self.prompt).is_some_and(|known| known.head.is_some())
    }

    /// What the session complained of.
    #[must_use]
    pub fn failure(&self) -> Option<&AgentFailure> {
        self.failure.as_ref()
    }

    /// The agent's messages of this turn, oldest first.
    pub fn answers(&self) -> impl Iterator<Item = &MessageInfo> {
        self.after_prompt()
            .filter_map(|known| known.head.as_ref())
            .filter(|head| head.role == Role::Assistant)
    }

    /// Everything that was said from the prompt on, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<AgentMessage> {
        let all = self.messages.range(&self.prompt..);
        all.filter_map(|(_, known)| Some(AgentMessage { head: known.head.clone()?, parts: known.parts() }))
            .collect()
    }

    /// Messages that somebody wrote into the session after the prompt.
    pub fn other_prompts(&self) -> impl Iterator<Item = &AgentMessageId> {
        self.after_prompt().filter_map(|known| {
            let head = known.head.as_ref().filter(|head| head.role == Role::User)?;
            let written = |progress: &PartProgress| {
                matches!(progress.part.body, PartBody::Text { synthetic: false, .. })
            };
            known.parts.values().any(written).then_some(&head.id)
        })
    }

    /// The text of a message, synthetic pieces left out.
    #[must_use]
    pub fn text_of(&self, message: &AgentMessageId) -> String {
        let parts = self.messages.get(message).into_iter().flat_map(|known| known.parts.values());
        let texts: Vec<&str> = parts
            .filter(|progress| matches!(progress.part.body, PartBody::Text { synthetic: false, .. }))
            .map(|progress| progress.text.trim_end())
            .filter(|text| !text.is_empty())
            .collect();
        texts.join("\n\n")
    }

    /// Tokens and cost of the answer to the turn's own prompt, without sub-agents.
    #[must_use]
    pub fn usage(&self) -> (Tokens, u64) {
        let last = self.last_own();
        let own = self.answers().filter(|head| last.is_none_or(|last| head.id <= *last));
        own.fold((Tokens::default(), 0), |(mut tokens, cost), head| {
            tokens += head.tokens;
            (tokens, cost + head.cost_microusd)
        })
    }

    /// The model calls that are over, as far as they are known.
    pub fn steps(&self) -> impl Iterator<Item = &AgentPart> {
        let parts = self.after_prompt().flat_map(|known| known.parts.values()).map(|progress| &progress.part);
        parts.filter(|part| matches!(part.body, PartBody::StepFinish { .. }))
    }

    fn after_prompt(&self) -> impl Iterator<Item = &MessageProgress> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.messages.range((Excluded(&self.prompt), Unbounded)).map(|(_, known)| known)
    }

    fn status(&mut self, status: &AgentStatus) -> Vec<EventKind> {
        match status {
            AgentStatus::Retry { attempt, message, next_at } if *attempt != self.retry => {
                self.retry = *attempt;
                vec![EventKind::Retry { attempt: *attempt, message: message.clone(), next_at: *next_at }]
            }
            _ => Vec::new(),
        }
    }

    fn message(&mut self, head: &MessageInfo) -> Vec<EventKind> {
        if head.session != self.session || head.id < self.prompt {
            return Vec::new();
        }
        let known = self.messages.entry(head.id.clone()).or_default();
        // A completed message never goes back: a late event must not undo the end of a turn.
        let is_older = known.head.as_ref().is_some_and(|old| {
            old.completed_at.is_some() && head.completed_at.is_none() && head.role == Role::Assistant
        });
        if !is_older {
            known.head = Some(head.clone());
        }
        known.tell(&mut self.emitted)
    }

    fn part(&mut self, part: &AgentPart, source: Source) -> Vec<EventKind> {
        if part.session != self.session || part.message < self.prompt {
            return Vec::new();
        }
        let known = self.messages.entry(part.message.clone()).or_default();
        match known.parts.get_mut(&part.id) {
            Some(progress) => progress.replace(part, source),
            None => {
                let before = self.emitted.texts.remove(&part.id);
                known.parts.insert(part.id.clone(), PartProgress::new(part, source, before));
            }
        }
        known.tell(&mut self.emitted)
    }

    fn delta(&mut self, message: &AgentMessageId, part: &AgentPartId, delta: &str) -> Vec<EventKind> {
        let Some(known) = self.messages.get_mut(message) else { return Vec::new() };
        if let Some(progress) = known.parts.get_mut(part)
            && !progress.part.ended
            && !progress.gap
        {
            progress.text.push_str(delta);
        }
        known.tell(&mut self.emitted)
    }
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;

//! One turn: from somebody's words to the moment in which the session rests. Pure.
//!
//! ```text
//!                words seen                    session idle, answer whole
//!   (prompt) ──────────────► begun ──► answering ───────────────────────► over
//!                              │           │  ▲
//!                              │           ▼  │ words that come meanwhile steer it
//!                              │        answering
//!                              └─ idle for too long: never begun
//! ```
//!
//! A turn that began with a message of ours is told under that message, and its beginning and its end are the message's
//! own events. Any other one (typed in the terminal, sent over the agent's own API) is told under its conversation,
//! from `turn.started` to one `turn.ended` for each of its prompts. Everything else is the same.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::progress::Emitted;
use super::transcript::Transcript;
use super::verdict::{Patience, Verdict, judge};
use crate::model::agent::{AgentEvent, AgentMessage, AgentMessageId, AgentPart, AgentSessionId, MessageInfo};
use crate::model::event::EventKind;
use crate::model::usage::Tokens;

/// Why a turn that somebody stopped has no answer.
const STOPPED: &str = "the turn was stopped";
/// How soon it is worth looking again at an agent that rests and is not done.
const SETTLING: Duration = Duration::from_millis(150);
/// The same, before it has begun.
const BEGINNING: Duration = Duration::from_secs(1);

/// One turn.
#[derive(Debug)]
pub(super) struct Turn {
    transcript: Transcript,
    /// The prompts whose beginning was told; nothing when its message tells it.
    begun: Option<BTreeSet<AgentMessageId>>,
    patience: Patience,
    idle_since: Option<Instant>,
    /// When something was last heard of its words.
    heard_at: Option<Instant>,
}

impl Turn {
    /// The turn of a message of ours; `emitted` is what an earlier gateway told of it.
    pub(super) fn of_message(
        session: AgentSessionId,
        prompt: AgentMessageId,
        emitted: Emitted,
        patience: Patience,
    ) -> Self {
        let transcript = Transcript::new(session, prompt, emitted);
        Self { transcript, begun: None, patience, idle_since: None, heard_at: None }
    }

    /// The turn that somebody began past mimir; `emitted` and `begun` are what an earlier gateway told of it.
    pub(super) fn of_others(
        session: AgentSessionId,
        prompt: AgentMessageId,
        emitted: Emitted,
        begun: BTreeSet<AgentMessageId>,
        patience: Patience,
    ) -> Self {
        let transcript = Transcript::new(session, prompt, emitted);
        Self { transcript, begun: Some(begun), patience, idle_since: None, heard_at: None }
    }

    pub(super) fn prompt(&self) -> &AgentMessageId {
        self.transcript.prompt()
    }

    pub(super) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Takes an event that was heard at `at` and returns what is to be emitted.
    pub(super) fn see(&mut self, event: &AgentEvent, at: Instant) -> Vec<EventKind> {
        self.idle_since = None;
        if matches!(
            event,
            AgentEvent::Message(_)
                | AgentEvent::Part(_)
                | AgentEvent::PartDelta { .. }
                | AgentEvent::MessageRemoved(..)
        ) {
            self.heard_at = self.heard_at.max(Some(at));
        }
        let said = self.transcript.see(event);
        self.begin_then(said)
    }

    /// Takes an event of a sub-agent. Its words are not told; what it asks is waited for.
    pub(super) fn see_child(&mut self, child: &AgentSessionId, event: &AgentEvent) {
        self.idle_since = None;
        self.transcript.add_child(child);
        let _ = self.transcript.see(event);
    }

    /// Takes what was re-read; see [`Transcript::absorb`].
    pub(super) fn absorb(&mut self, messages: &[AgentMessage]) -> Vec<EventKind> {
        let said = self.transcript.absorb(messages);
        self.begin_then(said)
    }

    /// The requests that wait for a person, as they were just listed.
    pub(super) fn still_waiting(&mut self, listed: &BTreeSet<String>) {
        self.transcript.still_waiting(listed);
    }

    /// The connection was lost.
    pub(super) fn cut(&mut self) {
        self.transcript.cut();
        self.idle_since = None;
    }

    /// The session was seen working.
    pub(super) fn is_busy(&mut self) {
        self.idle_since = None;
    }

    /// Patience begins anew: the prompt was handed over again.
    pub(super) fn handed_over_again(&mut self, patience: Patience) {
        self.patience = patience;
        self.idle_since = None;
    }

    /// The session was seen idle; says what that means for the turn. One that was steered is over when its last
    /// prompt is answered; one of ours when the message is, whatever somebody said after the answer.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        let idle_for = now.saturating_duration_since(*self.idle_since.get_or_insert(now));
        let last = if self.begun.is_some() { self.prompts().last() } else { None };
        judge(&self.transcript, last.unwrap_or(self.prompt()), idle_for, self.patience)
    }

    /// Whether more may have been heard of it than an answer to a question of `asked` shows.
    pub(super) fn was_heard_since(&self, asked: Instant) -> bool {
        self.heard_at.is_some_and(|at| at >= asked)
    }

    /// How soon it is worth looking again, when it rests and is not over.
    pub(super) fn look_again(&self) -> Duration {
        let has_begun = self.has_answer() || self.transcript.failure().is_some();
        if has_begun { SETTLING } else { BEGINNING }
    }

    /// Whether the agent was seen answering.
    pub(super) fn has_answer(&self) -> bool {
        self.transcript.answers().next().is_some()
    }

    /// The model calls that are over, as far as they are known.
    pub(super) fn steps(&self) -> impl Iterator<Item = &AgentPart> {
        self.transcript.steps()
    }

    /// What is emitted at the end, after `written` was read, which is the last word on what was said.
    pub(super) fn end(&mut self, written: &[AgentMessage]) -> Vec<EventKind> {
        let mut events = self.absorb(written);
        // What was read without the prompt is not all of it.
        if written.first().is_some_and(|first| first.head.id <= *self.prompt()) {
            self.transcript.align(written);
        }
        events.extend(self.begins(true));
        events.extend(self.ends());
        events
    }

    /// What belongs to it and goes into the history.
    pub(super) fn messages(&self) -> Vec<AgentMessage> {
        let mut messages = self.transcript.messages();
        if self.begun.is_none() {
            let last = self.transcript.last_own();
            messages.retain(|message| last.is_none_or(|last| message.head.id <= *last));
        }
        messages
    }

    /// Words first, then what is said about them.
    fn begin_then(&mut self, said: Vec<EventKind>) -> Vec<EventKind> {
        let mut events = self.begins(!said.is_empty());
        events.extend(said);
        events
    }

    /// Prompts whose words are known and were not told; with `all` also those without any words.
    fn begins(&mut self, all: bool) -> Vec<EventKind> {
        let Some(begun) = &mut self.begun else { return Vec::new() };
        let mut events = Vec::new();
        for prompt in prompts(&self.transcript) {
            let text = self.transcript.words_of(prompt);
            if !begun.contains(prompt) && (all || !text.is_empty()) {
                begun.insert(prompt.clone());
                events.push(EventKind::TurnStarted { prompt: prompt.to_string(), text });
            }
        }
        events
    }

    fn prompts(&self) -> impl Iterator<Item = &AgentMessageId> {
        prompts(&self.transcript)
    }

    /// One end for each prompt. One that was answered together with a later one has that one's answer, and
    /// the later one has the cost.
    fn ends(&self) -> Vec<EventKind> {
        if self.begun.is_none() {
            return Vec::new();
        }
        let prompts: Vec<&AgentMessageId> = self.prompts().collect();
        let end = |(index, prompt): (usize, &&AgentMessageId)| {
            let is_own = |head: &&MessageInfo| {
                head.id > **prompt && prompts.get(index + 1).is_none_or(|next| head.id < **next)
            };
            let own = self.transcript.answers().filter(is_own);
            let (tokens, cost_microusd) = own.fold((Tokens::default(), 0), |(mut sum, cost), head| {
                sum += head.tokens;
                (sum, cost + head.cost_microusd)
            });
            let error = match judge(&self.transcript, prompt, Duration::MAX, self.patience) {
                Verdict::Failed(why) => Some(why),
                Verdict::Stopped => Some(STOPPED.to_owned()),
                // Words that want no answer are no failure.
                Verdict::Answered(_) | Verdict::NotBegun(_) | Verdict::NotYet => None,
            };
            let (prompt, answer) = (prompt.to_string(), self.transcript.final_text(prompt));
            EventKind::TurnEnded { prompt, answer, error, tokens, cost_microusd }
        };
        prompts.iter().enumerate().map(end).collect()
    }
}

fn prompts(transcript: &Transcript) -> impl Iterator<Item = &AgentMessageId> {
    std::iter::once(transcript.prompt()).chain(transcript.other_prompts())
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;

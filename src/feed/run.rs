//! A run: what the agent does when somebody speaks to it past mimir. Pure.
//!
//! It begins with the first words and lasts until the session rests. Words that
//! come meanwhile belong to it: they steer it, and are answered with the first.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::transcript::{Told, Transcript};
use crate::model::agent::{AgentEvent, AgentFailure, AgentMessageId, AgentSessionId, MessageInfo};
use crate::model::event::EventKind;
use crate::model::usage::Tokens;
use crate::opencode::AgentMessage;

/// How long an idle agent may take to show what it did.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From words to the first sign of an answer; there may never be one.
    pub begin: Duration,
    /// From idle to the last update of a message.
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { begin: Duration::from_secs(30), settle: Duration::from_secs(3) }
    }
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    turn: Transcript,
    begun: BTreeSet<AgentMessageId>,
    idle_since: Option<Instant>,
    /// When something was heard of its words.
    heard_at: Option<Instant>,
}

impl Run {
    /// The run that `prompt` begins; `told` and `begun` are what an earlier gateway told of it.
    pub(super) fn new(
        session: AgentSessionId,
        prompt: AgentMessageId,
        told: Told,
        begun: BTreeSet<AgentMessageId>,
    ) -> Self {
        let turn = Transcript::new(session, prompt, told);
        Self { turn, begun, idle_since: None, heard_at: None }
    }

    pub(super) fn prompt(&self) -> &AgentMessageId {
        self.turn.prompt()
    }

    /// Takes an event that was heard at `at` and returns what is to be told.
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
        let said = self.turn.see(event);
        self.begin_then(said)
    }

    /// Takes what was re-read; see [`Transcript::absorb`].
    pub(super) fn absorb(&mut self, turns: &[AgentMessage]) -> Vec<EventKind> {
        let said = self.turn.absorb(turns);
        self.begin_then(said)
    }

    pub(super) fn cut(&mut self) {
        self.turn.cut();
    }

    /// The session was seen idle; says whether that was the end of the run.
    pub(super) fn is_over(&mut self, now: Instant, patience: Patience) -> bool {
        let idle_for = now.saturating_duration_since(*self.idle_since.get_or_insert(now));
        match self.turn.answers().last() {
            None if self.turn.failure().is_some() => idle_for >= patience.settle,
            None => idle_for >= patience.begin,
            Some(last) if last.error.is_some() => true,
            Some(last) if last.completed_at.is_none() => idle_for >= patience.settle,
            Some(last) if last.finish.as_deref() == Some("tool-calls") => idle_for >= patience.settle,
            Some(_) => true,
        }
    }

    /// Whether more may have been heard of it than an answer to a question of `asked` shows.
    pub(super) fn was_heard_since(&self, asked: Instant) -> bool {
        self.heard_at.is_some_and(|at| at >= asked)
    }

    /// How soon it is worth looking again, when it rests and is not over.
    pub(super) fn look_again(&self) -> Duration {
        if self.turn.answers().next().is_some() || self.turn.failure().is_some() {
            Duration::from_millis(150)
        } else {
            Duration::from_secs(1)
        }
    }

    /// What is told at the end, after `written` was read, which is the last word on what was said.
    pub(super) fn end(&mut self, written: &[AgentMessage]) -> Vec<EventKind> {
        let mut told = self.absorb(written);
        self.turn.align(written);
        told.extend(self.begins(true));
        told.extend(self.ends());
        told
    }

    /// Everything that was said.
    pub(super) fn turns(&self) -> Vec<AgentMessage> {
        self.turn.turns()
    }

    /// Words first, then what is said about them.
    fn begin_then(&mut self, said: Vec<EventKind>) -> Vec<EventKind> {
        let mut told = self.begins(!said.is_empty());
        told.extend(said);
        told
    }

    /// Prompts whose words are known and were not told; with `all` also those without any words.
    fn begins(&mut self, all: bool) -> Vec<EventKind> {
        let prompts: Vec<AgentMessageId> = self.prompts().cloned().collect();
        let mut told = Vec::new();
        for prompt in prompts {
            let text = self.turn.words_of(&prompt);
            if !self.begun.contains(&prompt) && (all || !text.is_empty()) {
                self.begun.insert(prompt.clone());
                told.push(EventKind::TurnStarted { prompt: prompt.to_string(), text });
            }
        }
        told
    }

    fn prompts(&self) -> impl Iterator<Item = &AgentMessageId> {
        std::iter::once(self.turn.prompt()).chain(self.turn.other_prompts())
    }

    /// One end for each prompt. One that was answered together with a later one has that one's answer, and
    /// the later one has the cost.
    fn ends(&self) -> Vec<EventKind> {
        let prompts: Vec<&AgentMessageId> = self.prompts().collect();
        let answers: Vec<&MessageInfo> = self.turn.answers().collect();
        let mut ends = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let before = |head: &MessageInfo| prompts.get(index + 1).is_none_or(|next| head.id < **next);
            let mut own = answers.iter().filter(|head| head.id > **prompt && before(head));
            let (tokens, cost_microusd) =
                own.clone().fold((Tokens::default(), 0), |(mut sum, cost), head| {
                    sum += head.tokens;
                    (sum, cost + head.cost_microusd)
                });
            let own_end = own.next_back().filter(|head| is_end(head));
            let last =
                own_end.or_else(|| answers.iter().filter(|head| head.id > **prompt).find(|h| is_end(h)));
            let last = last.or_else(|| answers.iter().rfind(|head| head.id > **prompt));
            let answer = last.map(|last| self.answer_of(prompt, last)).unwrap_or_default();
            let error = last.map_or_else(|| self.turn.failure().map(said), |last| why(last));
            ends.push(EventKind::TurnEnded {
                prompt: prompt.to_string(),
                answer,
                error,
                tokens,
                cost_microusd,
            });
        }
        ends
    }

    /// The text of the last message that has any: a turn may end with a step that only used a tool.
    fn answer_of(&self, prompt: &AgentMessageId, last: &MessageInfo) -> String {
        let heads = self.turn.answers().filter(|head| head.id > *prompt && head.id <= last.id);
        let texts = heads.map(|head| self.turn.text_of(&head.id));
        texts.filter(|text| !text.is_empty()).last().unwrap_or_default()
    }
}

/// Whether a message of the agent is the last one of an answer.
pub(super) fn is_end(head: &MessageInfo) -> bool {
    head.error.is_some() || (head.completed_at.is_some() && head.finish.as_deref() != Some("tool-calls"))
}

fn why(last: &MessageInfo) -> Option<String> {
    if let Some(error) = &last.error {
        return Some(said(error));
    }
    if last.completed_at.is_none() {
        return Some("the agent stopped in the middle of its answer".to_owned());
    }
    let refused = last.finish.as_deref() == Some("tool-calls");
    refused.then(|| "the agent stopped because something it asked for was refused".to_owned())
}

fn said(error: &AgentFailure) -> String {
    if error.is_abort() { "the turn was stopped".to_owned() } else { error.message.clone() }
}

/// What was read of a session and is not told yet, by who is to tell it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sorted {
    /// In order.
    pub pieces: Vec<Piece>,
    /// The message of ours that is on its way, and with it everything behind it.
    pub ours: Option<AgentMessageId>,
}

/// A piece of a conversation.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    /// Belongs to a message of ours that has ended, or to a run that was told: only the history lacks it.
    Quiet(Vec<AgentMessage>),
    /// Somebody spoke past mimir.
    Foreign(Vec<AgentMessage>),
}

/// Whose a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// One of ours, on its way.
    Open,
    /// One of ours that has ended.
    Ended,
}

/// Sorts what was read; `whose` says which prompts are ours.
pub(super) fn sort(turns: Vec<AgentMessage>, whose: impl Fn(&AgentMessageId) -> Option<Whose>) -> Sorted {
    let mut sorted = Sorted::default();
    for turn in turns {
        let is_prompt = is_prompt(&turn);
        match (is_prompt, whose(&turn.head.id)) {
            (_, Some(Whose::Open)) => {
                sorted.ours = Some(turn.head.id);
                break;
            }
            (_, Some(Whose::Ended)) => sorted.pieces.push(Piece::Quiet(vec![turn])),
            (true, None) => match sorted.pieces.last_mut() {
                Some(Piece::Foreign(turns)) => turns.push(turn),
                _ => sorted.pieces.push(Piece::Foreign(vec![turn])),
            },
            (false, None) => match sorted.pieces.last_mut() {
                Some(Piece::Foreign(turns) | Piece::Quiet(turns)) => turns.push(turn),
                None => sorted.pieces.push(Piece::Quiet(vec![turn])),
            },
        }
    }
    sorted
}

/// Whether somebody's words begin here; the agent writes user messages of its own when it compacts.
fn is_prompt(turn: &AgentMessage) -> bool {
    use crate::model::agent::{PartBody, Role};
    let is_word = |body: &PartBody| matches!(body, PartBody::Text { synthetic: false, .. });
    turn.head.role == Role::User && turn.parts.iter().any(|part| is_word(&part.body))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

//! How a turn ended, if it did. Pure.

use std::time::Duration;

use super::transcript::Transcript;
use crate::model::agent::{AgentFailure, AgentMessageId, MessageInfo};
use crate::store::messages::Finish;

/// What a look at the agent says about a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, or the last word is still on its way.
    NotYet,
    /// The agent has the message, or said so, and does nothing about it.
    NotBegun(String),
    /// There is an answer.
    Answered(Answer),
    /// There will be none; the sentence says why.
    Failed(String),
    /// Somebody stopped it, in the terminal or through us.
    Stopped,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The last text that the agent wrote.
    pub text: String,
    /// Why the model stopped.
    pub finish: Option<String>,
}

/// How long an idle agent may take to show what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From taking a prompt to beginning with it; the first of a server's life takes up to 7 s.
    pub begin: Duration,
    /// The same, after it was handed over again.
    pub begin_again: Duration,
    /// From idle to the last update of its message; measured 0.05 to 0.9 s.
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            begin: Duration::from_secs(15),
            begin_again: Duration::from_secs(30),
            settle: Duration::from_secs(3),
        }
    }
}

/// Decides from what was re-read after the agent had been idle for `idle_for`.
#[must_use]
pub fn judge(turn: &Transcript, idle_for: Duration, patience: Patience) -> Verdict {
    let Some(last) = last_of_our_turn(turn) else {
        return without_answer(turn, idle_for, patience);
    };
    if let Some(error) = &last.error {
        return broken(error);
    }
    if last.completed_at.is_none() {
        return if idle_for < patience.settle {
            Verdict::NotYet
        } else if let Some(failure) = turn.failure() {
            broken(failure)
        } else {
            let why = "the agent stopped in the middle of its answer (it was restarted or killed); \
                       send the message again to go on";
            Verdict::Failed(why.to_owned())
        };
    }
    // Completed, idle, and the model's last wish was a tool call: it was refused one.
    if last.finish.as_deref() == Some("tool-calls") {
        return if idle_for < patience.settle {
            Verdict::NotYet
        } else {
            Verdict::Failed("the agent stopped because something it asked for was refused".to_owned())
        };
    }
    let text = final_text(turn, &last.id);
    Verdict::Answered(Answer { text, finish: last.finish.clone() })
}

/// What is stored with an answer.
#[must_use]
pub fn finish(turn: &Transcript, answer: Answer) -> Finish {
    let (tokens, cost_microusd) = turn.usage();
    Finish { answer: answer.text, tokens, cost_microusd, finish: answer.finish }
}

fn without_answer(turn: &Transcript, idle_for: Duration, patience: Patience) -> Verdict {
    match turn.failure() {
        Some(failure) if idle_for >= patience.settle => broken(failure),
        _ if idle_for < patience.begin => Verdict::NotYet,
        _ if turn.has_prompt() => {
            Verdict::NotBegun("the agent took the message and never began to answer".to_owned())
        }
        _ => Verdict::NotBegun("the agent accepted the message and lost it".to_owned()),
    }
}

fn broken(error: &AgentFailure) -> Verdict {
    if error.is_abort() {
        return Verdict::Stopped;
    }
    let status = error.status.map(|code| format!(" (HTTP {code})")).unwrap_or_default();
    Verdict::Failed(match error.name.as_str() {
        "APIError" | "ProviderAuthError" => format!("the model provider refused{status}: {}", error.message),
        "ContextOverflowError" => format!("the conversation is too long for the model: {}", error.message),
        "ContentFilterError" => {
            format!("the provider's content filter stopped the answer: {}", error.message)
        }
        _ => format!("the agent failed: {}", error.message),
    })
}

/// The agent's last message before somebody else's prompt, or of all when that prompt steered our turn:
/// a second prompt while the agent works is answered together with the first.
fn last_of_our_turn(turn: &Transcript) -> Option<&MessageInfo> {
    let next = turn.other_prompts().next();
    let before = |limit: &AgentMessageId| turn.answers().filter(|head| head.id < *limit).last();
    let own = next.and_then(before).filter(|head| {
        head.error.is_some() || (head.completed_at.is_some() && head.finish.as_deref() != Some("tool-calls"))
    });
    own.or_else(|| turn.answers().last())
}

/// The text of the last message that has any: a turn may end with a step that only used a tool.
fn final_text(turn: &Transcript, last: &AgentMessageId) -> String {
    let texts = turn.answers().filter(|head| head.id <= *last).map(|head| turn.text_of(&head.id));
    texts.filter(|text| !text.is_empty()).last().unwrap_or_default()
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;

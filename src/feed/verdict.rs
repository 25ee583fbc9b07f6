//! How a turn ended, if it did. Pure.
//!
//! The one place that says so, whoever began the turn: a look at the agent, after its session had been idle for a
//! while, becomes a [`Verdict`].

use std::time::Duration;

use super::transcript::Transcript;
use crate::model::agent::{AgentFailure, AgentMessageId};

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
    /// From idle to the last update of its message; measured 0.05 to 0.9 s.
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { begin: Duration::from_secs(30), settle: Duration::from_secs(3) }
    }
}

/// Decides what became of `prompt`, which is one of the turn's, after the agent had been idle for `idle_for`.
#[must_use]
pub fn judge(turn: &Transcript, prompt: &AgentMessageId, idle_for: Duration, patience: Patience) -> Verdict {
    let Some(last) = turn.last_answer_to(prompt) else {
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
    Verdict::Answered(Answer { text: turn.final_text(prompt), finish: last.finish.clone() })
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

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;

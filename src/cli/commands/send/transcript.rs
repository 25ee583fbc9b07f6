//! Events of a message → what to write where. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::{Calls, Seen};
use super::thought::Thought;
use crate::cli::commands::approvals::words;
use crate::cli::table::clean;
use crate::model::agent::ToolStatus;
use crate::model::approval::{ApprovalState, AskedQuestion, command};
use crate::model::event::EventKind;
use crate::model::message::DeliveryState;
use crate::model::quantity::{count, money, took};
use crate::model::visible::{exact, prose};
use crate::wire::messages::MessageView;

/// Something to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A part of the answer, for standard output.
    Answer(String),
    /// A line about what goes on, for standard error.
    Aside(String),
    /// One with something behind it that is shown whole when the line is cut.
    Timed { line: String, behind: String },
}

/// How much is told. Nothing of it: what programs have always been told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// A person watches: tools with what they work with and their time, and how long the model thought.
    pub watched: bool,
    /// The answer goes to the same terminal.
    pub answer_is_shown: bool,
    /// What the model thinks aloud.
    pub reasoning: bool,
    /// What the agent asks is put to the person who watches, by somebody else.
    pub asks: bool,
}

/// What is on the screen so far.
#[derive(Debug, Default)]
pub struct Transcript {
    detail: Detail,
    part: Option<String>,
    /// Parts of the answer that were shown.
    texts: BTreeSet<String>,
    /// Whether the cursor stands behind text.
    mid_line: bool,
    wrote_text: bool,
    /// Asked and not answered yet, with our id of it.
    waiting: BTreeMap<String, Option<String>>,
    /// Something was denied because nobody came.
    missed: bool,
    answer: Option<String>,
    /// Why the model stopped.
    finish: Option<String>,
    /// Budgets that came to their end meanwhile.
    budgets: Vec<String>,
    calls: Calls,
    thought: Thought,
}

impl Transcript {
    /// An empty one.
    pub fn new(detail: Detail) -> Self {
        Self { detail, ..Self::default() }
    }

    /// Takes in what happened, and when (UTC ms).
    pub fn take(&mut self, at: u64, what: &EventKind) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if let EventKind::Reasoning { delta, .. } = what {
            let lines = self.thought.go_on(at, delta);
            if self.detail.reasoning && !lines.is_empty() {
                pieces.extend(self.end_line());
                pieces.extend(lines.into_iter().map(|line| Piece::Aside(format!("│ {line}"))));
            }
        } else if ends_a_thought(what) {
            pieces.extend(self.fold(at));
        }
        pieces.extend(self.told(at, what));
        pieces
    }

    fn told(&mut self, at: u64, what: &EventKind) -> Vec<Piece> {
        match what {
            EventKind::Text { delta, part } => {
                self.texts.insert(part.clone());
                self.text(delta, part)
            }
            // Of thinking aloud nothing was shown.
            EventKind::Rewritten { part, text } if self.texts.contains(part) => {
                let mut pieces = self.aside("the agent took back what it had written".to_owned());
                pieces.extend(self.text(text, part));
                pieces
            }
            EventKind::Tool { call, tool, status, title, input, output } => {
                let (status, title) = (*status, title.as_deref());
                let ended = self.calls.take(Seen { at, call, tool, status, title, input: input.as_ref() });
                match (self.detail.watched, ended) {
                    (false, _) => self.tool(tool, status, title, output.as_deref()),
                    (true, Some(ended)) => {
                        let time = ended.begun_at.map(|begun| took(at.saturating_sub(begun)));
                        let line = match status {
                            ToolStatus::Error => format!("✗ {}: {}", ended.line(), why(output.as_deref())),
                            _ => format!("✓ {}", ended.line()),
                        };
                        self.timed(&line, time)
                    }
                    // It shows in the live line, which needs a line of its own.
                    (true, None) if self.detail.answer_is_shown => self.end_line(),
                    (true, None) => Vec::new(),
                }
            }
            EventKind::Retry { attempt, message, .. } => {
                self.aside(format!("the model call failed ({message}); attempt {attempt} comes"))
            }
            EventKind::PromptAsked { prompt, id, .. } => {
                self.waiting.insert(prompt.clone(), id.clone());
                if self.detail.asks && id.is_some() { self.end_line() } else { self.asked(what) }
            }
            EventKind::PromptAnswered { prompt, text, state, by, rule, reason, .. } => {
                let was_shown = self.waiting.remove(prompt).is_some();
                // A connection that nobody was asked about in time expires, and the turn goes on.
                self.missed |= by.as_deref() == Some("deadline") && *state != Some(ApprovalState::Expired);
                match (state, by) {
                    (Some(state), Some(by)) if was_shown || rule.is_some() => {
                        let by = words::by(Some(by), None);
                        let of = rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
                        let why = reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                        let what = text.as_deref().unwrap_or("it");
                        self.aside(format!("{what} – {state} by {by}{of}{why}"))
                    }
                    _ => Vec::new(),
                }
            }
            EventKind::Answered { answer, finish, .. } => {
                self.answer = Some(answer.clone());
                self.finish.clone_from(finish);
                Vec::new()
            }
            EventKind::BudgetWarning { text, .. } => {
                self.budgets.push(exact(text));
                Vec::new()
            }
            EventKind::FrameMoved { to, .. } => self.aside(format!("the frame is {to}")),
            EventKind::FrameNote { text, .. } => self.aside(text.clone()),
            // The rest shows in the end.
            _ => Vec::new(),
        }
    }

    /// What the agent asks, and the commands that answer it.
    pub fn asked(&mut self, what: &EventKind) -> Vec<Piece> {
        let EventKind::PromptAsked { form, text, id, questions, from_child, .. } = what else {
            return Vec::new();
        };
        let who = if *from_child { "a sub-agent" } else { "the agent" };
        let mut pieces = self.aside(match form.as_str() {
            "connection" => format!("{}, which is not on the frame's list", exact(text)),
            _ => format!("{who} waits for {}: {}", wanted(form), exact(text)),
        });
        pieces.extend(questions.iter().flat_map(options));
        if let Some(id) = id {
            pieces.push(Piece::Aside(format!("  {}", command(form, id))));
            if form == "connection" {
                pieces.push(Piece::Aside(format!("  mimir approvals allow {id} --always")));
                pieces.push(Piece::Aside(format!("  mimir approvals deny {id}")));
            }
            if form == "permission" {
                pieces.push(Piece::Aside(format!("  mimir approvals deny {id} --why \"…\"")));
            }
        }
        pieces
    }

    /// The tools that run.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Why the answer is not whole, and what to do about it.
    pub fn cut_off(&self) -> Option<(&'static str, &'static str)> {
        match self.finish.as_deref()? {
            "length" => Some(("the model had written as much as it may at once", "lets it go on")),
            "content-filter" | "content_filter" => {
                Some(("the provider's content filter stopped it", "asks in other words"))
            }
            "error" => Some(("the model's stream ended with an error", "lets it go on")),
            _ => None,
        }
    }

    /// Whether the cursor of this terminal stands behind text of the answer.
    pub fn is_mid_line(&self) -> bool {
        self.mid_line && self.detail.answer_is_shown
    }

    /// Whether the agent waits for a person.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The command that answers what is waited for, when it is known.
    pub fn answer_command(&self) -> Option<String> {
        self.waiting.values().flatten().next().map(|id| format!("mimir approvals show {id}"))
    }

    /// Whether something was denied because nobody was there.
    pub fn missed_an_approval(&self) -> bool {
        self.missed
    }

    /// What is to be said of budgets that came to their end meanwhile.
    pub fn budgets(&self) -> &[String] {
        &self.budgets
    }

    /// Ends the line that is being written, if any.
    pub fn end_line(&mut self) -> Vec<Piece> {
        if std::mem::take(&mut self.mid_line) { vec![Piece::Answer("\n".to_owned())] } else { Vec::new() }
    }

    /// What is still missing on the screen when the message is done.
    pub fn finish(&mut self, message: &MessageView) -> Vec<Piece> {
        let mut pieces = self.end_line();
        pieces.extend(self.fold(message.ended_at.unwrap_or(message.created_at)));
        let answer = message.answer.clone().or_else(|| self.answer.take()).unwrap_or_default();
        if message.state == DeliveryState::Answered && !self.wrote_text && !answer.is_empty() {
            pieces.push(Piece::Answer(format!("{}\n", prose(answer.trim_end()))));
        }
        pieces
    }

    fn text(&mut self, delta: &str, part: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.part.as_deref() != Some(part) {
            pieces.extend(self.end_line());
            self.part = Some(part.to_owned());
        }
        let text = prose(delta);
        if !text.is_empty() {
            self.wrote_text = true;
            self.mid_line = !text.ends_with('\n');
            pieces.push(Piece::Answer(text));
        }
        pieces
    }

    fn tool(
        &mut self,
        tool: &str,
        status: ToolStatus,
        title: Option<&str>,
        output: Option<&str>,
    ) -> Vec<Piece> {
        let title = title.unwrap_or_default();
        match status {
            // Its arguments are still being written, or its result is about to come.
            ToolStatus::Pending | ToolStatus::Running => Vec::new(),
            // What was refused has no title.
            ToolStatus::Completed => self.aside(format!("✓ {tool} {title}").trim_end().to_owned()),
            ToolStatus::Error => {
                let call = format!("{tool} {title}");
                self.aside(format!("✗ {}: {}", call.trim_end(), why(output)))
            }
        }
    }

    /// The model thinks no more: one line for all of it.
    fn fold(&mut self, at: u64) -> Vec<Piece> {
        let Some(thought) = self.thought.end(at) else { return Vec::new() };
        let mut pieces = Vec::new();
        if self.detail.reasoning {
            pieces.extend(self.end_line());
            pieces.extend(thought.rest.map(|line| Piece::Aside(format!("│ {line}"))));
            pieces.push(Piece::Aside(format!("thought for {}", took(thought.took))));
        } else if self.detail.watched {
            pieces.extend(self.timed(&format!("∴ {}", thought.text), Some(took(thought.took))));
        }
        pieces
    }

    fn timed(&mut self, line: &str, time: Option<String>) -> Vec<Piece> {
        let mut pieces = self.end_line();
        pieces.push(Piece::Timed { line: clean(line.trim_end()), behind: time.unwrap_or_default() });
        pieces
    }

    fn aside(&mut self, text: String) -> Vec<Piece> {
        let mut pieces = self.end_line();
        pieces.push(Piece::Aside(clean(text.trim_end())));
        pieces
    }
}

/// Whether a model that thought aloud has come to something.
fn ends_a_thought(what: &EventKind) -> bool {
    match what {
        EventKind::MessageMoved { to, .. } => to.is_final(),
        EventKind::Text { .. }
        | EventKind::Tool { .. }
        | EventKind::Retry { .. }
        | EventKind::PromptAsked { .. }
        | EventKind::Answered { .. } => true,
        _ => false,
    }
}

/// The first line of what a tool says about its failure.
fn why(output: Option<&str>) -> &str {
    output.and_then(|text| text.lines().find(|line| !line.trim().is_empty())).unwrap_or("it failed")
}

fn wanted(form: &str) -> &'static str {
    match form {
        "question" => "an answer",
        _ => "permission",
    }
}

fn options(question: &AskedQuestion) -> Vec<Piece> {
    let numbered = question.options.iter().enumerate();
    numbered.map(|(n, option)| Piece::Aside(format!("  {}  {}", n + 1, exact(&option.label)))).collect()
}

/// The last line: what it took.
pub fn summary(message: &MessageView) -> String {
    let mut facts = Vec::new();
    facts.extend(message.model.clone());
    facts.push(format!("{} tokens", count(message.tokens.total())));
    facts.push(money(message.cost_microusd));
    facts.extend(message.ended_at.map(|at| took(at.saturating_sub(message.created_at))));
    facts.push(message.session.clone());
    facts.join(" · ")
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;

//! Events of a message → what to write where. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::table::clean;
use crate::model::agent::ToolStatus;
use crate::model::approval::{AskedQuestion, command};
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
}

/// What is on the screen so far.
#[derive(Debug, Default)]
pub struct Transcript {
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
}

impl Transcript {
    /// Takes in what happened.
    pub fn take(&mut self, what: &EventKind) -> Vec<Piece> {
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
            EventKind::Tool { tool, status, title, output, .. } => {
                self.tool(tool, *status, title.as_deref(), output.as_deref())
            }
            EventKind::Retry { attempt, message, .. } => {
                self.aside(format!("the model call failed ({message}); attempt {attempt} comes"))
            }
            EventKind::PromptAsked { prompt, form, text, id, questions, from_child, .. } => {
                self.waiting.insert(prompt.clone(), id.clone());
                let who = if *from_child { "a sub-agent" } else { "the agent" };
                let mut pieces = self.aside(format!("{who} waits for {}: {}", wanted(form), exact(text)));
                pieces.extend(questions.iter().flat_map(options));
                if let Some(id) = id {
                    pieces.push(Piece::Aside(format!("  {}", command(form, id))));
                    if form == "permission" {
                        pieces.push(Piece::Aside(format!("  mimir approvals deny {id} --why \"…\"")));
                    }
                }
                pieces
            }
            EventKind::PromptAnswered { prompt, text, state, by, rule, reason, .. } => {
                let was_shown = self.waiting.remove(prompt).is_some();
                self.missed |= by.as_deref() == Some("deadline");
                match (state, by) {
                    (Some(state), Some(by)) if was_shown || rule.is_some() => {
                        let of = rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
                        let why = reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                        let what = text.as_deref().unwrap_or("it");
                        self.aside(format!("{what} – {state} by {by}{of}{why}"))
                    }
                    _ => Vec::new(),
                }
            }
            EventKind::Answered { answer, .. } => {
                self.answer = Some(answer.clone());
                Vec::new()
            }
            EventKind::FrameMoved { to, .. } => self.aside(format!("the frame is {to}")),
            EventKind::FrameNote { text, .. } => self.aside(text.clone()),
            // Thinking aloud is no answer; the rest shows in the end.
            _ => Vec::new(),
        }
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

    /// Ends the line that is being written, if any.
    pub fn end_line(&mut self) -> Vec<Piece> {
        if std::mem::take(&mut self.mid_line) { vec![Piece::Answer("\n".to_owned())] } else { Vec::new() }
    }

    /// What is still missing on the screen when the message is done.
    pub fn finish(&mut self, message: &MessageView) -> Vec<Piece> {
        let mut pieces = self.end_line();
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
            ToolStatus::Completed => self.aside(format!("✓ {tool} {title}")),
            ToolStatus::Error => {
                let why = output.and_then(|text| text.lines().find(|line| !line.trim().is_empty()));
                self.aside(format!("✗ {tool} {title}: {}", why.unwrap_or("it failed")))
            }
        }
    }

    fn aside(&mut self, text: String) -> Vec<Piece> {
        let mut pieces = self.end_line();
        pieces.push(Piece::Aside(clean(text.trim_end())));
        pieces
    }
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
mod tests {
    use super::*;

    fn text(delta: &str, part: &str) -> EventKind {
        EventKind::Text { delta: delta.to_owned(), part: part.to_owned() }
    }

    fn written(transcript: &mut Transcript, events: &[EventKind]) -> String {
        let mut screen = String::new();
        for piece in events.iter().flat_map(|event| transcript.take(event)) {
            match piece {
                Piece::Answer(text) => screen.push_str(&text),
                Piece::Aside(line) => screen.push_str(&format!("[{line}]\n")),
            }
        }
        screen
    }

    #[test]
    fn text_and_tools_share_a_screen_without_mixing() {
        let tool = |status| EventKind::Tool {
            call: "c".to_owned(),
            tool: "read".to_owned(),
            status,
            title: Some("README.md".to_owned()),
            input: None,
            output: Some("\nno such file\n".to_owned()),
        };
        let events = [
            text("I look", "p1"),
            text(" first.", "p1"),
            tool(ToolStatus::Running),
            tool(ToolStatus::Completed),
            tool(ToolStatus::Error),
            text("Done\x1b[2J.", "p2"),
            text("Really.", "p3"),
        ];
        let screen = written(&mut Transcript::default(), &events);
        assert_eq!(
            screen,
            "I look first.\n[✓ read README.md]\n[✗ read README.md: no such file]\nDone[2J.\nReally."
        );
    }

    #[test]
    fn a_question_is_open_until_it_is_answered() {
        let mut transcript = Transcript::default();
        let ask =
            EventKind::asked("per_1".to_owned(), "permission".to_owned(), "bash: rm -rf build".to_owned());
        assert_eq!(
            written(&mut transcript, &[ask]),
            "[the agent waits for permission: bash: rm -rf build]\n"
        );
        assert!(transcript.is_waiting());
        // A sub-agent may go on working beside it.
        written(&mut transcript, &[text("ok", "p")]);
        assert!(transcript.is_waiting());
        written(&mut transcript, &[EventKind::prompt_over("per_1".to_owned())]);
        assert!(!transcript.is_waiting());
    }

    /// A person must be able to read what will run.
    #[test]
    fn what_waits_for_permission_reads_as_it_runs() {
        let asked = EventKind::PromptAsked {
            prompt: "per_1".to_owned(),
            form: "permission".to_owned(),
            text: "bash: rm \u{202e}txt.elif\u{202c}\r safe".to_owned(),
            id: None,
            questions: Vec::new(),
            from_child: false,
            tool: None,
            patterns: Vec::new(),
            deadline_at: None,
        };
        let pieces = Transcript::default().take(&asked);
        let shown = "the agent waits for permission: bash: rm \\u{202e}txt.elif\\u{202c}\\u{d} safe";
        assert_eq!(pieces, [Piece::Aside(shown.to_owned())]);
    }
}

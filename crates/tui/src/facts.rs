//! What the gateway says, as it was last heard. Pure.

use std::collections::{BTreeMap, VecDeque};

use mimir_client::told::told;
use mimir_model::event::{Event, EventKind};
use mimir_model::message::DeliveryState;
use mimir_model::visible;
use mimir_model::wire::approvals::ApprovalView;
use mimir_model::wire::budgets::Spending;
use mimir_model::wire::frames::FrameSummary;
use mimir_model::wire::runs::{RunDetails, RunView};
use mimir_model::wire::schedules::ScheduleView;

use crate::effect::Read;

/// So many events are kept for the list.
const EVENTS: usize = 500;
/// So much of what an agent does or says fits a line.
const LINE: usize = 200;

/// Whether the gateway is heard.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Link {
    /// Nothing was heard yet.
    #[default]
    New,
    /// It is heard.
    Up,
    /// It went away and is waited for.
    Away,
}

/// What an agent was last seen doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doing {
    /// A tool and what it does.
    pub tool: Option<String>,
    /// Its last words.
    pub words: String,
}

/// An event for the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// UTC ms.
    pub at: u64,
    /// Of which frame.
    pub frame: Option<String>,
    /// `frame.moved`.
    pub kind: &'static str,
    /// The rest, in one line.
    pub text: String,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Facts {
    /// Whether the gateway is heard.
    pub link: Link,
    /// By name.
    pub frames: Vec<FrameSummary>,
    /// Whether they were read at all.
    pub is_read: bool,
    /// Open ones, oldest first.
    pub approvals: Vec<ApprovalView>,
    /// Newest first.
    pub runs: Vec<RunView>,
    /// The one that is looked at.
    pub run: Option<RunDetails>,
    /// By name.
    pub schedules: Vec<ScheduleView>,
    /// Budgets and costs.
    pub spending: Option<Spending>,
    /// By frame.
    pub doing: BTreeMap<String, Doing>,
    /// Newest last.
    pub events: VecDeque<Told>,
}

impl Facts {
    /// What a frame's agent waits for, the oldest first.
    pub fn asked_by<'a>(&'a self, frame: &'a str) -> impl Iterator<Item = &'a ApprovalView> {
        self.approvals.iter().filter(move |approval| approval.frame == frame)
    }

    /// Takes in what happened; says what has to be read again.
    pub fn hear(&mut self, event: &Event) -> Vec<Read> {
        let frame = event.subject.frame_name.as_ref().map(|name| name.as_str().to_owned());
        if let Some(text) = line_of(&event.what) {
            self.events.push_back(Told { at: event.at, frame: frame.clone(), kind: event.what.kind(), text });
            while self.events.len() > EVENTS {
                self.events.pop_front();
            }
        }
        if let Some(frame) = &frame {
            self.note(frame, &event.what);
        }
        match &event.what {
            EventKind::PromptAsked { .. } | EventKind::PromptAnswered { .. } => {
                vec![Read::Approvals, Read::Frames]
            }
            EventKind::RunMoved { .. } => vec![Read::Runs, Read::Frames],
            EventKind::SchedulePaused { .. } => vec![Read::Schedules],
            EventKind::BudgetWarning { .. } => vec![Read::Spending],
            EventKind::Answered { .. } | EventKind::TurnEnded { .. } => vec![Read::Frames, Read::Spending],
            EventKind::Text { .. }
            | EventKind::Reasoning { .. }
            | EventKind::Rewritten { .. }
            | EventKind::Tool { .. }
            | EventKind::SessionRenamed { .. }
            | EventKind::KeyRedacted { .. }
            | EventKind::ConnectionRefused { .. } => Vec::new(),
            _ => vec![Read::Frames],
        }
    }

    fn note(&mut self, frame: &str, what: &EventKind) {
        let doing = self.doing.entry(frame.to_owned()).or_default();
        match what {
            EventKind::Tool { tool, status, title, input, .. } => {
                use mimir_model::agent::ToolStatus::{Completed, Error, Pending, Running};
                match status {
                    Pending | Running => {
                        let what = input
                            .as_ref()
                            .and_then(|input| argument(input))
                            .or(title.as_deref())
                            .unwrap_or_default();
                        // The first event has the argument, later ones may not.
                        if !what.is_empty()
                            || doing.tool.as_deref().is_none_or(|known| !known.starts_with(tool.as_str()))
                        {
                            let line: String = format!("{tool} {what}").chars().take(LINE).collect();
                            doing.tool = Some(visible::line(line.trim_end()));
                        }
                    }
                    Completed | Error => doing.tool = None,
                }
            }
            EventKind::Answered { answer, .. } | EventKind::TurnEnded { answer, .. } => {
                doing.tool = None;
                doing.words = last_line(answer);
            }
            EventKind::TurnStarted { .. } | EventKind::FrameMoved { .. } => doing.tool = None,
            EventKind::MessageMoved { to: DeliveryState::Failed | DeliveryState::Cancelled, .. } => {
                doing.tool = None
            }
            EventKind::FrameRemoved {} => drop(self.doing.remove(frame)),
            _ => {}
        }
    }
}

/// What a tool is called with, in a word: a command, a path, an address, what is looked for.
pub fn argument(input: &serde_json::Value) -> Option<&str> {
    ["command", "filePath", "path", "url", "pattern", "query", "description"]
        .iter()
        .find_map(|name| input[*name].as_str())
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// The last line that says something, cut.
pub fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    visible::line(&line.chars().take(LINE).collect::<String>())
}

/// An event for people; none where the conversation shows it.
fn line_of(what: &EventKind) -> Option<String> {
    let words = match what {
        EventKind::Text { .. }
        | EventKind::Reasoning { .. }
        | EventKind::Rewritten { .. }
        | EventKind::StatusChanged { .. }
        | EventKind::MessageQueued {} => return None,
        EventKind::FrameCreated {} | EventKind::FrameRemoved {} | EventKind::SessionRemoved {} => {
            String::new()
        }
        EventKind::FrameMoved { from, to, reason } => match reason {
            Some(reason) => format!("{from} → {to}: {reason}"),
            None => format!("{from} → {to}"),
        },
        EventKind::FrameNote { text, .. } | EventKind::BudgetWarning { text, .. } => text.clone(),
        EventKind::PortExchanged { from, to, .. } => format!("{from} → {to}"),
        EventKind::ConnectionRefused { host, port, why } => format!("{host}:{port}: {}", told(why)),
        EventKind::KeyRedacted { provider, place } => format!("{provider}, in {place}"),
        EventKind::RunMoved { run, workflow, to, stage, reason, .. } => {
            let reason = reason.as_ref().map(|why| format!(": {}", told(why))).unwrap_or_default();
            format!("{run} {workflow} {to} at {stage}{reason}")
        }
        EventKind::SchedulePaused { schedule, reason } => format!("{schedule}: {}", told(reason)),
        EventKind::AgentGap { why, repaired, .. } => format!("{why}; {repaired} repaired"),
        EventKind::SessionRenamed { title } | EventKind::SessionCreated { title } => title.clone(),
        EventKind::SessionTakenBack { messages, .. } | EventKind::SessionRestored { messages } => {
            format!("{} messages", messages.len())
        }
        EventKind::TurnStarted { text, .. } | EventKind::MessageEdited { text } => text.clone(),
        EventKind::TurnEnded { answer, error, .. } => error.clone().unwrap_or_else(|| last_line(answer)),
        EventKind::MessageMoved { to, reason } => match reason {
            Some(reason) => format!("{to}: {}", told(reason)),
            None => to.to_string(),
        },
        EventKind::Tool { tool, status, input, title, .. } => {
            let what = input.as_ref().and_then(argument).or(title.as_deref()).unwrap_or_default();
            let status: &str = match status {
                mimir_model::agent::ToolStatus::Pending => return None,
                mimir_model::agent::ToolStatus::Running => "runs",
                mimir_model::agent::ToolStatus::Completed => "ended",
                mimir_model::agent::ToolStatus::Error => "failed",
            };
            format!("{tool} {status} {what}")
        }
        EventKind::Retry { attempt, message, .. } => format!("attempt {attempt}: {message}"),
        EventKind::PromptAsked { text, .. } => text.clone(),
        EventKind::PromptAnswered { text, state, by, .. } => {
            let state = state.map(|state| state.to_string()).unwrap_or_else(|| "over".to_owned());
            let by = by.as_ref().map(|by| format!(" by {}", told(by))).unwrap_or_default();
            format!("{state}{by}: {}", text.as_deref().unwrap_or_default())
        }
        EventKind::Answered { answer, .. } => last_line(answer),
    };
    Some(visible::line(&words.chars().take(LINE).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::event;
    use mimir_model::agent::ToolStatus;
    use mimir_model::frame::FrameState;

    fn tool(status: ToolStatus, input: Option<serde_json::Value>) -> EventKind {
        EventKind::Tool { call: "c".into(), tool: "bash".into(), status, title: None, input, output: None }
    }

    #[test]
    fn what_an_agent_does_is_known_until_it_ends() {
        let mut facts = Facts::default();
        let doing = |facts: &Facts| facts.doing.get("blog").and_then(|doing| doing.tool.clone());
        facts.hear(&event(
            "blog",
            tool(ToolStatus::Running, Some(serde_json::json!({"command": "cargo test"}))),
        ));
        assert_eq!(doing(&facts).as_deref(), Some("bash cargo test"));
        facts.hear(&event("blog", tool(ToolStatus::Running, None)));
        assert_eq!(doing(&facts).as_deref(), Some("bash cargo test"), "a later event has no argument");
        facts.hear(&event("blog", tool(ToolStatus::Completed, None)));
        assert_eq!(doing(&facts), None);
        facts
            .hear(&event("blog", tool(ToolStatus::Running, Some(serde_json::json!({"command": "sleep 9"})))));
        let (from, to) = (FrameState::Running, FrameState::Stopped);
        facts.hear(&event("blog", EventKind::FrameMoved { from, to, reason: None }));
        assert_eq!(doing(&facts), None, "what does not run does nothing");
    }

    #[test]
    fn whoever_looks_is_you() {
        let by = format!("owner:{}", rustix::process::geteuid().as_raw());
        let mut facts = Facts::default();
        for what in [
            EventKind::SchedulePaused {
                schedule: "nightly".into(),
                reason: format!("by {by}: the shop is closed"),
            },
            EventKind::MessageMoved {
                to: DeliveryState::Cancelled,
                reason: Some(format!("cancelled by {by}")),
            },
        ] {
            facts.hear(&event("blog", what));
        }
        let lines: Vec<&str> = facts.events.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(lines, ["nightly: by you: the shop is closed", "cancelled: cancelled by you"]);
    }

    #[test]
    fn a_stranger_cannot_write_to_the_terminal_through_an_event() {
        let mut facts = Facts::default();
        let text = "\u{1b}]52;c;eA==\u{7}x\u{202e}y\n".to_owned();
        facts.hear(&event("blog", EventKind::FrameNote { code: "x".into(), text: text.clone() }));
        facts.hear(&event("blog", tool(ToolStatus::Running, Some(serde_json::json!({"command": text})))));
        let shown =
            format!("{}{}", facts.events[0].text, facts.doing["blog"].tool.as_deref().unwrap_or_default());
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
    }

    #[test]
    fn the_list_of_events_has_an_end() {
        let mut facts = Facts::default();
        for _ in 0..EVENTS + 10 {
            facts.hear(&event("blog", EventKind::FrameCreated {}));
        }
        assert_eq!(facts.events.len(), EVENTS);
    }
}

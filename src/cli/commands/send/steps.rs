//! What goes on right now, for the live line. Pure.

use std::time::Duration;

use super::calls::Calls;
use crate::cli::live;
use crate::model::agent::ToolStatus;
use crate::model::event::EventKind;
use crate::model::frame::FrameState;
use crate::model::message::DeliveryState;

/// From this width on there is room for the time of the whole besides that of the step.
const WIDE: usize = 60;

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Queued,
    Waking,
    HandingOver,
    Beginning,
    Model,
    Thinking,
    Writing,
    Calling(String),
    Retrying { attempt: u32, next_at: u64 },
}

/// How far a message is.
#[derive(Clone, Debug)]
pub struct Steps {
    frame: String,
    step: Step,
    since: u64,
    begun_at: u64,
}

impl Steps {
    /// Of a message to that frame, since then (UTC ms).
    pub fn new(frame: String, begun_at: u64) -> Self {
        Self { frame, step: Step::Queued, since: begun_at, begun_at }
    }

    /// Takes in what happened.
    pub fn take(&mut self, at: u64, what: &EventKind) {
        let next = match what {
            EventKind::MessageMoved { to, .. } => match to {
                DeliveryState::Queued => Step::Queued,
                DeliveryState::Sending => Step::HandingOver,
                DeliveryState::Sent => Step::Beginning,
                _ => Step::Model,
            },
            EventKind::Reasoning { .. } => Step::Thinking,
            EventKind::Text { .. } => Step::Writing,
            EventKind::Tool { tool, status: ToolStatus::Pending, .. } => Step::Calling(tool.clone()),
            EventKind::Tool { .. } | EventKind::PromptAnswered { .. } => Step::Model,
            EventKind::Retry { attempt, next_at, .. } => {
                Step::Retrying { attempt: *attempt, next_at: *next_at }
            }
            _ => return,
        };
        self.go(at, next);
        if begins_anew(what) {
            self.since = at;
        }
    }

    /// Whether what the frame does says more than that the message waits.
    pub fn is_queued(&self) -> bool {
        matches!(self.step, Step::Queued | Step::Waking)
    }

    /// What the frame does, while the message waits.
    pub fn frame_is(&mut self, state: FrameState, now: u64) {
        if self.is_queued() {
            self.go(now, if state == FrameState::Running { Step::Queued } else { Step::Waking });
        }
    }

    fn go(&mut self, at: u64, step: Step) {
        if self.step != step {
            (self.step, self.since) = (step, at);
        }
    }

    /// The step in words, and its time.
    pub fn line(&self, calls: &Calls, is_waiting: bool, now: u64, width: usize) -> (String, String) {
        let (text, since) = match (calls.newest(), is_waiting) {
            (_, true) => ("waiting for an answer to what it asks".to_owned(), self.since),
            (Some(call), false) => {
                let others = match calls.others() {
                    0 => String::new(),
                    n => format!("  (+{n})"),
                };
                (format!("{}{others}", call.line()), call.begun_at.unwrap_or(self.since))
            }
            (None, false) => (self.words(now), self.since),
        };
        let of = |from: u64| Duration::from_millis(now.saturating_sub(from));
        let (step, whole) = (of(since), of(self.begun_at));
        let mut time = live::seconds(step);
        if width >= WIDE && whole > step + Duration::from_secs(5) {
            time.push_str(&format!(" of {}", live::seconds(whole)));
        }
        (text, time)
    }

    fn words(&self, now: u64) -> String {
        match &self.step {
            Step::Queued => "waiting for its turn".to_owned(),
            Step::Waking => format!("waking {}", self.frame),
            Step::HandingOver => "handing over the message".to_owned(),
            Step::Beginning => "waiting for the agent".to_owned(),
            Step::Model => "waiting for the model".to_owned(),
            Step::Thinking => "thinking".to_owned(),
            Step::Writing => "writing".to_owned(),
            Step::Calling(tool) => format!("writing a call of {tool}"),
            Step::Retrying { attempt, next_at } => {
                let left = live::seconds(Duration::from_millis(next_at.saturating_sub(now)));
                format!("the model call failed; attempt {attempt} in {left}")
            }
        }
    }
}

/// Whether the model is asked again from here on, whatever was waited for before.
fn begins_anew(what: &EventKind) -> bool {
    match what {
        EventKind::Tool { status, .. } => matches!(status, ToolStatus::Completed | ToolStatus::Error),
        EventKind::PromptAnswered { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::Seen;
    use super::*;

    #[test]
    fn each_step_is_named_with_its_time() {
        let mut steps = Steps::new("blog".to_owned(), 0);
        let none = Calls::default();
        let line = |steps: &Steps, now| steps.line(&none, false, now, 80);
        steps.frame_is(FrameState::Starting, 0);
        assert_eq!(line(&steps, 2_000), ("waking blog".to_owned(), "2 s".to_owned()));
        let moved = |to| EventKind::MessageMoved { to, reason: None };
        steps.take(3_000, &moved(DeliveryState::Sent));
        steps.frame_is(FrameState::Running, 3_000);
        assert_eq!(line(&steps, 3_000).0, "waiting for the agent");
        steps.take(20_000, &moved(DeliveryState::Running));
        assert_eq!(line(&steps, 21_000), ("waiting for the model".to_owned(), "1 s of 21 s".to_owned()));
        assert_eq!(steps.line(&none, false, 21_000, 40).1, "1 s", "a narrow terminal");
        steps.take(22_000, &EventKind::Retry { attempt: 2, message: String::new(), next_at: 30_000 });
        assert_eq!(line(&steps, 25_000).0, "the model call failed; attempt 2 in 5 s");
        assert_eq!(steps.line(&none, true, 25_000, 40).0, "waiting for an answer to what it asks");
    }

    #[test]
    fn after_a_tool_the_model_is_waited_for_from_its_end_on() {
        let tool = |status| EventKind::Tool {
            call: "c".to_owned(),
            tool: "bash".to_owned(),
            status,
            title: None,
            input: None,
            output: None,
        };
        let mut steps = Steps::new("blog".to_owned(), 0);
        steps.take(1_000, &tool(ToolStatus::Running));
        steps.take(60_000, &tool(ToolStatus::Completed));
        let (text, time) = steps.line(&Calls::default(), false, 62_000, 40);
        assert_eq!((text.as_str(), time.as_str()), ("waiting for the model", "2 s"));
    }

    #[test]
    fn a_tool_that_runs_is_named_with_its_own_time() {
        let mut calls = Calls::default();
        let input = serde_json::json!({"command": "make"});
        for (at, call) in [(1_000, "a"), (4_000, "b")] {
            let (tool, status) = ("bash", ToolStatus::Running);
            calls.take(Seen { at, call, tool, status, title: None, input: Some(&input) });
        }
        let steps = Steps::new("blog".to_owned(), 0);
        let (text, time) = steps.line(&calls, false, 6_000, 40);
        assert_eq!((text.as_str(), time.as_str()), ("bash  make  (+1)", "2 s"));
    }
}

//! What a message does, on this terminal or into a pipe.

use std::time::Duration;

use super::steps::Steps;
use super::transcript::{Detail, Piece, Transcript, summary};
use crate::cli::context::Context;
use crate::cli::exit::{APPROVAL, DONE, Failure, Outcome};
use crate::cli::live;
use crate::client::{ClientError, Followed};
use crate::model::budget::is_refusal;
use crate::model::event::EventKind;
use crate::model::frame::FrameState;
use crate::model::message::DeliveryState;
use crate::wire::messages::MessageView;
use crate::wire::problem::Problem;

/// How to follow.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Show text as it comes.
    pub stream: bool,
    /// Leave after this long.
    pub timeout: Option<Duration>,
    /// Show what the model thinks aloud.
    pub reasoning: bool,
    /// Somebody is there who answers what the agent asks.
    pub asks: bool,
}

/// Where the pieces go.
pub struct Screen<'a> {
    pub context: &'a Context,
    pub manner: Manner,
    transcript: Transcript,
    steps: Steps,
    /// How far the gateway's clock is behind ours, when it is elsewhere.
    behind: u64,
    /// What must wait until a line is typed.
    held: Option<Vec<Piece>>,
}

impl<'a> Screen<'a> {
    /// An empty one for that message.
    pub fn new(context: &'a Context, manner: Manner, message: &MessageView) -> Self {
        let out = &context.out;
        let detail = Detail {
            watched: out.is_watched(),
            answer_is_shown: out.shows_results() && manner.stream,
            reasoning: manner.reasoning,
            asks: manner.asks,
        };
        let is_new = message.after_event > 0;
        let behind = match &context.elsewhere {
            Some(_) if is_new => context.now_ms().saturating_sub(message.created_at),
            _ => 0,
        };
        Self {
            context,
            manner,
            transcript: Transcript::new(detail),
            steps: Steps::new(message.frame.clone(), message.created_at),
            behind,
            held: None,
        }
    }

    /// Shows what came. Says whether the message should be looked at now.
    pub fn take(&mut self, followed: &Followed) -> Result<bool, Failure> {
        let out = &self.context.out;
        match followed {
            Followed::Event(event) => {
                if out.json && self.manner.stream {
                    out.object(event)?;
                }
                self.steps.take(event.at, &event.what);
                let pieces = self.transcript.take(event.at, &event.what);
                self.write(pieces)?;
                Ok(ends(&event.what))
            }
            Followed::Unknown(text) => {
                if out.json && self.manner.stream {
                    out.line(text)?;
                }
                Ok(false)
            }
            Followed::Away => {
                self.aside("the gateway went away; nothing is lost, waiting for it …")?;
                Ok(false)
            }
            Followed::Back => {
                self.aside("it is back")?;
                Ok(true)
            }
            Followed::Reset => Ok(true),
        }
    }

    /// What the frame does while the message waits.
    pub fn frame_is(&mut self, state: FrameState) {
        let now = self.now();
        self.steps.frame_is(state, now);
    }

    /// Whether it would be good to know what the frame does.
    pub fn wants_the_frame(&self) -> bool {
        self.context.out.is_live() && self.steps.is_queued()
    }

    /// Draws the live line again, where there is one.
    pub fn draw(&self) {
        let out = &self.context.out;
        if self.held.is_none() && !self.transcript.is_mid_line() {
            let waits = self.transcript.is_waiting();
            let (text, time) = self.steps.line(self.transcript.calls(), waits, self.now(), out.live_width());
            out.progress(&text, &time);
        }
    }

    /// Whether the last line of the screen is free for a line that is drawn again and again.
    pub fn is_free(&self) -> bool {
        self.held.is_none() && !self.transcript.is_mid_line()
    }

    /// From now on nothing is written, until [`Screen::release`].
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Writes what had to wait.
    pub fn release(&mut self) -> Result<(), Failure> {
        match self.held.take() {
            Some(pieces) => self.write(pieces),
            None => Ok(()),
        }
    }

    /// Ends the line of the answer, and the live line.
    pub fn end_line(&mut self) -> Result<(), Failure> {
        let pieces = self.transcript.end_line();
        self.write(pieces)?;
        self.context.out.clear_progress();
        Ok(())
    }

    /// What the agent asks, with the commands that answer it.
    pub fn tell_how_to_answer(&mut self, asked: &EventKind) -> Result<(), Failure> {
        let pieces = self.transcript.asked(asked);
        self.write(pieces)
    }

    /// A line about what goes on.
    pub fn aside(&mut self, text: &str) -> Result<(), Failure> {
        let mut pieces = self.transcript.end_line();
        pieces.push(Piece::Aside(text.to_owned()));
        self.write(pieces)
    }

    fn now(&self) -> u64 {
        self.context.now_ms().saturating_sub(self.behind)
    }

    fn write(&mut self, pieces: Vec<Piece>) -> Result<(), Failure> {
        let out = &self.context.out;
        if out.json {
            return Ok(());
        }
        if let Some(held) = &mut self.held {
            held.extend(pieces);
            return Ok(());
        }
        for piece in pieces {
            match piece {
                Piece::Answer(text) if self.manner.stream => out.raw(&text)?,
                Piece::Answer(_) => {}
                Piece::Aside(line) => out.say(self.context.dim(&format!("  {line}"))),
                Piece::Timed { line, behind } => {
                    let room = out.live_width().saturating_sub(3);
                    out.say(self.context.dim(&format!("  {}", live::with_end(&line, &behind, room))));
                }
            }
        }
        Ok(())
    }

    /// The end of the answer, or why there is none.
    pub fn finish(&mut self, message: &MessageView) -> Outcome {
        let out = &self.context.out;
        out.clear_progress();
        if out.json && self.manner.stream {
            out.object(&serde_json::json!({"kind": "message.result", "data": message}))?;
        } else if out.json {
            out.document(message)?;
        } else {
            let pieces = self.transcript.finish(message);
            self.write(pieces)?;
            if let Some(answer) = message.answer.as_ref().filter(|_| !self.manner.stream) {
                out.line(crate::model::visible::prose(answer.trim_end()))?;
            }
        }
        match message.state {
            DeliveryState::Answered => {
                if let Some((why, next)) = self.transcript.cut_off() {
                    let frame = &message.frame;
                    out.caution(format!(
                        "the answer was cut off: {why}; `mimir send --frame {frame} \"…\"` {next}"
                    ));
                }
                out.say(self.context.dim(&summary(message)));
                self.transcript.budgets().iter().for_each(|budget| out.caution(budget.clone()));
                if self.transcript.missed_an_approval() {
                    out.warn(
                        "the agent did without what nobody approved; `mimir approvals list --all` shows it",
                    );
                    return Ok(APPROVAL);
                }
                Ok(DONE)
            }
            DeliveryState::Cancelled => Err(unanswered(message, "message.cancelled", "was stopped")),
            _ if message.reason.as_deref().is_some_and(is_refusal) => Err(out_of_budget(message)),
            _ => Err(unanswered(message, "message.failed", "was not answered")),
        }
    }

    /// Nobody wants to wait any longer.
    pub fn too_long(&self, message: &MessageView) -> Failure {
        let again = format!("`mimir send --follow {}` comes back", message.id);
        if self.transcript.is_waiting() {
            let problem = Problem::new(
                408,
                "approval.missing",
                format!("the agent of {} waits for an approval that did not come", message.frame),
            );
            let answer = self.transcript.answer_command();
            let answer = answer.unwrap_or_else(|| format!("mimir frame attach {}", message.frame));
            let hint = format!("answer it: `{answer}`; {again}");
            return problem.hint(hint).into();
        }
        let title = format!("there is no answer of {} yet; it goes on working", message.frame);
        Problem::new(408, "message.not_yet", title).hint(again).into()
    }

    /// The gateway does not come back.
    pub fn lost(&self, error: ClientError, message: &MessageView) -> Failure {
        let mut failure = Failure::from(error);
        if failure.problem.status >= 500 {
            failure.problem.hint = Some(format!(
                "the message is stored; `mimir send --follow {}` starts a gateway again and shows the answer",
                message.id
            ));
        }
        failure
    }
}

/// Its reason says which budget, and what raises it.
fn out_of_budget(message: &MessageView) -> Failure {
    let title = format!("the message to {} was not answered", message.frame);
    let problem = Problem::new(402, "budget.exceeded", title).hint(format!(
        "`mimir budget show` shows what was spent; afterwards the conversation goes on: `mimir send --frame {} \"…\"`",
        message.frame
    ));
    problem.detail(message.reason.clone().unwrap_or_default()).into()
}

fn unanswered(message: &MessageView, code: &str, how: &str) -> Failure {
    let problem = Problem::new(409, code, format!("the message to {} {how}", message.frame)).hint(format!(
        "the conversation goes on: `mimir send --frame {} \"…\"`; `mimir frame logs {}` shows what happened inside",
        message.frame, message.frame
    ));
    let problem = match &message.reason {
        Some(reason) => problem.detail(reason.clone()),
        None => problem,
    };
    problem.into()
}

/// Whether a message can be done after this.
fn ends(what: &EventKind) -> bool {
    match what {
        EventKind::Answered { .. } => true,
        EventKind::MessageMoved { to, .. } => to.is_final(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_final_state_is_a_reason_to_look() {
        let moved = |to| EventKind::MessageMoved { to, reason: None };
        assert!(ends(&moved(DeliveryState::Failed)));
        assert!(!ends(&moved(DeliveryState::Running)));
    }
}

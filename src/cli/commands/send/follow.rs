//! Follows a message until it is done, whatever happens to the gateway meanwhile.

use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep, sleep_until, timeout};

use super::transcript::{Piece, Transcript, summary};
use crate::cli::context::Context;
use crate::cli::exit::{APPROVAL, DONE, Failure, INTERRUPTED, Outcome};
use crate::client::{EventFilter, Follow, Followed, GatewayClient};
use crate::model::message::DeliveryState;
use crate::wire::messages::MessageView;
use crate::wire::problem::Problem;

/// How long after one Ctrl-C a second one means "abort it".
const SECOND_CHANCE: Duration = Duration::from_secs(2);
/// How often the message itself is looked at, in case its last event was never heard.
const LOOK: Duration = Duration::from_secs(15);
/// How long a gateway that died may take to come back by itself, before we start one.
const REVIVE: Duration = Duration::from_secs(3);
/// How long an aborted message may take to end.
const ABORT: Duration = Duration::from_secs(15);

/// How to follow.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Show text as it comes.
    pub stream: bool,
    /// Leave after this long.
    pub timeout: Option<Duration>,
}

/// Why following ended.
enum Ended {
    Done(Box<MessageView>),
    Interrupted,
    TooLong,
}

/// Shows what happens to a message, and leaves with what became of it.
pub async fn follow(
    gateway: &GatewayClient,
    message: MessageView,
    manner: Manner,
    context: &Context,
) -> Outcome {
    let filter = EventFilter { message: Some(message.id.clone()), ..EventFilter::default() };
    let mut events = gateway.follow(filter, Some(message.after_event));
    let mut screen = Screen { context, manner, transcript: Transcript::default() };
    match watch(gateway, &message, &mut events, &mut screen).await? {
        Ended::Done(done) => screen.finish(&done),
        Ended::TooLong => Err(screen.too_long(&message)),
        Ended::Interrupted => interrupted(gateway, &message, &mut screen).await,
    }
}

async fn watch(
    gateway: &GatewayClient,
    message: &MessageView,
    events: &mut Follow,
    screen: &mut Screen<'_>,
) -> Result<Ended, Failure> {
    let mut look = interval_at(Instant::now() + LOOK, LOOK);
    let patience = screen.manner.timeout;
    let give_up = async {
        match patience {
            Some(after) => sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(give_up);
    let mut revive: Option<Instant> = None;
    loop {
        let look_now = tokio::select! {
            followed = events.next() => match followed {
                Ok(followed) => {
                    revive = matches!(followed, Followed::Away).then(|| Instant::now() + REVIVE);
                    screen.take(followed)?
                }
                Err(error) => return Err(screen.lost(error, message)),
            },
            () = sleep_until(revive.unwrap_or_else(Instant::now)), if revive.is_some() => {
                revive = None;
                // One that was stopped has taken its socket away, and shall stay stopped; one that was killed has not.
                if screen.context.paths.gateway_socket().exists() {
                    screen.context.gateway().await?;
                }
                false
            }
            _ = look.tick() => true,
            _ = tokio::signal::ctrl_c() => return Ok(Ended::Interrupted),
            () = &mut give_up => return Ok(Ended::TooLong),
        };
        // While the gateway is away the stream itself decides when to give up.
        if look_now
            && let Ok(now) = gateway.message(&message.id).await
            && now.state.is_final()
        {
            return Ok(Ended::Done(Box::new(now)));
        }
    }
}

/// Once: leave, the work goes on. Twice: abort it.
async fn interrupted(gateway: &GatewayClient, message: &MessageView, screen: &mut Screen<'_>) -> Outcome {
    let out = &screen.context.out;
    let pieces = screen.transcript.end_line();
    screen.write(&pieces)?;
    out.say(format!(
        "left; {} goes on working. `mimir send --follow {}` comes back, Ctrl-C now aborts it",
        message.frame, message.id
    ));
    if timeout(SECOND_CHANCE, tokio::signal::ctrl_c()).await.is_err() {
        return Ok(INTERRUPTED);
    }
    gateway.cancel(&message.id).await?;
    let begun = Instant::now();
    let ended = out.while_waiting("aborting", async {
        while begun.elapsed() < ABORT {
            match gateway.message(&message.id).await {
                Ok(now) if now.state.is_final() => return Some(now),
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        None
    });
    match ended.await {
        Some(now) if now.state == DeliveryState::Cancelled => out.say("aborted"),
        Some(now) => out.say(format!("it was {} before it could be aborted", now.state)),
        None => {
            out.warn(format!("it was asked to stop and has not yet; `mimir send --follow {}`", message.id))
        }
    }
    Ok(INTERRUPTED)
}

/// Where the pieces go.
struct Screen<'a> {
    context: &'a Context,
    manner: Manner,
    transcript: Transcript,
}

impl Screen<'_> {
    /// Shows what came. Says whether the message should be looked at now.
    fn take(&mut self, followed: Followed) -> Result<bool, Failure> {
        let out = &self.context.out;
        match followed {
            Followed::Event(event) => {
                if out.json && self.manner.stream {
                    out.object(&event)?;
                }
                let pieces = self.transcript.take(&event.what);
                self.write(&pieces)?;
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

    fn aside(&mut self, text: &str) -> Result<(), Failure> {
        let mut pieces = self.transcript.end_line();
        pieces.push(Piece::Aside(text.to_owned()));
        self.write(&pieces)
    }

    fn write(&self, pieces: &[Piece]) -> Result<(), Failure> {
        let out = &self.context.out;
        if out.json {
            return Ok(());
        }
        for piece in pieces {
            match piece {
                Piece::Answer(text) if self.manner.stream => out.raw(text)?,
                Piece::Answer(_) => {}
                Piece::Aside(line) => out.say(self.context.dim(&format!("  {line}"))),
            }
        }
        Ok(())
    }

    /// The end of the answer, or why there is none.
    fn finish(&mut self, message: &MessageView) -> Outcome {
        let out = &self.context.out;
        if out.json && self.manner.stream {
            out.object(&serde_json::json!({"kind": "message.result", "data": message}))?;
        } else if out.json {
            out.document(message)?;
        } else if self.manner.stream {
            let pieces = self.transcript.finish(message);
            self.write(&pieces)?;
        } else if let Some(answer) = &message.answer {
            out.line(crate::model::visible::prose(answer.trim_end()))?;
        }
        match message.state {
            DeliveryState::Answered => {
                out.say(self.context.dim(&summary(message)));
                if self.transcript.missed_an_approval() {
                    out.warn(
                        "the agent did without what nobody approved; `mimir approvals list --all` shows it",
                    );
                    return Ok(APPROVAL);
                }
                Ok(DONE)
            }
            DeliveryState::Cancelled => Err(self.unanswered(message, "message.cancelled", "was stopped")),
            _ => Err(self.unanswered(message, "message.failed", "was not answered")),
        }
    }

    fn unanswered(&self, message: &MessageView, code: &str, how: &str) -> Failure {
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

    fn too_long(&self, message: &MessageView) -> Failure {
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

    fn lost(&self, error: crate::client::ClientError, message: &MessageView) -> Failure {
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

/// Whether a message can be done after this.
fn ends(what: &crate::model::event::EventKind) -> bool {
    use crate::model::event::EventKind;
    match what {
        EventKind::Answered { .. } => true,
        EventKind::MessageMoved { to, .. } => to.is_final(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::EventKind;

    #[test]
    fn only_a_final_state_is_a_reason_to_look() {
        let moved = |to| EventKind::MessageMoved { to, reason: None };
        assert!(ends(&moved(DeliveryState::Failed)));
        assert!(!ends(&moved(DeliveryState::Running)));
    }
}

//! Follows a message: until it is over, until its agent asks somebody, or for as long as the caller wants to wait.

use std::convert::Infallible;
use std::time::Duration;

use mimir_client::{ClientError, EventFilter, Follow, Followed};
use mimir_model::event::EventKind;
use mimir_model::wire::approvals::ApprovalView;
use mimir_model::wire::messages::MessageView;
use mimir_model::wire::problem::Problem;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::tool::Call;

/// A sign of life, so that a client with a limit of its own goes on waiting.
const SIGN: Duration = Duration::from_secs(10);

/// A message as it stands, with what its agent asks somebody.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The message.
    pub message: MessageView,
    /// What waits for a person; empty when it is over.
    pub asks: Vec<ApprovalView>,
}

/// Waits, and looks.
///
/// # Errors
/// What the gateway says, or that nobody wants to know any more.
pub async fn until_over(message: MessageView, most: Duration, with: &Call<'_>) -> Result<Standing, Problem> {
    if message.state.is_final() || most.is_zero() {
        return look(&message.id, with).await;
    }
    let filter = EventFilter { message: Some(message.id.clone()), ..EventFilter::default() };
    let events = with.gateway.follow(filter, Some(message.after_event));
    // The stream is read by a future of its own: one that is dropped at each sign of life would connect anew.
    let (tell, heard) = mpsc::channel(64);
    tokio::select! {
        ended = watch(&message, most, heard, with) => ended,
        never = listen(events, tell) => match never {},
    }
}

/// Hands on what is heard, up to the first error.
async fn listen(mut events: Follow, tell: mpsc::Sender<Result<Followed, ClientError>>) -> Infallible {
    loop {
        let followed = events.next().await;
        let is_last = followed.is_err();
        if tell.send(followed).await.is_err() || is_last {
            std::future::pending::<Infallible>().await;
        }
    }
}

async fn watch(
    message: &MessageView,
    most: Duration,
    mut heard: mpsc::Receiver<Result<Followed, ClientError>>,
    with: &Call<'_>,
) -> Result<Standing, Problem> {
    let until = Instant::now() + most;
    let mut sign = interval(SIGN);
    sign.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once.
    sign.tick().await;
    loop {
        tokio::select! {
            Some(followed) = heard.recv() => match followed? {
                Followed::Event(event) => {
                    if let Some(standing) = hear(&event.what, message, with).await? {
                        return Ok(standing);
                    }
                }
                // What was said meanwhile may be what is waited for.
                Followed::Reset | Followed::Back => {
                    let standing = look(&message.id, with).await?;
                    if standing.message.state.is_final() {
                        return Ok(standing);
                    }
                }
                Followed::Away => with.progress.tell("the gateway went away; it is waited for").await,
                Followed::Unknown(_) => {}
            },
            _ = sign.tick() => with.progress.tell("it goes on").await,
            () = sleep_until(until) => return look(&message.id, with).await,
            () = with.progress.cancelled() => return Err(cancelled(&message.id)),
        }
    }
}

/// Takes in an event. Says how the message stands when there is no more to wait for.
async fn hear(what: &EventKind, message: &MessageView, with: &Call<'_>) -> Result<Option<Standing>, Problem> {
    let progress = with.progress;
    let may_be_over = match what {
        EventKind::MessageMoved { to, .. } => {
            progress.tell(&format!("the message is {to}")).await;
            to.is_final()
        }
        // A rule may decide what is asked before a person does.
        EventKind::Answered { .. } | EventKind::PromptAsked { .. } => true,
        EventKind::Tool { tool, title, .. } => {
            let title = title.as_deref().unwrap_or_default();
            progress.tell_now_and_then(format!("the agent uses {tool} {title}").trim()).await;
            false
        }
        EventKind::Retry { attempt, .. } => {
            progress.tell(&format!("the model is asked again, attempt {attempt}")).await;
            false
        }
        _ => {
            progress.tell_now_and_then("the agent writes").await;
            false
        }
    };
    if !may_be_over {
        return Ok(None);
    }
    let standing = look(&message.id, with).await?;
    let is_over = standing.message.state.is_final() || !standing.asks.is_empty();
    Ok(is_over.then_some(standing))
}

/// How it stands now.
async fn look(id: &str, with: &Call<'_>) -> Result<Standing, Problem> {
    let message = with.gateway.message(id).await?;
    if message.state.is_final() {
        return Ok(Standing { message, asks: Vec::new() });
    }
    let all = match with.gateway.approvals(Some(&message.frame), false).await {
        Ok(all) => all,
        // The frame may be gone by now; the message says so.
        Err(ClientError::Refused(problem)) if problem.status == 404 => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let asks = all.into_iter().filter(|asked| asked.state.is_open() && is_of(asked, &message)).collect();
    Ok(Standing { message, asks })
}

/// Whether that message's turn waits for it.
fn is_of(asked: &ApprovalView, message: &MessageView) -> bool {
    match (&asked.message, &asked.session) {
        (Some(id), _) => *id == message.id,
        (None, Some(session)) => *session == message.session,
        // A connection: its frame is all that is known.
        (None, None) => true,
    }
}

/// Nobody reads this: whoever cancels a call gets no answer. What was asked for goes on.
fn cancelled(id: &str) -> Problem {
    Problem::new(408, "mcp.cancelled", "nobody waits for it any more")
        .hint(format!("message {id} goes on; `message_cancel` ends it"))
}

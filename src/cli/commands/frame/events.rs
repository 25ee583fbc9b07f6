//! `mimir frame events`

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use crate::cli::commands::approvals::words;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::output::told;
use crate::cli::table::clean;
use crate::cli::{here, names};
use crate::client::{EventFilter, Followed};
use crate::clock::utc as time;
use crate::model::event::{Event, EventKind};
use crate::model::names::FrameName;

/// How many messages, in words.
fn plural(count: usize) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// The stream tells what is stored without a pause; after this much silence the past has been told.
const PAST: Duration = Duration::from_millis(500);

/// What happened to a frame: starts, stops, repairs, refused connections
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// Go on with everything that happens from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub async fn run(args: &EventsArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame events {name}");
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    // An unknown name would be waited for in vain.
    gateway.frame(&name).await?;
    let after = if args.follow { None } else { Some(0) };
    let mut follow = gateway.follow(EventFilter { frame: Some(name), ..EventFilter::default() }, after);
    loop {
        let next = follow.next();
        let followed = if args.follow {
            next.await?
        } else {
            match timeout(PAST, next).await {
                Ok(followed) => followed?,
                Err(_) => return Ok(DONE),
            }
        };
        match followed {
            Followed::Event(event) => print(&event, context)?,
            Followed::Unknown(text) if context.out.json => context.out.line(text)?,
            Followed::Away => context.out.say("the gateway went away; waiting for it …"),
            Followed::Back => context.out.say("it is back"),
            Followed::Unknown(_) | Followed::Reset => {}
        }
    }
}

fn print(event: &Event, context: &Context) -> Result<(), Failure> {
    if context.out.json {
        return context.out.object(event);
    }
    match describe(&event.what) {
        Some(text) => context.out.line(format!("{}  {}", time(event.at), clean(&text))),
        None => Ok(()),
    }
}

/// An event in one line; none for what only makes sense as part of a stream of text.
fn describe(what: &EventKind) -> Option<String> {
    Some(match what {
        EventKind::FrameCreated {} => "created".to_owned(),
        EventKind::FrameMoved { from, to, reason } => match reason {
            Some(reason) => format!("{from} → {to}: {reason}"),
            None => format!("{from} → {to}"),
        },
        EventKind::FrameRemoved {} => "destroyed".to_owned(),
        EventKind::FrameNote { code, text } => format!("{code}: {text}"),
        EventKind::PortExchanged { purpose, from, to } => {
            format!("the {} port moved from {from} to {to}: somebody else uses {from}", purpose.as_str())
        }
        EventKind::ConnectionRefused { host, port, why } => format!("refused {host}:{port}: {}", told(why)),
        EventKind::KeyRedacted { provider, place } => {
            format!("provider {provider} repeated a key in {place}; it was taken out")
        }
        EventKind::BudgetWarning { text, .. } => text.clone(),
        EventKind::RunMoved { run, workflow, title, to, stage, reason, .. } => {
            let place = if stage.is_empty() { String::new() } else { format!(" at {stage}") };
            let why = reason.as_ref().map(|why| format!(": {}", told(why))).unwrap_or_default();
            format!("run {run} ({workflow}, {title}) is {to}{place}{why}")
        }
        EventKind::SchedulePaused { schedule, reason } => {
            format!("schedule {schedule} is paused: {}", told(reason))
        }
        EventKind::AgentGap { why, repaired, .. } => {
            format!("the connection to the agent was away ({why}); {repaired} missing events were added")
        }
        EventKind::StatusChanged { status, detail } => match detail {
            Some(detail) => format!("agent {status}: {detail}"),
            None => format!("agent {status}"),
        },
        EventKind::SessionCreated { title } => format!("a conversation began: {title}"),
        EventKind::SessionRenamed { title } => format!("the conversation is called {title} now"),
        EventKind::SessionTakenBack { messages, how } => {
            format!("{} of the conversation {how}", plural(messages.len()))
        }
        EventKind::SessionRestored { messages } => {
            format!("{} of the conversation brought back", plural(messages.len()))
        }
        EventKind::SessionRemoved {} => "the conversation was deleted".to_owned(),
        EventKind::TurnStarted { text, .. } => format!("somebody asked past mimir: {text}"),
        EventKind::TurnEnded { error, .. } => match error {
            Some(error) => format!("that turn failed: {error}"),
            None => "that turn ended".to_owned(),
        },
        EventKind::MessageEdited { .. } => "a waiting message was changed".to_owned(),
        EventKind::MessageQueued {} => "a message was queued".to_owned(),
        EventKind::MessageMoved { to, reason } => match reason {
            Some(reason) => format!("message {to}: {}", told(reason)),
            None => format!("message {to}"),
        },
        EventKind::Text { .. } | EventKind::Reasoning { .. } | EventKind::Rewritten { .. } => return None,
        EventKind::Tool { tool, status, title, .. } => {
            let status = format!("{status:?}").to_lowercase();
            match title.as_deref().filter(|title| !title.is_empty()) {
                Some(title) => format!("{tool} {title} {status}"),
                None => format!("{tool} {status}"),
            }
        }
        EventKind::Retry { attempt, message, .. } => {
            format!("model call failed, attempt {attempt} comes: {message}")
        }
        EventKind::PromptAsked { form, text, .. } => format!("waits for a {form}: {text}"),
        EventKind::PromptAnswered { text, state, by, rule, .. } => match (text, state, by) {
            (Some(text), Some(state), Some(by)) => {
                let of = rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
                format!("{text}: {state} by {}{of}", words::by(Some(by), None))
            }
            _ => "what it waited for was answered".to_owned(),
        },
        EventKind::Answered { duration_ms, .. } => {
            format!("answered after {}", crate::model::quantity::took(*duration_ms))
        }
    })
}

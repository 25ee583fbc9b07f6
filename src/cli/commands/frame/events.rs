//! `mimir frame events`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::names;
use crate::cli::table::clean;
use crate::cli::units::time;
use crate::client::{EventFilter, Followed};
use crate::model::event::{Event, Happening};
use crate::model::names::FrameName;

/// What happened to a frame: starts, stops, repairs, refused connections
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Which frame
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: FrameName,
    /// Go on with everything that happens from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

pub async fn run(args: &EventsArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let name = args.name.to_string();
    // Begin to listen before looking back is not needed: following starts with what is stored.
    if !args.follow {
        let notes = gateway.notes(&name).await?;
        if context.out.json {
            context.out.document(&notes)?;
        } else if notes.is_empty() {
            context.out.say(format!("nothing happened to {name} yet"));
        }
        for note in notes.iter().filter(|_| !context.out.json) {
            context.out.line(format!("{}  {}: {}", time(note.at), note.code, clean(&note.text)))?;
        }
        return Ok(DONE);
    }
    // An unknown name would be waited for in vain.
    gateway.frame(&name).await?;
    let mut follow = gateway.follow(EventFilter { frame: Some(name), ..EventFilter::default() }, None);
    loop {
        match follow.next().await? {
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
fn describe(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::FrameCreated {} => "created".to_owned(),
        Happening::FrameMoved { from, to, reason } => match reason {
            Some(reason) => format!("{from} → {to}: {reason}"),
            None => format!("{from} → {to}"),
        },
        Happening::FrameRemoved {} => "destroyed".to_owned(),
        Happening::FrameNote { code, text } => format!("{code}: {text}"),
        Happening::PortExchanged { purpose, from, to } => {
            format!("the {} port moved from {from} to {to}: somebody else uses {from}", purpose.as_str())
        }
        Happening::ConnectionRefused { host, port, why } => format!("refused {host}:{port}: {why}"),
        Happening::SessionCreated { title } => format!("a conversation began: {title}"),
        Happening::MessageQueued {} => "a message was queued".to_owned(),
        Happening::MessageMoved { to, reason } => match reason {
            Some(reason) => format!("message {to}: {reason}"),
            None => format!("message {to}"),
        },
        Happening::Text { .. } | Happening::Reasoning { .. } => return None,
        Happening::Tool { tool, status, title, .. } => {
            let status = format!("{status:?}").to_lowercase();
            format!("{tool} {} {status}", title.as_deref().unwrap_or_default())
        }
        Happening::Retry { attempt, message, .. } => {
            format!("model call failed, attempt {attempt} comes: {message}")
        }
        Happening::PromptAsked { form, text, .. } => format!("waits for a {form}: {text}"),
        Happening::Answered { duration_ms, .. } => {
            format!("answered after {}", crate::cli::units::took(*duration_ms))
        }
    })
}

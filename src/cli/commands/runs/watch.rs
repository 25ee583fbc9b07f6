//! `mimir runs watch`

use std::time::Duration;

use clap::Args;

use super::show::line;
use super::{ink_of, short};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome};
use crate::cli::names;
use crate::cli::output::told;
use crate::cli::table::clean;
use crate::client::{EventFilter, Followed, GatewayClient};
use crate::clock::utc;
use crate::model::event::{Event, EventKind};
use crate::model::run::RunState;
use crate::wire::runs::RunDetails;

/// How often a timeline is asked for.
const AGAIN: Duration = Duration::from_secs(1);
/// How often a gateway that is away is asked again.
const AWAY: u32 = 30;

/// See what a run does, until its end; what all runs do, until Ctrl-C
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Which run; the end of its id is enough. All when absent
    #[arg(value_name = "RUN", add = names::runs())]
    id: Option<String>,
}

pub async fn run(args: &WatchArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    match &args.id {
        Some(id) => one(id, gateway, context).await,
        None => all(gateway, context).await,
    }
}

/// A run's timeline as it grows. The exit code says whether it did what it was to do.
pub(super) async fn one(id: &str, gateway: &GatewayClient, context: &Context) -> Outcome {
    let (mut told, mut away, mut is_held) = (0, 0, false);
    loop {
        let details = match gateway.run(id).await {
            Ok(details) => details,
            Err(error) if error.is_gateway_away() && away < AWAY => {
                away += 1;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = 0;
        for entry in details.timeline.iter().filter(|entry| entry.id > told) {
            match context.out.json {
                true => context.out.object(entry)?,
                false => line(entry, context)?,
            }
        }
        told = details.timeline.last().map_or(told, |entry| entry.id);
        if details.run.state.is_end() {
            return ended(&details, context);
        }
        let held = details.run.state == RunState::Held;
        if held && !is_held {
            let id = short(&details.run.id);
            context
                .out
                .say(format!("it waits for you: `mimir runs approve {id}`, or `mimir runs reject {id}`"));
        }
        is_held = held;
        tokio::time::sleep(AGAIN).await;
    }
}

fn ended(details: &RunDetails, context: &Context) -> Outcome {
    let run = &details.run;
    if context.out.json {
        context.out.object(run)?;
    } else if run.state == RunState::Failed {
        context.out.say(format!("`mimir runs retry {}` tries again", short(&run.id)));
    }
    Ok(if run.state == RunState::Succeeded { DONE } else { FAILED })
}

async fn all(gateway: &GatewayClient, context: &Context) -> Outcome {
    let filter = EventFilter { kind: Some("run.moved".to_owned()), ..EventFilter::default() };
    let mut follow = gateway.follow(filter, None);
    loop {
        match follow.next().await? {
            Followed::Event(event) => moved(&event, context)?,
            Followed::Unknown(text) if context.out.json => context.out.line(text)?,
            Followed::Away => context.out.say("the gateway went away; waiting for it …"),
            Followed::Back => context.out.say("it is back"),
            Followed::Unknown(_) | Followed::Reset => {}
        }
    }
}

fn moved(event: &Event, context: &Context) -> Result<(), Failure> {
    if context.out.json {
        return context.out.object(event);
    }
    let EventKind::RunMoved { run, workflow, title, to, stage, reason, .. } = &event.what else {
        return Ok(());
    };
    let place = if stage.is_empty() { String::new() } else { format!(" at {stage}") };
    let why = reason.as_deref().map(|why| format!(": {}", clean(&told(why)))).unwrap_or_default();
    let state = context.out.paint.ink(ink_of(*to), to.as_str());
    context.out.line(format!(
        "{}  {}  {state}{place}  {} ({}){why}",
        utc(event.at),
        short(run),
        clean(title),
        clean(workflow)
    ))
}

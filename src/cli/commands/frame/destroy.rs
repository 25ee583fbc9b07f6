//! `mimir frame destroy`

use std::time::Duration;

use clap::Args;

use crate::cli::ask::confirm_destruction;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::FrameDestroyed;
use crate::cli::table::clean;
use crate::cli::{here, names};
use crate::client::{GatewayClient, Reached};
use crate::model::frame::FrameState;
use crate::model::names::FrameName;
use crate::wire::frames::FrameDetails;
use crate::wire::problem::Problem;

/// Longer than an engine takes to kill and remove a container that does not want to go.
const WAIT: Duration = Duration::from_secs(60);

/// Remove frames with everything in them; project folders stay as they are
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// Which frames; the one of this folder when absent
    #[arg(value_name = "NAME", value_parser = FrameName::parse, add = names::frames())]
    names: Vec<FrameName>,
    /// Do not ask
    #[arg(long, short, alias = "force", short_alias = 'f')]
    yes: bool,
}

pub async fn run(args: &DestroyArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    // All of them first: a typing mistake in the third name destroys nothing.
    let mut names: Vec<String> = args.names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        names.push(of_this_folder(&gateway, args.yes, context).await?);
    }
    let mut frames = Vec::new();
    for name in &names {
        frames.push(gateway.frame(name).await?);
    }
    let command = format!("mimir frame destroy {}", names.join(" "));
    if !confirm_destruction(&context.out, args.yes, &question(&frames), &command)? {
        context.out.say("nothing was destroyed");
        return Ok(FAILED);
    }
    let mut failure = None;
    for name in &names {
        let work = destroy(&gateway, name);
        match context.out.while_waiting(&format!("destroying {name}"), work).await {
            Ok(()) if context.out.json => {
                context.out.object(&FrameDestroyed { frame: name.clone(), destroyed: true })?;
            }
            Ok(()) => context.out.line(format!("{name} destroyed"))?,
            Err(error) if failure.is_none() => failure = Some(error),
            Err(error) => context.out.problem(&error.problem),
        }
    }
    failure.map_or(Ok(DONE), Err)
}

/// The frame of the folder we are in. Who is not asked (`--yes`) must name it: a list of names in a script may be empty.
pub(super) async fn of_this_folder(
    gateway: &GatewayClient,
    yes: bool,
    context: &Context,
) -> Result<String, Failure> {
    let found = here::of_this_folder(gateway, &|name| format!("mimir frame destroy {name}"), context).await?;
    if yes {
        return Err(usage("nobody said which frame, and --yes asks nobody")
            .hint(format!("the frame of this folder: `mimir frame destroy {} --yes`", found.name))
            .into());
    }
    context.out.say(format!("found {}, the frame of {}", found.name, clean(&found.workspace)));
    Ok(found.name)
}

async fn destroy(gateway: &GatewayClient, name: &str) -> Result<(), Failure> {
    match gateway.destroy_frame(name, WAIT).await? {
        Reached::Yes(()) => Ok(()),
        Reached::NotYet(()) => Err(Problem::new(
            408,
            "frame.not_yet",
            format!("frame {name} is still being destroyed after {} s", WAIT.as_secs()),
        )
        .hint(format!("the gateway goes on; `mimir frame show {name}` says how far it is"))
        .into()),
    }
}

/// What would be lost. The project's folder is mounted, not copied: it stays.
fn question(frames: &[FrameDetails]) -> String {
    let mut text = String::new();
    for frame in frames {
        let summary = &frame.summary;
        let busy = match (&summary.agent, summary.state) {
            (Some(agent), FrameState::Running) if agent != "idle" => format!("; its agent is {agent}"),
            _ => String::new(),
        };
        text.push_str(&format!(
            "{} is {}{busy}. {} stays as it is; ",
            summary.name, summary.state, summary.workspace
        ));
        text.push_str("the agent's home (its settings, shell history, installed tools) goes.\n");
    }
    let what = if frames.len() == 1 { "this frame" } else { "these frames" };
    text + &format!("Destroy {what}?")
}

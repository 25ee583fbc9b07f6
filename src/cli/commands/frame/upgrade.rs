//! `mimir frame upgrade`, and who is told that there is something to upgrade to.

use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;

use super::show::short;
use super::verbs;
use crate::cli::context::Context;
use crate::cli::exit::{CONFLICT, DONE, Failure, Outcome};
use crate::cli::json::FrameLeftOut;
use crate::cli::{here, names};
use crate::client::{FrameVerb, GatewayClient};
use crate::model::frame::Desired;
use crate::model::names::FrameName;
use crate::wire::frames::{FrameSummary, UpgradeFrame, UpgradedFrame};

/// How long the frames may take together before we leave them to the gateway: they start a few at a time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Move frames to the newest build of their image; homes and conversations stay
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// Which frames; the one of this folder when absent
    #[arg(value_name = "NAME", value_parser = FrameName::parse, add = names::frames())]
    names: Vec<FrameName>,
    /// All that are on an older image; leaves out those that are busy, and names them
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Also those whose agent works or that somebody is attached to
    #[arg(long)]
    force: bool,
}

pub async fn run(args: &UpgradeArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let names: Vec<String> = if args.all {
        // Each is asked: what the list says of images may be a minute old.
        let frames = gateway.frames().await?;
        frames.into_iter().filter(|frame| frame.engine.is_local()).map(|frame| frame.name).collect()
    } else if args.names.is_empty() {
        vec![here::frame(&gateway, None, &|name| format!("mimir frame upgrade {name}"), context).await?]
    } else {
        args.names.iter().map(ToString::to_string).collect()
    };
    let work = join_all(names.iter().map(|name| upgrade(&gateway, name, args.force)));
    let answers = context.out.while_waiting("moving frames to their newest image", work).await;

    let (mut moved, mut busy, mut first_failure) = (0, Vec::new(), None);
    for (name, answer) in names.iter().zip(answers) {
        match answer {
            Ok(done) if args.all && !done.upgraded => {}
            Ok(done) => {
                moved += usize::from(done.upgraded);
                tell_one(&done, context)?;
            }
            Err(failure) if args.all && failure.problem.code == "frame.busy" => {
                if context.out.json {
                    let reason = failure.problem.title.clone();
                    context.out.object(&FrameLeftOut { name: name.clone(), upgraded: false, reason })?;
                }
                busy.push((name, failure));
            }
            Err(failure) if first_failure.is_none() => first_failure = Some(failure),
            Err(failure) => context.out.problem(&failure.problem),
        }
    }
    for (_, failure) in &busy {
        context.out.say(format!("left out: {}", failure.problem.title));
    }
    if let Some(failure) = first_failure {
        return Err(failure);
    }
    if !busy.is_empty() {
        let left: Vec<&str> = busy.iter().map(|(name, _)| name.as_str()).collect();
        context.out.say(format!(
            "`mimir frame upgrade {} --force` interrupts {}",
            left.join(" "),
            if left.len() == 1 { "it" } else { "them" }
        ));
        return Ok(CONFLICT);
    }
    if args.all && moved == 0 {
        context.out.say("every frame is on the newest build of its image");
    }
    Ok(DONE)
}

async fn upgrade(gateway: &GatewayClient, name: &str, force: bool) -> Result<UpgradedFrame, Failure> {
    let mut done = gateway.upgrade_frame(name, UpgradeFrame { force }).await?;
    if done.upgraded && done.frame.desired == Desired::Running {
        done.frame = verbs::ask(gateway, name, FrameVerb::Start, PATIENCE).await?;
    }
    Ok(done)
}

fn tell_one(done: &UpgradedFrame, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if out.json {
        return out.object(done);
    }
    let (name, from, to) = (&done.frame.name, short(&done.from), short(&done.to));
    out.line(match (done.upgraded, done.frame.desired) {
        (false, _) => format!("{name} is on the newest build of its image already ({to})"),
        (true, Desired::Running) => format!("{name} runs on {to} now; before, on {from}"),
        (true, _) => format!("{name} will start on {to}; before, on {from}"),
    })
}

/// Says which of these frames are on an older image, and what to type.
pub fn tell_of_images(frames: &[FrameSummary], context: &Context) {
    let behind: Vec<&str> =
        frames.iter().filter(|frame| frame.behind).map(|frame| frame.name.as_str()).collect();
    if !behind.is_empty() {
        context.out.say(format!(
            "on an older image: {}; `mimir frame upgrade --all` moves {}",
            behind.join(", "),
            if behind.len() == 1 { "it" } else { "them" }
        ));
    }
    for frame in frames {
        if let Some(rebuild) = &frame.rebuild {
            context.out.say(format!(
                "{}: its image was built on an older frame image; `{rebuild}`, then `mimir frame upgrade {}`",
                frame.name, frame.name
            ));
        }
    }
}

//! `mimir frame start | stop | restart | pause | resume`

use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::{here, names};
use crate::client::{FrameVerb, GatewayClient, Reached};
use crate::model::frame::FrameState;
use crate::model::names::FrameName;
use crate::model::quantity::span;
use crate::wire::frames::FrameSummary;
use crate::wire::problem::Problem;

/// How long a frame may take before we leave it to the gateway.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Which frames, and how long to wait.
#[derive(Debug, Args)]
pub struct VerbArgs {
    /// Which frames; the one of this folder when absent
    #[arg(value_name = "NAME", value_parser = FrameName::parse, add = names::frames())]
    names: Vec<FrameName>,
    /// Return at once; the gateway goes on
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// How long to wait until it is so
    #[arg(long, value_name = "DURATION", value_parser = span::parse, default_value = "2m")]
    wait: Duration,
}

/// Asks all frames at once; leaves with the first failure's code when there is one.
pub async fn run(verb: FrameVerb, args: &VerbArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let wait = if args.no_wait { Duration::ZERO } else { args.wait };
    let mut names: Vec<String> = args.names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        let command = |name: &str| format!("mimir frame {} {name}", verb.as_str());
        names.push(here::frame(&gateway, None, &command, context).await?);
    }
    let work = join_all(names.iter().map(|name| ask(&gateway, name, verb, wait)));
    let what = format!("{} {}", doing(verb), names.join(", "));
    let answers = context.out.while_waiting(&what, work).await;

    let mut first_failure: Option<Failure> = None;
    let mut reached = Vec::new();
    for answer in answers {
        match answer {
            Ok(frame) => reached.push(frame),
            Err(failure) if first_failure.is_none() => first_failure = Some(failure),
            Err(failure) => context.out.problem(&failure.problem),
        }
    }
    if context.out.json {
        for frame in &reached {
            context.out.object(frame)?;
        }
    } else {
        for frame in &reached {
            context.out.line(format!("{} {}", frame.name, frame.state))?;
        }
    }
    first_failure.map_or(Ok(DONE), Err)
}

/// Brings one frame there, with progress.
pub async fn bring(
    gateway: &GatewayClient,
    name: &str,
    verb: FrameVerb,
    wait: Duration,
    context: &Context,
) -> Result<FrameSummary, Failure> {
    let what = format!("{} {name}", doing(verb));
    context.out.while_waiting(&what, ask(gateway, name, verb, wait)).await
}

pub(super) async fn ask(
    gateway: &GatewayClient,
    name: &str,
    verb: FrameVerb,
    wait: Duration,
) -> Result<FrameSummary, Failure> {
    match gateway.ask_frame(name, verb, wait).await? {
        Reached::Yes(frame) => Ok(frame),
        Reached::NotYet(frame) if wait.is_zero() => Ok(frame),
        Reached::NotYet(frame) => Err(not_yet(&frame, verb, wait).into()),
    }
}

fn not_yet(frame: &FrameSummary, verb: FrameVerb, wait: Duration) -> Problem {
    let name = &frame.name;
    let problem = if frame.state == FrameState::Error {
        Problem::new(424, "frame.failed", format!("frame {name} went to error while {}", doing(verb))).hint(
            format!(
                "`mimir frame logs {name}` shows what happened inside; `mimir frame start {name}` tries again"
            ),
        )
    } else {
        let title = format!("frame {name} is still {} after {} s", frame.state, wait.as_secs());
        Problem::new(408, "frame.not_yet", title).hint(format!(
            "the gateway goes on {}; `mimir frame show {name}` says how far it is",
            doing(verb)
        ))
    };
    match &frame.reason {
        Some(reason) => problem.detail(reason.clone()),
        None => problem,
    }
}

fn doing(verb: FrameVerb) -> &'static str {
    match verb {
        FrameVerb::Start => "starting",
        FrameVerb::Stop => "stopping",
        FrameVerb::Restart => "restarting",
        FrameVerb::Pause => "pausing",
        FrameVerb::Resume => "resuming",
    }
}

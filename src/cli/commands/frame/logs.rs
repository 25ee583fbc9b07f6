//! `mimir frame logs`

use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::cli::{here, names};
use crate::clock::utc as time;
use crate::model::names::FrameName;
use crate::model::quantity::span;

/// What the frame's supervisor, opencode and the forwarders say, in order
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// Go on until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only from this long ago on, such as 15m
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    since: Option<Duration>,
    /// Only the last N lines
    #[arg(long, short = 'n', value_name = "N")]
    tail: Option<u32>,
}

pub async fn run(args: &LogsArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame logs {name}");
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    let since_ms = args
        .since
        .map(|ago| context.now_ms().saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)));
    let mut lines = gateway.logs(&name, args.follow, since_ms, args.tail).await?;
    let mut any = false;
    while let Some(line) = lines.next().await? {
        any = true;
        if context.out.json {
            context.out.object(&line)?;
        } else {
            let ink = if line.source == "opencode" { Ink::Cyan } else { Ink::Dim };
            context.out.line(format!(
                "{} {} {}",
                context.out.paint.ink(Ink::Dim, &time(line.at)),
                context.out.paint.ink(ink, &format!("{:<9}", line.source)),
                clean(&line.text)
            ))?;
        }
    }
    if !any {
        context.out.say(format!("{} has no log lines (it may never have run)", name));
    }
    Ok(DONE)
}

//! `mimir frame list`

use std::time::Duration;

use clap::Args;

use super::super::budget;
use super::{state_cell, upgrade};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::table::{Table, clean, column};
use crate::model::network::NetworkMode;
use crate::model::quantity::{age, left};
use crate::wire::frames::FrameSummary;

/// All frames: state, what the agent does, ports, age, cost
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Show it again every second until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// All of them, as always: other tools leave out what does not run
    #[arg(long, short, hide = true)]
    all: bool,
}

pub async fn run(args: &ListArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    if args.watch {
        return watch(&gateway, context).await;
    }
    let frames = gateway.frames().await?;
    if context.out.json {
        context.out.document(&frames)?;
    } else if frames.is_empty() {
        context.out.say("no frames yet; `mimir frame create` makes one for this folder");
    } else {
        context.out.table(&table(&frames, context.now_ms()))?;
        for frame in &frames {
            if let Some(reason) = frame.reason.as_ref().filter(|_| needs_attention(frame)) {
                let reason = clean(reason);
                context.out.say(format!("{}: {reason} (`mimir frame show {}`)", frame.name, frame.name));
            }
            if let Some(near) = frame.budget.as_ref().filter(|near| near.percent >= 80) {
                let spent = budget::amounts(near);
                context.out.say(format!(
                    "{}: the budget of {} is at {} %: {spent}",
                    frame.name,
                    clean(&near.whose()),
                    near.percent
                ));
            }
            if let Some(silence) = frame.status.silence() {
                context.out.say(format!("{}: {}", frame.name, clean(&silence.to_string())));
            }
        }
        upgrade::tell_of_images(&frames, context);
    }
    Ok(DONE)
}

async fn watch(gateway: &crate::client::GatewayClient, context: &Context) -> Outcome {
    let mut last = String::new();
    loop {
        let frames = gateway.frames().await?;
        if context.out.json {
            // One line per change: ages do not count as one.
            let now = serde_json::to_string(&frames).unwrap_or_default();
            if now != last {
                context.out.object(&frames)?;
                last = now;
            }
        } else {
            let text = table(&frames, context.now_ms()).render(context.out.width(), context.out.paint);
            let clear = if context.out.width().is_some() { "\x1b[H\x1b[2J" } else { "" };
            if text != last {
                context.out.raw(&format!("{clear}{text}"))?;
                last = text;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn needs_attention(frame: &FrameSummary) -> bool {
    frame.state == crate::model::frame::FrameState::Error
}

fn ports(frame: &FrameSummary) -> String {
    match (frame.agent_port, frame.preview_port) {
        (0, 0) => "-".to_owned(),
        (agent, preview) => format!("{agent} {preview}"),
    }
}

fn table(frames: &[FrameSummary], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATE"),
        column("AGENT"),
        column("PORTS").spare(2),
        column("NETWORK").spare(5),
        column("AGE").right().spare(4),
        column("ACTIVE").right().spare(3),
        column("COST").right().spare(1),
        column("WORKSPACE").shrinks().spare(6),
    ]);
    for frame in frames {
        let expires = frame.expires_at.map(|at| format!(" (gone in {})", left(at, now_ms)));
        table.row(vec![
            frame.name.as_str().into(),
            state_cell(frame.state),
            frame.agent.as_deref().unwrap_or("-").into(),
            ports(frame).into(),
            frame.network.map_or(frame.engine.as_str(), NetworkMode::as_str).into(),
            age(frame.created_at, now_ms).into(),
            age(frame.last_active_at, now_ms).into(),
            budget::cost(frame.cost_microusd, frame.unpriced_count).into(),
            format!("{}{}", frame.url.as_ref().unwrap_or(&frame.workspace), expires.unwrap_or_default())
                .into(),
        ]);
    }
    table
}

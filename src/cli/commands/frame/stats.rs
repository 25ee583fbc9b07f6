//! `mimir frame stats`

use clap::Args;
use futures_util::future::try_join_all;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::names;
use crate::cli::table::{Table, column};
use crate::model::frame::FrameState;
use crate::model::names::FrameName;
use crate::model::quantity::{size, took};

/// Processor, memory, processes and disk, right now
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Which frames; all that run when absent
    #[arg(value_name = "NAME", value_parser = FrameName::parse, add = names::frames())]
    names: Vec<FrameName>,
}

pub async fn run(args: &StatsArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let names: Vec<String> = if args.names.is_empty() {
        let frames = gateway.frames().await?;
        frames
            .into_iter()
            .filter(|frame| frame.state == FrameState::Running)
            .map(|frame| frame.name)
            .collect()
    } else {
        args.names.iter().map(ToString::to_string).collect()
    };
    let asked = try_join_all(names.iter().map(|name| gateway.stats(name)));
    let stats = context.out.while_waiting("measuring", asked).await?;
    if context.out.json {
        context.out.document(&stats)?;
        return Ok(DONE);
    }
    if stats.is_empty() {
        context.out.say("no frame runs; `mimir frame list` shows all");
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("NAME"),
        column("CORES").right(),
        column("CPU TIME").right().spare(3),
        column("MEMORY").right(),
        column("LIMIT").right().spare(1),
        column("PROCESSES").right().spare(2),
        column("HOME").right().spare(4),
    ]);
    for one in stats {
        let limit =
            if one.memory_limit_bytes == 0 { "none".to_owned() } else { size(one.memory_limit_bytes) };
        table.row(vec![
            one.frame.into(),
            format!("{:.2}", one.cpu_cores).into(),
            took(one.cpu_ms).into(),
            size(one.memory_bytes).into(),
            limit.into(),
            one.pids.to_string().into(),
            size(one.home_bytes).into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

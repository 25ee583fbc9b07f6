//! `mimir frame gc`

use clap::Args;

use crate::cli::ask::confirm_destruction;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, FINDINGS, Failure, Outcome};
use crate::cli::table::{Table, column};
use crate::model::quantity::size;
use crate::wire::frames::Leftover;

/// Find and remove what is left over from frames that are gone
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Only show it (exit code 8 when there is something)
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(args: &GcArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let found = context.out.while_waiting("looking for leftovers", gateway.leftovers()).await?;
    if args.dry_run || found.is_empty() {
        show(&found, context)?;
        return Ok(if found.is_empty() { DONE } else { FINDINGS });
    }
    if !context.out.json && !args.yes {
        show(&found, context)?;
    }
    let question = format!("Remove these {} leftovers?", found.len());
    if !confirm_destruction(&context.out, args.yes, &question, "mimir frame gc")? {
        context.out.say("nothing was removed");
        return Ok(FAILED);
    }
    let removed = context.out.while_waiting("removing", gateway.gc()).await?;
    show(&removed, context)?;
    let all_gone = removed.iter().all(|leftover| leftover.outcome == "removed");
    Ok(if all_gone { DONE } else { FAILED })
}

fn show(leftovers: &[Leftover], context: &Context) -> Result<(), Failure> {
    if context.out.json {
        return context.out.document(&leftovers);
    }
    if leftovers.is_empty() {
        context.out.say("nothing is left over");
        return Ok(());
    }
    let mut table = Table::new(&[
        column("KIND"),
        column("WHAT").shrinks(),
        column("SIZE").right().spare(2),
        column("OUTCOME"),
        column("WHY").shrinks().spare(1),
    ]);
    for leftover in leftovers {
        let bytes = if leftover.size_bytes == 0 { "-".to_owned() } else { size(leftover.size_bytes) };
        table.row(vec![
            leftover.kind.as_str().into(),
            leftover.what.as_str().into(),
            bytes.into(),
            leftover.outcome.as_str().into(),
            leftover.why.as_str().into(),
        ]);
    }
    context.out.table(&table)
}

//! `mimir frame exec`

use std::io::IsTerminal;

use clap::Args;

use super::attach::{ensure_running, hung_up, or_hung_up};
use crate::cli::context::Context;
use crate::cli::exit::{FAILED, Outcome, usage};
use crate::cli::screen::{self, Ending, RawMode, Streams};
use crate::cli::{here, names};
use crate::model::names::FrameName;
use crate::wire::terminal::TerminalQuery;

/// Run a command inside; its output, errors and exit code are passed through
#[derive(Debug, Args)]
#[command(
    override_usage = "mimir frame exec [OPTIONS] NAME COMMAND...\n       mimir frame exec [OPTIONS] -- COMMAND...",
    after_help = "Options stand before the command: what follows it is its own. With `--` and no NAME it runs in the frame of
this folder."
)]
pub struct ExecArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// Give it a terminal
    #[arg(long, short)]
    tty: bool,
    /// Give it what is typed here; without this it gets what is piped in
    #[arg(long, short)]
    interactive: bool,
    /// Start the frame if it does not run, without asking
    #[arg(long)]
    start: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub async fn run(args: &ExecArgs, context: &Context) -> Outcome {
    let stdin_is_terminal = std::io::stdin().is_terminal();
    if args.tty && !(stdin_is_terminal && std::io::stdout().is_terminal()) {
        return Err(usage("--tty needs a terminal, and this is none").hint("leave --tty off").into());
    }
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame exec {name} {}", args.command.join(" "));
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    let frame = gateway.frame(&name).await?;
    if !ensure_running(&gateway, &frame, args.start, context).await? {
        return Ok(FAILED);
    }
    let (columns, rows) = screen::size();
    let argv = serde_json::to_string(&args.command).map_err(|error| usage(error.to_string()))?;
    let query = TerminalQuery {
        columns,
        rows,
        term: std::env::var("TERM").ok().filter(|term| !term.is_empty()),
        argv: Some(argv),
        no_tty: !args.tty,
        ..TerminalQuery::default()
    };
    let (input, output) = gateway.terminal(&name, &query).await?;
    // A terminal that is not handed over keeps its keys: Ctrl-C ends us, and with us the command.
    let streams = Streams { input: args.tty || args.interactive || !stdin_is_terminal, resize: args.tty };
    let mut raw = if args.tty { Some(RawMode::begin()?) } else { None };
    let ending = screen::pump(input, output, streams).await;
    if let (Some(raw), Ok(Ending::Exit(_))) = (raw.as_mut(), &ending) {
        raw.ended_well();
    }
    drop(raw);
    match or_hung_up(ending)? {
        Ending::Exit(code) => Ok(passed_through(code)),
        Ending::Problem(problem) => Err(problem.into()),
        Ending::HungUp => Err(hung_up(&name)),
        Ending::Signal(number) => Ok(128 + number),
    }
}

/// What a shell would see; something out of range is a failure, never a success.
fn passed_through(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

//! `mimir frame exec`

use std::io::IsTerminal;

use clap::Args;

use super::attach::{ensure_running, hung_up, or_hung_up};
use crate::cli::context::Context;
use crate::cli::exit::{FAILED, Failure, Outcome, usage};
use crate::cli::habits::{Typed, as_typed};
use crate::cli::screen::{self, Ending, RawMode, Streams};
use crate::cli::{here, names};
use crate::client::GatewayClient;
use crate::model::names::FrameName;
use crate::wire::terminal::TerminalQuery;

/// Run a command inside; its output, errors and exit code are passed through
#[derive(Debug, Args)]
#[command(
    override_usage = "mimir frame exec [OPTIONS] [NAME] COMMAND...\n       mimir frame exec [OPTIONS] [NAME] -- COMMAND...",
    after_help = "Options stand before the command: what follows it is its own. Without NAME it runs in the frame of this
folder. The first word is NAME if there is a frame of that name; behind `--` there is nothing but the command."
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
    /// Nobody typed the `--`
    #[arg(long, hide = true)]
    as_typed: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What is to be run where.
struct Wanted {
    frame: String,
    tty: bool,
    interactive: bool,
    start: bool,
    command: Vec<String>,
}

pub async fn run(args: &ExecArgs, context: &Context) -> Outcome {
    // What needs no gateway is said before one is started for it.
    can_have_terminal(args.tty)?;
    let gateway = context.gateway().await?;
    let args = wanted(&gateway, args, context).await?;
    can_have_terminal(args.tty)?;
    let stdin_is_terminal = std::io::stdin().is_terminal();
    let name = args.frame;
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

fn can_have_terminal(tty: bool) -> Result<(), Failure> {
    if tty && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(usage("--tty needs a terminal, and this is none").hint("leave --tty off").into());
    }
    Ok(())
}

async fn wanted(gateway: &GatewayClient, args: &ExecArgs, context: &Context) -> Result<Wanted, Failure> {
    let (mut name, mut command) = (args.name.as_ref().map(ToString::to_string), args.command.clone());
    let mut options = Vec::new();
    if args.as_typed {
        let frames = gateway.frames().await?;
        let typed = as_typed(&command, |word| frames.iter().any(|frame| frame.name == word));
        Typed { name, options, command } = typed;
    }
    match command.first() {
        None => {
            let name = name.unwrap_or_default();
            return Err(usage(format!("`{name}` is a frame; what is to be run in it?"))
                .hint(format!("`mimir exec {name} ls`, or `mimir exec {name} -it bash` for a shell"))
                .into());
        }
        Some(word) if args.as_typed && name.is_some() && word.starts_with('-') => {
            return Err(usage(format!("`{word}` is no option of `mimir exec`"))
                .hint("`mimir exec --help` lists them; what follows the command is the command's own")
                .into());
        }
        Some(_) => {}
    }
    let frame = match name {
        Some(name) => name,
        None => {
            let again = |name: &str| format!("mimir frame exec {name} {}", command.join(" "));
            here::frame(gateway, None, &again, context)
                .await
                .map_err(|failure| or_mistyped(failure, &command))?
        }
    };
    let has = |letter: char, long: &str| {
        options.iter().any(|word| word == long || (!word.starts_with("--") && word.contains(letter)))
    };
    Ok(Wanted {
        frame,
        tty: args.tty || has('t', "--tty"),
        interactive: args.interactive || has('i', "--interactive"),
        start: args.start || options.iter().any(|word| word == "--start"),
        command,
    })
}

/// The first word may have been meant as a frame's name.
fn or_mistyped(mut failure: Failure, command: &[String]) -> Failure {
    if let Some(Ok(word)) = command.first().map(|word| FrameName::parse(word)) {
        failure.problem = Box::new(failure.problem.detail(format!("and {word} is no frame")));
    }
    failure
}

/// What a shell would see; something out of range is a failure, never a success.
fn passed_through(code: i64) -> u8 {
    u8::try_from(code).unwrap_or(u8::MAX)
}

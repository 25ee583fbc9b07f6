//! `mimir frame attach`

use std::io::IsTerminal;

use clap::Args;

use super::{nested, verbs};
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::Printed;
use crate::cli::screen::{self, Ending, RawMode, Streams};
use crate::cli::table::clean;
use crate::cli::{here, names};
use crate::client::{ClientError, FrameVerb, GatewayClient};
use crate::model::frame::FrameState;
use crate::model::names::FrameName;
use crate::wire::frames::FrameDetails;
use crate::wire::problem::Problem;
use crate::wire::terminal::TerminalQuery;

/// The frame's terminal in this one; C-b d leaves, the frame goes on
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// Which window: agent, shell, or a number
    #[arg(long, short, value_name = "WINDOW", value_parser = parse_window)]
    window: Option<String>,
    /// Look, do not touch
    #[arg(long, short)]
    read_only: bool,
    /// Start the frame if it does not run, without asking
    #[arg(long)]
    start: bool,
    /// Print the command that attaches without the gateway, and do nothing; through it the frame's programs reach your
    /// terminal unfiltered
    #[arg(long)]
    print: bool,
}

pub async fn run(args: &AttachArgs, context: &Context) -> Outcome {
    if !args.print && !is_terminal() {
        return Err(usage("attach needs a terminal, and this is none")
            .hint("`mimir frame exec NAME COMMAND` runs a command without one; `mimir open NAME` opens a terminal")
            .into());
    }
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame attach {name}");
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    let frame = gateway.frame(&name).await?;
    if args.print {
        let command = without_gateway(&frame, args);
        if context.out.json {
            context.out.document(&Printed { command })?;
        } else {
            context.out.line(command)?;
        }
        return Ok(DONE);
    }
    if !ensure_running(&gateway, &frame, args.start, context).await? {
        return Ok(FAILED);
    }
    let (columns, rows) = screen::size();
    let query = TerminalQuery {
        columns,
        rows,
        window: args.window.clone(),
        read_only: args.read_only,
        term: std::env::var("TERM").ok().filter(|term| !term.is_empty()),
        ..TerminalQuery::default()
    };
    nested::tell(&name, context).await;
    let (input, output) = gateway.terminal(&name, &query).await?;

    let mut raw = RawMode::begin()?;
    let ending = screen::pump(input, output, Streams { input: true, resize: true }).await;
    if matches!(ending, Ok(Ending::Exit(_))) {
        raw.ended_well();
    }
    drop(raw);
    finish(ending, &name, context)
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Says how it ended, in the terminal that is ours again.
fn finish(ending: Result<Ending, ClientError>, name: &str, context: &Context) -> Outcome {
    match or_hung_up(ending)? {
        Ending::Exit(0) => {
            context.out.say(format!("left {name}; it goes on (`mimir frame attach {name}` comes back)"));
            Ok(DONE)
        }
        Ending::Exit(code) => {
            Err(Problem::new(409, "terminal.ended", format!("the terminal of {name} ended with code {code}"))
                .hint(format!(
                    "`mimir frame show {name}` says whether it runs, `mimir frame logs {name}` what happened"
                ))
                .into())
        }
        Ending::Problem(problem) => Err(problem.into()),
        Ending::HungUp => Err(hung_up(name)),
        Ending::Signal(number) => Ok(128 + number),
    }
}

/// A connection that broke means the same to a person as one that was closed.
pub fn or_hung_up(ending: Result<Ending, ClientError>) -> Result<Ending, ClientError> {
    match ending {
        Err(ClientError::Lost { .. }) => Ok(Ending::HungUp),
        other => other,
    }
}

/// The gateway went away in the middle.
pub fn hung_up(name: &str) -> Failure {
    Problem::new(503, "gateway.lost", format!("the gateway hung up; {name} itself goes on"))
        .hint(format!("`mimir frame attach {name}` comes back; `mimir status` shows whether a gateway runs"))
        .into()
}

/// Whether it runs, or was started because somebody wants it to.
pub async fn ensure_running(
    gateway: &GatewayClient,
    frame: &FrameDetails,
    start: bool,
    context: &Context,
) -> Result<bool, Failure> {
    let name = &frame.summary.name;
    let verb = match frame.summary.state {
        FrameState::Running => return Ok(true),
        FrameState::Paused => FrameVerb::Resume,
        FrameState::Created | FrameState::Starting | FrameState::Stopped | FrameState::Error => {
            FrameVerb::Start
        }
    };
    let question = match frame.summary.state {
        FrameState::Starting => None,
        FrameState::Paused => Some(format!("{name} is paused. Let it go on?")),
        FrameState::Error => {
            let reason = clean(frame.summary.reason.as_deref().unwrap_or("nobody knows why"));
            Some(format!("{name} is in error: {reason}. Start it again?"))
        }
        state => Some(format!("{name} is {state}. Start it?")),
    };
    if let Some(question) = question.filter(|_| !start) {
        if !ask::can_ask(&context.out) {
            return Err(Problem::new(
                409,
                "frame.not_running",
                format!("frame {name} is {}", frame.summary.state),
            )
            .hint(format!("`mimir frame {} {name}`", verb.as_str()))
            .into());
        }
        if !ask::yes_or_no(&context.out, &question, true) {
            return Ok(false);
        }
    }
    verbs::bring(gateway, name, verb, verbs::PATIENCE, context).await?;
    Ok(true)
}

/// For the day on which the gateway is what does not work.
fn without_gateway(frame: &FrameDetails, args: &AttachArgs) -> String {
    use crate::model::container::inside::TMUX_SOCKET;
    let target = args.window.as_deref().map_or_else(|| "main".to_owned(), |window| format!("main:{window}"));
    let read_only = if args.read_only { " -r" } else { "" };
    format!(
        "podman exec --interactive --tty {} tmux -S {TMUX_SOCKET} attach-session{read_only} -t {target}",
        frame.container
    )
}

fn parse_window(text: &str) -> Result<String, String> {
    let number = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if number || matches!(text, "agent" | "shell") {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no window: use agent, shell or a number"))
    }
}

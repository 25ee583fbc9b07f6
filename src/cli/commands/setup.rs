//! `mimir setup`: what `scripts/setup` of the repository does, for whoever has only the program.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::json::MachineSetUp;
use crate::wire::problem::Problem;

/// The script, as the repository has it. It is handed over as one word, so nothing of it is written anywhere.
const SCRIPT: &str = include_str!("../../../scripts/setup");
/// What it calls itself then.
const NAME: &str = "mimir setup";

/// Make this machine ready: packages, user namespaces, Podman's configuration
#[derive(Debug, Args)]
#[command(
    after_help = "It shows what is missing, asks once, then does it; root is had through sudo. Debian 12 and 13.\n\n\
    Exit codes: 0 ready, perhaps but for what mimir runs without, 1 something is still missing or failed, 64 wrong use, \
    69 not a Debian machine, 77 neither root nor sudo for what mimir needs."
)]
pub struct SetupArgs {
    /// Show what is missing and change nothing
    #[arg(long)]
    check: bool,
    /// Do not ask
    #[arg(long, short, conflicts_with = "check")]
    yes: bool,
    /// Who will run mimir; you, or whoever called sudo, unless named
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

pub fn run(args: &SetupArgs, context: &Context) -> Outcome {
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, NAME, "--run-only"]);
    command.args(args.check.then_some("--check")).args(args.yes.then_some("--yes"));
    if let Some(user) = &args.user {
        command.arg(format!("--user={user}"));
    }
    if context.out.json {
        let words = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| not_run(&error))?;
        command.stdout(Stdio::from(words));
    }
    let status = command.status().map_err(|error| not_run(&error))?;
    // A signal ended it; shells say 128 and its number.
    let of_signal = || std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    let code = status.code().or_else(of_signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if context.out.json {
        // What it says goes to standard error then.
        context.out.document(&MachineSetUp { ready: code == 0, exit_code: code })?;
    }
    Ok(code)
}

fn not_run(error: &std::io::Error) -> Failure {
    Problem::new(424, "setup.not_run", "the shell that sets the machine up cannot be run")
        .detail(error.to_string())
        .hint("`sudo apt install bash`")
        .into()
}

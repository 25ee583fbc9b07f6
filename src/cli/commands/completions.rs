//! `mimir completions SHELL`

use clap::Args;
use clap_complete::env::Shells;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::wire::problem::Problem;

/// Shell completion: add `source <(mimir completions bash)` to your ~/.bashrc
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_parser = ["bash", "zsh", "fish", "elvish", "powershell"])]
    shell: String,
}

pub fn run(args: &CompletionsArgs, context: &Context) -> Outcome {
    let shells = Shells::builtins();
    let mut script = Vec::new();
    let written = match shells.completer(&args.shell) {
        Some(shell) => shell.write_registration("COMPLETE", "mimir", "mimir", "mimir", &mut script),
        None => Err(std::io::Error::other("no such shell")),
    };
    written.map_err(|error| {
        Problem::new(500, "internal", "the completion script cannot be written").detail(error.to_string())
    })?;
    context.out.raw(&String::from_utf8_lossy(&script))?;
    Ok(DONE)
}

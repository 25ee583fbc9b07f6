//! `mimir ui`

use std::io::IsTerminal;

use clap::Args;
use mimir_tui::{CommandLine, Settings, UiError};

use crate::cli::context::{Context, own_program};
use crate::cli::exit::{DONE, Outcome, usage};
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::config::schema::Ui;
use crate::model::look::Look;
use crate::wire::problem::Problem;

/// All frames on one screen: what each agent does, which one waits for you, what it costs
#[derive(Debug, Args)]
#[command(
    after_help = "Enter goes into a frame's terminal, y answers an agent, s sends a message, : runs any command, ? shows all keys."
)]
pub struct UiArgs {}

pub async fn run(commands: Vec<CommandLine>, context: &Context) -> Outcome {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(usage("the dashboard needs a terminal, and this is none")
            .hint("`mimir frame list --json` and `mimir frame events` are for programs")
            .into());
    }
    let gateway = context.gateway().await?;
    let settings = Settings {
        gateway,
        elsewhere: context.elsewhere.as_ref().map(|there| there.url.clone()),
        color: context.out.paint.is_on(),
        look: look(context),
        program: own_program()?,
        folder: std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default(),
        commands,
        now_ms: || Clock::system().now_ms(),
        key: || hex::encode(clock::entropy::<16>()),
    };
    match mimir_tui::run(settings).await {
        Ok(()) => Ok(DONE),
        Err(error) => ended(error),
    }
}

/// As it is configured here. What is wrong with a file is said by whoever needs it; colours are no reason to stop.
pub(super) fn look(context: &Context) -> Look {
    let Ok(loaded) = Config::load(&context.load) else { return Look::default() };
    let Ui { theme, accent, good, warn, bad, faint } = loaded.config.ui;
    Look { theme, accent, good, warn, bad, faint }
}

/// What is said when it ended before somebody wanted it to.
pub(super) fn ended(error: UiError) -> Outcome {
    match error {
        UiError::Signal(number) => Ok(128 + number),
        UiError::Broken => Err(Problem::new(500, "internal", "a part of the dashboard failed")
            .detail("what it said stands above")
            .hint("`mimir ui` begins again; the gateway and all frames go on")
            .into()),
        UiError::Terminal(error) => {
            Err(Problem::new(400, "terminal.none", "this terminal cannot be handed over")
                .detail(error.to_string())
                .hint("run it in a terminal")
                .into())
        }
    }
}

//! `mimir serve`

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::config::problem;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::client::ClientError;
use crate::config::LoadOptions;
use crate::daemon::{self, AskKey, Mode, ServeOptions};
use crate::model::secret::Secret;
use crate::wire::problem::Problem;

/// How long a gateway may take to finish what it is doing.
const STOP: Duration = Duration::from_secs(30);

/// Run the gateway here, in the foreground
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Run it in the background; returns when it answers
    #[arg(long, conflicts_with = "stop")]
    detach: bool,
    /// What --detach runs: says how the start went in one line, then nothing more
    #[arg(long, hide = true, conflicts_with_all = ["detach", "stop"])]
    detached: bool,
    /// End the one that runs; frames go on
    #[arg(long)]
    stop: bool,
}

pub fn run(args: &ServeArgs, context: &Context) -> Outcome {
    if args.stop {
        return context.wait_for(stop(context));
    }
    let load = LoadOptions::of_process().map_err(|error| problem(&error))?;
    if args.detach {
        return detach(&load, context);
    }
    let mode = if args.detached { Mode::Detached } else { Mode::Foreground };
    let ask_key = key_prompt().filter(|_| mode == Mode::Foreground);
    daemon::serve(ServeOptions { load, mode, ask_key })?;
    Ok(DONE)
}

/// Asks for the database's key, where somebody can be asked.
pub(super) fn key_prompt() -> Option<AskKey> {
    std::io::stdin().is_terminal().then(|| -> AskKey {
        Box::new(|| rpassword::prompt_password("key of the database: ").ok().map(Secret::new))
    })
}

/// The same program once more, apart from this terminal.
fn detach(load: &LoadOptions, context: &Context) -> Outcome {
    let program = std::env::current_exe().map_err(|error| {
        Problem::new(500, "gateway.start_failed", "our own program cannot be found").detail(error.to_string())
    })?;
    load.paths.ensure_home().map_err(|error| problem(&error.into()))?;
    let arguments = ["serve".to_owned(), "--detached".to_owned()];
    let running = daemon::detach(&program, &arguments, &load.paths.home().join("gateway.err"))?;
    if context.out.json {
        let socket = running.started.socket.display().to_string();
        let about = serde_json::json!({"pid": running.pid, "socket": socket, "http": running.started.http});
        context.out.document(&about)?;
    } else {
        context.out.say(format!(
            "the gateway runs in the background: process {}, {}",
            running.pid, running.started.http
        ));
        if running.started.http.starts_with("https://") {
            context.out.say("`mimir status` shows the fingerprint of its certificate");
        }
    }
    Ok(DONE)
}

/// Asks it to stop and waits until it has ended.
async fn stop(context: &Context) -> Outcome {
    let gateway = context.gateway_here();
    match gateway.stop().await {
        Ok(()) => {}
        Err(ClientError::NoGateway { .. }) => {
            context.out.say("no gateway runs");
            return Ok(DONE);
        }
        // It went before it could say goodbye.
        Err(ClientError::Lost { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let lock = context.paths.lock();
    let gone = context.out.while_waiting("stopping the gateway", async {
        let begun = Instant::now();
        while begun.elapsed() < STOP {
            // It stops listening first; the home is free when its lock is.
            let silent = matches!(gateway.health().await, Err(ClientError::NoGateway { .. }));
            if silent && daemon::holder(&lock).is_none() {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    });
    if !gone.await {
        return Err(still_there());
    }
    context.out.say("the gateway stopped; frames go on");
    Ok(DONE)
}

fn still_there() -> Failure {
    Problem::new(408, "gateway.not_stopped", format!("the gateway has not ended after {} s", STOP.as_secs()))
        .hint("its log says what it waits for; `mimir status` shows its process id")
        .into()
}

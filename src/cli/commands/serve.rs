//! `mimir serve`

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::config::problem;
use crate::cli::ask;
use crate::cli::context::{Context, own_program};
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::json::{GatewayStarted, GatewayStopped};
use crate::client::ClientError;
use crate::config::LoadOptions;
use crate::daemon::{self, AskKey, Holder, Mode, ServeOptions};
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
    std::io::stdin()
        .is_terminal()
        .then(|| -> AskKey { Box::new(|| ask::hidden("key of the database: ").ok().map(Secret::new)) })
}

/// The same program once more, apart from this terminal.
fn detach(load: &LoadOptions, context: &Context) -> Outcome {
    let program = own_program()?;
    load.paths.ensure_home().map_err(|error| problem(&error.into()))?;
    let arguments = ["serve".to_owned(), "--detached".to_owned()];
    let running = daemon::detach(&program, &arguments, &load.paths.home().join("gateway.err"))?;
    if context.out.json {
        let socket = running.started.socket.display().to_string();
        let started = GatewayStarted { pid: running.pid, socket, http: running.started.http };
        context.out.document(&started)?;
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

async fn stop(context: &Context) -> Outcome {
    let ran = end(context).await?;
    context.out.say(if ran { "the gateway stopped; frames go on" } else { "no gateway runs" });
    if context.out.json {
        context.out.document(&GatewayStopped { stopped: ran })?;
    }
    Ok(DONE)
}

/// Asks it to stop and waits until it has ended. Whether one ran.
pub(super) async fn end(context: &Context) -> Result<bool, Failure> {
    let gateway = context.gateway_here();
    let lock = context.paths.lock();
    match (gateway.stop().await, daemon::holder(&lock)) {
        // It may have gone before it could say goodbye.
        (Ok(()) | Err(ClientError::Lost { .. }), _) => {}
        (Err(ClientError::NoGateway { .. }), None) => {
            return Ok(false);
        }
        // It cannot be asked: its socket is gone, or it hangs. Its process can.
        (
            Err(ClientError::NoGateway { .. } | ClientError::TimedOut { .. }),
            Some(Holder { pid: Some(pid), .. }),
        ) => {
            context.out.say(format!("the gateway does not answer; its process {pid} is asked to end"));
            terminate(pid)?;
        }
        (Err(error), _) => return Err(error.into()),
    }
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
        return Err(still_there(daemon::holder(&lock)));
    }
    Ok(true)
}

fn terminate(pid: u32) -> Result<(), Failure> {
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let sent =
        process.map_or(Ok(()), |pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
    match sent {
        // It ended by itself meanwhile.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Problem::new(403, "gateway.not_stopped", format!("process {pid} cannot be ended"))
            .detail(error.to_string())
            .hint("it belongs to somebody else; is MIMIR_HOME yours?")
            .into()),
    }
}

fn still_there(holder: Option<Holder>) -> Failure {
    let pid = holder.and_then(|holder| holder.pid);
    let hint = match pid {
        Some(pid) => {
            format!("its log says what it waits for; `kill -9 {pid}` ends it at once, and frames go on")
        }
        None => "its log says what it waits for".to_owned(),
    };
    Problem::new(408, "gateway.not_stopped", format!("the gateway has not ended after {} s", STOP.as_secs()))
        .hint(hint)
        .into()
}

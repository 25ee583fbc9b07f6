//! `mimir frame connect` and `mimir frame disconnect`

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::FrameDisconnected;
use crate::cli::{here, names};
use crate::client::Reached;
use crate::model::names::FrameName;
use crate::wire::frames::ConnectFrame;
use crate::wire::problem::Problem;

/// Nothing has to be stopped there.
const WAIT: Duration = Duration::from_secs(30);
/// No password is longer.
const LONGEST_PASSWORD: u64 = 4096;

/// Make a frame of an opencode server that runs elsewhere
///
/// Messages, events, approvals and sessions work as in any frame. Its server is never started, stopped or limited by
/// mimir, and its own configuration says what its agent may do.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// What to call it
    #[arg(value_parser = FrameName::parse)]
    name: FrameName,
    /// Where it is, such as http://127.0.0.1:4096; a user name may stand before the host
    #[arg(long)]
    url: String,
    /// Read its password from the standard input
    #[arg(long)]
    password_stdin: bool,
    /// The project's folder on this machine, by which `mimir send` finds it
    #[arg(long, value_name = "FOLDER")]
    workspace: Option<PathBuf>,
}

/// Forget servers that were connected; they are left alone
#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// Which frames; the one of this folder when absent
    #[arg(value_name = "NAME", value_parser = FrameName::parse, add = names::frames())]
    names: Vec<FrameName>,
}

pub async fn connect(args: ConnectArgs, context: &Context) -> Outcome {
    let password = if args.password_stdin { Some(password()?) } else { None };
    let workspace = args.workspace.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
    let workspace = workspace.map(|folder| folder.display().to_string());
    let gateway = context.gateway().await?;
    let server = ConnectFrame { url: args.url, password, workspace };
    let work = gateway.connect_frame(args.name.as_str(), &server);
    let frame = context.out.while_waiting(&format!("connecting {}", args.name), work).await?;
    if context.out.json {
        context.out.document(&frame)?;
        return Ok(DONE);
    }
    let url = frame.url.unwrap_or_default();
    context.out.line(format!("{} stands for the opencode server at {url}", frame.name))?;
    context.out.say(format!(
        "its own configuration says what its agent may do; `mimir frame show {}` says what mimir cannot do there",
        frame.name
    ));
    Ok(DONE)
}

fn password() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LONGEST_PASSWORD).read_to_string(&mut text);
    let password = text.trim_end_matches(['\r', '\n']);
    match read {
        Ok(_) if !password.is_empty() && !password.contains(['\r', '\n']) => Ok(password.to_owned()),
        Ok(_) => Err(usage("the standard input holds no password")
            .hint("one line, such as `pass show server | …`")
            .into()),
        Err(error) => Err(usage(format!("the password cannot be read: {error}")).into()),
    }
}

pub async fn disconnect(args: &DisconnectArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let mut names: Vec<String> = args.names.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        let name =
            here::frame(&gateway, None, &|name| format!("mimir frame disconnect {name}"), context).await?;
        let question = format!("Forget the server of {name}? The server itself is left alone.");
        let command = format!("mimir frame disconnect {name}");
        // With its name it is not asked for; here only the folder says which one is meant.
        if !ask::can_ask(&context.out) {
            return Err(usage("nobody said which frame")
                .detail(question)
                .hint(format!("`{command}`"))
                .into());
        }
        if !ask::yes_or_no(&context.out, &question, false) {
            return Ok(FAILED);
        }
        names.push(name);
    }
    let mut failure: Option<Failure> = None;
    for name in &names {
        let done: Result<(), Failure> = match gateway.disconnect_frame(name, WAIT).await {
            Ok(Reached::Yes(())) if context.out.json => {
                context.out.object(&FrameDisconnected { frame: name.clone(), disconnected: true })?;
                Ok(())
            }
            Ok(Reached::Yes(())) => {
                context.out.line(format!("{name} disconnected; its server is left alone"))?;
                Ok(())
            }
            Ok(Reached::NotYet(())) => {
                let title = format!("frame {name} is still being forgotten after {} s", WAIT.as_secs());
                Err(Problem::new(408, "frame.not_yet", title).into())
            }
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => {}
            Err(error) if failure.is_none() => failure = Some(error),
            Err(error) => context.out.problem(&error.problem),
        }
    }
    failure.map_or(Ok(DONE), Err)
}

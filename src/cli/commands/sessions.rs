//! `mimir sessions …`

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column};
use crate::cli::units::{age, time};
use crate::model::names::FrameName;
use crate::wire::messages::SessionDetails;
use crate::wire::problem::Problem;

/// Verbs of conversations.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    List(ListArgs),
    Show(ShowArgs),
}

/// All conversations, the newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this frame
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
}

/// What was said in a conversation
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A session id; or `last`, the newest one
    session: String,
    /// With `last`: only of this frame
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
}

pub async fn run(command: SessionsCommand, context: &Context) -> Outcome {
    match command {
        SessionsCommand::List(args) => list(&args, context).await,
        SessionsCommand::Show(args) => show(&args, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let mut sessions = gateway.sessions(args.frame.as_ref().map(FrameName::as_str)).await?;
    sessions.sort_by_key(|session| std::cmp::Reverse(session.last_active_at));
    if context.out.json {
        context.out.document(&sessions)?;
        return Ok(DONE);
    }
    if sessions.is_empty() {
        context.out.say(match &args.frame {
            Some(frame) => {
                format!("no conversations with {frame}; `mimir send --frame {frame} \"…\"` begins one")
            }
            None => "no conversations yet; `mimir send \"…\"` begins one".to_owned(),
        });
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("SESSION"),
        column("FRAME"),
        column("MESSAGES").right().spare(2),
        column("ACTIVE").right().spare(1),
        column("TITLE").shrinks(),
    ]);
    for session in sessions {
        table.row(vec![
            session.id.into(),
            session.frame.into(),
            session.messages.to_string().into(),
            age(session.last_active_at, context.now_ms()).into(),
            session.title.into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

async fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let id = if args.session == "last" {
        let sessions = gateway.sessions(args.frame.as_ref().map(FrameName::as_str)).await?;
        let newest = sessions.into_iter().max_by_key(|session| session.last_active_at);
        newest.map(|session| session.id).ok_or_else(|| {
            Problem::new(404, "session.not_found", "there is no conversation yet")
                .hint("`mimir send \"…\"` begins one")
        })?
    } else {
        args.session.clone()
    };
    let session = gateway.session(&id).await?;
    if context.out.json {
        context.out.document(&session)?;
    } else {
        print(&session, context)?;
    }
    Ok(DONE)
}

fn print(session: &SessionDetails, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let head = &session.summary;
    out.line(format!(
        "{}  ({}, frame {})",
        out.paint.ink(Ink::Bold, &clean(&head.title)),
        head.id,
        head.frame
    ))?;
    for turn in &session.turns {
        let who = match (turn.role.as_str(), &turn.model) {
            ("user", _) => "you".to_owned(),
            (role, Some(model)) => format!("{role} ({model})"),
            (role, None) => role.to_owned(),
        };
        out.line(format!(
            "\n{}  {}",
            out.paint.ink(Ink::Cyan, &clean(&who)),
            out.paint.ink(Ink::Dim, &time(turn.at))
        ))?;
        if !turn.text.is_empty() {
            out.line(printable(&turn.text))?;
        }
        // Agents say what they are about to do, then do it.
        for tool in &turn.tools {
            out.line(format!("  · {}", clean(tool)))?;
        }
        if let Some(error) = &turn.error {
            out.line(format!("{} {}", out.paint.ink(Ink::Red, "failed:"), clean(error)))?;
        }
    }
    Ok(())
}

/// A model's text keeps its lines and tabs, but cannot steer this terminal.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

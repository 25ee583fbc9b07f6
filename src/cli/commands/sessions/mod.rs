//! `mimir sessions …`

mod change;
mod export;
mod search;

use clap::{Args, Subcommand};

use super::queue::origin;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column};
use crate::clock::utc as time;
use crate::model::agent::{TakeBack, TakenBack};
use crate::model::names::FrameName;
use crate::model::quantity::{age, money};
use crate::model::visible::prose;
use crate::wire::messages::{SessionDetails, TurnView};
use crate::wire::sessions::PartView;

/// Verbs of conversations.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    Show(ShowArgs),
    Search(search::SearchArgs),
    Export(export::ExportArgs),
    Rename(change::RenameArgs),
    Fork(change::ForkArgs),
    Compact(change::CompactArgs),
    Abort(change::AbortArgs),
    #[command(alias = "rm", alias = "remove")]
    Delete(change::DeleteArgs),
}

/// All conversations, the newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this frame
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
}

/// Which conversation.
#[derive(Debug, Args)]
pub struct Which {
    /// A session: its id or how the id begins, its title, or `last`
    #[arg(value_name = "SESSION", add = names::sessions())]
    session: String,
    /// Among those of this frame, also of one that is gone
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
}

impl Which {
    fn frame(&self) -> Option<&str> {
        self.frame.as_ref().map(FrameName::as_str)
    }
}

/// What was said in a conversation
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// With what the model thought, and what tools were given and gave back
    #[arg(long)]
    full: bool,
}

pub async fn run(command: SessionsCommand, context: &Context) -> Outcome {
    match command {
        SessionsCommand::List(args) => list(&args, context).await,
        SessionsCommand::Show(args) => show(&args, context).await,
        SessionsCommand::Search(args) => search::run(&args, context).await,
        SessionsCommand::Export(args) => export::run(&args, context).await,
        SessionsCommand::Rename(args) => change::rename(&args, context).await,
        SessionsCommand::Fork(args) => change::fork(&args, context).await,
        SessionsCommand::Compact(args) => change::compact(&args, context).await,
        SessionsCommand::Abort(args) => change::abort(&args, context).await,
        SessionsCommand::Delete(args) => change::delete(&args, context).await,
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
            session.message_count.to_string().into(),
            age(session.last_active_at, context.now_ms()).into(),
            session.title.into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

async fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let session = gateway.session(&args.which.session, args.which.frame()).await?;
    if context.out.json {
        context.out.document(&session)?;
    } else {
        print(&session, args.full, context)?;
    }
    Ok(DONE)
}

fn print(session: &SessionDetails, full: bool, context: &Context) -> Result<(), Failure> {
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
            ("user", _) => match turn.origin {
                Some(by) if !by.is_person() => origin(by, turn.run.as_deref()),
                _ => "you".to_owned(),
            },
            (role, Some(model)) => format!("{role} ({model})"),
            (role, None) => role.to_owned(),
        };
        out.line(format!(
            "\n{}  {}{}",
            out.paint.ink(Ink::Cyan, &clean(&who)),
            out.paint.ink(Ink::Dim, &time(turn.at)),
            turn.taken_back
                .map(|it| format!("  {}", out.paint.ink(Ink::Yellow, &not_standing(it))))
                .unwrap_or_default(),
        ))?;
        if full {
            print_parts(turn, context)?;
        } else {
            print_text(turn, context)?;
        }
        if let Some(error) = &turn.error {
            out.line(format!("{} {}", out.paint.ink(Ink::Red, "failed:"), clean(error)))?;
        }
    }
    let cost: u64 = session.turns.iter().map(|turn| turn.cost_microusd).sum();
    if cost > 0 {
        out.line(format!("\n{}", out.paint.ink(Ink::Dim, &format!("{} in all", money(cost)))))?;
    }
    Ok(())
}

/// That something does not stand any more, in words.
fn not_standing(taken_back: TakenBack) -> String {
    let how = match taken_back.how {
        TakeBack::Undone => "undone; /redo in the terminal brings it back",
        TakeBack::Removed => "removed; the agent does not know of it any more",
    };
    format!("taken back {}: {how}", time(taken_back.at))
}

fn print_text(turn: &TurnView, context: &Context) -> Result<(), Failure> {
    if !turn.text.is_empty() {
        context.out.line(prose(&turn.text))?;
    }
    if turn.parts.iter().any(is_compaction) {
        context.out.line("(what was said so far is summed up)")?;
    }
    // Agents say what they are about to do, then do it.
    for tool in &turn.tools {
        context.out.line(format!("  · {}", clean(tool)))?;
    }
    Ok(())
}

/// opencode asks its model for a summary in a message of its own.
fn is_compaction(part: &PartView) -> bool {
    matches!(part, PartView::Other { kind } if kind == "compaction")
}

fn print_parts(turn: &TurnView, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let indented = |text: &str| -> String {
        prose(text.trim_end()).lines().map(|line| format!("    {line}\n")).collect()
    };
    for part in &turn.parts {
        match part {
            PartView::Text { text, .. } if !text.trim().is_empty() => out.line(prose(text.trim_end()))?,
            PartView::Reasoning { text, .. } if !text.trim().is_empty() => {
                out.line(out.paint.ink(Ink::Dim, &format!("(thinks) {}", prose(text.trim_end()))))?;
            }
            PartView::Tool { tool, title, input, output, .. } => {
                let title = title.as_deref().unwrap_or_default();
                out.line(format!("  · {}", clean(&format!("{tool} {title}"))))?;
                if !input.is_null() {
                    out.raw(&indented(&input.to_string()))?;
                }
                if let Some(output) = output {
                    out.raw(&indented(output))?;
                }
            }
            part if is_compaction(part) => out.line("(what was said so far is summed up)")?,
            PartView::Files { paths } => out.line(format!("  · changed {}", clean(&paths.join(", "))))?,
            _ => {}
        }
    }
    Ok(())
}

//! `mimir sessions rename`, `fork`, `compact`, `abort`, `delete`

use clap::Args;

use super::Which;
use crate::cli::ask::confirm_destruction;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Outcome};
use crate::cli::json::SessionDeleted;
use crate::cli::table::clean;
use crate::wire::messages::SessionSummary;
use crate::wire::sessions::{ChangeSession, ForkSession};

/// Give a conversation another title
#[derive(Debug, Args)]
pub struct RenameArgs {
    #[command(flatten)]
    which: Which,
    /// The new title
    title: String,
}

pub async fn rename(args: &RenameArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let change = ChangeSession { title: args.title.clone() };
    let session = gateway.rename_session(&args.which.session, args.which.frame(), &change).await?;
    tell(&session, "is now", context)
}

/// Split a conversation: a new one that begins with what was said so far
#[derive(Debug, Args)]
pub struct ForkArgs {
    #[command(flatten)]
    which: Which,
    /// Leave out this message and everything behind it
    #[arg(long, value_name = "MESSAGE")]
    before: Option<String>,
    /// The title of the new one
    #[arg(long)]
    title: Option<String>,
}

pub async fn fork(args: &ForkArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let wish = ForkSession { before: args.before.clone(), title: args.title.clone() };
    let work = gateway.fork_session(&args.which.session, args.which.frame(), &wish);
    let session = context.out.while_waiting("splitting the conversation", work).await?;
    tell(&session, "begins:", context)?;
    context.out.say(context.dim(&format!("`mimir send --session {} \"…\"` goes on there", session.id)));
    Ok(DONE)
}

/// Let the model sum up a conversation, so that it fits its context again
#[derive(Debug, Args)]
pub struct CompactArgs {
    #[command(flatten)]
    which: Which,
}

pub async fn compact(args: &CompactArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let work = gateway.compact_session(&args.which.session, args.which.frame());
    let session = context.out.while_waiting("the model sums up", work).await?;
    tell(&session, "was summed up:", context)
}

/// Stop what a conversation does, whoever began it
#[derive(Debug, Args)]
pub struct AbortArgs {
    #[command(flatten)]
    which: Which,
}

pub async fn abort(args: &AbortArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let work = gateway.abort_session(&args.which.session, args.which.frame());
    let aborted = context.out.while_waiting("stopping", work).await?;
    if context.out.json {
        context.out.document(&aborted)?;
        return Ok(DONE);
    }
    context.out.line(if aborted.stopped { "stopped" } else { "it does nothing right now" })?;
    match aborted.waiting {
        0 => {}
        1 => context.out.say("1 message waits behind it and is sent next; `mimir queue list` shows it"),
        many => {
            context.out.say(format!("{many} messages wait behind it and are sent next; `mimir queue list`"))
        }
    }
    Ok(DONE)
}

/// Delete a conversation with everything that was said in it
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn delete(args: &DeleteArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let session = gateway.session(&args.which.session, args.which.frame()).await?.summary;
    let question = format!(
        "{} ({}, frame {}, {} messages) will be gone, here and in its frame. Delete it?",
        clean(&session.title),
        session.id,
        session.frame,
        session.message_count
    );
    let command = format!("mimir sessions delete {}", session.id);
    if !confirm_destruction(&context.out, args.yes, &question, &command)? {
        context.out.say("nothing was deleted");
        return Ok(FAILED);
    }
    let gone = context.out.while_waiting("deleting", gateway.delete_session(&session.id)).await?;
    if context.out.json {
        context.out.document(&SessionDeleted { session: gone.id, deleted: true })?;
    } else {
        context.out.line(format!("{} deleted", gone.id))?;
    }
    Ok(DONE)
}

fn tell(session: &SessionSummary, what: &str, context: &Context) -> Outcome {
    if context.out.json {
        context.out.document(session)?;
    } else {
        context.out.line(format!("{} {what} {}", session.id, clean(&session.title)))?;
    }
    Ok(DONE)
}

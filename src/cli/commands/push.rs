//! `mimir push …`: what frames pushed, and whether it goes on.

use clap::{Args, Subcommand};

use super::approvals::words;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::client::GatewayClient;
use crate::model::git::{PushState, RefUpdate};
use crate::model::names::FrameName;
use crate::model::quantity::{age, size};
use crate::model::visible::{exact, prose};
use crate::wire::pushes::{PushDetails, PushView, RejectPush};

/// Verbs of pushes.
#[derive(Debug, Subcommand)]
pub enum PushCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    Show(WhichArgs),
    Approve(WhichArgs),
    Reject(RejectArgs),
}

/// What waits for a look, the oldest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this frame
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// Also what is over: what went on by itself, what was approved, rejected or replaced
    #[arg(long)]
    all: bool,
}

/// All about one: who pushed it, why it waits, protected paths, what looks like a secret, and the patches
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Its number
    #[arg(add = names::pushes())]
    id: u64,
}

/// Do not let it go on; the frame's git is told why at its next fetch or push
#[derive(Debug, Args)]
pub struct RejectArgs {
    /// Its number
    #[arg(add = names::pushes())]
    id: u64,
    /// Why
    #[arg(long, value_name = "REASON")]
    why: Option<String>,
}

pub async fn run(command: PushCommand, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    match command {
        PushCommand::List(args) => list(&args, &gateway, context).await,
        PushCommand::Show(args) => show(&gateway.push(args.id).await?, context),
        PushCommand::Approve(args) => {
            let work = gateway.approve_push(args.id);
            let push = context.out.while_waiting("pushing to the forge", work).await?;
            decided(&push, context)
        }
        PushCommand::Reject(args) => {
            let push = gateway.reject_push(args.id, &RejectPush { why: args.why }).await?;
            decided(&push, context)
        }
    }
}

async fn list(args: &ListArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    let found = gateway.pushes(args.frame.as_ref().map(FrameName::as_str), args.all).await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.say(if args.all {
            "no frame has pushed anything yet"
        } else {
            "nothing waits for a look"
        });
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("PUSH").right(),
        column("FRAME"),
        column("STATE"),
        column("COMMITS").right().spare(2),
        column("AGE").right().spare(1),
        column("TO").shrinks(),
        column("BECAUSE").shrinks().spare(3),
    ]);
    for push in &found {
        let because = push.reason.clone().unwrap_or_else(|| push.held_because.join("; "));
        table.row(vec![
            push.id.to_string().into(),
            push.frame.clone().into(),
            inked(ink_of(push.state), push.state.as_str()),
            push.commit_count.to_string().into(),
            age(push.asked_at, context.now_ms()).into(),
            format!("{} {}", push.repository, branches(push)).into(),
            clean(&because).into(),
        ]);
    }
    context.out.table(&table)?;
    if let Some(first) = found.iter().find(|push| push.state.can_be_decided()) {
        context
            .out
            .say(format!("look at it with `mimir push show {0}`, then `mimir push approve {0}`", first.id));
    }
    Ok(DONE)
}

fn show(details: &PushDetails, context: &Context) -> Outcome {
    let (out, push) = (&context.out, &details.push);
    if out.json {
        out.document(details)?;
        return Ok(DONE);
    }
    out.line(format!(
        "{}  {}",
        out.paint.ink(Ink::Bold, &format!("push {}", push.id)),
        out.paint.ink(ink_of(push.state), push.state.as_str())
    ))?;
    for (label, value) in facts(push, context.now_ms()) {
        let label = out.paint.ink(Ink::Dim, &format!("{label:<10}"));
        out.paragraph(&format!("  {label}  {}", clean(&value)), 12)?;
    }
    if !details.patches.is_empty() {
        out.line("")?;
        // What somebody decides upon: every character that does something unseen is written out.
        out.line(exact(details.patches.trim_end()))?;
    }
    if details.is_cut {
        out.warn("there is more than is shown here");
    }
    if push.state.can_be_decided() {
        out.say(format!(
            "`mimir push approve {0}` lets it go on, `mimir push reject {0} --why \"…\"` ends it",
            push.id
        ));
    }
    Ok(DONE)
}

fn facts(push: &PushView, now: u64) -> Vec<(&'static str, String)> {
    let mut facts = vec![("frame", push.frame.clone()), ("to", push.repository.clone())];
    facts.extend(push.updates.iter().map(|update| ("moves", moved(update))));
    facts.push((
        "holds",
        format!("{} commits, {} files, {}", push.commit_count, push.file_count, size(push.size_bytes)),
    ));
    facts.extend(push.message.clone().map(|message| ("asked by", format!("message {message}"))));
    facts.push(("pushed", format!("{} ago", age(push.asked_at, now))));
    facts.extend(push.held_because.iter().map(|why| ("waits", why.clone())));
    facts.extend(push.protected.iter().map(|path| ("protected", exact(path))));
    facts.extend(push.findings.iter().map(|finding| {
        ("secret?", format!("{}, line {}: {}", finding.rule, finding.line, exact(&finding.text)))
    }));
    facts.extend(push.remarks.iter().map(|remark| ("note", exact(remark))));
    facts.extend(push.by.as_deref().map(|by| ("decided by", words::by(Some(by), None))));
    facts.extend(push.reason.as_deref().map(|why| ("because", prose(why))));
    facts
}

fn moved(update: &RefUpdate) -> String {
    let short = |id: &Option<String>| id.as_deref().map(|id| id.chars().take(12).collect::<String>());
    match (short(&update.from), short(&update.to)) {
        (None, Some(to)) => format!("{} is new, at {to}", update.short()),
        (Some(from), Some(to)) => format!("{} from {from} to {to}", update.short()),
        (_, None) => format!("{} is deleted", update.short()),
    }
}

fn branches(push: &PushView) -> String {
    let names: Vec<&str> = push.updates.iter().map(RefUpdate::short).collect();
    names.join(", ")
}

fn decided(push: &PushView, context: &Context) -> Result<u8, Failure> {
    if context.out.json {
        context.out.document(push)?;
    } else {
        context.out.line(format!("push {} {}", push.id, push.state))?;
        match (push.state, &push.reason) {
            (PushState::Failed, Some(why)) => {
                context.out.warn(format!("the forge did not take it: {}", clean(why)))
            }
            (PushState::Approved, _) => context.out.say("the forge takes long; it goes on by itself"),
            _ => {}
        }
    }
    Ok(if push.state == PushState::Failed { FAILED } else { DONE })
}

fn ink_of(state: PushState) -> Ink {
    match state {
        PushState::Waiting => Ink::Yellow,
        PushState::Failed => Ink::Red,
        PushState::Approved => Ink::Cyan,
        PushState::Pushed => Ink::Green,
        PushState::Rejected | PushState::Replaced => Ink::Dim,
    }
}

//! `mimir approvals …`: what agents ask people.

pub mod words;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::client::GatewayClient;
use crate::clock::utc as time;
use crate::model::approval::{ApprovalState, RequestForm, command};
use crate::model::names::FrameName;
use crate::model::quantity::age;
use crate::model::visible::{exact, prose};
use crate::wire::approvals::{AnswerApproval, ApprovalView, Say};
use crate::wire::problem::Problem;

/// Verbs of approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    Show(WhichArgs),
    Allow(AllowArgs),
    Deny(DenyArgs),
    Answer(AnswerArgs),
}

/// What waits for you, the oldest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this frame
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// Also what is over: who decided, and by which rule
    #[arg(long)]
    all: bool,
}

/// All about one: the whole command, the change to a file, the options of a question
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Its id, or the end of it; not needed when one alone waits
    #[arg(add = names::approvals())]
    id: Option<String>,
}

/// Let the agent do it, or a frame reach a host
///
/// Courtesy, not a boundary: the agent says itself what it is about to do. Limits that must hold are held outside the
/// frame (`--network`, `--memory`, what is in the workspace).
#[derive(Debug, Args)]
pub struct AllowArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// And do not ask for the like again, until the agent is restarted; a host is on the frame's list then
    #[arg(long)]
    always: bool,
}

/// Do not let the agent do it, or decline its question
#[derive(Debug, Args)]
pub struct DenyArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Tell the agent why, so that it goes on another way; without a reason its turn ends
    #[arg(long, value_name = "REASON")]
    why: Option<String>,
}

/// Answer a question
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// Its id, or the end of it; `-` when one alone waits
    #[arg(add = names::approvals())]
    id: String,
    /// An answer for each question: the number of an option, its words, or your own; several options with commas,
    /// such as 1,3
    #[arg(required = true, value_name = "ANSWER")]
    answers: Vec<String>,
}

pub async fn run(command: ApprovalsCommand, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    match command {
        ApprovalsCommand::List(args) => list(&args, &gateway, context).await,
        ApprovalsCommand::Show(args) => {
            let found = which(args.id.as_deref(), &gateway).await?;
            show(&found, context)
        }
        ApprovalsCommand::Allow(args) => {
            let found = which(args.which.id.as_deref(), &gateway).await?;
            let decision = if args.always { Say::Always } else { Say::Once };
            say(&found, AnswerApproval { decision, why: None, answers: Vec::new() }, &gateway, context).await
        }
        ApprovalsCommand::Deny(args) => {
            let found = which(args.which.id.as_deref(), &gateway).await?;
            let answer = AnswerApproval { decision: Say::Reject, why: args.why, answers: Vec::new() };
            say(&found, answer, &gateway, context).await
        }
        ApprovalsCommand::Answer(args) => {
            let id = Some(args.id.as_str()).filter(|id| *id != "-");
            let found = which(id, &gateway).await?;
            let answers = answers(&found, &args.answers)?;
            say(&found, AnswerApproval { decision: Say::Answer, why: None, answers }, &gateway, context).await
        }
    }
}

async fn list(args: &ListArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    let found = gateway.approvals(args.frame.as_ref().map(FrameName::as_str), args.all).await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.say(if args.all { "no agent has asked anything yet" } else { "nothing waits for you" });
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("APPROVAL"),
        column("FRAME"),
        column("STATE").spare(if args.all { 0 } else { 3 }),
        column("BY").spare(2),
        column("AGE").right().spare(1),
        column("ASKS").shrinks(),
    ]);
    for approval in &found {
        let ink = if approval.state == ApprovalState::Pending { Ink::Yellow } else { Ink::Dim };
        table.row(vec![
            approval.id.clone().into(),
            approval.frame.clone().into(),
            inked(ink, approval.state.as_str()),
            words::by(approval.by.as_deref(), approval.rule.as_deref()).into(),
            age(approval.asked_at, context.now_ms()).into(),
            exact(&approval.text).into(),
        ]);
    }
    context.out.table(&table)?;
    if let Some(first) = found.iter().find(|approval| approval.state == ApprovalState::Pending) {
        context.out.say(format!(
            "answer it with `{}`; `mimir approvals show` says more",
            command(first.form.as_str(), &first.id)
        ));
    }
    Ok(DONE)
}

/// The one that is meant.
async fn which(id: Option<&str>, gateway: &GatewayClient) -> Result<ApprovalView, Failure> {
    if let Some(id) = id {
        return Ok(gateway.approval(id).await?);
    }
    let mut waiting = gateway.approvals(None, false).await?;
    waiting.retain(|approval| approval.state == ApprovalState::Pending);
    match (waiting.pop(), waiting.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), others) => Err(usage(format!("{} approvals wait: say which", others + 1))
            .hint("`mimir approvals list` shows them")
            .into()),
        (None, _) => Err(Problem::new(404, "approval.not_found", "nothing waits for you")
            .hint("`mimir approvals list --all` shows what is over")
            .into()),
    }
}

fn show(approval: &ApprovalView, context: &Context) -> Outcome {
    let out = &context.out;
    if out.json {
        out.document(approval)?;
        return Ok(DONE);
    }
    out.line(format!("{}  {}", out.paint.ink(Ink::Bold, &approval.id), approval.state))?;
    for line in words::whole(approval) {
        out.line(line)?;
    }
    if let Some(at) = approval.deadline_at.filter(|_| approval.state == ApprovalState::Pending) {
        let why = match approval.form {
            RequestForm::Connection => "the connection waits no longer",
            RequestForm::Permission | RequestForm::Question => "the run is unattended",
        };
        out.line(format!("denied by itself at {} UTC: {why}", time(at)))?;
    }
    if approval.by.is_some() {
        out.line(format!(
            "decided by {}",
            clean(&words::by(approval.by.as_deref(), approval.rule.as_deref()))
        ))?;
    }
    if let Some(reason) = &approval.reason {
        out.paragraph(&format!("because: {}", prose(reason)), 9)?;
    }
    for answer in &approval.answers {
        out.line(format!("answered: {}", prose(&answer.join(", "))))?;
    }
    if approval.state == ApprovalState::Pending {
        out.say(format!("answer it with `{}`", command(approval.form.as_str(), &approval.id)));
    }
    Ok(DONE)
}

async fn say(
    approval: &ApprovalView,
    answer: AnswerApproval,
    gateway: &GatewayClient,
    context: &Context,
) -> Outcome {
    let work = gateway.answer_approval(&approval.id, &answer);
    let after = context.out.while_waiting("telling the agent", work).await?;
    if context.out.json {
        context.out.document(&after)?;
        return Ok(DONE);
    }
    context.out.line(format!("{} {}", after.id, after.state))?;
    tell_surprise(&after, context);
    Ok(DONE)
}

/// What whoever answered should know about how it went, if it did not go as usual.
pub fn tell_surprise(after: &ApprovalView, context: &Context) {
    match after.state {
        ApprovalState::Answering => {
            context.out.say("the agent cannot be reached now; it is told as soon as it can be")
        }
        ApprovalState::Expired => context.out.warn(format!(
            "it came too late: {}",
            clean(after.reason.as_deref().unwrap_or("it is not asked any more"))
        )),
        _ => {}
    }
}

/// Words into answers: a number or the words of an option is that option, anything else is free text.
fn answers(approval: &ApprovalView, given: &[String]) -> Result<Vec<Vec<String>>, Failure> {
    if approval.form != RequestForm::Question {
        return Err(usage(format!("{} is no question", approval.id))
            .hint(format!("`{}`, or `mimir approvals deny`", command("permission", &approval.id)))
            .into());
    }
    if given.len() != approval.questions.len() {
        let title = format!("{} questions, {} answers", approval.questions.len(), given.len());
        return Err(usage(title)
            .hint(format!(
                "give one answer for each, in quotation marks: `mimir approvals show {}`",
                approval.id
            ))
            .into());
    }
    approval.questions.iter().zip(given).map(|(question, text)| words::answer(question, text)).collect()
}

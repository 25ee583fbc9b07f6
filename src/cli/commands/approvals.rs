//! `mimir approvals …`: what agents ask people.

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::client::GatewayClient;
use crate::clock::utc as time;
use crate::model::approval::{ApprovalState, AskedQuestion, RequestForm, command};
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

/// Let the agent do it
///
/// Courtesy, not a boundary: the agent says itself what it is about to do. Limits that must hold are held outside the
/// frame (`--network`, `--memory`, what is in the workspace).
#[derive(Debug, Args)]
pub struct AllowArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// And do not ask for the like again, until the agent is restarted
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
            by(approval).into(),
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

fn by(approval: &ApprovalView) -> String {
    let Some(by) = &approval.by else { return String::new() };
    let you = format!("owner:{}", rustix::process::geteuid().as_raw());
    let by = if *by == you { "you" } else { by };
    match &approval.rule {
        Some(rule) => format!("{by}: {rule}"),
        None => by.to_owned(),
    }
}

fn indented(text: &str) -> String {
    format!("  {}", text.replace('\n', "\n  "))
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
    let who = if approval.from_child { "a sub-agent of" } else { "the agent of" };
    out.line(format!("{}  {}", out.paint.ink(Ink::Bold, &approval.id), approval.state))?;
    match &approval.tool {
        Some(tool) => {
            out.line(format!("{who} {} asks leave to use {}", approval.frame, clean(tool)))?;
            for pattern in &approval.patterns {
                out.line(indented(&exact(pattern)))?;
            }
            if let Some(command) = approval.metadata["command"].as_str() {
                out.line(format!("the whole command:\n{}", indented(&exact(command))))?;
            }
            if let Some(diff) = approval.metadata["diff"].as_str() {
                out.line(exact(diff.trim_end()))?;
            }
            if !approval.always.is_empty() {
                out.line(format!("`--always` would allow: {}", exact(&approval.always.join(", "))))?;
            }
        }
        None => {
            out.line(format!("{who} {} asks", approval.frame))?;
            for question in &approval.questions {
                print_question(question, context)?;
            }
        }
    }
    if let Some(at) = approval.deadline_at.filter(|_| approval.state == ApprovalState::Pending) {
        out.line(format!("denied by itself at {} UTC: the run is unattended", time(at)))?;
    }
    if approval.by.is_some() {
        out.line(format!("decided by {}", clean(&by(approval))))?;
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

fn print_question(question: &AskedQuestion, context: &Context) -> Result<(), Failure> {
    let several = if question.multiple { " (several may be chosen)" } else { "" };
    context.out.line(format!("  {}{several}", exact(&question.text)))?;
    for (n, option) in question.options.iter().enumerate() {
        let about = match option.description.as_str() {
            "" => String::new(),
            text => format!(" – {}", exact(text)),
        };
        context.out.line(format!("    {}  {}{about}", n + 1, exact(&option.label)))?;
    }
    Ok(())
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
    Ok(DONE)
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
    approval.questions.iter().zip(given).map(|(question, text)| answer(question, text)).collect()
}

fn answer(question: &AskedQuestion, text: &str) -> Result<Vec<String>, Failure> {
    let text = text.trim();
    let by_words = |text: &str| {
        question
            .options
            .iter()
            .find(|option| option.label.eq_ignore_ascii_case(text))
            .map(|it| it.label.clone())
    };
    if let Some(label) = by_words(text) {
        return Ok(vec![label]);
    }
    let pieces: Vec<&str> = text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
    let option = |piece: &&str| match piece.parse::<usize>() {
        Ok(n) => question.options.get(n.wrapping_sub(1)).map(|option| option.label.clone()),
        Err(_) => by_words(piece),
    };
    let chosen: Option<Vec<String>> = pieces.iter().map(option).collect();
    let is_number = |piece: &&str| piece.parse::<usize>().is_ok();
    match chosen {
        Some(chosen) if chosen.len() == 1 || (question.multiple && !chosen.is_empty()) => Ok(chosen),
        Some(chosen) if chosen.len() > 1 => Err(usage(format!("`{}` wants one answer", question.text))
            .hint("give the number of one option, or your own words")
            .into()),
        None if !question.options.is_empty() && pieces.iter().all(is_number) => {
            Err(usage(format!("`{}` has {} options, not `{text}`", question.text, question.options.len()))
                .hint("give the number of an option, its words, or your own words")
                .into())
        }
        _ => Ok(vec![text.to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::approval::AskedOption;

    fn question(multiple: bool) -> AskedQuestion {
        let option = |label: &str| AskedOption { label: label.to_owned(), description: String::new() };
        AskedQuestion {
            header: "Database".into(),
            text: "Which database?".into(),
            options: vec![option("Postgres"), option("SQLite"), option("None, thanks")],
            multiple,
        }
    }

    #[test]
    fn an_option_is_chosen_by_number_or_by_its_words_and_everything_else_is_free_text() {
        let one = |text: &str| answer(&question(false), text).ok();
        assert_eq!(one("2"), Some(vec!["SQLite".to_owned()]));
        assert_eq!(one("postgres"), Some(vec!["Postgres".to_owned()]));
        assert_eq!(one("None, thanks"), Some(vec!["None, thanks".to_owned()]));
        assert_eq!(one("the one of the team, please"), Some(vec!["the one of the team, please".to_owned()]));
        assert_eq!(one("4"), None, "there is no fourth");
        assert_eq!(one("0"), None);
        assert_eq!(one("1,2"), None, "one only");
        let several = |text: &str| answer(&question(true), text).ok();
        assert_eq!(several("1, sqlite"), Some(vec!["Postgres".to_owned(), "SQLite".to_owned()]));
        let free = AskedQuestion { options: Vec::new(), ..question(false) };
        assert_eq!(answer(&free, "42").ok(), Some(vec!["42".to_owned()]));
    }
}

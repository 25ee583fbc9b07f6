//! `mimir runs …`: what goes through a workflow, and how far it is.

mod show;
mod start;
mod watch;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::output::told;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::cli::{ask, names};
use crate::client::{GatewayClient, RunList};
use crate::model::names::ProjectName;
use crate::model::quantity::{age, money};
use crate::model::run::RunState;
use crate::wire::runs::{ApproveRun, EndRun, RunView};

/// Verbs of runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    Show(ShowArgs),
    Start(start::StartArgs),
    Approve(ApproveArgs),
    Reject(RejectArgs),
    Cancel(CancelArgs),
    Retry(RetryArgs),
    Watch(watch::WatchArgs),
}

/// Runs, the newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those that have not ended
    #[arg(long)]
    open: bool,
    /// Only those in this state: queued, running, waiting, held, succeeded, failed, cancelled, superseded
    #[arg(long, value_parser = |text: &str| text.parse::<RunState>())]
    state: Option<RunState>,
    /// Only of this workflow
    #[arg(long, add = names::workflows())]
    workflow: Option<String>,
    /// Only of this project
    #[arg(long, value_parser = ProjectName::parse, add = names::projects())]
    project: Option<ProjectName>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// All about a run: what it is about, how far it is, what it cost, and everything that happened
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    run: Which,
}

/// Say yes to what a run waits for
#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[command(flatten)]
    run: Which,
    /// What you say yes to, as `mimir runs show` says it (COMMIT, COMMIT@BRANCH); without it you are asked
    #[arg(long = "for", value_name = "WHAT")]
    subject: Option<String>,
}

/// Say no to what a run waits for; it ends
#[derive(Debug, Args)]
pub struct RejectArgs {
    #[command(flatten)]
    run: Which,
    #[command(flatten)]
    why: Why,
}

/// End a run: what its agent does is stopped, and its throwaway frame is destroyed
#[derive(Debug, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    run: Which,
    #[command(flatten)]
    why: Why,
}

/// Try again what failed: a new run with the same input, from the stage in which it did
#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    run: Which,
}

/// Which run.
#[derive(Debug, Args)]
struct Which {
    /// Which run; the end of its id is enough
    #[arg(value_name = "RUN", add = names::runs())]
    id: String,
}

/// For the timeline.
#[derive(Debug, Args)]
struct Why {
    /// Why, for its timeline
    #[arg(long, value_name = "REASON")]
    why: Option<String>,
}

impl Why {
    fn end(self) -> EndRun {
        EndRun { why: self.why }
    }
}

pub async fn run(command: RunsCommand, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    match command {
        RunsCommand::List(args) => list(args, &gateway, context).await,
        RunsCommand::Show(args) => show::run(&gateway.run(&args.run.id).await?, context),
        RunsCommand::Start(args) => start::run(args, &gateway, context).await,
        RunsCommand::Approve(args) => approve(args, &gateway, context).await,
        RunsCommand::Reject(args) => {
            moved(&gateway.reject_run(&args.run.id, &args.why.end()).await?, context)
        }
        RunsCommand::Cancel(args) => {
            moved(&gateway.cancel_run(&args.run.id, &args.why.end()).await?, context)
        }
        RunsCommand::Retry(args) => begun(&gateway.retry_run(&args.run.id).await?, context),
        RunsCommand::Watch(args) => watch::run(&args, &gateway, context).await,
    }
}

/// A yes is for what somebody looked at: a commit that came meanwhile is not meant.
async fn approve(args: ApproveArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    let id = &args.run.id;
    let subject = match args.subject {
        Some(subject) => Some(subject),
        None => {
            let details = gateway.run(id).await?;
            match details.held.filter(|held| !held.subject.is_empty()) {
                // Whoever says yes to a run that is not held hears so from the gateway.
                None => None,
                Some(held) => {
                    let because =
                        details.run.reason.map(|why| format!(": {}", clean(&told(&why)))).unwrap_or_default();
                    let question =
                        format!("{} is held{because}. Yes, for {}?", short(&details.run.id), held.subject);
                    if !ask::can_ask(&context.out) {
                        return Err(usage(
                            "say what the yes is for: the run may be held for something else by now",
                        )
                        .detail(format!("it is held for {}", held.subject))
                        .hint(format!(
                            "look at it with `mimir runs show {id}`, then `mimir runs approve {id} --for {}`",
                            held.subject
                        ))
                        .into());
                    }
                    if !ask::yes_or_no(&context.out, &question, false) {
                        context.out.say("nothing was said");
                        return Ok(DONE);
                    }
                    Some(held.subject)
                }
            }
        }
    };
    moved(&gateway.approve_run(id, &ApproveRun { subject }).await?, context)
}

async fn list(args: ListArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    let wanted = RunList {
        state: args.state,
        open: args.open,
        workflow: args.workflow,
        project: args.project.map(String::from),
        limit: Some(args.limit),
    };
    let found = gateway.runs(&wanted).await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.say("there is no such run; `mimir runs start WORKFLOW` begins one");
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("RUN"),
        column("WORKFLOW"),
        column("STATE"),
        column("STAGE").spare(2),
        column("AGE").right().spare(1),
        column("COST").right().spare(3),
        column("ABOUT").shrinks(),
        column("BECAUSE").shrinks().spare(4),
    ]);
    for run in &found {
        table.row(vec![
            short(&run.id).to_owned().into(),
            clean(&run.workflow).into(),
            inked(ink_of(run.state), run.state.as_str()),
            run.stage.clone().into(),
            age(run.created_at, context.now_ms()).into(),
            money(run.cost_microusd).into(),
            clean(&run.title).into(),
            clean(&told(run.reason.as_deref().unwrap_or_default())).into(),
        ]);
    }
    context.out.table(&table)?;
    if let Some(held) = found.iter().find(|run| run.state == RunState::Held) {
        context.out.say(format!(
            "one waits for you: `mimir runs show {0}`, then `mimir runs approve {0}`",
            short(&held.id)
        ));
    }
    Ok(DONE)
}

/// What is typed to name a run: the end of its id, which differs also between runs of one moment.
fn short(id: &str) -> &str {
    &id[id.len().saturating_sub(8)..]
}

fn moved(run: &RunView, context: &Context) -> Result<u8, Failure> {
    if context.out.json {
        context.out.document(run)?;
        return Ok(DONE);
    }
    let why = run.reason.as_deref().map(|why| format!(": {}", clean(&told(why)))).unwrap_or_default();
    context.out.line(format!("run {} is {}{why}", short(&run.id), run.state))?;
    Ok(DONE)
}

fn begun(run: &RunView, context: &Context) -> Result<u8, Failure> {
    if context.out.json {
        context.out.document(run)?;
        return Ok(DONE);
    }
    context.out.line(format!("run {} of {} begins", short(&run.id), clean(&run.workflow)))?;
    context.out.say(format!("`mimir runs watch {}` shows what it does", short(&run.id)));
    Ok(DONE)
}

fn ink_of(state: RunState) -> Ink {
    match state {
        RunState::Queued | RunState::Waiting => Ink::Cyan,
        RunState::Running | RunState::Succeeded => Ink::Green,
        RunState::Held => Ink::Yellow,
        RunState::Failed => Ink::Red,
        RunState::Cancelled | RunState::Superseded => Ink::Dim,
    }
}

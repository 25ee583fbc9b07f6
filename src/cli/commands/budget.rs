//! `mimir budget …`, `mimir pause`, `mimir resume`

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, column, inked};
use crate::model::budget::{BudgetPeriod, BudgetScope};
use crate::model::names::{FrameName, ProjectName};
use crate::model::quantity::money;
use crate::model::quantity::money::parse as dollars;
use crate::wire::budgets::{BudgetView, SetBudget, ShareView, Spending};

/// Verbs of budgets.
#[derive(Debug, Subcommand)]
pub enum BudgetCommand {
    Show(ShowArgs),
    Set(SetArgs),
    #[command(alias = "remove", alias = "delete")]
    Rm(RmArgs),
}

/// Budgets, and what was spent by frame, project, model and day
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// How many days, today included
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
}

/// Limit what model calls may cost: of everything, or of what is named
#[derive(Debug, Args)]
#[command(
    after_help = "At the limit calls are refused and running ones cut; whoever asked reads why, and `mimir send`
leaves with 9. Sub-agents count for the conversation that began them. A model without a known price is refused while a
budget applies: `mimir prices set`. The limit of a conversation believes what the agent says of itself, the limits of
frames, projects and everything do not.

  mimir budget set 20 --per day          everything together, a day (UTC)
  mimir budget set 5 --frame blog        that frame, in all
  mimir budget set off --frame blog      no limit, also when `budget.frame` has one"
)]
pub struct SetArgs {
    /// US dollars, such as 5 or 2.50; 0 for nothing at all, `off` for no limit
    #[arg(value_parser = limit)]
    amount: Limit,
    #[command(flatten)]
    whose: WhoseArgs,
}

/// Take a budget away; what `budget.*` in the configuration says holds again
#[derive(Debug, Args)]
pub struct RmArgs {
    #[command(flatten)]
    whose: WhoseArgs,
}

#[derive(Debug, Args)]
pub struct WhoseArgs {
    /// Of this frame
    #[arg(long, value_name = "NAME", value_parser = FrameName::parse, add = names::frames(), group = "whose")]
    frame: Option<FrameName>,
    /// Of the frames of this project
    #[arg(long, value_name = "NAME", value_parser = ProjectName::parse, group = "whose")]
    project: Option<ProjectName>,
    /// Of this conversation
    #[arg(long, value_name = "ID", group = "whose")]
    session: Option<String>,
    /// Of this run
    #[arg(long, value_name = "ID", group = "whose")]
    run: Option<String>,
    /// In which time: day, month or total
    #[arg(long, default_value = "total", value_name = "TIME", value_parser = period)]
    per: BudgetPeriod,
}

/// Stop all spending: cut running model calls, refuse new ones
#[derive(Debug, Args)]
#[command(after_help = "It lasts until `mimir resume --all`. Messages that wait go on waiting, also over a
restart of the gateway. Frames go on running. One frame is frozen with `mimir frame pause NAME`.")]
pub struct PauseArgs {
    /// Everything
    #[arg(long, required = true)]
    pub all: bool,
}

/// Let spending go on after `mimir pause --all`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Everything
    #[arg(long, required = true)]
    pub all: bool,
}

/// US dollars in millionths, or none.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    match text.trim() {
        "off" | "none" | "never" => Ok(Limit(None)),
        "0" => Ok(Limit(Some(0))),
        text => dollars(text).map(|amount| Limit(Some(amount))).map_err(|why| format!("{why}, or `off`")),
    }
}

fn period(text: &str) -> Result<BudgetPeriod, String> {
    text.parse().map_err(|_| format!("must be day, month or total, not `{text}`"))
}

impl WhoseArgs {
    fn subject(self) -> (BudgetScope, Option<String>, BudgetPeriod) {
        let (scope, subject) = match (self.frame, self.project, self.session, self.run) {
            (Some(frame), ..) => (BudgetScope::Frame, Some(frame.to_string())),
            (_, Some(project), ..) => (BudgetScope::Project, Some(project.to_string())),
            (_, _, Some(session), _) => (BudgetScope::Session, Some(session)),
            (.., Some(run)) => (BudgetScope::Run, Some(run)),
            (None, None, None, None) => (BudgetScope::Home, None),
        };
        (scope, subject, self.per)
    }
}

pub async fn run(command: BudgetCommand, context: &Context) -> Outcome {
    match command {
        BudgetCommand::Show(args) => show(&args, context).await,
        BudgetCommand::Set(args) => set(args, context).await,
        BudgetCommand::Rm(args) => remove(args, context).await,
    }
}

/// `mimir pause --all`, `mimir resume --all`
pub async fn pause(wanted: bool, context: &Context) -> Outcome {
    let now = context.gateway().await?.pause_spending(wanted).await?;
    if context.out.json {
        context.out.document(&now)?;
        return Ok(DONE);
    }
    let line = match (wanted, now.changed) {
        (true, true) => "all spending is paused",
        (true, false) => "all spending was paused already",
        (false, true) => "spending goes on",
        (false, false) => "spending was not paused",
    };
    context.out.line(line)?;
    if wanted {
        let cut = match now.cut_count {
            0 => String::new(),
            1 => "one running call was cut; ".to_owned(),
            cut => format!("{cut} running calls were cut; "),
        };
        context.out.say(format!("{cut}messages that wait are kept; `mimir resume --all` lets it go on"));
    }
    Ok(DONE)
}

async fn set(args: SetArgs, context: &Context) -> Outcome {
    let (scope, subject, period) = args.whose.subject();
    let request = SetBudget { scope, subject, period, limit_microusd: args.amount.0 };
    let budgets = context.gateway().await?.set_budget(&request).await?;
    if context.out.json {
        context.out.document(&budgets)?;
        return Ok(DONE);
    }
    let whose = request.subject.as_ref().map_or("everything".to_owned(), |name| format!("{scope} {name}"));
    match budgets.iter().find(|budget| budget.period == period) {
        Some(budget) => context.out.line(format!("{whose}: {}", amounts(budget)))?,
        None => context.out.line(format!("{whose}: no limit {}", period.words()))?,
    }
    Ok(DONE)
}

async fn remove(args: RmArgs, context: &Context) -> Outcome {
    let (scope, subject, period) = args.whose.subject();
    let left = context.gateway().await?.remove_budget(scope, subject.as_deref(), period).await?;
    if context.out.json {
        context.out.document(&left)?;
        return Ok(DONE);
    }
    let whose = subject.map_or("everything".to_owned(), |name| format!("{scope} {name}"));
    match left.iter().find(|budget| budget.period == period) {
        Some(budget) => {
            context.out.line(format!("{whose}: the configuration's again, {}", amounts(budget)))?
        }
        None => context.out.line(format!("{whose}: no limit {}", period.words()))?,
    }
    Ok(DONE)
}

/// `$0.81 of $1.00 today`.
pub fn amounts(budget: &BudgetView) -> String {
    let (spent, limit) = (money(budget.spent_microusd), money(budget.limit_microusd));
    format!("{spent} of {limit} {}", budget.period.words())
}

async fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let spending = context.gateway().await?.spending(args.days).await?;
    if context.out.json {
        context.out.document(&spending)?;
        return Ok(DONE);
    }
    print(&spending, context)?;
    Ok(DONE)
}

fn print(spending: &Spending, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if spending.paused {
        out.line(out.paint.ink(Ink::Yellow, "all spending is paused; `mimir resume --all` lets it go on"))?;
    }
    if spending.budgets.is_empty() {
        out.say("no limit on what model calls may cost; `mimir budget set 20 --per day` sets one");
    } else {
        out.table(&budgets(&spending.budgets))?;
    }
    let groups = [
        ("FRAME", &spending.by_frame),
        ("PROJECT", &spending.by_project),
        ("MODEL", &spending.by_model),
        ("DAY (UTC)", &spending.by_day),
    ];
    let mut unpriced: u64 = 0;
    for (title, shares) in groups.iter().filter(|(_, shares)| !shares.is_empty()) {
        out.line("")?;
        out.table(&chart(title, shares))?;
        if *title == "MODEL" {
            unpriced = shares.iter().map(|share| share.unpriced_count).sum();
        }
    }
    if spending.by_model.is_empty() {
        out.say(format!("no model was called in {} days", spending.days));
    }
    if unpriced > 0 {
        out.say(format!(
            "the price of {unpriced} calls is not known, and nothing is counted for them; `mimir prices set` says what a model costs"
        ));
    }
    Ok(())
}

/// How wide a full bar is.
const BAR: u64 = 24;

/// A bar of so many parts of the whole; anything at all is one cell.
fn bar(part: u64, whole: u64) -> String {
    let cells = match (part, whole) {
        (0, _) => 0,
        (_, 0) => BAR,
        (part, whole) => {
            let cells = u128::from(part) * u128::from(BAR) / u128::from(whole);
            u64::try_from(cells).unwrap_or(BAR).clamp(1, BAR)
        }
    };
    "█".repeat(usize::try_from(cells).unwrap_or_default())
}

fn budgets(all: &[BudgetView]) -> Table {
    let mut table = Table::new(&[
        column("BUDGET OF").shrinks(),
        column("TIME"),
        column("SPENT").right(),
        column("LIMIT").right(),
        column("%").right(),
        column("").spare(1),
    ]);
    for budget in all {
        let ink = match budget.percent {
            100.. => Ink::Red,
            80..100 => Ink::Yellow,
            _ => Ink::Green,
        };
        table.row(vec![
            budget.whose().into(),
            budget.period.words().into(),
            money(budget.spent_microusd).into(),
            money(budget.limit_microusd).into(),
            budget.percent.to_string().into(),
            inked(ink, bar(budget.spent_microusd, budget.limit_microusd)),
        ]);
    }
    table
}

fn chart(title: &'static str, shares: &[ShareView]) -> Table {
    let mut table = Table::new(&[
        column(title).shrinks(),
        column("COST").right(),
        column("CALLS").right().spare(2),
        column("").spare(1),
    ]);
    let most = shares.iter().map(|share| share.cost_microusd).max().unwrap_or_default();
    for share in shares {
        table.row(vec![
            share.name.as_str().into(),
            cost(share.cost_microusd, share.unpriced_count).into(),
            share.call_count.to_string().into(),
            inked(Ink::Cyan, bar(share.cost_microusd, most)),
        ]);
    }
    table
}

/// What something cost, as far as it is known.
pub fn cost(microusd: u64, unpriced: u64) -> String {
    match (microusd, unpriced) {
        (_, 0) => money(microusd),
        (0, _) => "unknown".to_owned(),
        _ => format!("{}+", money(microusd)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_never_wider_than_full_and_shows_whatever_there_is() {
        let cells = |part, whole| bar(part, whole).chars().count();
        assert_eq!((cells(0, 100), cells(1, 1_000_000), cells(50, 100)), (0, 1, 12));
        assert_eq!((cells(100, 100), cells(u64::MAX, 1), cells(1, 0)), (24, 24, 24));
    }

    #[test]
    fn a_cost_that_nobody_knows_is_not_nothing() {
        assert_eq!(
            (cost(0, 0), cost(0, 3), cost(2_000_000, 3)),
            ("$0".into(), "unknown".into(), "$2.00+".into())
        );
    }

    #[test]
    fn amounts_are_read_with_nothing_and_no_limit() {
        assert!(matches!(limit("0"), Ok(Limit(Some(0)))));
        assert!(matches!(limit("off"), Ok(Limit(None))));
        assert!(matches!(limit("2.50"), Ok(Limit(Some(2_500_000)))));
        assert!(limit("lots").is_err());
    }
}

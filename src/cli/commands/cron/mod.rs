//! `mimir cron …`

mod said;
mod shown;

use clap::{Args, Subcommand};

use crate::cli::ask::confirm_destruction;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Outcome, usage};
use crate::cli::json::NextTimes;
use crate::cli::names;
use crate::clock;
use crate::model::names::ScheduleName;
use crate::model::schedule::{Expression, Zone};
use crate::wire::schedules::AddSchedule;
use said::{ActionArgs, SettingArgs};

/// Verbs of schedules.
#[derive(Debug, Subcommand)]
pub enum CronCommand {
    Add(Box<AddArgs>),
    #[command(alias = "ls")]
    List(ListArgs),
    Show(NameArgs),
    Edit(Box<EditArgs>),
    #[command(alias = "remove", alias = "delete")]
    Rm(RmArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    Run(RunArgs),
    History(HistoryArgs),
    Next(NextArgs),
}

const EXPRESSIONS: &str = "When:
  \"0 9 * * mon-fri\"   minute hour day month weekday, as in crontab; six fields begin with seconds
  @hourly @daily @weekly @monthly @yearly
  \"every 90m\"         real time, counted from midnight UTC of 1970-01-01
A time that is left out when clocks are set forward comes once, right after; one that happens twice comes once. When the
hour begins with *, it is an interval and follows real time.";

/// Have something done again and again
#[derive(Debug, Args)]
#[command(after_help = EXPRESSIONS)]
pub struct AddArgs {
    /// What to call it
    #[arg(value_parser = ScheduleName::parse)]
    name: ScheduleName,
    /// When, such as "0 9 * * mon-fri", @daily or "every 90m"
    #[arg(value_parser = Expression::parse)]
    expression: Expression,
    #[command(flatten)]
    action: ActionArgs,
    #[command(flatten)]
    settings: SettingArgs,
    /// It is there and does nothing until it is resumed
    #[arg(long)]
    paused: bool,
}

/// All schedules, with their next three times
#[derive(Debug, Args)]
pub struct ListArgs {}

/// A schedule, and when it does what
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
}

/// Change a schedule; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = EXPRESSIONS)]
pub struct EditArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
    /// When
    #[arg(long, value_name = "EXPRESSION", value_parser = Expression::parse)]
    expression: Option<Expression>,
    #[command(flatten)]
    action: ActionArgs,
    #[command(flatten)]
    settings: SettingArgs,
    /// Take that away: gate, pause-after, pause-at or budget; can be given again
    #[arg(long, value_name = "SETTING", value_parser = ["gate", "pause-after", "pause-at", "budget"])]
    unset: Vec<String>,
}

/// Forget a schedule; its runs stay
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Have a schedule do nothing until it is resumed; a run that goes on, goes on
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
    /// Why, for whoever finds it so
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Let a schedule go on, with its first time after now
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
}

/// Do what a schedule does now, besides its times
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
}

/// What became of a schedule's times: their runs, how they ended, what they cost
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Which schedule
    #[arg(value_parser = ScheduleName::parse, add = names::schedules())]
    name: ScheduleName,
    /// How many, the newest first
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=1000))]
    last: u32,
}

/// The next times of an expression; nothing is made, and no gateway is needed
#[derive(Debug, Args)]
#[command(after_help = EXPRESSIONS)]
pub struct NextArgs {
    /// When
    #[arg(value_parser = Expression::parse)]
    expression: Expression,
    /// On whose clock, such as Europe/Berlin; this machine's when absent
    #[arg(long, value_name = "ZONE", value_parser = Zone::parse)]
    zone: Option<Zone>,
    /// How many
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
}

pub fn run(command: CronCommand, context: &Context) -> Outcome {
    match command {
        CronCommand::Next(args) => next(&args, context),
        CronCommand::Add(args) => context.wait_for(add(*args, context)),
        CronCommand::List(_) => context.wait_for(list(context)),
        CronCommand::Show(args) => context.wait_for(show(&args, context)),
        CronCommand::Edit(args) => context.wait_for(edit(*args, context)),
        CronCommand::Rm(args) => context.wait_for(remove(&args, context)),
        CronCommand::Pause(args) => context.wait_for(pause(args, context)),
        CronCommand::Resume(args) => context.wait_for(resume(&args, context)),
        CronCommand::Run(args) => context.wait_for(run_now(&args, context)),
        CronCommand::History(args) => context.wait_for(history(&args, context)),
    }
}

async fn add(args: AddArgs, context: &Context) -> Outcome {
    let does = args.action.action()?.ok_or_else(|| {
        usage("what is to be done?").hint(
            "one of --prompt TEXT --frame NAME, --review PROJECT, --workflow NAME, --start NAME, --stop NAME, --restart NAME",
        )
    })?;
    let settings = args.settings;
    let request = AddSchedule {
        name: args.name.to_string(),
        expression: args.expression.to_string(),
        zone: settings.zone.as_ref().map(ToString::to_string),
        does,
        overlap: settings.overlap.unwrap_or_default(),
        catch_up: settings.catch_up.unwrap_or_default(),
        jitter_seconds: settings.jitter.map_or(0, |jitter| jitter.as_secs()),
        gate: settings.gate,
        pause_after_failures: settings.pause_after,
        pause_at_microusd: settings.pause_at,
        budget_microusd: settings.budget,
        paused: args.paused,
    };
    let made = context.gateway().await?.add_schedule(&request).await?;
    if context.out.json {
        context.out.document(&made)?;
        return Ok(DONE);
    }
    shown::whole(&made, context)?;
    context.out.say(format!(
        "`mimir cron run {}` does it now; `mimir cron history {}` shows what became of it",
        made.name, made.name
    ));
    Ok(DONE)
}

async fn list(context: &Context) -> Outcome {
    let schedules = context.gateway().await?.schedules().await?;
    if context.out.json {
        context.out.document(&schedules)?;
        return Ok(DONE);
    }
    if schedules.is_empty() {
        context
            .out
            .say("no schedules; `mimir cron add morning \"0 9 * * mon-fri\" --review PROJECT` makes one");
        return Ok(DONE);
    }
    context.out.table(&shown::list(&schedules))?;
    Ok(DONE)
}

async fn show(args: &NameArgs, context: &Context) -> Outcome {
    let schedule = context.gateway().await?.schedule(args.name.as_str()).await?;
    if context.out.json {
        context.out.document(&schedule)?;
    } else {
        shown::whole(&schedule, context)?;
    }
    Ok(DONE)
}

async fn edit(args: EditArgs, context: &Context) -> Outcome {
    let change = said::change(args.expression, args.action.action()?, args.settings, &args.unset)?;
    let schedule = context.gateway().await?.change_schedule(args.name.as_str(), &change).await?;
    if context.out.json {
        context.out.document(&schedule)?;
    } else {
        shown::whole(&schedule, context)?;
    }
    Ok(DONE)
}

async fn remove(args: &RmArgs, context: &Context) -> Outcome {
    let name = &args.name;
    let question = format!("Forget the schedule {name}? Its runs stay.");
    if !confirm_destruction(&context.out, args.yes, &question, &format!("mimir cron rm {name}"))? {
        return Ok(FAILED);
    }
    let schedule = context.gateway().await?.remove_schedule(name.as_str()).await?;
    if context.out.json {
        context.out.document(&schedule)?;
    } else {
        context.out.line(format!("{name} is forgotten"))?;
    }
    Ok(DONE)
}

async fn pause(args: PauseArgs, context: &Context) -> Outcome {
    let schedule = context.gateway().await?.pause_schedule(args.name.as_str(), args.why).await?;
    if context.out.json {
        context.out.document(&schedule)?;
    } else {
        context.out.line(format!("{} is paused", schedule.name))?;
        context.out.say(format!("`mimir cron resume {}` lets it go on", schedule.name));
    }
    Ok(DONE)
}

async fn resume(args: &ResumeArgs, context: &Context) -> Outcome {
    let schedule = context.gateway().await?.resume_schedule(args.name.as_str()).await?;
    if context.out.json {
        context.out.document(&schedule)?;
    } else {
        let next = schedule
            .next
            .first()
            .map(|at| format!("; next {}", shown::at(&schedule, *at)))
            .unwrap_or_default();
        context.out.line(format!("{} goes on{next}", schedule.name))?;
    }
    Ok(DONE)
}

async fn run_now(args: &RunArgs, context: &Context) -> Outcome {
    let tick = context.gateway().await?.run_schedule(args.name.as_str()).await?;
    if context.out.json {
        context.out.document(&tick)?;
        return Ok(DONE);
    }
    let run = tick.run.as_deref().unwrap_or("-");
    context.out.line(run)?;
    context.out.say(format!("`mimir runs show {run}` shows how far it is"));
    Ok(DONE)
}

async fn history(args: &HistoryArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let ticks = gateway.schedule_history(args.name.as_str(), args.last).await?;
    if context.out.json {
        context.out.document(&ticks)?;
        return Ok(DONE);
    }
    if ticks.is_empty() {
        context.out.say(format!("nothing yet; `mimir cron run {}` does it now", args.name));
        return Ok(DONE);
    }
    let schedule = gateway.schedule(args.name.as_str()).await?;
    context.out.table(&shown::history(&schedule, &ticks))?;
    if ticks.iter().any(|tick| tick.run.is_some()) {
        context.out.say("`mimir runs show RUN` shows what happened in a run");
    }
    Ok(DONE)
}

fn next(args: &NextArgs, context: &Context) -> Outcome {
    let zone = args.zone.clone().unwrap_or_else(clock::zone);
    let times = args.expression.times_after(&zone, context.now_ms()).take(args.count.into());
    let found = NextTimes {
        expression: args.expression.to_string(),
        words: args.expression.words(),
        zone: zone.to_string(),
        next: times.collect(),
    };
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    context.out.say(format!("{}, in {}", found.words, found.zone));
    for at in &found.next {
        context.out.line(zone.written(*at))?;
    }
    Ok(DONE)
}

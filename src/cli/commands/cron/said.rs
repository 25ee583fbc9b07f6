//! What the command line says of a schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use crate::cli::exit::{Failure, usage};
use crate::cli::names;
use crate::model::agent::ModelRef;
use crate::model::names::{FrameName, ProjectName};
use crate::model::quantity::{money, span};
use crate::model::schedule::{CatchUp, Expression, FrameWish, Overlap, ScheduleAction, Zone};
use crate::wire::schedules::ChangeSchedule;

/// What is done.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is done")]
pub struct ActionArgs {
    /// Ask an agent, in a frame (--frame) or a throwaway one of a project (--project)
    #[arg(long, value_name = "TEXT", group = "does")]
    prompt: Option<String>,
    /// Review the last day's commits of a project
    #[arg(long, value_name = "PROJECT", group = "does", value_parser = ProjectName::parse, add = names::projects())]
    review: Option<ProjectName>,
    /// Run a workflow
    #[arg(long, value_name = "NAME", group = "does")]
    workflow: Option<String>,
    /// Start a frame
    #[arg(long, value_name = "FRAME", group = "does", value_parser = FrameName::parse, add = names::frames())]
    start: Option<FrameName>,
    /// Stop a frame
    #[arg(long, value_name = "FRAME", group = "does", value_parser = FrameName::parse, add = names::frames())]
    stop: Option<FrameName>,
    /// Restart a frame
    #[arg(long, value_name = "FRAME", group = "does", value_parser = FrameName::parse, add = names::frames())]
    restart: Option<FrameName>,
    /// With --prompt: the frame that is asked
    #[arg(long, value_name = "NAME", requires = "prompt", value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// With --prompt or --workflow: the project that it is about
    #[arg(long, value_name = "NAME", value_parser = ProjectName::parse, add = names::projects())]
    project: Option<ProjectName>,
    /// With --prompt: the model, instead of the usual one
    #[arg(long, value_name = "PROVIDER/MODEL", requires = "prompt", add = names::models())]
    model: Option<ModelRef>,
    /// With --workflow: a value for its templates; can be given again
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "workflow")]
    variables: Vec<String>,
}

impl ActionArgs {
    /// What is done, if that was said.
    pub fn action(self) -> Result<Option<ScheduleAction>, Failure> {
        let of_frame =
            |wish, frame: Option<FrameName>| frame.map(|frame| ScheduleAction::Frame { wish, frame });
        let frame = of_frame(FrameWish::Start, self.start)
            .or(of_frame(FrameWish::Stop, self.stop))
            .or(of_frame(FrameWish::Restart, self.restart));
        let is_about = self.prompt.is_some() || self.workflow.is_some();
        if self.project.is_some() && !is_about {
            return Err(usage("--project goes with --prompt or --workflow")
                .hint("for example `mimir cron add morning @daily --prompt 'Which tests are slow?' --project shop`")
                .into());
        }
        if let Some(text) = self.prompt {
            let (frame, project, model) = (self.frame, self.project, self.model);
            return Ok(Some(ScheduleAction::Prompt { text, frame, project, model }));
        }
        if let Some(workflow) = self.workflow {
            let variables = self.variables.iter().map(|pair| match pair.split_once('=') {
                Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
                None => Err(Failure::from(
                    usage(format!("`{pair}` is not NAME=VALUE")).hint("for example `--set depth=3`"),
                )),
            });
            let variables = variables.collect::<Result<BTreeMap<_, _>, _>>()?;
            return Ok(Some(ScheduleAction::Workflow { workflow, project: self.project, variables }));
        }
        Ok(frame.or(self.review.map(|project| ScheduleAction::Review { project })))
    }
}

/// How it is done.
#[derive(Debug, Args)]
#[command(next_help_heading = "How")]
pub struct SettingArgs {
    /// On whose clock, such as Europe/Berlin; the gateway's machine's when absent
    #[arg(long, value_name = "ZONE", value_parser = Zone::parse)]
    pub zone: Option<Zone>,
    /// While its last run goes on: forbid (leave this time out), queue (one waits) or replace (end that run)
    #[arg(long, value_name = "forbid|queue|replace")]
    pub overlap: Option<Overlap>,
    /// Of times that passed while nobody was there: once (one run for all of them) or none
    #[arg(long, value_name = "once|none")]
    pub catch_up: Option<CatchUp>,
    /// Up to so much later, always the same for the same time, such as 5m
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    pub jitter: Option<Duration>,
    /// A shell line of yours that comes first, on the gateway's machine; when it fails, no token is spent
    #[arg(long, value_name = "COMMAND")]
    pub gate: Option<String>,
    /// Pause it after so many failures in a row
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pause_after: Option<u32>,
    /// Pause it when its runs cost that many dollars within 24 hours
    #[arg(long, value_name = "DOLLARS", value_parser = money::parse)]
    pub pause_at: Option<u64>,
    /// What one run may cost, in dollars
    #[arg(long, value_name = "DOLLARS", value_parser = money::parse)]
    pub budget: Option<u64>,
}

/// What is to be another way.
pub fn change(
    expression: Option<Expression>,
    action: Option<ScheduleAction>,
    settings: SettingArgs,
    unset: &[String],
) -> Result<ChangeSchedule, Failure> {
    let is_unset = |name: &str| unset.iter().any(|word| word == name);
    let change = ChangeSchedule {
        expression: expression.map(|expression| expression.to_string()),
        zone: settings.zone.map(|zone| zone.to_string()),
        does: action,
        overlap: settings.overlap,
        catch_up: settings.catch_up,
        jitter_seconds: settings.jitter.map(|jitter| jitter.as_secs()),
        gate: settings.gate.map(Some).or(is_unset("gate").then_some(None)),
        pause_after_failures: settings.pause_after.map(Some).or(is_unset("pause-after").then_some(None)),
        pause_at_microusd: settings.pause_at.map(Some).or(is_unset("pause-at").then_some(None)),
        budget_microusd: settings.budget.map(Some).or(is_unset("budget").then_some(None)),
    };
    if change == ChangeSchedule::default() {
        return Err(usage("nothing is to be changed")
            .hint("for example `mimir cron edit morning --expression \"0 8 * * mon-fri\"`")
            .into());
    }
    Ok(change)
}

//! Runs of workflows.

use mimir_client::RunList;
use mimir_model::visible;
use mimir_model::wire::problem::Problem;
use mimir_model::wire::runs::{RunDetails, RunView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::words::{Words, time};

/// How many are listed unless somebody says, and at most.
const LISTED: (u32, u32) = (20, 200);
/// How many lines of a timeline are told.
const LINES: usize = 60;
/// So much of a line is told.
const LONG_LINE: usize = 1_000;
/// And of what a check said.
const LONG_TAIL: usize = 4_000;

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Run {
    /// Its id.
    run: String,
    /// The workflow's name.
    workflow: String,
    /// One line about it.
    title: Words,
    /// `queued`, `running`, `waiting`, `held`, `succeeded`, `failed`, `cancelled` or `superseded`.
    state: String,
    /// The stage that it is in or comes to next.
    stage: String,
    /// Why it waits, is held or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Words>,
    /// Whose project it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// What began it: `person`, `schedule`, `webhook`, …
    origin: String,
    /// What its model calls cost, in millionths of a US dollar.
    cost_microusd: u64,
    /// When it was made.
    created_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
}

impl From<RunView> for Run {
    fn from(run: RunView) -> Self {
        Self {
            title: Words::line(&run.title, LONG_LINE),
            state: run.state.to_string(),
            stage: visible::line(&run.stage),
            reason: run.reason.map(|reason| Words::line(&reason, LONG_LINE)),
            project: run.project,
            origin: run.origin.as_str().to_owned(),
            cost_microusd: run.cost_microusd,
            created_at: time(run.created_at),
            ended_at: run.ended_at.map(time),
            run: run.id,
            workflow: run.workflow,
        }
    }
}

/// `run_list`
pub struct List;

/// Which runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only those that have not ended.
    open: Option<bool>,
    /// Only of this workflow.
    workflow: Option<String>,
    /// Only of this project.
    project: Option<String>,
    /// How many at most; 20 when absent.
    limit: Option<u32>,
}

/// Runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Runs {
    /// As the gateway lists them.
    runs: Vec<Run>,
}

impl Verb for List {
    const NAME: &'static str = "run_list";
    const TITLE: &'static str = "List runs";
    const ABOUT: &'static str =
        "Runs of workflows: what goes through stages by itself, how far it is, and what waits for a person.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Wanted;
    type Output = Runs;

    async fn call(asked: Wanted, with: &Call<'_>) -> Result<Runs, Problem> {
        let list = RunList {
            state: None,
            open: asked.open.unwrap_or(false),
            workflow: asked.workflow,
            project: asked.project,
            limit: Some(asked.limit.unwrap_or(LISTED.0).min(LISTED.1)),
        };
        let runs = with.gateway.runs(&list).await?.into_iter().map(Run::from).collect();
        Ok(Runs { runs })
    }
}

/// `run_show`
pub struct Show;

/// Which run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its id.
    run: String,
}

/// A run with what happened in it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Details {
    /// What the list shows.
    run: Run,
    /// What a person is asked, while it is held: the gate, and what a yes is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_for: Option<Words>,
    /// The frame that works for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
    /// The branch of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<Words>,
    /// The newest commit that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<Words>,
    /// Its pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_request: Option<Words>,
    /// The last checks inside.
    checks: Vec<Check>,
    /// The newest lines of what happened, in order.
    timeline: Vec<Line>,
    /// How many older lines there are.
    left_out: usize,
}

/// A command that was run to prove something.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Check {
    /// The command line.
    command: Words,
    /// Its exit code; absent when it was ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// The last of what it said.
    tail: Words,
}

/// Something that happened in a run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Line {
    /// When.
    at: String,
    /// In which stage.
    stage: String,
    /// What it is: `decision`, `state`, `commit`, `check`, …
    kind: String,
    /// A sentence.
    text: Words,
}

impl From<RunDetails> for Details {
    fn from(details: RunDetails) -> Self {
        let line = |text: String| Words::line(&text, LONG_LINE);
        let left_out = details.timeline.len().saturating_sub(LINES);
        let checks = details.checks.iter().map(|check| Check {
            command: Words::line(&check.command, LONG_LINE),
            exit_code: check.exit_code,
            tail: Words::prose(&check.tail, LONG_TAIL),
        });
        let timeline = details.timeline.iter().skip(left_out).map(|entry| Line {
            at: time(entry.at),
            stage: visible::line(&entry.stage),
            kind: visible::line(&entry.kind),
            text: Words::line(&entry.text, LONG_LINE),
        });
        Self {
            checks: checks.collect(),
            timeline: timeline.collect(),
            left_out,
            held_for: details.held.map(|held| Words::exact(format!("{} {}", held.gate, held.subject).trim())),
            frame: details.frame,
            branch: details.branch.map(line),
            commit: details.commit.map(line),
            pull_request: details.pull.map(|pull| line(pull.url)),
            run: details.run.into(),
        }
    }
}

impl Verb for Show {
    const NAME: &'static str = "run_show";
    const TITLE: &'static str = "Show a run";
    const ABOUT: &'static str =
        "One run: what it waits for, its branch and pull request, its checks, what happened in it.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Which;
    type Output = Details;

    async fn call(asked: Which, with: &Call<'_>) -> Result<Details, Problem> {
        Ok(with.gateway.run(&asked.run).await?.into())
    }
}

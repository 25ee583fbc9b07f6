//! Runs of workflows, as clients see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::budgets::BudgetView;
use crate::agent::ModelRef;
use crate::names::{FrameName, ProjectName};
use crate::origin::Origin;
use crate::run::{CheckResult, Report, RunHold, RunInput, RunLogEntry, RunPull, RunState};

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The workflow's name.
    pub workflow: String,
    /// One line about it.
    pub title: String,
    /// How far it is.
    pub state: RunState,
    /// The stage that it is in or comes to next; empty before the first.
    pub stage: String,
    /// Why it waits, is held or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often in a row its stage failed.
    pub attempt: u32,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What began it.
    pub origin: Origin,
    /// Of which delivery, schedule or run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_ref: Option<String>,
    /// What it is about: one run of a key is open at a time.
    pub key: String,
    /// Larger is sooner.
    pub priority: i64,
    /// What its model calls cost until now, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// When one that waits is looked at again (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<u64>,
    /// UTC ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

/// `GET /v1/runs/{id}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub run: RunView,
    /// What it was given.
    pub given: RunInput,
    /// What a person is asked, while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<RunHold>,
    /// What it may cost, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetView>,
    /// The frame that works for it, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
    /// The branch of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The newest commit that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<RunPull>,
    /// What the analysis found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// The last checks inside, in order.
    pub checks: Vec<CheckResult>,
    /// What happened, in order. Texts of strangers are in it: whoever shows them makes visible what is not.
    pub timeline: Vec<RunLogEntry>,
}

/// `POST /v1/runs`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// The workflow's name.
    pub workflow: String,
    /// Whose it is: its throwaway frames work in that project's folder.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// The frame that it uses, instead of one of its own.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<FrameName>,
    /// What the workflow is given, by the names of its inputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// With which model, as `provider/model`.
    #[schema(value_type = Option<String>, pattern = r"^[^/]+/[\s\S]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// One line for lists.
    #[schema(max_length = 200)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Larger is sooner.
    #[schema(minimum = -1000, maximum = 1000)]
    #[serde(default)]
    pub priority: i64,
    /// What it may cost, in millionths of a US dollar; what the workflow says when absent.
    #[schema(minimum = 10_000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_microusd: Option<u64>,
}

/// `POST /v1/runs/{id}/approve`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRun {
    /// What the yes is for, as `held.subject` says it; of a commit in it 7 signs are enough. A run that is held for something
    /// takes no other yes: by the time that the yes arrives it may be held for another commit, another branch or at another gate.
    #[schema(max_length = 200)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// `POST /v1/runs/{id}/reject`, `POST /v1/runs/{id}/cancel`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRun {
    /// Why, for the timeline.
    #[schema(max_length = 2000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Something that a workflow is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkflowInput {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// What it is when nobody says; without that, a run needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A stage of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkflowStage {
    /// What it is called.
    pub name: String,
    /// What it does.
    pub kind: String,
}

/// A workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkflowView {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Its file, or `built in`.
    pub source: String,
    /// What it is given.
    pub parameters: Vec<WorkflowInput>,
    /// Its stages, in order.
    pub stages: Vec<WorkflowStage>,
    /// What a run of it may cost, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// How many runs of it may be at work at the same time.
    pub parallel: u32,
    /// What is wrong with its file, with the line; it cannot be run then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mistake: Option<String>,
}

/// `GET /v1/workflows/{name}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkflowDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub workflow: WorkflowView,
    /// As it is written.
    pub text: String,
}

//! Runs: one thing that happened, or whose time has come, on its way through the stages of a workflow.
//!
//! ```text
//!            ┌───────────── woken, or its time ──────────────┐
//!            ▼                                               │
//!  queued ──► running ──► waiting (until a time, for something outside)
//!     │         │  ▲
//!     │         │  └── approved ── held (until a person says yes)
//!     │         ▼                   │ no
//!     └──► succeeded · failed · cancelled · superseded
//! ```
//!
//! The four at the bottom are ends: such a row never changes again, except that `retry` makes a new run of a failed one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::agent::ModelRef;
use super::git::Repository;
use super::ids::{FrameId, MessageId, RunId, SessionId};
use super::names::{FrameName, ProjectName};
use super::origin::Origin;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum RunState {
    /// Nothing was done yet: others come first.
    Queued,
    /// A stage works.
    Running,
    /// For something outside, and looked at again at a time: checks, a review, an agent's budget of tomorrow.
    Waiting,
    /// Until a person says yes or no.
    Held,
    /// It did what it was to do.
    Succeeded,
    /// It could not; the reason says why. A person can have it tried again.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
    /// Its matter was settled elsewhere: the issue was resolved, the pull request closed, another run did it.
    Superseded,
}

impl RunState {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Superseded)
    }
}

/// What a run is about, where that has an identity outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunSubject {
    /// Nothing outside: a schedule, a person.
    #[default]
    None,
    /// An issue at an error tracker.
    Sentry {
        /// The organization's slug.
        organization: String,
        /// The issue's id.
        issue: String,
        /// Its short id, such as `SHOP-1A`, where it was said.
        short_id: Option<String>,
        /// The event that began it.
        event: Option<String>,
        /// For people.
        url: Option<String>,
    },
    /// An issue at a forge.
    Issue {
        /// `host/owner/name`.
        #[schema(value_type = String)]
        repository: Repository,
        /// Its number there.
        number: u64,
        /// Who asked for it: the label or the mention is theirs.
        asked_by: String,
        /// For people.
        url: Option<String>,
    },
}

/// Text of a stranger's about the subject: shown to an agent fenced, capped and stripped, never as an instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// What it is: `stack trace`, `message`, `issue text`.
    pub name: String,
    /// Whose words: `sentry`, `github:octocat`, `checks`.
    pub source: String,
    /// The words.
    pub text: String,
}

/// What a run is given when it is made. Never changed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunInput {
    /// What it is about.
    #[serde(default, rename = "matter")]
    pub subject: RunSubject,
    /// The repository that it works on, where it works on one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub repository: Option<Repository>,
    /// The commit or release that the subject was seen in.
    #[serde(default)]
    pub commit: Option<String>,
    /// Values for the templates of the workflow: `{{ name }}`. Words of the configuration or of whoever made the run,
    /// not of strangers.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// What strangers said.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// The frame that it uses, instead of one of its own.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub frame: Option<FrameName>,
    /// The model, instead of what the workflow or the configuration says.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub model: Option<ModelRef>,
}

/// A run that somebody wants.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The workflow's name.
    pub workflow: String,
    /// What it is about, as one text: while a run of a key is open, another one joins it instead of beginning.
    pub key: String,
    /// What began it.
    pub origin: Origin,
    /// Of which delivery, schedule or run.
    pub origin_ref: Option<String>,
    /// Whose.
    pub project: Option<ProjectName>,
    /// One line for lists. Visible characters only.
    pub title: String,
    /// What it is given.
    pub input: RunInput,
    /// Larger is sooner.
    pub priority: i64,
    /// What it may cost, instead of what the workflow says.
    pub budget_microusd: Option<u64>,
    /// Not before (UTC ms).
    pub not_before: Option<u64>,
}

/// What an analysis found. Its form is checked before anything believes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Why it happens.
    pub cause: String,
    /// Where that can be seen.
    #[serde(default)]
    pub evidence: Vec<ReportPlace>,
    /// 0 to 1.
    pub confidence: f64,
    /// What to do, step by step.
    #[serde(default)]
    pub plan: Vec<String>,
    /// `low`, `medium`, `high`.
    #[serde(default)]
    pub risk: Option<String>,
    /// A few words for the title of the change.
    #[serde(default)]
    pub summary: Option<String>,
}

/// A place in the project's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReportPlace {
    /// Relative path.
    pub file: String,
    /// Line, from 1.
    #[serde(default)]
    pub line: Option<u64>,
    /// What is seen there.
    #[serde(default)]
    pub note: Option<String>,
}

/// One command that was run to prove something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckResult {
    /// The command line.
    pub command: String,
    /// Its exit code; absent when it was ended.
    pub exit_code: Option<i32>,
    /// The last of what it said, at most 4 KiB.
    pub tail: String,
}

/// A pull request of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunPull {
    /// Its number.
    pub number: u64,
    /// For people.
    pub url: String,
    /// The commit that was pushed last by this run.
    pub head: String,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// The commit of the merge, when it was merged.
    #[serde(default)]
    pub merged: Option<String>,
}

/// What a run found out and made on its way; kept with each step, so that each stage can ask "already done?".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RunProgress {
    /// The frame that works for it now.
    #[schema(value_type = Option<String>)]
    pub frame: Option<FrameId>,
    /// Its conversation.
    #[schema(value_type = Option<String>)]
    pub session: Option<SessionId>,
    /// The message whose answer is awaited.
    #[schema(value_type = Option<String>)]
    pub message: Option<MessageId>,
    /// The commit that it began from.
    pub base: Option<String>,
    /// The branch of its own, `mimir/<run>`.
    pub branch: Option<String>,
    /// What the analysis found.
    pub report: Option<Report>,
    /// The newest commit that it made.
    pub commit: Option<String>,
    /// The push that waits or went on (see `pushes`).
    pub push: Option<u64>,
    /// The last checks inside, in order.
    pub checks: Vec<CheckResult>,
    /// Its pull request.
    pub pull: Option<RunPull>,
    /// How often the agent was sent back by checks inside.
    pub fix_rounds: u32,
    /// Heads whose checks failed and that were worked on.
    pub red_heads: Vec<String>,
    /// How often reviews were worked in.
    pub review_rounds: u32,
    /// Comments and reviews that were answered or dealt with, by the forge's ids (`comment:1`, `review:2`).
    pub answered: Vec<String>,
    /// Heads for which a hand-over comment stands.
    pub handed_over: Vec<String>,
    /// Since when it is in this stage (UTC ms).
    pub stage_since: Option<u64>,
    /// How long this stage has worked until now (ms); waiting does not count.
    pub stage_worked_ms: u64,
    /// What a person is asked while it is held.
    pub held: Option<RunHold>,
    /// Gates that a person opened, by name; with the head for which that holds, where it is about one.
    pub approved: BTreeMap<String, String>,
    /// What stages of workflows keep besides, by stage.
    pub notes: BTreeMap<String, serde_json::Value>,
}

impl RunProgress {
    /// The note about who asked for the run. No stage has a name like that.
    const ASKER: &str = "run:asker";

    /// What is known of who asked for it; none where nobody has to be asked about them, or nobody was yet.
    #[must_use]
    pub fn asker(&self) -> Option<Asker> {
        self.notes.get(Self::ASKER).and_then(serde_json::Value::as_str).and_then(|word| word.parse().ok())
    }

    /// Keeps what is known of who asked for it.
    pub fn set_asker(&mut self, asker: Asker) {
        self.notes.insert(Self::ASKER.to_owned(), asker.to_string().into());
    }
}

/// Whether whoever asked for a run in an issue may, as its forge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Asker {
    /// They may.
    May,
    /// They may not.
    MayNot,
    /// It has not said so yet, or will not.
    Untold,
}

/// What a person is asked about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunHold {
    /// The gate's name: of the stage, or [`RunHold::BREAKER`].
    pub gate: String,
    /// What a yes is bound to, such as the commit that would be merged; empty: nothing.
    #[serde(default)]
    pub subject: String,
}

impl RunHold {
    /// The gate before the first stage, when the runs before it failed.
    pub const BREAKER: &str = "breaker";
}

/// Whether a run has one of the places of those at work.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum RunPlace {
    /// It has none and wants none.
    #[default]
    None,
    /// It waits for one.
    Wanted,
    /// It has one.
    Taken,
}

impl RunPlace {
    /// The word in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A run, as its row says.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// For its whole life.
    pub id: RunId,
    /// The workflow's name.
    pub workflow: String,
    /// See [`NewRun::key`].
    pub key: String,
    /// What began it.
    pub origin: Origin,
    /// Of which delivery, schedule or run.
    pub origin_ref: Option<String>,
    /// Whose.
    pub project: Option<ProjectName>,
    /// One line.
    pub title: String,
    /// What it was given.
    pub input: RunInput,
    /// How far it is.
    pub state: RunState,
    /// The stage that it is in or comes to next; empty before the first.
    pub stage: String,
    /// How often in a row this stage failed.
    pub attempt: u32,
    /// Why it waits, is held or ended.
    pub reason: Option<String>,
    /// What it found out and made.
    pub progress: RunProgress,
    /// Counts changes: each one names the version that it saw.
    pub version: u64,
    /// Not before (UTC ms); of one that waits: when it is looked at again.
    pub not_before: u64,
    /// Larger is sooner.
    pub priority: i64,
    /// What it may cost.
    pub budget_microusd: Option<u64>,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    pub started_at: Option<u64>,
    /// UTC ms.
    pub ended_at: Option<u64>,
}

/// One line of a run's timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunLogEntry {
    /// Increasing.
    pub id: u64,
    /// UTC ms.
    pub at: u64,
    /// The stage; empty before the first.
    pub stage: String,
    /// What it is: `delivery`, `decision`, `state`, `frame`, `prompt`, `answer`, `command`, `commit`, `push`, `pull`,
    /// `check`, `comment`, `merge`, `money`, `error`, `note`.
    pub kind: String,
    /// A sentence.
    pub text: String,
    /// Where it can be looked at.
    pub link: Option<String>,
}

//! Schedules, as clients see them.

use serde::{Deserialize, Deserializer, Serialize};

use crate::run::RunState;
use crate::schedule::{CatchUp, Overlap, ScheduleAction, ScheduleSource, TickCause, TickOutcome};

/// `POST /v1/schedules`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSchedule {
    /// What to call it.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub name: String,
    /// When: five fields of cron's, six with seconds first, `@daily` and the like, or `every 90m`.
    pub expression: String,
    /// On whose clock, such as `Europe/Berlin`; the gateway's machine's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What is done.
    pub does: ScheduleAction,
    /// What happens while its last run goes on.
    #[serde(default)]
    pub overlap: Overlap,
    /// What becomes of times that passed while nobody was there.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// It is done up to so many seconds later, always the same for the same time.
    #[serde(default)]
    pub jitter_seconds: u64,
    /// A shell line that comes first; only the owner, on the gateway's own machine, may say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// It is paused after so many failures in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after_failures: Option<u32>,
    /// It is paused when its runs cost that much within 24 hours, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_at_microusd: Option<u64>,
    /// What one run may cost, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_microusd: Option<u64>,
    /// It is there and does nothing.
    #[serde(default)]
    pub paused: bool,
}

/// `PATCH /v1/schedules/{name}`: what is absent stays; what is null is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSchedule {
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// On whose clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub does: Option<ScheduleAction>,
    /// What happens while its last run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// What becomes of times that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// It is done up to so many seconds later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_seconds: Option<u64>,
    /// A shell line that comes first.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub gate: Option<Option<String>>,
    /// It is paused after so many failures in a row.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    pub pause_after_failures: Option<Option<u32>>,
    /// It is paused at that cost within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    pub pause_at_microusd: Option<Option<u64>>,
    /// What one run may cost.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    pub budget_microusd: Option<Option<u64>>,
}

/// A field that is there, null or not.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// `POST /v1/schedules/{name}/pause`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseSchedule {
    /// Why, for whoever finds it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of one time of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TickView {
    /// Which time (UTC ms).
    pub instant: u64,
    /// When it was seen to (UTC ms).
    pub seen_at: u64,
    /// What brought it about.
    pub cause: TickCause,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The run that was made, or that stood in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// How far that run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_state: Option<RunState>,
    /// Why that run waits, is held or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_reason: Option<String>,
    /// When that run ended (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_ended_at: Option<u64>,
    /// What it cost, in millionths of a US dollar.
    pub cost_microusd: u64,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScheduleView {
    /// Unique.
    pub name: String,
    /// Where it stands: `person` or `configuration`.
    pub source: ScheduleSource,
    /// When.
    pub expression: String,
    /// The same in words.
    pub words: String,
    /// On whose clock.
    pub zone: String,
    /// What is done.
    pub does: ScheduleAction,
    /// What happens while its last run goes on.
    pub overlap: Overlap,
    /// What becomes of times that passed.
    pub catch_up: CatchUp,
    /// It is done up to so many seconds later.
    pub jitter_seconds: u64,
    /// What comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// It is paused after so many failures in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after_failures: Option<u32>,
    /// It is paused at that cost within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_at_microusd: Option<u64>,
    /// What one run may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_microusd: Option<u64>,
    /// Why it does nothing now; absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_because: Option<String>,
    /// Its next times (UTC ms, without jitter); none while it is paused.
    pub next: Vec<u64>,
    /// What became of its last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<TickView>,
    /// UTC ms.
    pub created_at: u64,
}

//! Schedules: what is to happen when, without anybody at a keyboard.

pub mod expression;
pub mod zone;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use expression::{Expression, InvalidExpression};
pub use zone::{InvalidZone, Zone};

use super::agent::ModelRef;
use super::names::{FrameName, ProjectName, ScheduleName};

/// The longest text of a prompt.
pub const LONGEST_TEXT: usize = 20_000;
/// The variable of a run in which a schedule's gate travels, which is run by a shell.
pub const GATE: &str = "gate";
/// The longest gate.
const LONGEST_GATE: usize = 2_000;
/// How many values a workflow may be given.
const MOST_VARIABLES: usize = 32;
/// No schedule waits longer than that after its time.
const LONGEST_JITTER: u64 = 6 * 60 * 60;
/// A machine may be busy that long.
const LEAST_GRACE: u64 = 120_000;
/// Who is later than that is not late, but was away.
const MOST_GRACE: u64 = 2 * 60 * 60 * 1000;

/// What happens when it is time and the last run still goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Overlap {
    /// This time is left out.
    #[default]
    Forbid,
    /// One waits until the last is over; further ones are left out.
    Queue,
    /// The last one is ended, and this one begins.
    Replace,
}

/// What becomes of times that passed while nobody was there: the machine slept, or the gateway did not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// One run for all of them.
    #[default]
    Once,
}

/// What is done to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum FrameWish {
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
    /// It is stopped and started.
    Restart,
}

/// What is done when it is time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScheduleAction {
    /// An agent is asked something: in a frame that is there, or in a throwaway one of a project.
    Prompt {
        /// What it is asked.
        text: String,
        /// The frame's name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
        frame: Option<FrameName>,
        /// Or the project's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
        project: Option<ProjectName>,
        /// The model, instead of the usual one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, pattern = "^[^/]+/.+$")]
        model: Option<ModelRef>,
    },
    /// A workflow is run.
    Workflow {
        /// Its name.
        workflow: String,
        /// For which project.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
        project: Option<ProjectName>,
        /// Values for its templates.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        variables: BTreeMap<String, String>,
    },
    /// A frame is started, stopped or restarted.
    Frame {
        /// What is done.
        wish: FrameWish,
        /// The frame's name.
        #[schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
        frame: FrameName,
    },
    /// The last day's commits of a project are reviewed.
    Review {
        /// The project's name.
        #[schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
        project: ProjectName,
    },
}

impl ScheduleAction {
    /// The workflow that does it.
    #[must_use]
    pub fn workflow(&self) -> &str {
        match self {
            Self::Prompt { .. } => "prompt",
            Self::Workflow { workflow, .. } => workflow,
            Self::Frame { .. } => "frame",
            Self::Review { .. } => "review",
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn project(&self) -> Option<&ProjectName> {
        match self {
            Self::Prompt { project, .. } | Self::Workflow { project, .. } => project.as_ref(),
            Self::Frame { .. } => None,
            Self::Review { project } => Some(project),
        }
    }

    /// In a few words, for lists.
    #[must_use]
    pub fn words(&self) -> String {
        let of = |project: &Option<ProjectName>| {
            project.as_ref().map(|project| format!(" of {project}")).unwrap_or_default()
        };
        match self {
            Self::Prompt { frame: Some(frame), .. } => format!("ask {frame}"),
            Self::Prompt { project, .. } => format!("ask a new frame{}", of(project)),
            Self::Workflow { workflow, project, .. } => format!("workflow {workflow}{}", of(project)),
            Self::Frame { wish, frame } => format!("{wish} {frame}"),
            Self::Review { project } => format!("review {project}"),
        }
    }
}

/// What somebody wants to happen again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// When, see [`Expression`].
    pub expression: String,
    /// On whose clock.
    pub zone: String,
    /// What is done.
    pub action: ScheduleAction,
    /// When the last run still goes on.
    #[serde(default)]
    pub overlap: Overlap,
    /// What becomes of times that passed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// It is done up to so many seconds later, by a number that is always the same for the same time.
    #[serde(default)]
    pub jitter_seconds: u64,
    /// A shell line of the owner's that comes first: a run ends here, without a token spent, when it fails.
    #[serde(default)]
    pub gate: Option<String>,
    /// It is paused after so many failures in a row.
    #[serde(default)]
    pub pause_after_failures: Option<u32>,
    /// It is paused when its runs cost that much within 24 hours, in millionths of a US dollar.
    #[serde(default)]
    pub pause_at_microusd: Option<u64>,
    /// What one run may cost.
    #[serde(default)]
    pub budget_microusd: Option<u64>,
}

/// A schedule as the configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredSchedule {
    /// Unique.
    pub name: ScheduleName,
    /// What it says.
    pub spec: ScheduleSpec,
    /// Whether it does anything.
    pub is_enabled: bool,
}

/// Why a schedule cannot be so, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Write another expression.
    #[error(transparent)]
    Expression(#[from] InvalidExpression),
    /// Name another zone.
    #[error(transparent)]
    Zone(#[from] InvalidZone),
    /// Change that.
    #[error("{0}")]
    Other(String),
}

/// A schedule whose parts were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When.
    pub expression: Expression,
    /// On whose clock.
    pub zone: Zone,
}

impl ScheduleSpec {
    /// Whether it happens at the same times as that one, whatever else differs.
    #[must_use]
    pub fn has_times_of(&self, other: &Self) -> bool {
        let when = |spec: &Self| (spec.expression.clone(), spec.zone.clone(), spec.jitter_seconds);
        when(self) == when(other)
    }

    /// One that does this, and is otherwise as usual.
    #[must_use]
    pub fn new(expression: &str, zone: &str, action: ScheduleAction) -> Self {
        Self {
            expression: expression.to_owned(),
            zone: zone.to_owned(),
            action,
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            jitter_seconds: 0,
            gate: None,
            pause_after_failures: None,
            pause_at_microusd: None,
            budget_microusd: None,
        }
    }

    /// Reads when it is due, and looks whether the rest can be.
    ///
    /// # Errors
    /// [`InvalidSchedule`].
    pub fn plan(&self) -> Result<Plan, InvalidSchedule> {
        let other = |why: &str| Err(InvalidSchedule::Other(why.to_owned()));
        let plan = Plan { expression: Expression::parse(&self.expression)?, zone: Zone::parse(&self.zone)? };
        match &self.action {
            ScheduleAction::Prompt { frame: Some(_), project: Some(_), .. } => {
                return other("a prompt goes to a frame or to a project, not to both");
            }
            ScheduleAction::Prompt { frame: None, project: None, .. } => {
                return other("a prompt needs a frame, or a project for which one is made");
            }
            ScheduleAction::Prompt { text, .. } if text.trim().is_empty() => {
                return other("a prompt needs words");
            }
            ScheduleAction::Prompt { text, .. } if text.len() > LONGEST_TEXT => {
                return other("the prompt is longer than 20000 bytes");
            }
            ScheduleAction::Workflow { workflow, variables, .. } => {
                if super::names::FrameName::parse(workflow).is_err() {
                    return other("a workflow's name has 1 to 40 of a-z, 0-9 and -");
                }
                let is_name = |name: &str| {
                    (1..=40).contains(&name.len())
                        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                };
                if variables.len() > MOST_VARIABLES || !variables.keys().all(|name| is_name(name)) {
                    return other("a workflow takes up to 32 values, with names of a-z, 0-9 and _");
                }
                if variables.contains_key(GATE) {
                    return other(
                        "a workflow is given no `gate`: that is a schedule's own, and only its owner gives it one",
                    );
                }
                if variables.values().any(|value| value.len() > LONGEST_TEXT) {
                    return other("a value is longer than 20000 bytes");
                }
            }
            ScheduleAction::Prompt { .. } | ScheduleAction::Frame { .. } | ScheduleAction::Review { .. } => {}
        }
        if self.gate.as_ref().is_some_and(|gate| gate.trim().is_empty() || gate.len() > LONGEST_GATE) {
            return other("a gate is a shell line of up to 2000 bytes");
        }
        if self.pause_after_failures == Some(0) {
            return other("it cannot be paused after no failure; `pause` pauses it now");
        }
        if self.jitter_seconds > LONGEST_JITTER {
            return other("the jitter is at most 6 hours");
        }
        // Of three times, because the distance may not always be the same.
        let times: Vec<u64> = plan.expression.times_after(&plan.zone, 1_700_000_000_000).take(3).collect();
        let least = times.windows(2).map(|pair| pair[1] - pair[0]).min();
        if least.is_some_and(|least| self.jitter_seconds * 2000 > least) {
            return other("the jitter is at most half of the time between two runs");
        }
        Ok(plan)
    }
}

/// Where a schedule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum ScheduleSource {
    /// Somebody made it with a command.
    Person,
    /// The configuration; it is changed and removed there.
    Configuration,
}

impl ScheduleSource {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Never used again.
    pub id: u64,
    /// Unique among those there are.
    pub name: ScheduleName,
    /// Where it stands.
    pub source: ScheduleSource,
    /// What it says.
    pub spec: ScheduleSpec,
    /// Why it does nothing now; absent while it does.
    pub paused: Option<String>,
    /// Failures and costs count from here (UTC ms).
    pub counts_from: u64,
    /// The next time (UTC ms, without jitter); absent while it is paused.
    pub next_at: Option<u64>,
    /// UTC ms.
    pub created_at: u64,
}

impl Schedule {
    /// How much later than that instant it is seen to (ms): always the same for the same instant.
    #[must_use]
    pub fn jitter_ms(&self, instant: u64) -> u64 {
        if self.spec.jitter_seconds == 0 {
            return 0;
        }
        let digest = Sha256::digest(format!("{}\n{}\n{instant}", self.id, self.name));
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(bytes) % (self.spec.jitter_seconds * 1000 + 1)
    }
}

/// What became of one time of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TickOutcome {
    /// A run was made.
    Run,
    /// It waits for the last run to end.
    Waiting,
    /// Left out: the last run still went on, or it was paused.
    Skipped,
    /// Nobody was there, and it was not to be made up for.
    Missed,
}

impl TickOutcome {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What brought a tick about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum TickCause {
    /// It was time.
    Time,
    /// It was time while nobody was there.
    CatchUp,
    /// Somebody did not want to wait.
    Person,
}

impl TickCause {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What is to be done about a schedule now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing until then (UTC ms).
    NotYet(u64),
    /// It is time.
    Now(TickCause),
    /// That time has passed long ago, and is not made up for.
    Missed,
}

impl Plan {
    /// What is to be done about the time `instant`, to which `jitter_ms` belong. However many times passed since, they
    /// are one.
    #[must_use]
    pub fn due(&self, instant: u64, jitter_ms: u64, catch_up: CatchUp, now_ms: u64) -> Due {
        let at = instant.saturating_add(jitter_ms);
        if now_ms < at {
            return Due::NotYet(at);
        }
        if now_ms - at <= self.grace_ms(instant) {
            return Due::Now(TickCause::Time);
        }
        match catch_up {
            CatchUp::Once => Due::Now(TickCause::CatchUp),
            CatchUp::None => Due::Missed,
        }
    }

    /// How late it may be and still be in time (ms): half of the time until the next one, at least two minutes, at most two hours.
    #[must_use]
    pub fn grace_ms(&self, instant: u64) -> u64 {
        let next = self.expression.next_after(&self.zone, instant);
        let period = next.map_or(u64::MAX, |next| next - instant);
        (period / 2).clamp(LEAST_GRACE, MOST_GRACE)
    }

    /// The time after the tick of `instant` that was seen to at `now_ms`: those that have passed are not counted.
    #[must_use]
    pub fn next(&self, instant: u64, jitter_ms: u64, now_ms: u64) -> Option<u64> {
        let seen = now_ms.saturating_sub(jitter_ms).max(instant);
        self.expression.next_after(&self.zone, seen)
    }
}

#[cfg(test)]
mod tests;

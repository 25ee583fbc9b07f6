//! What a workflow is: stages in order, and how far its runs may go. Kept with each run as it was when that began.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// What it does, in a sentence.
    pub description: String,
    /// What it is given, by name: `{{ name }}` in its texts.
    #[serde(default)]
    pub inputs: BTreeMap<String, InputDefinition>,
    /// Its stages, in order; each name once.
    pub stages: Vec<StageDefinition>,
    /// How far it may go.
    pub caps: Caps,
}

/// Something that a workflow is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputDefinition {
    /// What it is, for people.
    pub description: String,
    /// What it is when nobody says; without that, a run needs it.
    pub default: Option<String>,
}

/// A stage of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageDefinition {
    /// Its name: lower-case letters, digits, `_`.
    pub name: String,
    /// The word for what it does: see [`super::kind::StageKind`].
    pub kind: String,
    /// Its settings, as its kind reads them.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// How far a run of a workflow may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// What all of it may cost, in millionths of a US dollar.
    pub cost_microusd: u64,
    /// How long one stage may work; waiting for people, reviews and checks does not count.
    pub stage_time: Duration,
    /// How many runs of the workflow may be at work at the same time; those that wait or are held do not count.
    pub parallel: u32,
    /// How many pull requests it may open for one project within 24 hours.
    pub pulls_per_day: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            cost_microusd: 5_000_000,
            stage_time: Duration::from_secs(60 * 60),
            parallel: 2,
            pulls_per_day: 5,
        }
    }
}

impl Workflow {
    /// The first stage's name.
    #[must_use]
    pub fn first(&self) -> &str {
        self.stages.first().map_or("", |stage| &stage.name)
    }

    /// The stage of that name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&StageDefinition> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The name of the stage that comes after that one.
    #[must_use]
    pub fn after(&self, name: &str) -> Option<&str> {
        let at = self.stages.iter().position(|stage| stage.name == name)?;
        self.stages.get(at + 1).map(|stage| stage.name.as_str())
    }
}

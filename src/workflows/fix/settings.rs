//! What a workflow's file says of the stages that find, mend and hand out.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::model::quantity::span;
use crate::workflows::quantities;

/// The stage `analyse`: an agent that cannot write and reaches no network says what is wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalyseSettings {
    /// How sure the report must be for the run to go on, from 0 to 1; below that it ends with the report.
    pub confidence: f64,
    /// How often the agent is told that its answer is no valid report.
    pub corrections: u32,
    /// How long one answer may take.
    #[serde(deserialize_with = "quantities::span")]
    pub answer: Duration,
    /// How long its frame lives at most.
    #[serde(deserialize_with = "lifetime")]
    pub lifetime: Duration,
    /// What the workflow's author wants looked at besides: one of mimir's sentences, not a stranger's.
    pub instructions: String,
}

impl Default for AnalyseSettings {
    fn default() -> Self {
        Self {
            confidence: 0.6,
            corrections: 2,
            answer: Duration::from_secs(20 * 60),
            lifetime: Duration::from_secs(2 * 60 * 60),
            instructions: String::new(),
        }
    }
}

/// The stage `fix`: an agent mends what the report says, and mimir runs the project's checks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FixSettings {
    /// Commands that must be green; those of the project when there are none here, else those that its files name.
    pub checks: Vec<String>,
    /// How often the agent is sent back because they are red.
    pub rounds: u32,
    /// How long one answer may take.
    #[serde(deserialize_with = "quantities::span")]
    pub answer: Duration,
    /// How long one check may take.
    #[serde(deserialize_with = "quantities::span")]
    pub check: Duration,
    /// Hosts and groups that its frame may reach; nothing else, whatever is configured for other frames.
    pub allow: Vec<String>,
    /// How long its frame lives at most. It is made anew from the branch when reviews take longer.
    #[serde(deserialize_with = "lifetime")]
    pub lifetime: Duration,
    /// Whether the tests that were changed are run without the fix as well, where that is cheap: they must be red.
    pub prove: bool,
    /// Who commits.
    pub author: String,
    /// … and their address.
    pub email: String,
    /// What the workflow's author wants done besides: one of mimir's sentences, not a stranger's.
    pub instructions: String,
}

impl Default for FixSettings {
    fn default() -> Self {
        let groups = ["npm", "pypi", "crates", "debian"];
        Self {
            checks: Vec::new(),
            rounds: 3,
            answer: Duration::from_secs(45 * 60),
            check: Duration::from_secs(15 * 60),
            allow: groups.map(str::to_owned).to_vec(),
            lifetime: Duration::from_secs(24 * 60 * 60),
            prove: true,
            author: "mimir".to_owned(),
            email: "mimir@localhost".to_owned(),
            instructions: String::new(),
        }
    }
}

/// The stage `push`: the commit leaves its frame.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushSettings {
    /// Whether a person must say yes to every push, not just to one in which there is something to look at.
    pub ask: bool,
    /// More changed files than this wait for a person.
    pub max_files: u64,
    /// More changed lines than this wait for a person.
    pub max_lines: u64,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self { ask: false, max_files: 20, max_lines: 600 }
    }
}

fn lifetime<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    span::parse_lifetime(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual_and_what_nobody_knows_is_refused() {
        let read: AnalyseSettings = serde_json::from_value(json!({"confidence": 0.8})).expect("settings");
        assert_eq!(read, AnalyseSettings { confidence: 0.8, ..AnalyseSettings::default() });
        let read: FixSettings =
            serde_json::from_value(json!({"checks": ["make test"], "check": "90s"})).expect("settings");
        assert_eq!((read.check, read.rounds), (Duration::from_secs(90), 3));
        for odd in [json!({"round": 3}), json!({"check": "soon"}), json!({"lifetime": "90d"})] {
            assert!(serde_json::from_value::<FixSettings>(odd.clone()).is_err(), "{odd}");
        }
    }
}

//! What a stage does: one variant for each kind. Each kind's settings stand beside its code.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{command, frame, gate, prompt};

/// What a stage does, with its settings.
#[derive(Clone, Debug)]
pub enum StageKind {
    /// Waits for a person's yes.
    Gate(gate::Settings),
    /// Asks an agent.
    Prompt(prompt::Settings),
    /// Starts, stops or restarts a frame.
    Frame(frame::Settings),
    /// Runs a command of the owner's on this machine.
    Command(command::Settings),
}

impl StageKind {
    /// The words for all kinds.
    pub const NAMES: &[&str] = &["gate", "prompt", "frame", "command"];

    /// Reads the settings of a stage of that kind.
    ///
    /// # Errors
    /// What is wrong with them, as the end of a sentence.
    pub fn of(kind: &str, settings: &Map<String, Value>) -> Result<Self, String> {
        match kind {
            "gate" => read(settings).map(Self::Gate),
            "prompt" => read(settings).map(Self::Prompt),
            "frame" => read(settings).map(Self::Frame),
            "command" => read(settings).map(Self::Command),
            other => Err(format!("there is no kind `{other}`; there are {}", Self::NAMES.join(", "))),
        }
    }

    /// Whether it works long or costs money: then it takes one of the places of `workflows.max_parallel`. The others
    /// only look, and do not wait for those.
    #[must_use]
    pub fn is_work(&self) -> bool {
        match self {
            Self::Prompt(_) | Self::Command(_) => true,
            Self::Gate(_) | Self::Frame(_) => false,
        }
    }

    /// Whether it can be begun again in a new run after that one failed in it, without the stages before it.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        match self {
            // Its frame is made anew when it is not there.
            Self::Gate(_) | Self::Prompt(_) | Self::Frame(_) | Self::Command(_) => true,
        }
    }

    /// Its texts with variables in them.
    #[must_use]
    pub fn templates(&self) -> Vec<&str> {
        match self {
            Self::Gate(settings) => settings.ask.iter().map(String::as_str).collect(),
            Self::Prompt(settings) => vec![settings.text.as_str()],
            Self::Frame(settings) => settings.templates(),
            Self::Command(settings) => settings.argv.iter().map(String::as_str).collect(),
        }
    }
}

fn read<T: DeserializeOwned>(settings: &Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(settings.clone())).map_err(|error| error.to_string())
}

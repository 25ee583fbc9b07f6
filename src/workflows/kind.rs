//! What a stage does: one variant for each kind. Each kind's settings stand beside its code.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fix::settings::{AnalyseSettings, FixSettings, PushSettings};
use super::pull::settings::{
    FollowSettings, MergeSettings, PreflightSettings, PullRequestSettings, ResolveSettings, WatchSettings,
};
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
    /// Has an agent find out why something happened.
    Analyse(AnalyseSettings),
    /// Has an agent mend it, and runs the checks.
    Fix(FixSettings),
    /// Takes the commit out of its frame, to the forge.
    Push(PushSettings),
    /// Asks whether the forge lets it do all that, before anything is spent.
    Preflight(PreflightSettings),
    /// Opens the pull request.
    PullRequest(PullRequestSettings),
    /// Has reviews and checks worked in until it is ready.
    Follow(FollowSettings),
    /// Merges it, with somebody's yes.
    Merge(MergeSettings),
    /// Says where it was reported that it is solved.
    Resolve(ResolveSettings),
    /// Looks whether it comes back.
    Watch(WatchSettings),
}

impl StageKind {
    /// The words for all kinds.
    pub const NAMES: &[&str] = &[
        "gate",
        "prompt",
        "frame",
        "command",
        "analyse",
        "fix",
        "push",
        "preflight",
        "pull_request",
        "follow",
        "merge",
        "resolve",
        "watch",
    ];

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
            "analyse" => read(settings).map(Self::Analyse),
            "fix" => read(settings).map(Self::Fix),
            "push" => read(settings).map(Self::Push),
            "preflight" => read(settings).map(Self::Preflight),
            "pull_request" => read(settings).map(Self::PullRequest),
            "follow" => read(settings).map(Self::Follow),
            "merge" => read(settings).map(Self::Merge),
            "resolve" => read(settings).map(Self::Resolve),
            "watch" => read(settings).map(Self::Watch),
            other => Err(format!("there is no kind `{other}`; there are {}", Self::NAMES.join(", "))),
        }
    }

    /// Whether it works long or costs money: then it takes one of the places of `workflows.max_parallel`. The others
    /// only look, and do not wait for those.
    #[must_use]
    pub fn is_work(&self) -> bool {
        match self {
            Self::Prompt(_) | Self::Command(_) | Self::Analyse(_) | Self::Fix(_) => true,
            Self::Gate(_) | Self::Frame(_) | Self::Push(_) => false,
            // They look again and again; for a round of the agent they take a place themselves.
            Self::Follow(_) | Self::Merge(_) => false,
            Self::Preflight(_) | Self::PullRequest(_) | Self::Resolve(_) | Self::Watch(_) => false,
        }
    }

    /// Whether it follows something outside, also while a person is asked: nobody may tell of what happens there.
    #[must_use]
    pub fn follows(&self) -> bool {
        matches!(self, Self::Follow(_) | Self::Merge(_))
    }

    /// Whether it can be begun again in a new run after that one failed in it, without the stages before it.
    #[must_use]
    pub fn stands_alone(&self) -> bool {
        match self {
            // Its frame is made anew when it is not there.
            Self::Gate(_) | Self::Prompt(_) | Self::Frame(_) | Self::Command(_) | Self::Analyse(_) => true,
            // They go by what was found and made before, in frames of that run.
            Self::Fix(_) | Self::Push(_) => false,
            Self::Preflight(_) => true,
            // They go by the branch and the pull request of that run.
            Self::PullRequest(_) | Self::Follow(_) | Self::Merge(_) | Self::Resolve(_) | Self::Watch(_) => {
                false
            }
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
            Self::Analyse(_) | Self::Fix(_) | Self::Push(_) => Vec::new(),
            Self::Preflight(_) | Self::PullRequest(_) | Self::Follow(_) => Vec::new(),
            Self::Merge(_) | Self::Resolve(_) | Self::Watch(_) => Vec::new(),
        }
    }
}

fn read<T: DeserializeOwned>(settings: &Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(settings.clone())).map_err(|error| error.to_string())
}

//! Who may tell us something, and what follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::git::Repository;
use crate::model::names::ProjectName;
use crate::model::secret::Secret;
use crate::model::webhook::{AuthorRight, Level, SenderKind};

/// What is configured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Senders by name.
    pub sources: BTreeMap<String, Source>,
    /// What follows from what they say; the first rule that fits decides.
    pub rules: Vec<Rule>,
    /// The largest body that is taken, in bytes.
    pub body_limit: usize,
    /// How many are taken at the same time.
    pub parallel: usize,
    /// How long what came is kept.
    pub keep: Duration,
    /// How often error trackers are asked for what they could not tell us.
    pub catch_up: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: BTreeMap::new(),
            rules: Vec::new(),
            body_limit: 1 << 20,
            parallel: 64,
            keep: Duration::from_secs(30 * 24 * 60 * 60),
            catch_up: Some(Duration::from_secs(300)),
        }
    }
}

/// A sender.
#[derive(Clone, Debug)]
pub struct Source {
    /// How it signs and speaks.
    pub kind: SenderKind,
    /// What it signs with: the one of now and the one before. Without any, nothing is taken.
    pub secrets: Vec<Secret>,
    /// A forge's host, where that is not said in what it sends.
    pub host: Option<String>,
    /// The organization's slug at an error tracker.
    pub organization: Option<String>,
    /// Whether its API can be asked: there is a token.
    pub has_token: bool,
    /// Where the fields are that a rule looks at, for senders of no known kind.
    pub mapping: Mapping,
}

/// JSON pointers to the fields of a sender of no known kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What makes the message unique, where no header does.
    pub id: Option<String>,
    /// What happened, in a word.
    pub event: Option<String>,
    /// What it is about: while a run of it is open, another message joins it.
    pub key: Option<String>,
    /// One line for people.
    pub title: Option<String>,
    /// What an agent is shown.
    pub message: Option<String>,
    /// How bad it is.
    pub level: Option<String>,
    /// Where it happened.
    pub environment: Option<String>,
    /// What makes two of them the same.
    pub fingerprint: Option<String>,
    /// The project's name at the sender.
    pub project: Option<String>,
    /// The commit or release it is about.
    pub commit: Option<String>,
    /// For people.
    pub url: Option<String>,
}

/// What follows from a message that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Of which sender.
    pub source: String,
    /// Patterns of events; none: every event that could begin something.
    pub on: Vec<String>,
    /// A pattern of the project's name at the sender: the slug at an error tracker, `owner/name` at a forge.
    pub from: Option<String>,
    /// At least that bad.
    pub level: Option<Level>,
    /// Patterns of environments; none: all.
    pub environment: Vec<String>,
    /// A pattern of one of its fingerprints.
    pub fingerprint: Option<String>,
    /// One of these labels; none: whatever it has.
    pub labels: Vec<String>,
    /// The word with which somebody asks for it in a comment.
    pub mention: String,
    /// What whoever asks must be allowed to do. The run's first stage asks the forge.
    pub author: AuthorRight,
    /// The workflow that is run.
    pub workflow: String,
    /// For which project.
    pub project: Option<ProjectName>,
    /// On which repository, where the message does not say.
    pub repository: Option<Repository>,
    /// Larger is sooner.
    pub priority: i64,
    /// What it may cost, instead of what the workflow says.
    pub budget_microusd: Option<u64>,
    /// How long nothing is tried again after a run of it failed; doubled each time.
    pub cooldown: Duration,
    /// How many runs an hour it may begin for one project of one sender.
    pub limit: u32,
    /// Whether it also takes what was missed and is found later.
    pub catches_up: bool,
}

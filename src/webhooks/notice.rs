//! What a message says, in words of ours.
//!
//! A message is believed to come from its sender. What it is about is words of strangers all the same: whoever has the
//! public key of an error tracker, or an account at a forge, writes them.

use serde_json::Value;

use crate::model::git::Repository;
use crate::model::loose;
use crate::model::run::{Evidence, RunSubject};
use crate::model::webhook::Level;

/// The longest reason that names something of a stranger's.
pub(super) const REASON: usize = 200;

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// What its sender calls it: `event_alert.triggered`, `pull_request.closed`.
    pub event: String,
    /// Names of runs' matters that it tells of; those runs look themselves.
    pub wakes: Vec<String>,
    /// What a run that is woken notes.
    pub why: String,
    /// What could begin a run.
    pub matter: Option<Matter>,
    /// The repository that it is about, of a forge.
    pub repository: Option<Repository>,
    /// Why nothing can follow from it, when nothing can.
    pub reason: Option<String>,
}

/// What a run could be about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matter {
    /// One open run for each.
    pub key: String,
    /// Under which others will tell of it; none where nobody will.
    pub name: Option<String>,
    /// One line.
    pub title: String,
    /// What it is, outside.
    pub subject: RunSubject,
    /// Where the code is, when the message says so.
    pub repository: Option<Repository>,
    /// The commit or release that it was seen in.
    pub commit: Option<String>,
    /// What strangers said.
    pub evidence: Vec<Evidence>,
    /// How bad it is.
    pub level: Option<Level>,
    /// Where it happened.
    pub environment: Option<String>,
    /// What makes two of them the same.
    pub fingerprints: Vec<String>,
    /// Labels of an issue.
    pub labels: Vec<String>,
    /// Of a comment: what it says, for the word that asks for something.
    pub comment: Option<String>,
    /// The project's name at the sender.
    pub from: Option<String>,
}

/// `resource.action`, or the one of them that there is.
pub(super) fn event_name(resource: Option<String>, action: Option<String>) -> String {
    let words: Vec<String> =
        [resource, action].into_iter().flatten().map(|word| word.to_ascii_lowercase()).collect();
    if words.is_empty() { "unknown".to_owned() } else { words.join(".") }
}

/// A word of a payload: plain letters, as in names of events.
pub(super) fn word(said: &Value, pointer: &str) -> Option<String> {
    loose::slug(said, pointer)
}

/// How bad something is, by whatever name.
pub(super) fn level(text: &str) -> Option<Level> {
    match text.to_ascii_lowercase().as_str() {
        "debug" | "sample" | "trace" => Some(Level::Debug),
        "info" | "log" | "notice" | "ok" => Some(Level::Info),
        "warning" | "warn" => Some(Level::Warning),
        "error" | "err" | "high" => Some(Level::Error),
        "fatal" | "critical" | "emergency" | "alert" => Some(Level::Fatal),
        _ => None,
    }
}

//! What a message says, in words of ours: read from the bytes with nothing taken for granted.
//!
//! A message is believed to come from its sender. What it is about is words of strangers all the same: whoever has the
//! public key of an error tracker, or an account at a forge, writes them.

use serde_json::Value;

use super::headers::Headers;
use super::settings::Source;
use super::{generic, github, sentry_says};
use crate::model::git::Repository;
use crate::model::loose;
use crate::model::run::{Evidence, RunSubject};
use crate::model::webhook::{Level, SenderKind};

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

/// What cannot be read: why, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Reads a message of a sender.
///
/// # Errors
/// When it is no JSON object.
pub fn read(name: &str, source: &Source, headers: &Headers, body: &[u8]) -> Result<Notice, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Notice {
            event: "empty".to_owned(),
            reason: Some("it says nothing: its body is empty".to_owned()),
            ..Notice::default()
        });
    }
    let said: Value = parse(headers, body)?;
    Ok(match source.kind {
        SenderKind::Sentry => sentry_says::read(source.organization.as_deref().unwrap_or(name), headers, &said),
        SenderKind::Github => github::read(source.host.as_deref(), headers, &said),
        SenderKind::Generic => generic::read(name, &source.mapping, headers, &said),
    })
}

/// JSON, or a form whose field `payload` holds it, as forges send when nobody chose otherwise.
pub(super) fn parse(headers: &Headers, body: &[u8]) -> Result<Value, Unreadable> {
    let media = headers.only("content-type").unwrap_or_default().to_ascii_lowercase();
    let found = if media.starts_with("application/x-www-form-urlencoded") {
        let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let payload = payload.ok_or_else(|| Unreadable("it is a form without a field `payload`".to_owned()))?;
        serde_json::from_str(&payload.1)
    } else {
        serde_json::from_slice(body)
    };
    match found {
        Ok(Value::Object(said)) => Ok(Value::Object(said)),
        Ok(_) => Err(Unreadable("it is JSON, and no object".to_owned())),
        Err(error) => Err(Unreadable(format!("it is no JSON: line {}, column {}", error.line(), error.column()))),
    }
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

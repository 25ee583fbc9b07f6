//! opencode's JSON, as far as we read it.
//!
//! Tolerant on purpose: fields that we do not need are not listed, fields that a
//! version may lack are optional, and a number may be whole or not.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `{"id","type","properties"}`: one event.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub properties: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Health {
    #[serde(default)]
    pub healthy: bool,
    #[serde(default)]
    pub version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    pub id: String,
    #[serde(default, rename = "parentID")]
    pub parent: Option<String>,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub metadata: Value,
    #[serde(default)]
    pub time: Changed,
    #[serde(default)]
    pub revert: Option<Revert>,
}

/// From where on a session is undone. The messages are still listed until somebody goes on; then they are removed.
#[derive(Debug, Deserialize)]
pub(super) struct Revert {
    #[serde(rename = "messageID")]
    pub message: String,
    #[serde(default, rename = "partID")]
    pub part: Option<String>,
}

/// When a session was last changed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Changed {
    #[serde(default, deserialize_with = "whole")]
    pub updated: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub info: Head,
    #[serde(default)]
    pub parts: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub id: String,
    #[serde(rename = "sessionID")]
    pub session: String,
    pub role: String,
    #[serde(default, rename = "parentID")]
    pub parent: Option<String>,
    #[serde(default, rename = "modelID")]
    pub model_id: Option<String>,
    #[serde(default, rename = "providerID")]
    pub provider_id: Option<String>,
    #[serde(default)]
    pub model: Option<Model>,
    #[serde(default)]
    pub time: Span,
    #[serde(default)]
    pub finish: Option<String>,
    #[serde(default)]
    pub error: Option<Failure>,
    #[serde(default)]
    pub tokens: Tokens,
    #[serde(default)]
    pub cost: f64,
}

/// What a user message was sent with.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    #[serde(rename = "providerID")]
    pub provider: String,
    #[serde(rename = "modelID")]
    pub model: String,
}

/// Heads say `created` and `completed`, parts say `start` and `end`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Span {
    #[serde(default, alias = "start", deserialize_with = "whole")]
    pub created: Option<u64>,
    #[serde(default, alias = "end", deserialize_with = "whole")]
    pub completed: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Tokens {
    #[serde(default, deserialize_with = "whole")]
    pub input: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    pub output: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    pub reasoning: Option<u64>,
    #[serde(default)]
    pub cache: Cache,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Cache {
    #[serde(default, deserialize_with = "whole")]
    pub read: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    pub write: Option<u64>,
}

/// `{"name","data":{"message"…}}`, or the other shape `{"_tag","message"}`.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    #[serde(default, alias = "_tag")]
    pub name: String,
    #[serde(default)]
    pub message: Option<String>,
    #[serde(default)]
    pub data: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Part {
    pub id: String,
    #[serde(rename = "sessionID")]
    pub session: String,
    #[serde(rename = "messageID")]
    pub message: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub synthetic: bool,
    #[serde(default)]
    pub time: Option<Span>,
    #[serde(default)]
    pub tool: String,
    #[serde(default, rename = "callID")]
    pub call: String,
    #[serde(default)]
    pub state: ToolState,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub tokens: Tokens,
    #[serde(default)]
    pub cost: f64,
    #[serde(default)]
    pub files: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ToolState {
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub time: Span,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub output: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub metadata: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "whole")]
    pub attempt: Option<u64>,
    #[serde(default)]
    pub message: String,
    #[serde(default, deserialize_with = "whole")]
    pub next: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Permission {
    pub id: String,
    #[serde(rename = "sessionID")]
    pub session: String,
    #[serde(default)]
    pub permission: String,
    #[serde(default)]
    pub patterns: Vec<String>,
    #[serde(default)]
    pub always: Vec<String>,
    #[serde(default)]
    pub metadata: Value,
    #[serde(default)]
    pub tool: Option<AskedCall>,
}

/// What became [`Permission`] in 1.1: `{"id","type","pattern"?,"sessionID","messageID","callID"?,"title","metadata"}`.
#[derive(Debug, Deserialize)]
pub(super) struct OldPermission {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub pattern: Option<OneOrMore>,
    #[serde(rename = "sessionID")]
    pub session: String,
    #[serde(default, rename = "messageID")]
    pub message: Option<String>,
    #[serde(default, rename = "callID")]
    pub call: Option<String>,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub metadata: Value,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct AskedCall {
    #[serde(rename = "messageID")]
    pub message: String,
    #[serde(rename = "callID")]
    pub call: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Question {
    pub id: String,
    #[serde(rename = "sessionID")]
    pub session: String,
    #[serde(default)]
    pub questions: Vec<OneQuestion>,
    #[serde(default)]
    pub tool: Option<AskedCall>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OneQuestion {
    #[serde(default)]
    pub question: String,
    #[serde(default)]
    pub header: String,
    #[serde(default)]
    pub options: Vec<AskedOption>,
    #[serde(default)]
    pub multiple: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct AskedOption {
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub description: String,
}

/// A number that should be whole and not negative, however it is written; anything else counts as absent.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(from)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let rounded = || value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64);
    Ok(value.as_u64().or_else(rounded))
}

//! Messages and conversations, as clients see them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sessions::PartView;
use crate::agent::TakenBack;
use crate::message::DeliveryState;
use crate::origin::Origin;
use crate::quantity::span;
use crate::usage::Tokens;

/// `POST /v1/messages`; the header `Idempotency-Key` makes a repeat harmless.
///
/// Whoever asks counts as a person: no field claims another origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// The frame's name.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub frame: String,
    /// What to ask: something that is not only blanks, at most a MiB.
    #[schema(schema_with = super::schemas::message_text)]
    pub text: String,
    /// A session id, a title, `last`, or `new`; `last` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// `provider/model`; the configured one when absent.
    #[schema(pattern = r"^[^/]+/[\s\S]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// One of opencode's agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Nobody is there to answer what the agent asks: it is denied after a while, and told so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unattended: Option<Unattended>,
    /// Stop what the conversation does, and go before everything that waits there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupt: bool,
    /// Refuse (409) unless it can be sent without waiting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}

/// How long an unattended run waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unattended {
    /// From the first prompt on; the configured time when absent. What is asked after it is denied at once.
    #[schema(maximum = 3162240000u64)]
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub deadline_seconds: Option<u64>,
}

fn seconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let given = Option::<u64>::deserialize(from)?;
    given.map(span::check).transpose().map_err(serde::de::Error::custom)?;
    Ok(given)
}

impl Unattended {
    /// As a duration; `usual` when nothing is said.
    #[must_use]
    pub fn within(self, usual: Duration) -> Duration {
        self.deadline_seconds.map_or(usual, Duration::from_secs)
    }
}

/// `PATCH /v1/messages/{id}`: what is absent stays. Only a message that is queued can be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMessage {
    /// What to ask instead.
    #[schema(schema_with = super::schemas::new_text)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `provider/model`.
    #[schema(pattern = r"^[^/]+/[\s\S]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// One of opencode's agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// `POST /v1/frames/{name}/route`: which model would answer such a message?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRoute {
    /// What would be asked.
    #[schema(schema_with = super::schemas::message_text)]
    pub text: String,
    /// One of opencode's agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// Which model would answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteView {
    /// The frame's name.
    pub frame: String,
    /// `provider/model`; absent where a server elsewhere chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// By which rule of `models.routes`; absent for the usual model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

/// The answer to it (202), and `GET /v1/messages/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageView {
    /// Ours.
    pub id: String,
    /// The frame's name.
    pub frame: String,
    /// The conversation.
    pub session: String,
    /// What it was sent by.
    #[serde(default)]
    pub origin: Origin,
    /// For which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// What was asked.
    pub text: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The model, `provider/model`; absent for the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// By which rule of `models.routes` that model was chosen, when the message named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Of the whole turn.
    pub tokens: Tokens,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    /// opencode's id of it, once it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_message: Option<String>,
    /// It interrupted what ran, and goes before the others of its conversation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupt: bool,
    /// Follow `/v1/events?message=<id>&after=<this>` to miss nothing.
    pub after_event: u64,
    /// Something the sender should know: that the demo answers, that the frame is being started.
    #[serde(rename = "remarks", alias = "notes", default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A conversation in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionSummary {
    /// Ours.
    pub id: String,
    /// The frame's name, also of a frame that is gone.
    pub frame: String,
    /// opencode's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<String>,
    /// The conversation that it was split off from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<String>,
    /// A short name.
    pub title: String,
    /// How many messages people wrote in it, through mimir or past it.
    #[serde(alias = "messages")]
    pub message_count: u64,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    pub last_active_at: u64,
}

/// `GET /v1/sessions/{id}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: SessionSummary,
    /// What was said, oldest first.
    pub turns: Vec<TurnView>,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TurnView {
    /// opencode's id of it.
    #[serde(default, alias = "id")]
    pub agent_message: String,
    /// `user` or `assistant`.
    pub role: String,
    /// What it was sent by; absent of an answer, and of what was written past mimir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// For which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// UTC ms.
    pub at: u64,
    /// UTC ms; absent for a person's message, and when the agent died meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
    /// Who wrote it, `provider/model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its text.
    pub text: String,
    /// Tools it called, a line each.
    pub tools: Vec<String>,
    /// Why it failed.
    #[serde(rename = "reason", alias = "error", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It does not stand any more: somebody undid it, or removed it, and the agent does not know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBack>,
    /// How it ended: `stop`, `length`, `tool-calls`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// What it used.
    #[serde(default)]
    pub tokens: Tokens,
    /// Millionths of a US dollar.
    #[serde(default)]
    pub cost_microusd: u64,
    /// All of it, piece by piece.
    #[serde(default)]
    pub parts: Vec<PartView>,
}

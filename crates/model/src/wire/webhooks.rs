//! What other programs tell us, as clients see it.

use serde::{Deserialize, Serialize};

use crate::webhook::{SenderKind, WebhookState};

/// `GET /v1/webhooks`: who may tell us something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookSourceView {
    /// Its name in the configuration.
    pub name: String,
    /// How it signs and speaks.
    pub kind: SenderKind,
    /// Where it sends to, below this gateway's address.
    pub path: String,
    /// How many rules are about it.
    pub rule_count: u64,
    /// What came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<WebhookView>,
    /// What is wrong, in sentences that say what to do.
    pub troubles: Vec<String>,
}

/// Something that came in, without its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookView {
    /// For its whole life.
    pub id: String,
    /// The sender's name in the configuration.
    pub source: String,
    /// What its sender calls it.
    pub event: String,
    /// How far it is.
    pub state: WebhookState,
    /// What came of it, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is about: runs of one matter are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The run that sees to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// It waits for its turn, and is not decided before that (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<u64>,
    /// How often the same came again.
    pub duplicate_count: u64,
    /// How large it is.
    pub size_bytes: u64,
    /// When it came (UTC ms).
    pub received_at: u64,
    /// When it was decided (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<u64>,
}

/// `GET /v1/webhooks/deliveries/{id}`: a stranger's words. Whoever shows them makes visible what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookDetails {
    /// What is known of it.
    pub delivery: WebhookView,
    /// Headers that were kept.
    pub headers: Vec<WebhookHeader>,
    /// What it says; what is no text in it is replaced.
    pub body: String,
}

/// One header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookHeader {
    /// In lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// `POST /v1/webhooks/test`: what would follow from a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestWebhook {
    /// The sender's name in the configuration.
    pub source: String,
    /// What the header of its kind says, such as `event_alert` or `pull_request`; guessed when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// What the message says.
    pub body: String,
}

/// What would follow from a message. Nothing of it has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookPreview {
    /// What its sender calls it.
    pub event: String,
    /// What a run would be about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The run's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The rule that fits, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_number: Option<u64>,
    /// Its workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Whose run it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The run that it would join instead of beginning one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<String>,
    /// Runs that would be woken.
    pub wakes: Vec<String>,
    /// Why no run would see to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /webhooks/{source}`: it is on the disk, and will be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookTaken {
    /// Under which it is listed.
    pub id: String,
    /// Whether it had come before.
    pub duplicate: bool,
}

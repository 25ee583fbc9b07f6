//! What other programs tell us over HTTP: senders, what they said, and what came of it.

use serde::{Deserialize, Serialize};

/// How a sender signs, and how what it says is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum SenderKind {
    /// An error tracker with Sentry's messages.
    Sentry,
    /// A forge with GitHub's messages; Gitea and Forgejo send them as well.
    Github,
    /// Anything else: signed as Standard Webhooks say, or with a bearer secret.
    Generic,
}

impl SenderKind {
    /// The word in configuration and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How far something that came in is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownWebhookState, parse_err_fn = unknown)]
pub enum WebhookState {
    /// It is stored; what follows from it is not decided yet.
    Received,
    /// It began a run, joined one or woke some.
    Decided,
    /// Nothing follows from it; the reason says why.
    Ignored,
    /// It could not be read, or deciding about it failed again and again. It can be decided again.
    Failed,
}

impl WebhookState {
    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A word that is no such state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of a webhook: use received, decided, ignored or failed")]
pub struct UnknownWebhookState(pub String);

fn unknown(text: &str) -> UnknownWebhookState {
    UnknownWebhookState(text.to_owned())
}

/// Something that came in, without its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// For its whole life.
    pub id: String,
    /// The sender's name in the configuration.
    pub source: String,
    /// What its sender calls it: `event_alert.triggered`, `pull_request.closed`.
    pub event: String,
    /// UTC ms.
    pub received_at: u64,
    /// How far it is.
    pub state: WebhookState,
    /// What came of it, in a sentence.
    pub reason: Option<String>,
    /// UTC ms.
    pub decided_at: Option<u64>,
    /// What it is about, as the key of runs.
    pub matter: Option<String>,
    /// The run that sees to it.
    pub run: Option<String>,
    /// It waits for its turn, and is not decided before that (UTC ms).
    pub waits_until: Option<u64>,
    /// How often the same came again.
    pub duplicates: u64,
    /// How large it is.
    pub size_bytes: u64,
}

/// How bad something is, as error trackers say it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Level {
    /// For whoever wrote it.
    Debug,
    /// Nothing is wrong.
    Info,
    /// Something may go wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// Everything went wrong.
    Fatal,
}

/// What somebody who asks for a run in an issue must be allowed to do in its repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum AuthorRight {
    /// Push to it.
    #[default]
    Write,
    /// Change its settings.
    Admin,
}

/// What a rule takes of new issues that nobody told about and that were found at the tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Untold {
    /// Those that came while we could not be reached.
    #[default]
    Missed,
    /// Every one, also those that the tracker's own alert rules leave out.
    All,
    /// None.
    Off,
}

impl AuthorRight {
    /// Under which name a run about an issue is told what its rule wants.
    pub const VARIABLE: &str = "author_right";

    /// The word in configuration and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

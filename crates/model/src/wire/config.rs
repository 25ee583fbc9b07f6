//! The configuration of a gateway that runs, as clients see it.

use serde::{Deserialize, Serialize};

/// `GET /v1/config`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunningConfig {
    /// The file that it reads.
    pub file: String,
    /// Whether that changed since the gateway began.
    pub changed: bool,
    /// What is wrong with the file by now; what was used before is used still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mistake: Option<String>,
    /// What digests of secrets are made with.
    pub salt: String,
    /// Every setting, in the order of the files.
    pub settings: Vec<RunningSetting>,
}

/// One setting as it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunningSetting {
    /// Dotted.
    pub key: String,
    /// As text; dots for a secret.
    #[serde(rename = "text", alias = "value")]
    pub value: String,
    /// Where it was set.
    #[serde(rename = "set_in", alias = "origin")]
    pub origin: String,
    /// When a change holds.
    pub applies: Applies,
    /// What the file says by now, where the gateway must be started again to obey it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// Of a secret, to compare it with another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// When a change of a setting holds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Applies {
    /// With the next request; the environment of whoever asks wins.
    Request,
    /// As soon as the file is changed.
    Live,
    /// When the gateway is started again.
    Restart,
}

/// What waits for a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pending {
    /// As text; dots for a secret.
    #[serde(rename = "text", alias = "value")]
    pub value: String,
    /// Where it is set.
    #[serde(rename = "set_in", alias = "origin")]
    pub origin: String,
}

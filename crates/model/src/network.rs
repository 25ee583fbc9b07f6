//! What a frame may reach.

use serde::{Deserialize, Serialize};

/// How much of the network a frame sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownNetworkMode, parse_err_fn = unknown)]
pub enum NetworkMode {
    /// No network in the container; the broker forwards model calls only.
    Sealed,
    /// No network in the container; the broker also connects to listed hosts.
    #[default]
    Allow,
    /// An ordinary container network.
    Open,
}

impl NetworkMode {
    /// The word in configuration, database and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A word that names no network mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network mode: use sealed, allow or open")]
pub struct UnknownNetworkMode(pub String);

fn unknown(text: &str) -> UnknownNetworkMode {
    UnknownNetworkMode(text.to_owned())
}

/// A host that a frame may reach for a while, or once within that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LentHost {
    /// The host or group, as given.
    pub host: String,
    /// Whether one connection uses it up.
    pub once: bool,
    /// Until when (UTC ms).
    pub until: u64,
}

/// What a frame's connections to one host and port came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostTraffic {
    /// The host, as it was asked for; `*` for all that are too many to be told apart.
    pub host: String,
    /// The port; 0 for those.
    pub port: u16,
    /// Connections that were let through.
    pub allowed_count: u64,
    /// Requests of plain HTTP among them; those in TLS nobody sees.
    #[serde(default)]
    pub request_count: u64,
    /// Connections that were refused, or cut.
    pub refused_count: u64,
    /// Bytes that went to it.
    pub sent_bytes: u64,
    /// Bytes that came from it.
    pub received_bytes: u64,
    /// Bytes that went to it today (UTC), which is what `frames.upload_limit` limits.
    pub sent_today_bytes: u64,
    /// Connections that were made to it today (UTC), which is what `frames.connection_limit` limits.
    #[serde(default)]
    pub connected_today_count: u64,
    /// When there was something last (UTC ms).
    pub last_at: u64,
    /// Why it was refused the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

//! The gateway at a glance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /health`: open to everybody who can connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`, or what is wrong.
    pub status: String,
    /// Of mimir.
    pub version: String,
    /// Whether frames have been reconciled since the start.
    pub ready: bool,
}

/// `GET /v1/status`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// Of mimir.
    pub version: String,
    /// Process id of the gateway.
    pub pid: u32,
    /// The home folder.
    pub home: String,
    /// This home's id, which its containers carry as a label.
    pub instance: String,
    /// Since when it runs (UTC ms).
    pub started_at: u64,
    /// Unix socket.
    pub socket: String,
    /// `127.0.0.1:8080`, or why there is none.
    pub http: String,
    /// Of the certificate that it shows, when it speaks TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Engine, version, socket; or why it cannot be reached.
    pub engine: String,
    /// Whether the engine answers.
    pub engine_ok: bool,
    /// The database file.
    pub database: String,
    /// What is wrong with it, where a crash left it damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_damage: Option<String>,
    /// Its schema.
    pub schema: i64,
    /// Where its key came from.
    pub key_source: String,
    /// How many frames are in which state.
    #[serde(alias = "frames")]
    pub frames_by_state: BTreeMap<String, u32>,
    /// How many more are kept running for runs to come (`frames.warm`); those that still start are among them.
    #[serde(default)]
    pub frames_warm: u32,
    /// What their agents do: how many are `busy`, `waiting`, `idle`, …
    #[serde(default, alias = "agents")]
    pub agents_by_status: BTreeMap<String, u32>,
    /// How many messages wait or run.
    pub messages_open: u32,
    /// The model that is used unless another is named.
    pub default_model: String,
    /// Spent today, millionths of a US dollar.
    pub cost_today_microusd: u64,
    /// Whether all spending is paused (`mimir pause --all`).
    #[serde(default)]
    pub spending_paused: bool,
    /// Resident memory of the gateway in bytes.
    pub memory_bytes: u64,
}

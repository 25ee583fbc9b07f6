//! The audit log: who changed what, and whether the log itself was changed.

use serde::{Deserialize, Serialize};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Increasing.
    pub id: u64,
    /// UTC ms.
    pub at: u64,
    /// Who: `owner:1000`, `token:tok_…`, `service:upkeep`.
    pub principal: String,
    /// What, such as `frame.create`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it.
    pub detail: serde_json::Value,
    /// The entry's HMAC; absent for entries from before the log was chained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// What a check of the audit log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditVerdict {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many entries are chained.
    pub entries: u64,
    /// How many there are from before the log was chained; nobody can tell about those.
    pub before: u64,
    /// Whether each entry was computed anew. Without the first key only the log's end is compared.
    pub recomputed: bool,
    /// With how many ends that were noted outside the database it was compared.
    pub heads: u64,
    /// What is wrong, in words.
    pub findings: Vec<String>,
    /// Copies that were put back: what they lack is known to be missing, and nothing is wrong with it.
    #[serde(default)]
    pub restored: Vec<AuditRestored>,
}

/// A copy of the database that was put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRestored {
    /// When (UTC ms).
    pub at: u64,
    /// How many entries the log had; absent when it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub had_entries: Option<u64>,
    /// How many the copy has.
    pub copied_entries: u64,
}

/// How the log is to be checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// The first key, 64 hexadecimal digits; the one in the gateway's home when absent.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

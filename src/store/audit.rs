//! Who changed what. Written by [`Tx::audit`](super::Tx::audit) in the transaction of the change.

use super::values::{json, to_sql_int, unsigned};
use super::{Queryable, StoreError};

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Increasing.
    pub id: u64,
    /// UTC ms.
    pub at: u64,
    /// Who.
    pub principal: String,
    /// What, such as `frame.create`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it.
    pub detail: serde_json::Value,
}

/// The newest entries, newest first; those before an id to page back.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable, before: Option<u64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
    ask.rows(
        "SELECT * FROM audit WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
        (before.map(to_sql_int), limit),
        |row| {
            Ok(AuditEntry {
                id: unsigned(row, "id")?,
                at: unsigned(row, "at")?,
                principal: row.get("principal")?,
                action: row.get("action")?,
                subject: row.get("subject")?,
                detail: json(row, "detail", "an audit entry's detail")?,
            })
        },
    )
}

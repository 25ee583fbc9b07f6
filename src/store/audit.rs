//! Who changed what. Written by [`Tx::audit`](super::Tx::audit) in the transaction of the change.

use super::values::{json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, audit_chain};
pub use crate::model::audit::AuditEntry;
use crate::model::principal::Principal;

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
                mac: row.get("mac")?,
            })
        },
    )
}

impl Tx<'_> {
    /// Stores who did what, with the change itself, and chains it to what was stored before.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn audit(
        &mut self,
        principal: &Principal,
        action: &str,
        subject: &str,
        detail: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let id = self.maybe_row(
            "INSERT INTO audit (at, principal, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
            (self.now(), principal.to_string(), action, subject, detail.to_string()),
            |row| unsigned(row, "id"),
        )?;
        // An insert that returns nothing has failed, and said so.
        id.map_or(Ok(()), |id| audit_chain::extend(self, id))
    }
}

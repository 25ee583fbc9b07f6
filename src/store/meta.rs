//! Facts about this database itself.

use super::{Queryable, StoreError, Tx};
use crate::model::ids::InstanceId;

const INSTANCE: &str = "instance";

/// This home's id, which its containers carry as a label. `fresh` becomes it the first time, and never again.
///
/// # Errors
/// Whatever the database says.
pub fn ensure_instance(tx: &mut Tx<'_>, fresh: &InstanceId) -> Result<InstanceId, StoreError> {
    tx.change("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", (INSTANCE, fresh))?;
    tx.maybe_row("SELECT value FROM meta WHERE key = ?1", (INSTANCE,), |row| Ok(row.get(0)?))?
        .ok_or_else(|| StoreError::NotFound { what: "meta", key: INSTANCE.to_owned() })
}

/// A remembered value.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, key: &str) -> Result<Option<String>, StoreError> {
    ask.maybe_row("SELECT value FROM meta WHERE key = ?1", (key,), |row| Ok(row.get(0)?))
}

/// Remembers a value.
///
/// # Errors
/// Whatever the database says.
pub fn set(tx: &mut Tx<'_>, key: &str, value: &str) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )?;
    Ok(())
}

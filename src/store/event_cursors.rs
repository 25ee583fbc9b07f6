//! How far each durable reader of events has come.

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};

/// The last event that the reader has dealt with; `None` when it never read.
///
/// # Errors
/// Whatever the database says.
pub fn position(ask: &impl Queryable, name: &str) -> Result<Option<u64>, StoreError> {
    ask.maybe_row("SELECT position FROM event_cursors WHERE name = ?1", (name,), |row| {
        unsigned(row, "position")
    })
}

/// Notes how far it has come, in the transaction of what it did with the events.
///
/// # Errors
/// Whatever the database says.
pub fn set(tx: &mut Tx<'_>, name: &str, position: u64) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO event_cursors (name, position, updated_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at",
        (name, to_sql_int(position), tx.now()),
    )?;
    Ok(())
}

//! What is to be told to other programs over webhooks; written with the change it tells of.

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};

/// One call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same at each try, so that receivers know a repeat.
    pub id: String,
    /// Whom to call.
    pub url: String,
    /// The body, word for word.
    pub body: String,
    /// How often it was tried.
    pub attempts: u64,
    /// UTC ms.
    pub created_at: u64,
}

/// Notes a call that is to be made.
///
/// # Errors
/// Whatever the database says.
pub fn insert(tx: &mut Tx<'_>, id: &str, url: &str, body: &str) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO webhook_deliveries (id, url, body, next_at, created_at) VALUES (?1, ?2, ?3, ?4, ?4)",
        (id, url, body, tx.now()),
    )?;
    Ok(())
}

/// Calls that are due, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn due(ask: &impl Queryable, now_ms: u64, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    ask.rows(
        "SELECT * FROM webhook_deliveries WHERE next_at <= ?1 ORDER BY rowid LIMIT ?2",
        (to_sql_int(now_ms), limit),
        |row| {
            Ok(Delivery {
                id: row.get("id")?,
                url: row.get("url")?,
                body: row.get("body")?,
                attempts: unsigned(row, "attempts")?,
                created_at: unsigned(row, "created_at")?,
            })
        },
    )
}

/// When the next call is due (UTC ms); `None` when there is none.
///
/// # Errors
/// Whatever the database says.
pub fn next_at(ask: &impl Queryable) -> Result<Option<u64>, StoreError> {
    ask.maybe_row("SELECT next_at FROM webhook_deliveries ORDER BY next_at LIMIT 1", (), |row| {
        unsigned(row, "next_at")
    })
}

/// It failed; try again then.
///
/// # Errors
/// Whatever the database says.
pub fn postpone(tx: &mut Tx<'_>, id: &str, next_at: u64, why: &str) -> Result<(), StoreError> {
    tx.change(
        "UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = ?2, last_error = ?3 WHERE id = ?1",
        (id, to_sql_int(next_at), why),
    )?;
    Ok(())
}

/// It was made, or will never be.
///
/// # Errors
/// Whatever the database says.
pub fn remove(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.change("DELETE FROM webhook_deliveries WHERE id = ?1", (id,))?;
    Ok(())
}

//! What is to happen at a time. Set in the transaction of the change that makes it necessary.

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};

/// One thing that is to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Which row.
    id: i64,
    /// Whose it is.
    pub kind: String,
    /// About what, in the words of its kind.
    pub subject: String,
    /// UTC ms.
    pub due_at: u64,
    /// How often in a row it failed.
    pub attempts: u32,
}

/// Sets the one timer of that kind and subject, whether there was one or not.
///
/// # Errors
/// Whatever the database says.
pub fn set(tx: &mut Tx<'_>, kind: &str, subject: &str, due_at: u64) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO timers (kind, ref, due_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind, ref) DO UPDATE SET due_at = excluded.due_at, attempts = 0, last_error = NULL",
        (kind, subject, to_sql_int(due_at)),
    )?;
    tx.note_timers();
    Ok(())
}

/// Takes it away, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn cancel(tx: &mut Tx<'_>, kind: &str, subject: &str) -> Result<(), StoreError> {
    tx.change("DELETE FROM timers WHERE kind = ?1 AND ref = ?2", (kind, subject))?;
    Ok(())
}

/// The timer of that kind and subject.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, kind: &str, subject: &str) -> Result<Option<Timer>, StoreError> {
    ask.maybe_row("SELECT * FROM timers WHERE kind = ?1 AND ref = ?2", (kind, subject), timer)
}

/// Timers by the time at which they are due, the earliest first: all up to `now_ms` and the next one after it.
///
/// # Errors
/// Whatever the database says.
pub fn due_and_next(ask: &impl Queryable, now_ms: u64) -> Result<(Vec<Timer>, Option<u64>), StoreError> {
    let now = to_sql_int(now_ms);
    let due = ask.rows("SELECT * FROM timers WHERE due_at <= ?1 ORDER BY due_at, id", (now,), timer)?;
    let next = ask.maybe_row(
        "SELECT due_at FROM timers WHERE due_at > ?1 ORDER BY due_at LIMIT 1",
        (now,),
        |row| unsigned(row, "due_at"),
    )?;
    Ok((due, next))
}

/// It fired and is over, or is due again then. One that was set anew meanwhile stays as it was set.
///
/// # Errors
/// Whatever the database says.
pub fn settle(tx: &mut Tx<'_>, fired: &Timer, again_at: Option<u64>) -> Result<(), StoreError> {
    let (id, due_at) = (fired.id, to_sql_int(fired.due_at));
    match again_at {
        None => tx.change("DELETE FROM timers WHERE id = ?1 AND due_at = ?2", (id, due_at))?,
        Some(again_at) => tx.change(
            "UPDATE timers SET due_at = ?3, attempts = 0, last_error = NULL WHERE id = ?1 AND due_at = ?2",
            (id, due_at, to_sql_int(again_at)),
        )?,
    };
    Ok(())
}

/// It failed and is due again then. One that was set anew meanwhile stays as it was set.
///
/// # Errors
/// Whatever the database says.
pub fn postpone(tx: &mut Tx<'_>, fired: &Timer, due_at: u64, why: &str) -> Result<(), StoreError> {
    tx.change(
        "UPDATE timers SET due_at = ?3, attempts = attempts + 1, last_error = ?4 WHERE id = ?1 AND due_at = ?2",
        (fired.id, to_sql_int(fired.due_at), to_sql_int(due_at), why),
    )?;
    Ok(())
}

fn timer(row: &rusqlite::Row<'_>) -> Result<Timer, StoreError> {
    Ok(Timer {
        id: row.get("id")?,
        kind: row.get("kind")?,
        subject: row.get("ref")?,
        due_at: unsigned(row, "due_at")?,
        attempts: row.get("attempts")?,
    })
}

//! Columns: what a row holds, as our types. The types themselves say how they are kept, in `model::sqlite`.

use rusqlite::Row;

use super::StoreError;
use crate::model::agent::Role;

/// The word for who wrote a message.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// SQLite's integers are signed; ours that go there never reach the sign.
#[must_use]
pub fn to_sql_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A column that is never negative: a time, an amount, a count.
pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// The same for a column that may be empty.
pub(super) fn maybe_unsigned(row: &Row<'_>, column: &str) -> Result<Option<u64>, StoreError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
}

/// A column that holds JSON of ours.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
    expected: &'static str,
) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::Unexpected { expected, value: text })
}

/// JSON of ours for a column.
pub(super) fn to_json(value: &impl serde::Serialize, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unexpected { expected: what, value: error.to_string() })
}

//! Tokens, by the hash of their secret. The secret itself is nowhere.

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::ids::TokenId;
use crate::model::token::{Token, TokenState};

/// Keeps a new token under the hash of its secret (64 hex digits).
///
/// # Errors
/// [`StoreError::Taken`] when one of that name still opens something.
pub fn insert(tx: &mut Tx<'_>, token: &Token, hash: &str) -> Result<(), StoreError> {
    let now = tx.now_ms();
    let is_taken = |other: &Token| other.name == token.name && other.state(now) == TokenState::Active;
    if list(tx)?.iter().any(is_taken) {
        return Err(StoreError::Taken { what: "token", value: token.name.to_string() });
    }
    tx.change(
        "INSERT INTO tokens (id, name, hash, scopes, frames, created_at, created_by, expires_at, began_with)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            &token.id,
            &token.name,
            hash,
            to_json(&token.scopes, "scopes")?,
            token.frames.as_ref().map(|frames| to_json(frames, "frames of a token")).transpose()?,
            to_sql_int(token.created_at),
            &token.created_by,
            token.expires_at.map(to_sql_int),
            token.began_with,
        ),
    )?;
    Ok(())
}

fn token(row: &Row<'_>) -> Result<Token, StoreError> {
    let has_frames = row.get::<_, Option<String>>("frames")?.is_some();
    Ok(Token {
        id: row.get("id")?,
        name: row.get("name")?,
        scopes: json(row, "scopes", "a token's scopes")?,
        frames: has_frames.then(|| json(row, "frames", "a token's frames")).transpose()?,
        created_at: unsigned(row, "created_at")?,
        created_by: row.get("created_by")?,
        expires_at: maybe_unsigned(row, "expires_at")?,
        began_with: row.get("began_with")?,
        last_used_at: maybe_unsigned(row, "last_used_at")?,
        last_used_from: row.get("last_used_from")?,
        revoked_at: maybe_unsigned(row, "revoked_at")?,
    })
}

/// All tokens there ever were, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<Token>, StoreError> {
    ask.rows("SELECT * FROM tokens ORDER BY created_at, id", (), token)
}

/// The same, each with its hash.
///
/// # Errors
/// Whatever the database says.
pub fn list_with_hashes(ask: &impl Queryable) -> Result<Vec<(String, Token)>, StoreError> {
    ask.rows("SELECT * FROM tokens", (), |row| Ok((row.get("hash")?, token(row)?)))
}

/// Whether that token opens anything now.
///
/// # Errors
/// Whatever the database says.
pub fn is_active(tx: &Tx<'_>, id: &TokenId) -> Result<bool, StoreError> {
    let found = tx.maybe_row("SELECT * FROM tokens WHERE id = ?1", (id,), token)?;
    Ok(found.is_some_and(|token| token.state(tx.now_ms()) == TokenState::Active))
}

/// Takes a token back.
///
/// # Errors
/// [`StoreError::Conflict`] when it was taken back already.
pub fn revoke(tx: &mut Tx<'_>, id: &TokenId) -> Result<(), StoreError> {
    let now = tx.now();
    tx.change_exactly_one(
        "token",
        "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        (id, now),
    )
}

/// Takes back every session of a browser that opens something, and says which those were.
///
/// # Errors
/// Whatever the database says.
pub fn revoke_sessions(tx: &mut Tx<'_>) -> Result<Vec<TokenId>, StoreError> {
    let now = tx.now();
    tx.rows(
        "UPDATE tokens SET revoked_at = ?1
          WHERE began_with IS NOT NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?1)
         RETURNING id",
        (now,),
        |row| Ok(row.get("id")?),
    )
}

/// Remembers when and from where it was last used.
///
/// # Errors
/// Whatever the database says.
pub fn used(tx: &mut Tx<'_>, id: &TokenId, at: u64, from: &str) -> Result<(), StoreError> {
    tx.change(
        "UPDATE tokens SET last_used_at = ?2, last_used_from = ?3 WHERE id = ?1",
        (id, to_sql_int(at), from),
    )?;
    Ok(())
}

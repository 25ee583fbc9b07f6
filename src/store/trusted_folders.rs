//! Folders whose configuration of the agent somebody said yes to.

use rusqlite::Row;

use super::values::{to_json, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::principal::Principal;
use crate::model::trust::TrustedFiles;

/// What somebody said yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedFolder {
    /// Absolute, links resolved.
    pub path: String,
    /// Of all of it.
    pub hash: String,
    /// Each file.
    pub files: TrustedFiles,
    /// UTC ms.
    pub trusted_at: u64,
    /// Who.
    pub trusted_by: String,
}

/// Notes a yes; an older one of that folder is replaced.
///
/// # Errors
/// Whatever the database says.
pub fn set(
    tx: &mut Tx<'_>,
    principal: &Principal,
    path: &str,
    hash: &str,
    files: &TrustedFiles,
) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO trusted_folders (path, hash, files, trusted_at, trusted_by) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (path) DO UPDATE
            SET hash = excluded.hash, files = excluded.files,
                trusted_at = excluded.trusted_at, trusted_by = excluded.trusted_by",
        (path, hash, to_json(files, "the files of a trusted folder")?, tx.now(), principal.to_string()),
    )?;
    tx.audit(principal, "project.trust", path, &serde_json::json!({ "hash": hash, "files": files.len() }))
}

/// Takes a yes back; whether there was one.
///
/// # Errors
/// Whatever the database says.
pub fn remove(tx: &mut Tx<'_>, principal: &Principal, path: &str) -> Result<bool, StoreError> {
    let removed = tx.change("DELETE FROM trusted_folders WHERE path = ?1", (path,))? > 0;
    if removed {
        tx.audit(principal, "project.distrust", path, &serde_json::json!({}))?;
    }
    Ok(removed)
}

/// Of that folder.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, path: &str) -> Result<Option<TrustedFolder>, StoreError> {
    ask.maybe_row("SELECT * FROM trusted_folders WHERE path = ?1", (path,), folder)
}

/// All of them, by path.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<TrustedFolder>, StoreError> {
    ask.rows("SELECT * FROM trusted_folders ORDER BY path", (), folder)
}

fn folder(row: &Row<'_>) -> Result<TrustedFolder, StoreError> {
    let files: String = row.get("files")?;
    Ok(TrustedFolder {
        path: row.get("path")?,
        hash: row.get("hash")?,
        // What cannot be read is trusted by nobody.
        files: serde_json::from_str(&files).unwrap_or_default(),
        trusted_at: unsigned(row, "trusted_at")?,
        trusted_by: row.get("trusted_by")?,
    })
}

//! Secrets that frames may use, and which frame was given which.

use rusqlite::Row;
use serde_json::json;

use super::values::{json as from_json, maybe_unsigned, to_json, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::names::{FrameName, SecretName};
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::model::secrets::{SecretGrant, SecretSource};

/// A secret, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// What people call it.
    pub name: SecretName,
    /// Itself, when it is kept here.
    pub value: Option<Secret>,
    /// Where it comes from.
    pub source: SecretSource,
    /// UTC ms.
    pub set_at: u64,
    /// Who.
    pub set_by: String,
    /// When a frame used it last (UTC ms).
    pub used_at: Option<u64>,
}

/// Keeps a secret, or where it comes from; the same name again takes the place of the old one.
///
/// # Errors
/// Whatever the database says.
pub fn set(
    tx: &mut Tx<'_>,
    principal: &Principal,
    name: &SecretName,
    value: Option<&Secret>,
    source: &SecretSource,
) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO secrets (name, value, source, set_at, set_by) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (name) DO UPDATE
            SET value = excluded.value, source = excluded.source, set_at = excluded.set_at, set_by = excluded.set_by",
        (
            name,
            value.map(Secret::reveal),
            to_json(source, "a secret's source")?,
            tx.now(),
            principal.to_string(),
        ),
    )?;
    tx.audit(principal, "secret.set", name.as_str(), &json!({ "source": source.to_string() }))
}

/// Forgets a secret, with all that frames were given of it. Says whether there was one.
///
/// # Errors
/// Whatever the database says.
pub fn remove(tx: &mut Tx<'_>, principal: &Principal, name: &SecretName) -> Result<bool, StoreError> {
    let removed = tx.change("DELETE FROM secrets WHERE name = ?1", (name,))? > 0;
    if removed {
        tx.audit(principal, "secret.remove", name.as_str(), &json!({}))?;
    }
    Ok(removed)
}

/// All of them, by name.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<StoredSecret>, StoreError> {
    ask.rows("SELECT * FROM secrets ORDER BY name", (), secret)
}

/// The one of that name.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, name: &SecretName) -> Result<Option<StoredSecret>, StoreError> {
    ask.maybe_row("SELECT * FROM secrets WHERE name = ?1", (name,), secret)
}

fn secret(row: &Row<'_>) -> Result<StoredSecret, StoreError> {
    Ok(StoredSecret {
        name: row.get("name")?,
        value: row.get::<_, Option<String>>("value")?.map(Secret::new),
        source: from_json(row, "source", "a secret's source")?,
        set_at: unsigned(row, "set_at")?,
        set_by: row.get("set_by")?,
        used_at: maybe_unsigned(row, "used_at")?,
    })
}

/// Remembers that a frame used it.
///
/// # Errors
/// Whatever the database says.
pub fn used(tx: &mut Tx<'_>, name: &SecretName) -> Result<(), StoreError> {
    let now = tx.now();
    tx.change("UPDATE secrets SET used_at = ?2 WHERE name = ?1", (name, now))?;
    Ok(())
}

/// Gives a frame a secret; what it was given of the same one before is taken back.
///
/// # Errors
/// [`StoreError::NotFound`] without such a secret; [`StoreError::Taken`] when another one of the frame's has that variable.
pub fn grant(
    tx: &mut Tx<'_>,
    principal: &Principal,
    frame: &Frame,
    grant: &SecretGrant,
) -> Result<(), StoreError> {
    if find(tx, &grant.secret)?.is_none() {
        return Err(StoreError::NotFound { what: "secret", key: grant.secret.to_string() });
    }
    let others = of_frame(tx, &frame.id)?;
    if others.iter().any(|other| other.secret != grant.secret && other.variable == grant.variable) {
        return Err(StoreError::Taken { what: "variable", value: grant.variable.clone() });
    }
    tx.change(
        "INSERT INTO secret_grants (frame_id, secret, variable, form, host, placeholder, headers, granted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (frame_id, secret) DO UPDATE
            SET variable = excluded.variable, form = excluded.form, host = excluded.host,
                placeholder = excluded.placeholder, headers = excluded.headers, granted_at = excluded.granted_at",
        (
            &frame.id,
            &grant.secret,
            &grant.variable,
            grant.form,
            &grant.host,
            &grant.placeholder,
            to_json(&grant.headers, "a grant's headers")?,
            tx.now(),
        ),
    )?;
    let host = grant.host.as_ref().map(ToString::to_string);
    let detail = json!({
        "frame": frame.id, "form": grant.form, "variable": grant.variable, "host": host, "headers": grant.headers,
    });
    tx.audit(principal, "secret.grant", &format!("{} to {}", grant.secret, frame.name), &detail)
}

/// Takes a secret back from a frame. Says whether it had it.
///
/// # Errors
/// Whatever the database says.
pub fn revoke(
    tx: &mut Tx<'_>,
    principal: &Principal,
    frame: &Frame,
    name: &SecretName,
) -> Result<bool, StoreError> {
    let had =
        tx.change("DELETE FROM secret_grants WHERE frame_id = ?1 AND secret = ?2", (&frame.id, name))? > 0;
    if had {
        let detail = json!({ "frame": frame.id });
        tx.audit(principal, "secret.revoke", &format!("{name} from {}", frame.name), &detail)?;
    }
    Ok(had)
}

/// What a frame was given.
///
/// # Errors
/// Whatever the database says.
pub fn of_frame(ask: &impl Queryable, frame: &FrameId) -> Result<Vec<SecretGrant>, StoreError> {
    ask.rows("SELECT * FROM secret_grants WHERE frame_id = ?1 ORDER BY secret", (frame,), granted)
}

/// What all frames were given.
///
/// # Errors
/// Whatever the database says.
pub fn grants(ask: &impl Queryable) -> Result<Vec<(FrameName, SecretGrant)>, StoreError> {
    ask.rows(
        "SELECT secret_grants.*, frames.name AS frame_name
           FROM secret_grants JOIN frames ON frames.id = secret_grants.frame_id ORDER BY secret, frame_name",
        (),
        |row| Ok((row.get("frame_name")?, granted(row)?)),
    )
}

fn granted(row: &Row<'_>) -> Result<SecretGrant, StoreError> {
    Ok(SecretGrant {
        secret: row.get("secret")?,
        form: row.get("form")?,
        variable: row.get("variable")?,
        host: row.get("host")?,
        placeholder: row.get("placeholder")?,
        headers: from_json(row, "headers", "a grant's headers")?,
        granted_at: unsigned(row, "granted_at")?,
    })
}

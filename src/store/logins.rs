//! How the owner comes in from a browser: the hash of a password, a second factor, recovery codes.

use rusqlite::Row;

use super::values::{json, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::scope::Scopes;

/// What is kept of a password: Argon2id with these parameters.
#[derive(Clone)]
pub struct PasswordHash {
    /// Random, another one for each password.
    pub salt: Vec<u8>,
    /// What came of it.
    pub hash: Vec<u8>,
    /// How much memory it took.
    pub memory_kib: u32,
    /// How often it went through that.
    pub passes: u32,
    /// In how many lanes.
    pub lanes: u32,
}

/// What is asked for besides the password.
#[derive(Clone)]
pub struct SecondFactor {
    /// What the app on the phone has, too.
    pub secret: Vec<u8>,
    /// Codes of this step of time and of those before it were used.
    pub used_step: u64,
}

/// The owner's login.
#[derive(Clone)]
pub struct Login {
    /// The password.
    pub password: PasswordHash,
    /// What a session may do that begins with it.
    pub scopes: Scopes,
    /// Since when it is so (UTC ms).
    pub set_at: u64,
    /// Absent while the password is enough.
    pub second_factor: Option<SecondFactor>,
}

fn login(row: &Row<'_>) -> Result<Login, StoreError> {
    let secret: Option<Vec<u8>> = row.get("totp_secret")?;
    let used_step = unsigned(row, "totp_step")?;
    Ok(Login {
        password: PasswordHash {
            salt: row.get("salt")?,
            hash: row.get("hash")?,
            memory_kib: row.get("memory_kib")?,
            passes: row.get("passes")?,
            lanes: row.get("lanes")?,
        },
        scopes: json(row, "scopes", "scopes of a login")?,
        set_at: unsigned(row, "set_at")?,
        second_factor: secret.map(|secret| SecondFactor { secret, used_step }),
    })
}

/// The login, if there is a password.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable) -> Result<Option<Login>, StoreError> {
    ask.maybe_row("SELECT * FROM login", (), login)
}

/// Keeps a password. A second factor stays as it is.
///
/// # Errors
/// Whatever the database says.
pub fn set(tx: &mut Tx<'_>, password: &PasswordHash, scopes: Scopes) -> Result<(), StoreError> {
    let now = tx.now();
    tx.change(
        "INSERT INTO login (id, salt, hash, memory_kib, passes, lanes, scopes, set_at)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE
            SET salt = excluded.salt, hash = excluded.hash, memory_kib = excluded.memory_kib,
                passes = excluded.passes, lanes = excluded.lanes, scopes = excluded.scopes,
                set_at = excluded.set_at",
        (
            &password.salt,
            &password.hash,
            password.memory_kib,
            password.passes,
            password.lanes,
            to_json(&scopes, "scopes of a login")?,
            now,
        ),
    )?;
    Ok(())
}

/// Forgets the password, and with it the second factor and the recovery codes.
///
/// # Errors
/// [`StoreError::Conflict`] when there is none.
pub fn remove(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.change("DELETE FROM login_recovery_codes", ())?;
    tx.change_exactly_one("password", "DELETE FROM login WHERE id = 1", ())
}

/// Asks for a second factor from now on. `step` is the one whose code showed that the app has the secret.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no password.
pub fn set_second_factor(
    tx: &mut Tx<'_>,
    secret: &[u8],
    step: u64,
    recovery_hashes: &[String],
) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "password",
        "UPDATE login SET totp_secret = ?1, totp_step = ?2 WHERE id = 1",
        (secret, to_sql_int(step)),
    )?;
    tx.change("DELETE FROM login_recovery_codes", ())?;
    for hash in recovery_hashes {
        tx.change("INSERT INTO login_recovery_codes (hash) VALUES (?1)", (hash,))?;
    }
    Ok(())
}

/// Asks for the password alone from now on.
///
/// # Errors
/// [`StoreError::Conflict`] when nothing else was asked for.
pub fn remove_second_factor(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.change("DELETE FROM login_recovery_codes", ())?;
    tx.change_exactly_one(
        "second factor",
        "UPDATE login SET totp_secret = NULL, totp_step = 0 WHERE id = 1 AND totp_secret IS NOT NULL",
        (),
    )
}

/// Uses a login that was looked at outside of this transaction and asks for no second factor.
///
/// # Errors
/// [`StoreError::Conflict`] when it is another one by now.
pub fn use_password(tx: &Tx<'_>, set_at: u64) -> Result<(), StoreError> {
    let now = find(tx)?.filter(|login| login.set_at == set_at && login.second_factor.is_none());
    now.map(drop).ok_or_else(|| StoreError::Conflict { what: "login".to_owned() })
}

/// Uses the code of a step of time, of the app with that secret: it and those before it open nothing any more.
///
/// # Errors
/// [`StoreError::Conflict`] when it was used, or the login or the app is another one by now.
pub fn use_step(tx: &mut Tx<'_>, set_at: u64, secret: &[u8], step: u64) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "login",
        "UPDATE login SET totp_step = ?2
          WHERE id = 1 AND set_at = ?1 AND totp_secret = ?3 AND totp_step < ?2",
        (to_sql_int(set_at), to_sql_int(step), secret),
    )
}

/// Uses a recovery code, which opens nothing afterwards.
///
/// # Errors
/// [`StoreError::Conflict`] when it was used or never was, or the login is another one by now.
pub fn use_recovery_code(tx: &mut Tx<'_>, set_at: u64, hash: &str) -> Result<(), StoreError> {
    let now = tx.now();
    tx.change_exactly_one(
        "recovery code",
        "UPDATE login_recovery_codes SET used_at = ?3
          WHERE hash = ?2 AND used_at IS NULL
            AND EXISTS (SELECT 1 FROM login WHERE set_at = ?1 AND totp_secret IS NOT NULL)",
        (to_sql_int(set_at), hash, now),
    )
}

/// How many recovery codes were not used.
///
/// # Errors
/// Whatever the database says.
pub fn recovery_codes_left(ask: &impl Queryable) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) AS unused FROM login_recovery_codes WHERE used_at IS NULL";
    Ok(ask.maybe_row(sql, (), |row| unsigned(row, "unused"))?.unwrap_or(0))
}

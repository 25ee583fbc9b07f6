//! The database's key: where it comes from, and what becomes of a passphrase.
//!
//! In this order: what is given (`MIMIR_DB_KEY` or the configuration), a credential of the
//! systemd unit (`mimir-db-key`, which can be sealed to the machine's TPM), a prompt where a
//! passphrase opens the database, the keyring of the desktop, the key file. A new
//! database without any of them gets a random key, kept in the keyring if there is one,
//! else in the key file.
//!
//! 64 hex digits are the key itself. Anything else is a passphrase: PBKDF2 with
//! HMAC-SHA-512 and a random salt turns it into 32 bytes, once per start rather than once
//! per connection as SQLCipher's own derivation would. The salt is no secret, but
//! without it the passphrase opens nothing, so it lies beside the database (`db.salt`)
//! and beside every backup.

use std::fs;
use std::io::{ErrorKind, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::clock::entropy;
use crate::model::secret::Secret;

/// SQLCipher's own number for the same function; a good tenth of a second.
const ROUNDS: NonZeroU32 = NonZeroU32::new(256_000).expect("not zero");
const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// The name of the credential in a systemd unit.
const CREDENTIAL: &str = "mimir-db-key";

/// A keyring of the desktop, or one in a test.
pub trait Keyring: Send + Sync {
    /// The key of this home, if it is there.
    ///
    /// # Errors
    /// Why the keyring cannot be asked, as a sentence.
    fn get(&self) -> Result<Option<Secret>, String>;

    /// Keeps the key of this home.
    ///
    /// # Errors
    /// Why it cannot be kept, as a sentence.
    fn set(&self, key: &Secret) -> Result<(), String>;

    /// Forgets the key of this home, unless it is not there.
    ///
    /// # Errors
    /// Why it cannot be forgotten, as a sentence.
    fn forget(&self) -> Result<(), String>;
}

/// From where to take the key.
pub struct KeyRequest<'a> {
    /// `MIMIR_DB_KEY` or the configuration.
    pub given: Option<Secret>,
    /// `CREDENTIALS_DIRECTORY`: where systemd puts what a unit is given to keep secret.
    pub credentials: Option<&'a Path>,
    /// The database it is for.
    pub database: &'a Path,
    /// Whether a database that is not there gets a new key; else it is one that was there.
    pub may_make: bool,
    /// Where a key without a keyring is kept.
    pub key_file: &'a Path,
    /// Asks a person; absent when nobody is there.
    pub prompt: Option<&'a dyn Fn() -> Option<Secret>>,
    /// The desktop's keyring; absent when it is not to be asked.
    pub keyring: Option<&'a dyn Keyring>,
}

/// Where the key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `MIMIR_DB_KEY` or the configuration.
    Given,
    /// A credential of the systemd unit.
    Credential,
    /// A person typed it.
    Prompt,
    /// The desktop's keyring.
    Keyring,
    /// The key file.
    File,
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Given => "MIMIR_DB_KEY or the configuration",
            Self::Credential => "systemd credential",
            Self::Prompt => "typed",
            Self::Keyring => "keyring",
            Self::File => "key file",
        })
    }
}

/// A key, ready for [`OpenOptions`](super::OpenOptions).
#[derive(Clone, Debug)]
pub struct LoadedKey {
    /// 64 hex digits.
    pub key: Secret,
    /// Where it came from.
    pub source: KeySource,
    /// Whether it was made just now.
    pub is_new: bool,
}

/// Why there is no key. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Give the key.
    #[error("nothing opens the database {database}: MIMIR_DB_KEY is not set, there is no key file{}", keyring.as_ref().map(|why| format!(", and the keyring cannot be asked ({why})")).unwrap_or_default())]
    NoKey {
        /// Which database.
        database: PathBuf,
        /// Why the keyring could not be asked, if that is so.
        keyring: Option<String>,
    },
    /// Others can read it: `chmod 600`, and think about whether they did.
    #[error("the key file {path} is not safe: {why}")]
    UnsafeFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It cannot be read or written.
    #[error("cannot use {path}: {why}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// It holds something else than a key; restore it.
    #[error("{path} does not hold what it should: {why}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is expected.
        why: &'static str,
    },
}

/// The salt beside a database.
#[must_use]
pub fn salt_file(database: &Path) -> PathBuf {
    database.with_extension("salt")
}

/// Finds the key, or makes one for a database that does not exist yet.
///
/// # Errors
/// [`KeyError`].
pub fn load(request: &KeyRequest<'_>) -> Result<LoadedKey, KeyError> {
    let database = request.database;
    let is_new = request.may_make && !fs::metadata(database).is_ok_and(|found| found.len() > 0);
    let found = |key, source| LoadedKey { key, source, is_new: false };

    if let Some(given) = request.given.as_ref().filter(|given| !given.reveal().is_empty()) {
        return Ok(found(key_of(given, database, is_new)?, KeySource::Given));
    }
    if let Some(given) = request.credentials.map(read_credential).transpose()?.flatten() {
        return Ok(found(key_of(&given, database, is_new)?, KeySource::Credential));
    }
    let typed = || match request.prompt.and_then(|ask| ask()) {
        Some(typed) if !typed.reveal().is_empty() => key_of(&typed, database, false).map(Some),
        _ => Ok(None),
    };
    let wants_passphrase = !is_new && salt_file(database).exists();
    if wants_passphrase && let Some(key) = typed()? {
        return Ok(found(key, KeySource::Prompt));
    }
    let mut keyring_trouble = None;
    match request.keyring.map(Keyring::get) {
        Some(Ok(Some(key))) if is_raw(key.reveal()) => return Ok(found(key, KeySource::Keyring)),
        Some(Ok(Some(_))) => keyring_trouble = Some("what it holds is not a key of mimir's".to_owned()),
        Some(Err(why)) => keyring_trouble = Some(why),
        Some(Ok(None)) | None => {}
    }
    if let Some(key) = read_key_file(request.key_file)? {
        return Ok(found(key, KeySource::File));
    }
    if is_new {
        return make(request, keyring_trouble.is_none());
    }
    if !wants_passphrase && let Some(key) = typed()? {
        return Ok(found(key, KeySource::Prompt));
    }
    Err(KeyError::NoKey { database: database.to_owned(), keyring: keyring_trouble })
}

/// A random key, kept where it is found again; only then is it used.
fn make(request: &KeyRequest<'_>, keyring_works: bool) -> Result<LoadedKey, KeyError> {
    let bytes = Zeroizing::new(entropy::<KEY_BYTES>());
    let key = Secret::new(hex::encode(bytes.as_slice()));
    if let Some(keyring) = request.keyring.filter(|_| keyring_works) {
        let kept = keyring.set(&key).is_ok() && keyring.get().is_ok_and(|kept| kept.as_ref() == Some(&key));
        if kept {
            return Ok(LoadedKey { key, source: KeySource::Keyring, is_new: true });
        }
    }
    let line = Zeroizing::new(format!("{}\n", key.reveal()));
    write_new(request.key_file, line.as_bytes())?;
    Ok(LoadedKey { key, source: KeySource::File, is_new: true })
}

/// 64 hex digits are the key; anything else is a passphrase.
fn key_of(text: &Secret, database: &Path, is_new: bool) -> Result<Secret, KeyError> {
    let trimmed = text.reveal().trim();
    if is_raw(trimmed) {
        return Ok(Secret::new(trimmed.to_ascii_lowercase()));
    }
    let salt = salt(&salt_file(database), is_new)?;
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    let function = ring::pbkdf2::PBKDF2_HMAC_SHA512;
    ring::pbkdf2::derive(function, ROUNDS, &salt, text.reveal().as_bytes(), key.as_mut_slice());
    Ok(Secret::new(hex::encode(key.as_slice())))
}

fn is_raw(text: &str) -> bool {
    text.len() == 2 * KEY_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The salt beside the database; made with a new one. For an existing database without a salt, any
/// will do: no passphrase opens it, and the caller learns just that.
fn salt(path: &Path, is_new: bool) -> Result<[u8; SALT_BYTES], KeyError> {
    let unusable =
        |error: std::io::Error| KeyError::Unusable { path: path.to_owned(), why: error.to_string() };
    match fs::read_to_string(path) {
        Ok(text) => {
            let mut salt = [0; SALT_BYTES];
            let read = hex::decode_to_slice(text.trim(), &mut salt);
            let why = "expected 32 hex digits";
            read.map(|()| salt).map_err(|_| KeyError::Invalid { path: path.to_owned(), why })
        }
        Err(error) if error.kind() == ErrorKind::NotFound && is_new => {
            let salt = entropy::<SALT_BYTES>();
            write_new(path, format!("{}\n", hex::encode(salt)).as_bytes())?;
            Ok(salt)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok([0; SALT_BYTES]),
        Err(error) => Err(unusable(error)),
    }
}

/// The credential, if the unit was given one. systemd shows it to the unit's user alone.
fn read_credential(folder: &Path) -> Result<Option<Secret>, KeyError> {
    let path = folder.join(CREDENTIAL);
    match fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) if text.trim().is_empty() => {
            Err(KeyError::Invalid { path, why: "expected 64 hex digits or a passphrase" })
        }
        // `systemd-creds` keeps the line's end of what it was given; a passphrase has none.
        Ok(text) => Ok(Some(Secret::new(text.trim_end_matches(['\n', '\r'])))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyError::Unusable { path, why: error.to_string() }),
    }
}

fn read_key_file(path: &Path) -> Result<Option<Secret>, KeyError> {
    let unusable =
        |error: std::io::Error| KeyError::Unusable { path: path.to_owned(), why: error.to_string() };
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    let refuse = |why: String| Err(KeyError::UnsafeFile { path: path.to_owned(), why });
    if !found.is_file() {
        return refuse("it is not a plain file".into());
    }
    if found.mode() & 0o077 != 0 {
        return refuse(format!("others can read it (mode {:o}); it must be 600", found.mode() & 0o777));
    }
    let us = rustix::process::getuid().as_raw();
    if found.uid() != us && found.uid() != 0 {
        return refuse(format!("it belongs to user {}", found.uid()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unusable)?);
    if is_raw(text.trim()) {
        Ok(Some(Secret::new(text.trim().to_ascii_lowercase())))
    } else {
        Err(KeyError::Invalid { path: path.to_owned(), why: "expected 64 hex digits" })
    }
}

/// Writes a file that nobody else can read, whole or not at all, and never over another one.
fn write_new(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let unusable =
        |error: std::io::Error| KeyError::Unusable { path: path.to_owned(), why: error.to_string() };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", hex::encode(entropy::<4>())));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        // A hard link, unlike a rename, does not replace what is there.
        fs::hard_link(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    let written = write();
    let _ = fs::remove_file(&temporary);
    written.map_err(unusable)
}

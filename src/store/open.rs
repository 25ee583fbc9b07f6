//! Opening the file: look first, touch later.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{OpenOptions, StoreError};

/// How every unencrypted SQLite file begins.
const PLAIN_HEADER: &[u8; 16] = b"SQLite format 3\0";

/// So many statements a reader keeps ready.
const READERS_STATEMENTS: usize = 32;

/// What was found where the database should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty file: we died before the first page was written.
    Nothing,
    /// Something that may be a database of ours.
    File,
}

/// Looks at the file without SQLite, which would begin by repairing it.
pub(super) fn look(path: &Path) -> Result<Found, StoreError> {
    let unreadable = |why: String| StoreError::Unreadable { path: path.to_owned(), why };
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(unreadable("it is not a plain file".into())),
        Ok(found) if found.len() == 0 => return Ok(Found::Nothing),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(error.to_string())),
    }
    let mut head = Vec::new();
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let read = file.and_then(|file| file.take(16).read_to_end(&mut head));
    read.map_err(|error| unreadable(error.to_string()))?;
    if head == PLAIN_HEADER {
        return Err(StoreError::NotEncrypted { path: path.to_owned() });
    }
    Ok(Found::File)
}

/// Makes an empty file that only we can read; SQLite would make one for everybody. The files that
/// SQLite makes beside it take over its permissions.
pub(super) fn make(path: &Path) -> Result<(), StoreError> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unreadable { path: path.to_owned(), why: error.to_string() }),
    }
}

/// Opens with the key and reads the schema's version, which fails when the key is wrong. Writes nothing.
pub(super) fn probe(options: &OpenOptions) -> Result<i64, StoreError> {
    let connection = keyed(options)?;
    // Otherwise closing would write the log back, for a database that may not be ours.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection
        .query_row("SELECT count(*) FROM sqlite_master", (), |row| row.get::<_, i64>(0))
        .and_then(|_| connection.query_row("PRAGMA user_version", (), |row| row.get(0)))
        .map_err(|error| explained(error, &options.path))
}

/// The writer's connection.
pub(super) fn writer(options: &OpenOptions) -> Result<Connection, StoreError> {
    let connection = keyed(options)?;
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA cache_size = -2000;",
        )
        .map_err(|error| explained(error, &options.path))?;
    Ok(connection)
}

/// A connection that can only ask.
pub(super) fn reader(options: &OpenOptions) -> Result<Connection, StoreError> {
    let connection = keyed(options)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -500;")
        .map_err(|error| explained(error, &options.path))?;
    // There are several of them, and each asks for less than the writer does.
    connection.set_prepared_statement_cache_capacity(READERS_STATEMENTS);
    Ok(connection)
}

/// The connection that writes the log back, and asks nothing.
pub(super) fn checkpointer(options: &OpenOptions) -> Result<Connection, StoreError> {
    let connection = keyed(options)?;
    connection.execute_batch("PRAGMA cache_size = -64;")?;
    connection.set_prepared_statement_cache_capacity(1);
    Ok(connection)
}

pub(super) fn keyed(options: &OpenOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(&options.path, flags).map_err(|error| explained(error, &options.path))?;
    // Must be the first statement: everything after it is decrypted with this key.
    connection.pragma_update(None, "key", format!("x'{}'", options.key.reveal()))?;
    // SQLCipher would write its own lines to stderr; we have errors.
    connection.execute_batch(
        "PRAGMA cipher_log_level = NONE; PRAGMA temp_store = MEMORY; PRAGMA busy_timeout = 5000;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// An error while opening, where SQLite's word means something to the caller.
fn explained(error: rusqlite::Error, path: &Path) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        // The first page did not decrypt. With SQLCipher this and a damaged first page look the same.
        Some(ErrorCode::NotADatabase) => StoreError::WrongKey { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            StoreError::Unreadable { path, why: error.to_string() }
        }
        _ => error.into(),
    }
}

//! What can go wrong with the database, sorted by what the caller can do next.

use std::path::PathBuf;

use crate::model::port::PortRange;
use crate::model::sqlite::Foreign;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such row.
    #[error("there is no {what} {key}")]
    NotFound {
        /// Which kind of row.
        what: &'static str,
        /// Which one.
        key: String,
    },
    /// Somebody moved the row first, or the value is taken. Read again and decide again.
    #[error("{what} changed meanwhile or is taken")]
    Conflict {
        /// Which row or value.
        what: String,
    },
    /// Choose another name; this one belongs to another row.
    #[error("the {what} {value} exists already")]
    Taken {
        /// Which kind of row.
        what: &'static str,
        /// The value that is taken.
        value: String,
    },
    /// Remove a frame or widen the range.
    #[error("no free port in {range}")]
    NoFreePort {
        /// Where was looked.
        range: PortRange,
    },
    /// Give the right key; nothing was touched.
    #[error("the key does not open the database {path}")]
    WrongKey {
        /// Which file.
        path: PathBuf,
    },
    /// Not one of ours: an unencrypted database. Nothing was touched.
    #[error("{path} is a plain, unencrypted SQLite database")]
    NotEncrypted {
        /// Which file.
        path: PathBuf,
    },
    /// Written by a newer mimir. Nothing was touched.
    #[error("the database {path} has schema {found}, and this mimir knows {known}")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file or its folder cannot be read or written by us.
    #[error("cannot open the database {path}: {why}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Somebody else writes to the file for longer than we wait. Is a second gateway running?
    #[error("another program holds the database")]
    Busy,
    /// No copy could be made, so nothing was changed.
    #[error("cannot write a copy of the database to {path}: {why}")]
    Backup {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Free some space; nothing was changed.
    #[error("the disk is full; nothing was saved")]
    DiskFull,
    /// The file is not what it was; restore a backup.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The writer is gone because the gateway stops.
    #[error("the database is closed")]
    Closed,
    /// A value in a row is not one of ours: a bug, or somebody wrote to the file.
    #[error("the database holds {value:?} where {expected} is expected")]
    Unexpected {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        value: String,
    },
    /// We have no better idea than to show it.
    #[error("the database says: {0}")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        if let rusqlite::Error::FromSqlConversionFailure(_, _, source) = &error
            && let Some(Foreign { expected, value }) = source.downcast_ref()
        {
            return Self::Unexpected { expected, value: value.clone() };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            Some(ErrorCode::ConstraintViolation) => Self::Conflict { what: error.to_string() },
            _ => Self::Sqlite(error),
        }
    }
}

//! Why a gateway does not start, and what to do about it.

use std::path::Path;

use super::lock::{Holder, LockError};
use crate::config::Paths;
use crate::store::StoreError;
use crate::store::key::KeyError;
use crate::wire::problem::Problem;

/// Something on the way to the start did not work.
pub(super) fn start_failed(what: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new(500, "gateway.start_failed", format!("the gateway cannot {what}"))
        .detail(error.to_string())
        .hint("`mimir doctor` tries each thing the gateway needs")
}

/// The home belongs to another gateway, or cannot be written.
pub(super) fn lock_problem(error: LockError, paths: &Paths) -> Problem {
    match &error {
        LockError::Taken(holder) if !paths.gateway_socket().exists() => {
            already(holder, &paths.gateway_socket())
        }
        LockError::Taken(_) => Problem::new(409, "gateway.already", error.to_string())
            .hint("use that one, or end it with `mimir serve --stop`"),
        LockError::Unwritable { source, .. } => start_failed(&format!("lock its home: {error}"), source),
    }
}

/// A gateway has the home, and nobody can speak with it.
#[must_use]
pub fn already(holder: &Holder, socket: &Path) -> Problem {
    Problem::new(409, "gateway.already", holder.to_string())
        .detail(format!("but it does not answer at {}", socket.display()))
        .hint("`mimir serve --stop` ends it, and the next command starts another; frames go on")
}

/// The configuration does not fit.
pub(super) fn config_problem(error: impl std::error::Error) -> Problem {
    Problem::new(500, "config.invalid", "the configuration cannot be used")
        .detail(error.to_string())
        .hint("`mimir config check` shows all of it; `mimir config path` shows which file")
}

/// Why there is no key for the database.
pub(super) fn key_problem(error: KeyError) -> Problem {
    let title = error.to_string();
    match error {
        KeyError::NoKey { .. } => Problem::new(401, "store.no_key", title)
            .hint("set MIMIR_DB_KEY, or put the key file back; without the key nobody can read the database"),
        KeyError::UnsafeFile { path, .. } => Problem::new(401, "store.key_unsafe", title)
            .hint(format!("`chmod 600 {}` after making sure that nobody else read it", path.display())),
        KeyError::Unusable { path, .. } => Problem::new(401, "store.key_unusable", title)
            .hint(format!("`ls -l {}` shows whose it is", path.display())),
        KeyError::Invalid { .. } => {
            Problem::new(401, "store.key_invalid", title).hint("restore the file from a backup")
        }
    }
}

/// Why the database cannot be opened, and what to do.
pub(super) fn store_problem(error: &StoreError) -> Problem {
    let title = error.to_string();
    match error {
        StoreError::WrongKey { .. } => Problem::new(401, "store.wrong_key", title)
            .hint("give the key it was made with: MIMIR_DB_KEY, the keyring, or the key file in its folder"),
        StoreError::NotEncrypted { path } => Problem::new(409, "store.not_encrypted", title).hint(format!(
            "it is not mimir's: move {} away, or name another file with `database.path`",
            path.display()
        )),
        StoreError::Newer { .. } => Problem::new(409, "store.newer", title)
            .hint("run the newer mimir, or `mimir backup list` and `mimir backup restore NAME`, which go back to how things were then"),
        StoreError::Unreadable { path, .. } => Problem::new(500, "store.unreadable", title)
            .hint(format!("`ls -l {}` shows whose it is", path.display())),
        StoreError::DiskFull => Problem::new(507, "disk.full", title).hint("free some space, then try again"),
        StoreError::Damaged(_) => Problem::new(500, "store.damaged", title)
            .hint("`mimir backup restore` puts the newest copy in its place; what is newer than it is lost"),
        _ => Problem::new(500, "store.failed", "the database cannot be opened")
            .detail(title)
            .hint("`mimir doctor` tries each thing the gateway needs"),
    }
}

//! From an older schema to ours: a copy first, then one transaction for each step.
//!
//! Whenever we die, the file holds one whole version: either a step is committed with
//! its number, or it never happened. The copy is for people, not for recovery.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite_migration::{M, Migrations};

use super::{OpenOptions, StoreError, key, open};

/// Every step there ever was, in order. Append only: databases out there have taken the first ones.
pub(super) const STEPS: &[&str] = &[
    include_str!("migrations/0001_frames_and_messages.sql"),
    include_str!("migrations/0002_prompts.sql"),
    include_str!("migrations/0003_tokens.sql"),
    include_str!("migrations/0004_log.sql"),
    include_str!("migrations/0005_search.sql"),
    include_str!("migrations/0006_queue.sql"),
    include_str!("migrations/0007_titles.sql"),
    include_str!("migrations/0008_timers_and_cursors.sql"),
    include_str!("migrations/0009_origin.sql"),
    include_str!("migrations/0010_engines.sql"),
];

/// How many copies are kept.
const COPIES: usize = 5;

/// Brings the schema up to date; `found` is its version.
pub(super) fn run(
    connection: &mut Connection,
    options: &OpenOptions,
    steps: &'static [&'static str],
    found: i64,
    now_ms: u64,
) -> Result<(), StoreError> {
    if usize::try_from(found).is_ok_and(|found| found == steps.len()) {
        return Ok(());
    }
    if found > 0 {
        quick_check(connection)?;
        copy(connection, options, found, now_ms)?;
    }
    let migrations = Migrations::new(steps.iter().map(|step| M::up(step)).collect());
    migrations.to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        other => StoreError::Damaged(other.to_string()),
    })
}

/// Copies the database, as it is at this moment and under the same key, into the backups folder.
///
/// A copy that is not finished has another name and is removed by the next one.
pub(super) fn copy(
    connection: &Connection,
    options: &OpenOptions,
    version: i64,
    now_ms: u64,
) -> Result<PathBuf, StoreError> {
    let unwritable = |path: &Path, error: &std::io::Error| StoreError::Backup {
        path: path.to_owned(),
        why: error.to_string(),
    };
    fs::create_dir_all(&options.backups).map_err(|error| unwritable(&options.backups, &error))?;
    for unfinished in files_in(&options.backups, ".part") {
        let _ = fs::remove_file(unfinished);
    }
    let name = format!("{now_ms:015}-schema-{version}.db");
    let done = options.backups.join(&name);
    let unfinished = options.backups.join(format!("{name}.part"));
    write_copy(connection, options, &unfinished).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })?;
    let sync = |path: &Path| fs::File::open(path)?.sync_all();
    sync(&unfinished)
        .and_then(|()| fs::rename(&unfinished, &done))
        .and_then(|()| sync(&options.backups))
        .map_err(|error| unwritable(&done, &error))?;

    // A passphrase opens the copy only together with the salt.
    let salt = key::salt_file(&options.path);
    if salt.exists() {
        let beside = options.backups.join("db.salt");
        fs::copy(&salt, &beside).map_err(|error| unwritable(&beside, &error))?;
    }
    let copies = files_in(&options.backups, ".db");
    for old in copies.iter().take(copies.len().saturating_sub(COPIES)) {
        let _ = fs::remove_file(old);
    }
    Ok(done)
}

fn write_copy(connection: &Connection, options: &OpenOptions, path: &Path) -> Result<(), StoreError> {
    open::make(path)?;
    let target = OpenOptions { path: path.to_owned(), ..options.clone() };
    let mut copy = open::keyed(&target)?;
    Backup::new(connection, &mut copy)?.run_to_completion(256, Duration::ZERO, None)?;
    quick_check(&copy)
}

/// Files whose name ends like that, by name; a copy's name begins with its time.
fn files_in(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ending)))
        .collect();
    found.sort();
    found
}

/// Reads every page and checks that the tables hang together.
pub(super) fn quick_check(connection: &Connection) -> Result<(), StoreError> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged(verdict)) }
}

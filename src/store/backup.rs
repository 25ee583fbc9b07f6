//! Copies of the database: made while it is used, under the same key; looked at, and put back.
//!
//! A copy that is not finished has another name and is removed by the next one. Whenever we die, the folder holds whole
//! copies, and the place of the database holds the old one, nothing, or the whole new one.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup as Copying;

use super::{OpenOptions, StoreError, integrity, key, open};
use crate::model::backup::Backup;

/// The copies in a folder, oldest first.
#[must_use]
pub fn list(folder: &Path) -> Vec<Backup> {
    files_in(folder, ".db").iter().filter_map(|path| described(path)).collect()
}

/// The name of a copy says when it was made and of which schema: `001764417600000-schema-10.db`.
fn described(path: &Path) -> Option<Backup> {
    let name = path.file_name()?.to_str()?;
    let (at, schema) = name.strip_suffix(".db")?.split_once("-schema-")?;
    Some(Backup {
        name: name.to_owned(),
        made_at: at.parse().ok()?,
        schema: schema.parse().ok()?,
        bytes: fs::metadata(path).ok()?.len(),
    })
}

/// Copies the database, as it is at this moment and under the same key, into the backups folder.
pub(super) fn make(
    connection: &Connection,
    options: &OpenOptions,
    version: i64,
    now_ms: u64,
) -> Result<PathBuf, StoreError> {
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
    put_in_place(&unfinished, &done)?;

    // A passphrase opens the copy only together with the salt.
    let salt = key::salt_file(&options.path);
    if salt.exists() {
        copy_whole(&salt, &options.backups.join(SALT))?;
    }
    Ok(done)
}

/// The salt beside copies.
const SALT: &str = "db.salt";

fn write_copy(connection: &Connection, options: &OpenOptions, path: &Path) -> Result<(), StoreError> {
    open::make(path)?;
    let target = OpenOptions { path: path.to_owned(), ..options.clone() };
    let mut copy = open::keyed(&target)?;
    Copying::new(connection, &mut copy)?.run_to_completion(256, Duration::ZERO, None)?;
    integrity::quick(&copy)
}

/// A name of its own is given to a file when the disk has all of it.
fn put_in_place(unfinished: &Path, done: &Path) -> Result<(), StoreError> {
    let sync = |path: &Path| fs::File::open(path)?.sync_all();
    sync(unfinished)
        .and_then(|()| fs::rename(unfinished, done))
        .and_then(|()| done.parent().map_or(Ok(()), sync))
        .map_err(|error| unwritable(done, &error))
}

/// Which copies nobody needs any more: all but the newest `keep`, and those older than `age`. The newest stays.
#[must_use]
pub fn superfluous(copies: &[Backup], keep: usize, age: Duration, now_ms: u64) -> Vec<String> {
    let newest = copies.len().saturating_sub(1);
    let young = now_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let old = copies.iter().take(newest).enumerate();
    old.filter(|(index, copy)| index + keep.max(1) <= newest || copy.made_at < young)
        .map(|(_, copy)| copy.name.clone())
        .collect()
}

/// Opens a copy with the key and reads every page of it; says which schema it has.
///
/// # Errors
/// [`StoreError::WrongKey`], [`StoreError::Damaged`], [`StoreError::Unreadable`].
pub fn verify(options: &OpenOptions, copy: &Path) -> Result<i64, StoreError> {
    let at = OpenOptions { path: copy.to_owned(), ..options.clone() };
    if open::look(copy)? == open::Found::Nothing {
        return Err(StoreError::Unreadable {
            path: copy.to_owned(),
            why: "it is not there, or empty".into(),
        });
    }
    let schema = open::probe(&at)?;
    integrity::whole(&open::reader(&at)?)?;
    Ok(schema)
}

/// Puts a verified copy in the place of the database; no gateway may run. What was there is set aside under the name
/// that is returned.
///
/// # Errors
/// Those of [`verify`], and [`StoreError::Backup`] when a file cannot be written.
pub fn restore(options: &OpenOptions, copy: &Path, now_ms: u64) -> Result<Option<PathBuf>, StoreError> {
    restore_after(options, copy, now_ms, || {})
}

/// The same; `note` is called when the copy is known to be whole, and nothing was changed yet.
///
/// # Errors
/// See [`restore`].
pub fn restore_after(
    options: &OpenOptions,
    copy: &Path,
    now_ms: u64,
    note: impl FnOnce(),
) -> Result<Option<PathBuf>, StoreError> {
    verify(options, copy)?;
    note();
    let path = &options.path;
    let unfinished = with_ending(path, ".restoring");
    let _ = fs::remove_file(&unfinished);
    let write = || {
        let mut from = fs::File::open(copy)?;
        let mut to = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        std::io::copy(&mut from, &mut to)
    };
    write().map_err(|error| unwritable(&unfinished, &error))?;
    let aside = with_ending(path, &format!(".before-{now_ms}"));
    let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unwritable(to, &error)),
    };
    // The database first: without its log it would be opened as if nothing had been in that. Then the log: beside another
    // database it would be taken for that one's.
    let was_there = rename(path, &aside)?;
    for ending in ["-wal", "-shm"] {
        rename(&with_ending(path, ending), &with_ending(&aside, ending))?;
    }
    put_in_place(&unfinished, path)?;
    Ok(was_there.then_some(aside))
}

/// What a passphrase needs besides itself lies beside copies, too; put beside the database when it is not there.
///
/// # Errors
/// [`StoreError::Backup`].
pub fn bring_salt(backups: &Path, database: &Path) -> Result<(), StoreError> {
    let (kept, salt) = (backups.join(SALT), key::salt_file(database));
    if kept.exists() && !salt.exists() { copy_whole(&kept, &salt) } else { Ok(()) }
}

fn copy_whole(from: &Path, to: &Path) -> Result<(), StoreError> {
    let unfinished = with_ending(to, ".part");
    fs::copy(from, &unfinished).map_err(|error| unwritable(to, &error))?;
    put_in_place(&unfinished, to)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Backup { path: path.to_owned(), why: error.to_string() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn copies(times: &[u64]) -> Vec<Backup> {
        let copy = |at: &u64| Backup { name: at.to_string(), made_at: *at, schema: 1, bytes: 1 };
        times.iter().map(copy).collect()
    }

    #[test]
    fn the_newest_copies_are_kept_and_old_ones_are_not_but_never_none() {
        let ms = Duration::from_millis;
        let gone = |times: &[u64], keep, age| superfluous(&copies(times), keep, ms(age), 1_000);
        assert_eq!(gone(&[700, 800, 900], 2, 10_000), ["700"]);
        assert_eq!(gone(&[700, 800, 900], 7, 150), ["700", "800"]);
        assert_eq!(gone(&[1, 2], 0, 1), ["1"], "the newest stays, however old");
        assert_eq!(gone(&[], 3, 1), [""; 0]);
    }
}

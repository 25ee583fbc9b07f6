//! Whether the file still holds what was written.
//!
//! Every page carries a code that only the key can make, so a flipped bit is noticed when its page is read. Pages that
//! nobody reads are noticed by nobody; this reads them.

use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::StoreError;

/// Larger files are looked at in part. All of one of this size takes about a second.
const ALL_BYTES: u64 = 256 << 20;

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Every page.
    Whole,
    /// So many tables of so many, in no order.
    Tables(usize, usize),
}

/// Reads every page and checks that the tables hang together.
pub(super) fn quick(connection: &Connection) -> Result<(), StoreError> {
    judge(connection, "PRAGMA quick_check(1)")
}

/// The same, and compares the indexes with their tables, and the code of pages that no table uses.
pub(super) fn whole(connection: &Connection) -> Result<(), StoreError> {
    let mut pages = connection.prepare("PRAGMA cipher_integrity_check")?;
    if let Some(bad) = pages.query(())?.next()? {
        return Err(StoreError::Damaged(bad.get(0)?));
    }
    judge(connection, "PRAGMA integrity_check(1)")
}

/// All of a file of ordinary size; of a large one as many tables as can be read in that time.
pub(super) fn sampled(connection: &Connection, bytes: u64, within: Duration) -> Result<Read, StoreError> {
    if bytes <= ALL_BYTES {
        return whole(connection).map(|()| Read::Whole);
    }
    let until = Instant::now() + within;
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY random()")?;
    let names: Vec<String> = names.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let (stop, ended) = std::sync::mpsc::channel::<()>();
    let handle = connection.get_interrupt_handle();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(within) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            handle.interrupt();
        }
    });
    let mut read = 0;
    let mut outcome = Ok(());
    for name in &names {
        outcome = judge(connection, &format!("PRAGMA integrity_check({})", quoted(name)));
        if outcome.is_err() || Instant::now() >= until {
            break;
        }
        read += 1;
    }
    drop(stop);
    let _ = watch.join();
    match outcome {
        Err(StoreError::Sqlite(error))
            if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {}
        outcome => outcome?,
    }
    Ok(Read::Tables(read, names.len()))
}

fn judge(connection: &Connection, question: &str) -> Result<(), StoreError> {
    let verdict: String = connection.query_row(question, (), |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged(verdict)) }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_large_file_tables_are_read_until_the_time_is_up_and_a_broken_one_is_said() {
        let database = Connection::open_in_memory().expect("a database");
        database
            .execute_batch(
                "CREATE TABLE \"a \"\"b\" (x); CREATE TABLE c (x CHECK (x > 0)); INSERT INTO c VALUES (1);",
            )
            .expect("tables");
        let large = |within| sampled(&database, u64::MAX, within);
        assert_eq!(large(Duration::from_secs(60)).expect("whole"), Read::Tables(2, 2));
        let none = large(Duration::ZERO).expect("no time is no damage");
        assert!(matches!(none, Read::Tables(0, 2)), "{none:?}");
        database
            .execute_batch("PRAGMA ignore_check_constraints = ON; INSERT INTO c VALUES (-1); PRAGMA ignore_check_constraints = OFF;")
            .expect("a row that must not be");
        assert!(matches!(large(Duration::from_secs(60)), Err(StoreError::Damaged(_))));
    }
}

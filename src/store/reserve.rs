//! Ids of events are never given out twice, whatever a power cut takes.
//!
//! Events reach readers before the disk has them, and a power cut may take the newest. So the database says
//! beforehand, and for sure, up to which id they may be given out. After a cut the next ones begin behind that.
//! What was given out and is not there any more is a hole: a reader whose position is in one begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, TransactionBehavior};

use super::values::{to_json, to_sql_int};
use super::{Queryable, StoreError, Tx, events, meta};

/// So many ids are reserved at once. Far more than one transaction gives out.
const BLOCK: u64 = 1 << 16;
/// When fewer are left, more are reserved, in time for a sync of the log;
const FEW: u64 = BLOCK / 2;
/// when fewer are left for sure, the writer waits for the disk.
const TOO_FEW: u64 = BLOCK / 4;
/// So many holes are remembered.
const MOST_HOLES: usize = 64;
const GIVEN_UP_TO: &str = "event_ids_up_to";
const HOLES: &str = "event_holes";

/// Which ids may be given out.
#[derive(Debug)]
pub(super) struct Reserve {
    /// The newest event.
    newest: u64,
    /// Up to which id, as the database says.
    written: u64,
    /// Up to which id a power cut would leave it saying so.
    sure: Arc<AtomicU64>,
    was_left_open: bool,
}

impl Reserve {
    /// Reserves the first ids behind everything that may have been given out. `connection` waits for the
    /// disk when it commits.
    pub(super) fn begin(connection: &mut Connection) -> Result<Self, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut newest = events::newest_id(&Tx::new(&transaction, 0))?;
        let was_left_open;
        {
            let mut tx = Tx::new(&transaction, 0);
            let given = meta::find(&tx, GIVEN_UP_TO)?.and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
            // Who closed the database gave back what was left: this one died.
            was_left_open = given > newest;
            if was_left_open {
                remember_hole(&mut tx, newest, given)?;
                newest = given + 1;
                begin_behind(&mut tx, newest)?;
            }
            meta::set(&mut tx, GIVEN_UP_TO, &(newest + BLOCK).to_string())?;
        }
        transaction.commit()?;
        let written = newest + BLOCK;
        Ok(Self { newest, written, sure: Arc::new(AtomicU64::new(written)), was_left_open })
    }

    /// Whether whoever had the database open before did not close it.
    pub(super) fn was_left_open(&self) -> bool {
        self.was_left_open
    }

    /// The newest id that was given out, or may have been.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Whether the disk has to be waited for before anything is given out.
    pub(super) fn is_behind(&self) -> bool {
        self.sure.load(Ordering::Acquire) < self.newest + TOO_FEW
    }

    /// Says in the database how far it goes from now on, if few are left behind `newest`.
    pub(super) fn extend(
        &self,
        connection: &Connection,
        newest: u64,
    ) -> Result<Option<u64>, rusqlite::Error> {
        let newest = newest.max(self.newest);
        if self.written >= newest + FEW {
            return Ok(None);
        }
        let up_to = newest + BLOCK;
        connection
            .prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1 AND CAST(value AS INTEGER) < ?3")?
            .execute((GIVEN_UP_TO, up_to.to_string(), to_sql_int(up_to)))?;
        Ok(Some(up_to))
    }

    /// It was committed: these were given out, and the database says that it may go so far.
    pub(super) fn committed(&mut self, newest: Option<u64>, up_to: Option<u64>) {
        self.newest = self.newest.max(newest.unwrap_or(0));
        self.written = self.written.max(up_to.unwrap_or(0));
    }

    /// What to do once the log was synced.
    pub(super) fn when_synced(&self) -> impl FnOnce() + Send + use<> {
        let (sure, written) = (self.sure.clone(), self.written);
        move || {
            sure.fetch_max(written, Ordering::AcqRel);
        }
    }

    /// Gives back what is left, unless somebody else reserved more meanwhile.
    pub(super) fn give_back(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut tx = Tx::new(connection, 0);
        let newest = events::newest_id(&tx)?;
        tx.change(
            "UPDATE meta SET value = ?2 WHERE key = ?1 AND value = ?3",
            (GIVEN_UP_TO, newest.to_string(), self.written.to_string()),
        )?;
        Ok(())
    }
}

/// The next id is the one behind it.
fn begin_behind(tx: &mut Tx<'_>, id: u64) -> Result<(), StoreError> {
    tx.change("DELETE FROM sqlite_sequence WHERE name = 'events'", ())?;
    tx.change("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?1)", (to_sql_int(id),))?;
    Ok(())
}

/// Everything after `from` up to `to` may have been given out and is not there.
fn remember_hole(tx: &mut Tx<'_>, from: u64, to: u64) -> Result<(), StoreError> {
    let known = meta::find(tx, HOLES)?.and_then(|text| serde_json::from_str::<Vec<(u64, u64)>>(&text).ok());
    let mut holes = known.unwrap_or_default();
    holes.push((from, to));
    let holes = &holes[holes.len().saturating_sub(MOST_HOLES)..];
    meta::set(tx, HOLES, &to_json(&holes, "holes")?)
}

/// Whether a reader who had everything up to `position` had something that is not there any more.
pub(super) fn is_in_hole(ask: &impl Queryable, position: u64) -> Result<bool, StoreError> {
    let hole = ask.maybe_row(
        "SELECT 1 FROM meta, json_each(meta.value) AS hole
          WHERE meta.key = ?1 AND ?2 > json_extract(hole.value, '$[0]') AND ?2 <= json_extract(hole.value, '$[1]')",
        (HOLES, to_sql_int(position)),
        |_| Ok(()),
    )?;
    Ok(hole.is_some())
}

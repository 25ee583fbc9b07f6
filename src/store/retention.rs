//! What becomes of old events. Small steps, so that nobody waits long for the writer.

use std::collections::BTreeMap;

use super::values::{to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, events, meta};
use crate::model::event::{Event, EventKind};

/// Pieces of text are made one only when their ids are at most so far apart.
pub const MERGED_SPAN: u64 = 2_000;
/// So many rows are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u64 = 500;
/// What a row takes besides its data: its other columns and its places in three indexes.
const ROW_OVERHEAD: u64 = 250;
/// Up to which event texts were merged.
const MERGED_UP_TO: &str = "events_merged_up_to";

/// Several pieces of one text, and what they become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merger {
    first: u64,
    last: u64,
    others: Vec<u64>,
    data: String,
}

/// A stretch of the log, and what can be merged in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Its last event.
    up_to: u64,
    /// What is to be done; may be nothing.
    mergers: Vec<Merger>,
}

/// What was done in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Rows.
    pub rows: u64,
    /// About so many bytes.
    pub bytes: u64,
}

/// The next stretch of events from before `before_ms` whose texts were not looked at yet; `None` when
/// there is nothing to look at. Texts of turns that go on are left as they are: after a crash the
/// pieces say what was told already.
///
/// # Errors
/// Whatever the database says.
pub fn next_stretch(ask: &impl Queryable, before_ms: u64) -> Result<Option<Stretch>, StoreError> {
    let from = meta::find(ask, MERGED_UP_TO)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // Not from where the last stretch ended: what lies between may be gone.
    let first =
        ask.maybe_row("SELECT min(id) AS id FROM events WHERE id > ?1", (to_sql_int(from),), |row| {
            Ok(row.get::<_, Option<i64>>("id")?.map(i64::unsigned_abs))
        })?;
    let Some(Some(first)) = first else { return Ok(None) };
    let end = (first + MERGED_SPAN).min(first_of_running(ask)?);
    let rows = ask.rows(
        "SELECT * FROM events WHERE id >= ?1 AND id < ?2 AND at < ?3 ORDER BY id",
        (to_sql_int(first), to_sql_int(end), to_sql_int(before_ms)),
        |row| Ok((unsigned(row, "id")?, events::event(row)?)),
    )?;
    let Some(up_to) = rows.last().map(|(id, _)| *id) else { return Ok(None) };
    let mergers = mergers(rows.into_iter().filter_map(|(_, event)| event))?;
    Ok(Some(Stretch { up_to, mergers }))
}

/// A piece of text is part of one with the same frame, kind and part.
type TextKey = (Option<String>, &'static str, String);

/// Texts in more than one piece.
fn mergers(events: impl Iterator<Item = Event>) -> Result<Vec<Merger>, StoreError> {
    let mut texts: BTreeMap<TextKey, (Vec<u64>, String)> = BTreeMap::new();
    let mut done = Vec::new();
    for event in events {
        let kind = event.what.kind();
        if let EventKind::Rewritten { part, .. } = &event.what {
            // What follows begins behind it.
            let frame = event.subject.frame.as_ref().map(|frame| frame.to_string());
            for kind in ["message.text", "message.reasoning"] {
                done.extend(texts.remove_entry(&(frame.clone(), kind, part.clone())));
            }
            continue;
        }
        if let EventKind::Text { delta, part } | EventKind::Reasoning { delta, part } = event.what {
            let frame = event.subject.frame.map(|frame| frame.to_string());
            let (ids, text) = texts.entry((frame, kind, part)).or_default();
            ids.push(event.id);
            text.push_str(&delta);
        }
    }
    let several = done.into_iter().chain(texts).filter(|(_, (ids, _))| ids.len() > 1);
    several
        .map(|((_, _, part), (mut ids, delta))| {
            let last = ids.pop().unwrap_or_default();
            let data = to_json(&serde_json::json!({ "delta": delta, "part": part }), "a text")?;
            Ok(Merger { first: ids.first().copied().unwrap_or(last), last, others: ids, data })
        })
        .collect()
}

/// Does what was found, and remembers that this stretch is done. Says how many rows are gone.
///
/// # Errors
/// Whatever the database says.
pub fn merge(tx: &mut Tx<'_>, stretch: &Stretch) -> Result<usize, StoreError> {
    let mut gone = 0;
    for merger in &stretch.mergers {
        let kept = tx.change(
            "UPDATE events SET data = ?2, from_id = ?3 WHERE id = ?1",
            (to_sql_int(merger.last), &merger.data, to_sql_int(merger.first)),
        )?;
        // Forgotten meanwhile, and its beginning with it.
        if kept == 0 {
            continue;
        }
        gone += tx.change(
            "DELETE FROM events WHERE id IN (SELECT value FROM json_each(?1))",
            (to_json(&merger.others, "ids")?,),
        )?;
    }
    meta::set(tx, MERGED_UP_TO, &stretch.up_to.to_string())?;
    Ok(gone)
}

/// Forgets some of the oldest events, if they are from before `before_ms`. Call it until it forgets none.
///
/// # Errors
/// Whatever the database says.
pub fn forget_older(tx: &mut Tx<'_>, before_ms: u64) -> Result<Forgotten, StoreError> {
    forget(tx, Some(before_ms))
}

/// Forgets some of the oldest events, whatever their age. None when only those of running turns are left.
///
/// # Errors
/// Whatever the database says.
pub fn forget_oldest(tx: &mut Tx<'_>) -> Result<Forgotten, StoreError> {
    forget(tx, None)
}

fn forget(tx: &mut Tx<'_>, before_ms: Option<u64>) -> Result<Forgotten, StoreError> {
    let keep_from = first_of_running(tx)?;
    let oldest = tx.maybe_row(
        "SELECT coalesce(max(id), 0) AS last, count(*) AS rows, coalesce(sum(length(data)), 0) AS bytes
           FROM (SELECT id, at, data FROM events WHERE id < ?1 ORDER BY id LIMIT ?2)
          WHERE ?3 IS NULL OR at < ?3",
        (to_sql_int(keep_from), to_sql_int(FORGOTTEN_AT_ONCE), before_ms.map(to_sql_int)),
        |row| Ok((unsigned(row, "last")?, unsigned(row, "rows")?, unsigned(row, "bytes")?)),
    )?;
    let (last, rows, bytes) = oldest.unwrap_or_default();
    tx.change("DELETE FROM events WHERE id <= ?1", (to_sql_int(last),))?;
    Ok(Forgotten { rows, bytes: bytes + rows * ROW_OVERHEAD })
}

/// What all events take in the file, about.
///
/// # Errors
/// Whatever the database says.
pub fn size(ask: &impl Queryable) -> Result<u64, StoreError> {
    let size = ask.maybe_row(
        "SELECT count(*) AS rows, coalesce(sum(length(data)), 0) AS bytes FROM events",
        (),
        |row| Ok(unsigned(row, "bytes")? + unsigned(row, "rows")? * ROW_OVERHEAD),
    )?;
    Ok(size.unwrap_or(0))
}

/// The first event of a message that the agent works on. It and everything after it is kept.
fn first_of_running(ask: &impl Queryable) -> Result<u64, StoreError> {
    let first = ask.maybe_row(
        "SELECT min(events.id) AS id
           FROM messages JOIN events ON events.message_id = messages.id
          WHERE messages.state IN ('sending', 'sent', 'running')",
        (),
        |row| Ok(row.get::<_, Option<i64>>("id")?.map(i64::unsigned_abs)),
    )?;
    Ok(first.flatten().unwrap_or(i64::MAX.unsigned_abs()))
}

//! What happened, in order; read by position, so that nobody misses anything.

use rusqlite::Row;

use super::values::{to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, reserve, retention};
use crate::model::event::{Event, EventKind, Subject};
use crate::model::ids::{FrameId, SessionId};

pub use crate::model::filter::Filter;

/// Events with an id greater than `after`, oldest first, at most `limit`.
///
/// Fewer than `limit` means that there are no more for now. An event that this version cannot read
/// is left out: one row must not stop the stream of all others.
///
/// # Errors
/// Whatever the database says.
pub fn after(
    ask: &impl Queryable,
    after: u64,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let kinds = match filter.globs() {
        globs if globs.is_empty() => None,
        globs => Some(to_json(&globs, "kinds of events")?),
    };
    let refs = match filter.refs.as_slice() {
        [] => None,
        refs => Some(to_json(&refs, "what events are about")?),
    };
    let mut found = Vec::new();
    let mut position = after;
    while found.len() < limit {
        let wanted = limit - found.len();
        let page = ask.rows(
            "SELECT *, (SELECT json_group_array(json_object('kind', kind, 'id', ref))
                          FROM event_refs WHERE event_id = events.id) AS refs
               FROM events
              WHERE id > ?1
                AND (?2 IS NULL OR frame_id = ?2)
                AND (?3 IS NULL OR frame_name = ?3)
                AND (?4 IS NULL OR session_id = ?4)
                AND (?5 IS NULL OR message_id = ?5)
                AND (?6 IS NULL OR EXISTS (SELECT 1 FROM json_each(?6) WHERE kind GLOB value))
                AND (?7 IS NULL OR NOT EXISTS (
                        SELECT 1 FROM json_each(?7)
                         WHERE NOT EXISTS (SELECT 1 FROM event_refs
                                            WHERE event_id = events.id AND kind = value ->> 'kind'
                                              AND ref = value ->> 'id')))
              ORDER BY id
              LIMIT ?8",
            (
                to_sql_int(position),
                &filter.frame,
                &filter.frame_name,
                &filter.session,
                &filter.message,
                &kinds,
                &refs,
                i64::try_from(wanted).unwrap_or(i64::MAX),
            ),
            |row| Ok((unsigned(row, "id")?, event(row)?)),
        )?;
        let is_last = page.len() < wanted;
        position = page.last().map_or(position, |(id, _)| *id);
        found.extend(page.into_iter().filter_map(|(_, event)| event));
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// `None` for one that this version cannot read.
pub(super) fn event(row: &Row<'_>) -> Result<Option<Event>, StoreError> {
    let kind: String = row.get("kind")?;
    let data: String = row.get("data")?;
    let Ok(data) = serde_json::from_str::<serde_json::Value>(&data) else { return Ok(None) };
    let Ok(what) = serde_json::from_value::<EventKind>(serde_json::json!({"kind": kind, "data": data}))
    else {
        return Ok(None);
    };
    // Absent where nobody needs them.
    let refs = row.get::<_, Option<String>>("refs").ok().flatten();
    let refs = refs.and_then(|refs| serde_json::from_str(&refs).ok()).unwrap_or_default();
    Ok(Some(Event {
        id: unsigned(row, "id")?,
        at: unsigned(row, "at")?,
        subject: Subject {
            frame: row.get("frame_id")?,
            frame_name: row.get("frame_name")?,
            session: row.get("session_id")?,
            message: row.get("message_id")?,
            refs,
        },
        what,
    }))
}

/// The id of the oldest event that is kept; a position before it has a gap behind it. 0 when there is none.
///
/// # Errors
/// Whatever the database says.
pub fn oldest_id(ask: &impl Queryable) -> Result<u64, StoreError> {
    let id = ask.maybe_row("SELECT coalesce(min(id), 0) AS id FROM events", (), |row| unsigned(row, "id"))?;
    Ok(id.unwrap_or(0))
}

/// The id of the newest event, 0 when there never was one. Survives pruning.
///
/// # Errors
/// Whatever the database says.
pub fn newest_id(ask: &impl Queryable) -> Result<u64, StoreError> {
    let id = ask.maybe_row("SELECT seq AS id FROM sqlite_sequence WHERE name = 'events'", (), |row| {
        unsigned(row, "id")
    })?;
    Ok(id.unwrap_or(0))
}

/// Whether a reader who had everything up to `position` would miss something by reading on: events were
/// forgotten, pieces of a text that he had some of were made one, or a power cut took what he had. Position 0
/// misses nothing: it has had nothing.
///
/// # Errors
/// Whatever the database says.
pub fn is_too_old(ask: &impl Queryable, position: u64) -> Result<bool, StoreError> {
    if position == 0 {
        return Ok(false);
    }
    let first_kept = match oldest_id(ask)? {
        0 => newest_id(ask)? + 1,
        oldest => oldest,
    };
    // What is merged lies close together, which keeps this quick.
    let is_inside = ask.maybe_row(
        "SELECT 1 FROM events WHERE from_id > ?1 - ?2 AND from_id <= ?1 AND id > ?1",
        (to_sql_int(position), to_sql_int(retention::MERGED_SPAN)),
        |_| Ok(()),
    )?;
    Ok(position + 1 < first_kept || is_inside.is_some() || reserve::is_in_hole(ask, position)?)
}

/// The id of the newest event of a kind in a conversation, 0 without one.
///
/// # Errors
/// Whatever the database says.
pub fn last_of_kind(
    ask: &impl Queryable,
    frame: &FrameId,
    session: &SessionId,
    kind: &str,
) -> Result<u64, StoreError> {
    let id = ask.maybe_row(
        "SELECT coalesce(max(id), 0) AS id FROM events WHERE frame_id = ?1 AND session_id = ?2 AND kind = ?3",
        (frame, session, kind),
        |row| unsigned(row, "id"),
    )?;
    Ok(id.unwrap_or(0))
}

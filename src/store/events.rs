//! What happened, in order; read by position, so that nobody misses anything.

use rusqlite::Row;

use super::values::{to_json, to_sql_int, unsigned};
use super::{Ask, StoreError, Tx};
use crate::model::event::{Event, Happening, Subject};
use crate::model::ids::{FrameId, MessageId, SessionId};
use crate::model::names::FrameName;

/// Which events; everything that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this frame.
    pub frame: Option<FrameId>,
    /// Of frames of this name, also of those that are gone.
    pub frame_name: Option<FrameName>,
    /// Of this conversation.
    pub session: Option<SessionId>,
    /// Of this message.
    pub message: Option<MessageId>,
    /// Of these kinds, such as `frame.moved`; of all when empty.
    pub kinds: Vec<String>,
}

/// Events with an id greater than `after`, oldest first, at most `limit`.
///
/// Fewer than `limit` means that there are no more for now. An event that this version cannot read
/// is left out: one row must not stop the stream of all others.
///
/// # Errors
/// Whatever the database says.
pub fn after(ask: &impl Ask, after: u64, filter: &Filter, limit: usize) -> Result<Vec<Event>, StoreError> {
    let kinds = match filter.kinds.as_slice() {
        [] => None,
        kinds => Some(to_json(&kinds, "kinds of events")?),
    };
    let mut found = Vec::new();
    let mut position = after;
    while found.len() < limit {
        let wanted = limit - found.len();
        let page = ask.rows(
            "SELECT * FROM events
              WHERE id > ?1
                AND (?2 IS NULL OR frame_id = ?2)
                AND (?3 IS NULL OR frame_name = ?3)
                AND (?4 IS NULL OR session_id = ?4)
                AND (?5 IS NULL OR message_id = ?5)
                AND (?6 IS NULL OR kind IN (SELECT value FROM json_each(?6)))
              ORDER BY id
              LIMIT ?7",
            (
                to_sql_int(position),
                &filter.frame,
                &filter.frame_name,
                &filter.session,
                &filter.message,
                &kinds,
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
fn event(row: &Row<'_>) -> Result<Option<Event>, StoreError> {
    let kind: String = row.get("kind")?;
    let data: String = row.get("data")?;
    let Ok(data) = serde_json::from_str::<serde_json::Value>(&data) else { return Ok(None) };
    let Ok(what) = serde_json::from_value::<Happening>(serde_json::json!({"kind": kind, "data": data}))
    else {
        return Ok(None);
    };
    Ok(Some(Event {
        id: unsigned(row, "id")?,
        at: unsigned(row, "at")?,
        subject: Subject {
            frame: row.get("frame_id")?,
            frame_name: row.get("frame_name")?,
            session: row.get("session_id")?,
            message: row.get("message_id")?,
        },
        what,
    }))
}

/// The id of the oldest event that is kept; a position before it has a gap behind it. 0 when there is none.
///
/// # Errors
/// Whatever the database says.
pub fn oldest_id(ask: &impl Ask) -> Result<u64, StoreError> {
    let id = ask.maybe_row("SELECT coalesce(min(id), 0) AS id FROM events", (), |row| unsigned(row, "id"))?;
    Ok(id.unwrap_or(0))
}

/// The id of the newest event, 0 when there never was one. Survives pruning.
///
/// # Errors
/// Whatever the database says.
pub fn newest_id(ask: &impl Ask) -> Result<u64, StoreError> {
    let id = ask.maybe_row("SELECT seq AS id FROM sqlite_sequence WHERE name = 'events'", (), |row| {
        unsigned(row, "id")
    })?;
    Ok(id.unwrap_or(0))
}

/// Forgets events from before `before_ms` (UTC), and all but the newest `keep_rows`; says how many.
///
/// # Errors
/// Whatever the database says.
pub fn prune(tx: &mut Tx<'_>, before_ms: u64, keep_rows: u64) -> Result<usize, StoreError> {
    tx.change(
        "DELETE FROM events
          WHERE at < ?1
             OR id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (to_sql_int(before_ms), to_sql_int(keep_rows)),
    )
}

/// The id of the newest event of a kind in a conversation, 0 without one.
///
/// # Errors
/// Whatever the database says.
pub fn last_of_kind(
    ask: &impl Ask,
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

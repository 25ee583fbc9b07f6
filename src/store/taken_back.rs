//! What was taken back of conversations. The rows stay, so that history tells what was said, and that it does not
//! stand any more.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;

use super::values::{maybe_unsigned, to_sql_int};
use super::{Queryable, StoreError, Tx, sessions};
use crate::model::agent::{AgentMessageId, TakeBack, TakenBack, UndoPoint};
use crate::model::event::EventKind;
use crate::model::ids::SessionId;

/// Of a row with both columns; nothing when the message stands.
pub(super) fn taken_back(row: &Row<'_>) -> Result<Option<TakenBack>, StoreError> {
    let how: Option<TakeBack> = row.get("taken_back")?;
    let at = maybe_unsigned(row, "taken_back_at")?;
    Ok(how.map(|how| TakenBack { how, at: at.unwrap_or_default() }))
}

/// The messages of a conversation that do not stand.
///
/// # Errors
/// Whatever the database says.
pub fn of_session(
    ask: &impl Queryable,
    session: &SessionId,
) -> Result<BTreeMap<AgentMessageId, TakenBack>, StoreError> {
    let rows = ask.rows(
        "SELECT agent_message, taken_back, taken_back_at FROM agent_messages
          WHERE session_id = ?1 AND taken_back IS NOT NULL",
        (session,),
        |row| Ok((row.get("agent_message")?, taken_back(row)?)),
    )?;
    Ok(rows.into_iter().filter_map(|(id, how)| Some((id, how?))).collect())
}

/// From where on a conversation is undone, as the agent said last.
///
/// # Errors
/// Whatever the database says.
pub fn point(ask: &impl Queryable, session: &SessionId) -> Result<Option<UndoPoint>, StoreError> {
    let sql = "SELECT undone_from, undone_keeps FROM sessions WHERE id = ?1";
    let row = ask.maybe_row(sql, (session,), |row| {
        let (from, keeps_message) =
            (row.get::<_, Option<AgentMessageId>>("undone_from")?, row.get("undone_keeps")?);
        Ok(from.map(|message| UndoPoint { message, keeps_message }))
    })?;
    Ok(row.flatten())
}

/// The agent says from where on the conversation is undone, or that nothing is. Tells of what that changes.
///
/// # Errors
/// Whatever the database says.
pub fn undo(tx: &mut Tx<'_>, session: &SessionId, point: Option<&UndoPoint>) -> Result<(), StoreError> {
    let (from, keeps) = (point.map(|point| &point.message), point.is_some_and(|point| point.keeps_message));
    tx.change(
        "UPDATE sessions SET undone_from = ?2, undone_keeps = ?3 WHERE id = ?1",
        (session, from, keeps),
    )?;
    // Everything compares as false with NULL, so without a point everything stands again.
    let is_behind = "coalesce(agent_message > ?2 OR (agent_message = ?2 AND NOT ?3), 0)";
    let back = format!(
        "UPDATE agent_messages SET taken_back = NULL, taken_back_at = NULL
          WHERE session_id = ?1 AND taken_back = 'undone' AND NOT {is_behind} RETURNING agent_message"
    );
    let back = tx.rows(&back, (session, from, keeps), id)?;
    let undone = format!(
        "UPDATE agent_messages SET taken_back = 'undone', taken_back_at = ?4
          WHERE session_id = ?1 AND taken_back IS NULL AND {is_behind} RETURNING agent_message"
    );
    let undone = tx.rows(&undone, (session, from, keeps, tx.now()), id)?;
    tell(tx, session, back, |messages| EventKind::SessionRestored { messages })?;
    tell(tx, session, undone, |messages| EventKind::SessionTakenBack { messages, how: TakeBack::Undone })
}

/// The agent has these messages no longer. Tells of those that it had.
///
/// # Errors
/// Whatever the database says.
pub fn remove(tx: &mut Tx<'_>, session: &SessionId, gone: &[AgentMessageId]) -> Result<(), StoreError> {
    let now = tx.now();
    let mut removed = Vec::new();
    for message in gone {
        removed.extend(tx.rows(
            "UPDATE agent_messages SET taken_back = 'removed', taken_back_at = coalesce(taken_back_at, ?3)
              WHERE session_id = ?1 AND agent_message = ?2 AND taken_back IS NOT 'removed'
              RETURNING agent_message",
            (session, message, now),
            id,
        )?);
    }
    tell(tx, session, removed, |messages| EventKind::SessionTakenBack { messages, how: TakeBack::Removed })
}

/// The agent lists these messages again that it was thought to have no longer. Tells of them.
///
/// # Errors
/// Whatever the database says.
pub fn found(tx: &mut Tx<'_>, session: &SessionId, listed: &[AgentMessageId]) -> Result<(), StoreError> {
    let mut back = Vec::new();
    for message in listed {
        back.extend(tx.rows(
            "UPDATE agent_messages SET taken_back = NULL, taken_back_at = NULL
              WHERE session_id = ?1 AND agent_message = ?2 AND taken_back = 'removed'
              RETURNING agent_message",
            (session, message),
            id,
        )?);
    }
    tell(tx, session, back, |messages| EventKind::SessionRestored { messages })?;
    // It lists what is undone as well.
    let point = point(tx, session)?;
    if point.is_some() { undo(tx, session, point.as_ref()) } else { Ok(()) }
}

/// Of the messages that the agent lists those that are kept as removed.
///
/// # Errors
/// Whatever the database says.
pub fn listed_again(
    ask: &impl Queryable,
    session: &SessionId,
    listed: &BTreeSet<AgentMessageId>,
) -> Result<Vec<AgentMessageId>, StoreError> {
    let removed = ask.rows(
        "SELECT agent_message FROM agent_messages WHERE session_id = ?1 AND taken_back = 'removed'",
        (session,),
        id,
    )?;
    Ok(removed.into_iter().filter(|message| listed.contains(message)).collect())
}

/// The kept messages from the time `from` (UTC ms) to the message `until` that the agent does not have, of which that
/// is not known yet. `there` is what it has.
///
/// # Errors
/// Whatever the database says.
pub fn missing(
    ask: &impl Queryable,
    session: &SessionId,
    (from, until): (Option<u64>, &AgentMessageId),
    there: &BTreeSet<AgentMessageId>,
) -> Result<Vec<AgentMessageId>, StoreError> {
    let kept = ask.rows(
        "SELECT agent_message FROM agent_messages
          WHERE session_id = ?1 AND taken_back IS NOT 'removed'
            AND (?2 IS NULL OR created_at > ?2)
            AND created_at <= (SELECT created_at FROM agent_messages WHERE session_id = ?1 AND agent_message = ?3)
          ORDER BY agent_message",
        (session, from.map(to_sql_int), until),
        id,
    )?;
    Ok(kept.into_iter().filter(|message| !there.contains(message)).collect())
}

fn id(row: &Row<'_>) -> Result<AgentMessageId, StoreError> {
    Ok(row.get("agent_message")?)
}

fn tell(
    tx: &mut Tx<'_>,
    session: &SessionId,
    mut messages: Vec<AgentMessageId>,
    what: impl FnOnce(Vec<AgentMessageId>) -> EventKind,
) -> Result<(), StoreError> {
    if messages.is_empty() {
        return Ok(());
    }
    messages.sort();
    let subject = sessions::subject(&sessions::get(tx, session)?);
    tx.emit(&subject, &what(messages)).map(drop)
}

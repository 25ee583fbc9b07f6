//! Conversations. They outlive their frame.

use rusqlite::Row;

use super::values::unsigned;
use super::{Queryable, StoreError, Tx};
use crate::model::agent::AgentSessionId;
use crate::model::event::{EventKind, Subject};
use crate::model::ids::{FrameId, SessionId};
use crate::model::message::Session;
use crate::model::names::FrameName;

/// A conversation to be.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Chosen by the caller.
    pub id: SessionId,
    /// In which frame.
    pub frame: FrameId,
    /// The frame's name.
    pub frame_name: FrameName,
    /// A short name for people.
    pub title: String,
}

/// Makes the row, and tells of it.
///
/// # Errors
/// Whatever the database says.
pub fn insert(tx: &mut Tx<'_>, new: &NewSession) -> Result<Session, StoreError> {
    tx.change(
        "INSERT INTO sessions (id, frame_id, frame_name, title, agent_title, created_at, last_active_at)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?5)",
        (&new.id, &new.frame, &new.frame_name, &new.title, tx.now()),
    )?;
    let made = get(tx, &new.id)?;
    tx.emit(&subject(&made), &EventKind::SessionCreated { title: new.title.clone() })?;
    Ok(made)
}

/// What a conversation's events are about.
#[must_use]
pub fn subject(session: &Session) -> Subject {
    Subject {
        frame: Some(session.frame.clone()),
        frame_name: Some(session.frame_name.clone()),
        session: Some(session.id.clone()),
        message: None,
        ..Subject::default()
    }
}

pub(super) fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get("id")?,
        frame: row.get("frame_id")?,
        frame_name: row.get("frame_name")?,
        agent_session: row.get("agent_session")?,
        forked_from: row.get("forked_from")?,
        title: row.get("title")?,
        created_at: unsigned(row, "created_at")?,
        last_active_at: unsigned(row, "last_active_at")?,
    })
}

/// The conversation of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &SessionId) -> Result<Session, StoreError> {
    ask.maybe_row("SELECT * FROM sessions WHERE id = ?1", (id,), session)?
        .ok_or_else(|| StoreError::NotFound { what: "session", key: id.to_string() })
}

/// Where a conversation is looked for.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    /// In one frame.
    Of(&'a FrameId),
    /// In all frames that had that name, also in those that are gone.
    Named(&'a FrameName),
    /// Everywhere.
    All,
}

/// What people's word for a conversation led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// To nothing.
    Nothing,
    /// To one.
    One(Session),
    /// To several, last used first.
    Several(Vec<Session>),
}

/// A shorter beginning of an id is not looked for: it could be a title's first word.
const SHORTEST_PREFIX: usize = 6;

/// A conversation by what people write: `last`, an id (opencode's too), a title, or how an id begins.
///
/// # Errors
/// Whatever the database says.
pub fn named(ask: &impl Queryable, among: Among<'_>, word: &str) -> Result<Named, StoreError> {
    if word == "last" {
        let newest = matching(ask, among, "?3 = 'last'", word, 1)?.pop();
        return Ok(newest.map_or(Named::Nothing, Named::One));
    }
    let mut ways = vec!["id = ?3 OR agent_session = ?3", "title = ?3"];
    if word.len() >= SHORTEST_PREFIX {
        ways.push("substr(id, 1, length(?3)) = lower(?3)");
    }
    for way in ways {
        let mut found = matching(ask, among, way, word, 20)?;
        match found.len() {
            0 => {}
            1 => return Ok(found.pop().map_or(Named::Nothing, Named::One)),
            _ => return Ok(Named::Several(found)),
        }
    }
    Ok(Named::Nothing)
}

fn matching(
    ask: &impl Queryable,
    among: Among<'_>,
    way: &str,
    word: &str,
    limit: u32,
) -> Result<Vec<Session>, StoreError> {
    let (id, name) = match among {
        Among::Of(id) => (Some(id), None),
        Among::Named(name) => (None, Some(name)),
        Among::All => (None, None),
    };
    let sql = format!(
        "SELECT * FROM sessions
          WHERE (?1 IS NULL OR frame_id = ?1) AND (?2 IS NULL OR frame_name = ?2) AND ({way})
          ORDER BY last_active_at DESC, rowid DESC
          LIMIT ?4"
    );
    ask.rows(&sql, (id, name, word, limit), session)
}

/// The conversation of that frame that was used last.
///
/// # Errors
/// Whatever the database says.
pub fn last_of(ask: &impl Queryable, frame: &FrameId) -> Result<Option<Session>, StoreError> {
    Ok(matching(ask, Among::Of(frame), "?3 = ''", "", 1)?.pop())
}

/// The conversation that the agent knows by that id.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_agent_session(
    ask: &impl Queryable,
    frame: &FrameId,
    agent_session: &AgentSessionId,
) -> Result<Option<Session>, StoreError> {
    ask.maybe_row(
        "SELECT * FROM sessions WHERE frame_id = ?1 AND agent_session = ?2",
        (frame, agent_session),
        session,
    )
}

/// Keeps the agent's id of a conversation; it never changes afterwards.
///
/// # Errors
/// [`StoreError::Conflict`] when it has another one already, or another conversation of the frame has this one.
pub fn set_agent_session(
    tx: &mut Tx<'_>,
    id: &SessionId,
    agent_session: &AgentSessionId,
) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the agent's session",
        "UPDATE sessions SET agent_session = ?2
          WHERE id = ?1 AND (agent_session IS NULL OR agent_session = ?2)",
        (id, agent_session),
    )
}

/// The conversation that the agent knows by that id; it is made, and told of, when there is none yet.
///
/// # Errors
/// Whatever the database says.
pub fn adopt(
    tx: &mut Tx<'_>,
    agent_session: &AgentSessionId,
    new: &NewSession,
) -> Result<Session, StoreError> {
    if let Some(known) = find_by_agent_session(tx, &new.frame, agent_session)? {
        return Ok(known);
    }
    insert(tx, new)?;
    set_agent_session(tx, &new.id, agent_session)?;
    get(tx, &new.id)
}

/// The agent lost the conversation (its home was replaced); the next message begins a new one for it.
///
/// # Errors
/// [`StoreError::Conflict`] when `lost` is not what the row says.
pub fn clear_agent_session(tx: &mut Tx<'_>, id: &SessionId, lost: &AgentSessionId) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the agent's session",
        "UPDATE sessions SET agent_session = NULL WHERE id = ?1 AND agent_session = ?2",
        (id, lost),
    )
}

/// It was used just now.
///
/// # Errors
/// Whatever the database says.
pub fn touch(tx: &mut Tx<'_>, id: &SessionId) -> Result<(), StoreError> {
    tx.change("UPDATE sessions SET last_active_at = ?2 WHERE id = ?1", (id, tx.now()))?;
    Ok(())
}

/// How many messages people wrote in it: what is in its history, in a terminal too and before it was split off
/// another one, and what was sent and is not there yet. Triggers keep the number.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn written(ask: &impl Queryable, id: &SessionId) -> Result<u64, StoreError> {
    let sql = "SELECT message_count FROM sessions WHERE id = ?1";
    let found = ask.maybe_row(sql, (id,), |row| unsigned(row, "message_count"))?;
    found.ok_or_else(|| StoreError::NotFound { what: "session", key: id.to_string() })
}

/// Conversations with the number of messages that people wrote in them, last used first.
///
/// By the frame's name, so that those of a frame that is gone are found too; all of them without a name.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable, frame: Option<&FrameName>) -> Result<Vec<(Session, u64)>, StoreError> {
    ask.rows(
        "SELECT * FROM sessions
          WHERE ?1 IS NULL OR frame_name = ?1
          ORDER BY last_active_at DESC, rowid DESC",
        (frame,),
        |row| Ok((session(row)?, unsigned(row, "message_count")?)),
    )
}

/// Gives a conversation another title, and tells of it.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn rename(tx: &mut Tx<'_>, id: &SessionId, title: &str) -> Result<Session, StoreError> {
    let before = get(tx, id)?;
    if before.title == title {
        return Ok(before);
    }
    tx.change("UPDATE sessions SET title = ?2 WHERE id = ?1", (id, title))?;
    tx.emit(&subject(&before), &EventKind::SessionRenamed { title: title.to_owned() })?;
    get(tx, id)
}

/// A title that its agent does not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Of which conversation.
    pub session: SessionId,
    /// The agent's id of it.
    pub agent_session: AgentSessionId,
    /// The title.
    pub title: String,
}

/// Notes that the agent of a conversation is to be told its title. A conversation that no agent knows is made under
/// the right one.
///
/// # Errors
/// Whatever the database says.
pub fn note_untold(tx: &mut Tx<'_>, id: &SessionId) -> Result<(), StoreError> {
    tx.change("UPDATE sessions SET title_untold = 1 WHERE id = ?1 AND agent_session IS NOT NULL", (id,))?;
    Ok(())
}

/// The titles that the agent of a frame is still to be told.
///
/// # Errors
/// Whatever the database says.
pub fn untold(ask: &impl Queryable, frame: &FrameId) -> Result<Vec<Untold>, StoreError> {
    ask.rows(
        "SELECT id, agent_session, title FROM sessions
          WHERE frame_id = ?1 AND title_untold = 1 AND agent_session IS NOT NULL
          ORDER BY rowid",
        (frame,),
        |row| {
            Ok(Untold {
                session: row.get("id")?,
                agent_session: row.get("agent_session")?,
                title: row.get("title")?,
            })
        },
    )
}

/// The agent was told that title. One that was given meanwhile is still to be told.
///
/// # Errors
/// Whatever the database says.
pub fn told(tx: &mut Tx<'_>, id: &SessionId, title: &str) -> Result<(), StoreError> {
    tx.change(
        "UPDATE sessions SET agent_title = ?2, title_untold = title <> ?2
          WHERE id = ?1 AND (title_untold = 1 OR title = ?2)",
        (id, title),
    )?;
    Ok(())
}

/// Takes over what the agent calls a conversation, if that is news. An agent that slept while its
/// conversation was renamed goes on telling the old title; that is none, and ours is kept until it was told.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn retitle(tx: &mut Tx<'_>, id: &SessionId, title: &str) -> Result<(), StoreError> {
    let is_news =
        tx.change("UPDATE sessions SET agent_title = ?2 WHERE id = ?1 AND agent_title <> ?2", (id, title))?;
    let is_ours =
        tx.maybe_row("SELECT 1 FROM sessions WHERE id = ?1 AND title_untold = 1", (id,), |_| Ok(()))?;
    if is_news > 0 && is_ours.is_none() && !title.trim().is_empty() {
        rename(tx, id, title)?;
    }
    Ok(())
}

/// Notes where a conversation was split off.
///
/// # Errors
/// Whatever the database says.
pub fn set_forked_from(tx: &mut Tx<'_>, id: &SessionId, from: &SessionId) -> Result<(), StoreError> {
    tx.change("UPDATE sessions SET forked_from = ?2 WHERE id = ?1", (id, from))?;
    Ok(())
}

/// Removes a conversation with everything that was said in it and all events that tell of it, and says so. What
/// it cost stays in the books.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] while a message of it is on its way.
pub fn remove(tx: &mut Tx<'_>, id: &SessionId) -> Result<Session, StoreError> {
    let session = get(tx, id)?;
    let open = "SELECT 1 FROM messages
                 WHERE session_id = ?1 AND state NOT IN ('answered', 'failed', 'cancelled') LIMIT 1";
    if tx.maybe_row(open, (id,), |_| Ok(()))?.is_some() {
        return Err(StoreError::Conflict { what: format!("a message of session {id}") });
    }
    for table in ["agent_messages", "approvals", "events", "messages"] {
        tx.change(&format!("DELETE FROM {table} WHERE session_id = ?1"), (id,))?;
    }
    tx.change("DELETE FROM sessions WHERE id = ?1", (id,))?;
    tx.emit(&subject(&session), &EventKind::SessionRemoved {})?;
    Ok(session)
}

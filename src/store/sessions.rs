//! Conversations. They outlive their frame.

use rusqlite::Row;

use super::values::unsigned;
use super::{Ask, StoreError, Tx};
use crate::model::agent::AgentSessionId;
use crate::model::event::{Happening, Subject};
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
        "INSERT INTO sessions (id, frame_id, frame_name, title, created_at, last_active_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        (&new.id, &new.frame, &new.frame_name, &new.title, tx.now()),
    )?;
    let subject = Subject {
        frame: Some(new.frame.clone()),
        frame_name: Some(new.frame_name.clone()),
        session: Some(new.id.clone()),
        message: None,
    };
    tx.emit(&subject, &Happening::SessionCreated { title: new.title.clone() })?;
    get(tx, &new.id)
}

fn session(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get("id")?,
        frame: row.get("frame_id")?,
        frame_name: row.get("frame_name")?,
        agent_session: row.get("agent_session")?,
        title: row.get("title")?,
        created_at: unsigned(row, "created_at")?,
        last_active_at: unsigned(row, "last_active_at")?,
    })
}

/// The conversation of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Ask, id: &SessionId) -> Result<Session, StoreError> {
    ask.maybe_row("SELECT * FROM sessions WHERE id = ?1", (id,), session)?
        .ok_or_else(|| StoreError::NotFound { what: "session", key: id.to_string() })
}

/// A conversation of that frame by what people write: `last`, an id, or a title (the newest of that title).
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Ask, frame: &FrameId, word: &str) -> Result<Option<Session>, StoreError> {
    if word == "last" {
        return ask.maybe_row(
            "SELECT * FROM sessions WHERE frame_id = ?1 ORDER BY last_active_at DESC, rowid DESC LIMIT 1",
            (frame,),
            session,
        );
    }
    ask.maybe_row(
        "SELECT * FROM sessions
          WHERE frame_id = ?1 AND (id = ?2 OR title = ?2)
          ORDER BY id = ?2 DESC, last_active_at DESC, rowid DESC
          LIMIT 1",
        (frame, word),
        session,
    )
}

/// The conversation that the agent knows by that id.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_agent_session(
    ask: &impl Ask,
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

/// The agent gave the conversation another title; tells of it when it is another one.
///
/// # Errors
/// Whatever the database says.
pub fn retitle(tx: &mut Tx<'_>, id: &SessionId, title: &str) -> Result<(), StoreError> {
    let before = get(tx, id)?;
    if before.title == title {
        return Ok(());
    }
    tx.change("UPDATE sessions SET title = ?2 WHERE id = ?1", (id, title))?;
    let subject = Subject {
        frame: Some(before.frame),
        frame_name: Some(before.frame_name),
        session: Some(before.id),
        message: None,
    };
    tx.emit(&subject, &Happening::SessionRenamed { title: title.to_owned() })?;
    Ok(())
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

/// Conversations with the number of messages sent in them, last used first.
///
/// By the frame's name, so that those of a frame that is gone are found too; all of them without a name.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Ask, frame: Option<&FrameName>) -> Result<Vec<(Session, u64)>, StoreError> {
    ask.rows(
        "SELECT sessions.*, (SELECT count(*) FROM messages WHERE messages.session_id = sessions.id) AS sent
           FROM sessions
          WHERE ?1 IS NULL OR frame_name = ?1
          ORDER BY last_active_at DESC, rowid DESC",
        (frame,),
        |row| Ok((session(row)?, unsigned(row, "sent")?)),
    )
}

//! What was said, as the agent keeps it.

use super::values::{json, role_word, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::agent::{AgentMessage, AgentMessageId};
use crate::model::ids::SessionId;

/// Keeps a message; a newer version of it replaces the older one. One that is undone by now is kept as that.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no such conversation.
pub fn upsert(tx: &mut Tx<'_>, session: &SessionId, message: &AgentMessage) -> Result<(), StoreError> {
    let head = &message.head;
    tx.change(
        "INSERT INTO agent_messages (session_id, agent_message, role, head, parts, created_at,
                                     taken_back, taken_back_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                 (SELECT 'undone' FROM sessions WHERE id = ?1
                     AND (?2 > undone_from OR (?2 = undone_from AND NOT undone_keeps))),
                 (SELECT ?7 FROM sessions WHERE id = ?1
                     AND (?2 > undone_from OR (?2 = undone_from AND NOT undone_keeps))))
         ON CONFLICT (session_id, agent_message)
         DO UPDATE SET role = excluded.role, head = excluded.head, parts = excluded.parts
             WHERE role IS NOT excluded.role OR head IS NOT excluded.head OR parts IS NOT excluded.parts",
        (
            session,
            &head.id,
            role_word(head.role),
            to_json(head, "an agent's message")?,
            to_json(&message.parts, "an agent's parts")?,
            to_sql_int(head.created_at),
            tx.now(),
        ),
    )?;
    Ok(())
}

/// Everything that was said in a conversation, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn of_session(ask: &impl Queryable, session: &SessionId) -> Result<Vec<AgentMessage>, StoreError> {
    ask.rows(
        "SELECT head, parts FROM agent_messages WHERE session_id = ?1 ORDER BY agent_message",
        (session,),
        |row| {
            Ok(AgentMessage {
                head: json(row, "head", "an agent's message")?,
                parts: json(row, "parts", "an agent's parts")?,
            })
        },
    )
}

/// How far a conversation's history goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The newest message that is kept.
    pub newest: Option<AgentMessageId>,
    /// The agent's messages among the last ones that were not complete when they were kept.
    pub unfinished: Vec<AgentMessageId>,
    /// When the newest message was written (UTC ms), 0 without one.
    pub until: u64,
}

/// How far a conversation's history goes.
///
/// # Errors
/// Whatever the database says.
pub fn reach(ask: &impl Queryable, session: &SessionId) -> Result<Reach, StoreError> {
    /// How far back is looked for messages that were not complete.
    const LOOK_BACK: i64 = 40;
    let rows = ask.rows(
        "SELECT agent_message, created_at,
                role = 'assistant' AND json_extract(head, '$.completed_at') IS NULL
                    AND json_extract(head, '$.error') IS NULL AS unfinished
           FROM agent_messages WHERE session_id = ?1 ORDER BY agent_message DESC LIMIT ?2",
        (session, LOOK_BACK),
        |row| {
            let id: AgentMessageId = row.get("agent_message")?;
            Ok((id, unsigned(row, "created_at")?, row.get::<_, bool>("unfinished")?))
        },
    )?;
    let until = rows.iter().map(|(_, at, _)| *at).max().unwrap_or_default();
    let newest = rows.first().map(|(id, ..)| id.clone());
    let unfinished = rows.into_iter().filter(|(_, _, open)| *open).map(|(id, ..)| id).collect();
    Ok(Reach { newest, unfinished, until })
}

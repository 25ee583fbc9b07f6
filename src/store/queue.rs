//! Messages that wait: who is next, who may be changed, how many there are.

use super::messages::{get, message, subject};
use super::values::to_sql_int;
use super::{Queryable, StoreError, Tx};
use crate::model::agent::ModelRef;
use crate::model::event::EventKind;
use crate::model::ids::{FrameId, MessageId, SessionId};
use crate::model::message::{Message, MessageText};

/// What may be changed of a message that waits. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The words.
    pub text: Option<MessageText>,
    /// With which model.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents.
    pub agent: Option<String>,
}

/// How many messages wait, and how many conversations have something to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Queued in the conversation.
    pub in_session: u64,
    /// Queued in the frame.
    pub in_frame: u64,
    /// Open in the conversation, the one that runs included.
    pub open_in_session: u64,
    /// Conversations of the frame with an open message.
    pub busy_sessions: u64,
}

/// The message that the conversation is about now: one that was begun, else the next.
///
/// # Errors
/// Whatever the database says.
pub fn head(ask: &impl Queryable, session: &SessionId) -> Result<Option<Message>, StoreError> {
    ask.maybe_row(
        "SELECT * FROM messages
          WHERE session_id = ?1 AND state IN ('queued', 'sending', 'sent', 'running')
          ORDER BY state = 'queued', urgent DESC, rowid
          LIMIT 1",
        (session,),
        message,
    )
}

/// The message that has waited longest, wherever it stands.
///
/// # Errors
/// Whatever the database says.
pub fn oldest(ask: &impl Queryable) -> Result<Option<Message>, StoreError> {
    // The first condition is the index's.
    ask.maybe_row(
        "SELECT * FROM messages
          WHERE state IN ('queued', 'sending', 'sent', 'running') AND state = 'queued'
          ORDER BY created_at, rowid
          LIMIT 1",
        (),
        message,
    )
}

/// Messages that are not at their end yet, in the order in which they go, conversation by conversation.
///
/// # Errors
/// Whatever the database says.
pub fn list(
    ask: &impl Queryable,
    frame: Option<&FrameId>,
    session: Option<&SessionId>,
) -> Result<Vec<Message>, StoreError> {
    ask.rows(
        "SELECT *, min(rowid) OVER (PARTITION BY session_id) AS begun FROM messages
          WHERE state IN ('queued', 'sending', 'sent', 'running')
            AND (?1 IS NULL OR frame_id = ?1) AND (?2 IS NULL OR session_id = ?2)
          ORDER BY begun, state = 'queued', urgent DESC, rowid",
        (frame, session),
        message,
    )
}

/// Counts what waits beside a message to `session` of `frame`.
///
/// # Errors
/// Whatever the database says.
pub fn waiting(ask: &impl Queryable, frame: &FrameId, session: &SessionId) -> Result<Waiting, StoreError> {
    let counted = ask.maybe_row(
        "SELECT count(*) FILTER (WHERE state = 'queued' AND session_id = ?2),
                count(*) FILTER (WHERE state = 'queued'),
                count(*) FILTER (WHERE session_id = ?2),
                count(DISTINCT session_id)
           FROM messages
          WHERE frame_id = ?1 AND state IN ('queued', 'sending', 'sent', 'running')",
        (frame, session),
        |row| {
            let count = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
            Ok(Waiting {
                in_session: count(0)?,
                in_frame: count(1)?,
                open_in_session: count(2)?,
                busy_sessions: count(3)?,
            })
        },
    )?;
    Ok(counted.unwrap_or_default())
}

/// Messages that were begun and are not at their end, of one conversation.
///
/// # Errors
/// Whatever the database says.
pub fn begun(ask: &impl Queryable, session: &SessionId) -> Result<Vec<Message>, StoreError> {
    ask.rows(
        "SELECT * FROM messages WHERE session_id = ?1 AND state IN ('sending', 'sent', 'running') ORDER BY rowid",
        (session,),
        message,
    )
}

/// Whether the frame rests because somebody asked for that after this message was sent, and nobody has sent
/// anything since: what was waiting then does not wake it.
///
/// # Errors
/// Whatever the database says.
pub fn rests(ask: &impl Queryable, waiting: &Message) -> Result<bool, StoreError> {
    let rests = ask.maybe_row(
        "SELECT frames.desired IN ('stopped', 'paused') AND frames.state <> 'error' AND ?2 < frames.desired_at
                AND NOT EXISTS (SELECT 1 FROM messages
                                 WHERE frame_id = frames.id AND state = 'queued'
                                   AND created_at >= frames.desired_at)
           FROM frames WHERE id = ?1",
        (&waiting.frame, to_sql_int(waiting.created_at)),
        |row| Ok(row.get::<_, bool>(0)?),
    )?;
    Ok(rests.unwrap_or(false))
}

/// Notes that a message that was begun is to be stopped, and why. The first reason stays.
///
/// # Errors
/// [`StoreError::Conflict`] when it is at its end.
pub fn ask_to_stop(tx: &mut Tx<'_>, id: &MessageId, why: &str) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the message that is to be stopped",
        "UPDATE messages SET stop = coalesce(stop, ?2)
          WHERE id = ?1 AND state IN ('queued', 'sending', 'sent', 'running')",
        (id, why),
    )
}

/// Changes a message that waits, and tells of it. Its place stays.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it does not wait any more.
pub fn edit(tx: &mut Tx<'_>, id: &MessageId, edit: &Edit) -> Result<Message, StoreError> {
    get(tx, id)?;
    tx.change_exactly_one(
        "the message does not wait any more, and",
        "UPDATE messages
            SET given = CASE WHEN ?2 IS NULL THEN given ELSE coalesce(given, text) END,
                text = coalesce(?2, text),
                model = coalesce(?3, model),
                route = iif(?3 IS NULL, route, NULL),
                agent = coalesce(?4, agent)
          WHERE id = ?1 AND state = 'queued' AND stop IS NULL",
        (id, edit.text.as_ref().map(MessageText::as_str), &edit.model, &edit.agent),
    )?;
    let edited = get(tx, id)?;
    tx.emit(&subject(&edited), &EventKind::MessageEdited { text: edited.text.clone() })?;
    Ok(edited)
}

/// Notes that a message is handed over again, under the same id.
///
/// # Errors
/// [`StoreError::Conflict`] when it was already, or the agent has begun.
pub fn note_resent(tx: &mut Tx<'_>, id: &MessageId) -> Result<Message, StoreError> {
    tx.change_exactly_one(
        "the message to hand over again",
        "UPDATE messages SET resent_at = ?2
          WHERE id = ?1 AND resent_at IS NULL AND stop IS NULL AND state IN ('sending', 'sent')",
        (id, tx.now()),
    )?;
    get(tx, id)
}

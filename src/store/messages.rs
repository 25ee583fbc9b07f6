//! Prompts on their way to a frame.

use std::collections::BTreeMap;

use rusqlite::Row;

use super::values::{maybe_unsigned, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::agent::{AgentMessageId, ModelRef};
use crate::model::event::{EventKind, Subject};
use crate::model::ids::{FrameId, MessageId, RunId, SessionId};
use crate::model::message::{DeliveryState, Message};
use crate::model::names::FrameName;
use crate::model::origin::Origin;
use crate::model::usage::Tokens;

/// A message to be.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Chosen by the caller.
    pub id: MessageId,
    /// The same key gives the same message.
    pub idempotency_key: Option<String>,
    /// Whom it is for.
    pub frame: FrameId,
    /// The frame's name.
    pub frame_name: FrameName,
    /// The conversation it belongs to.
    pub session: SessionId,
    /// What it is sent by.
    pub origin: Origin,
    /// For which run.
    pub run: Option<RunId>,
    /// What is asked.
    pub text: String,
    /// With which model.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents.
    pub agent: Option<String>,
    /// Whether it goes before the others of its conversation.
    pub urgent: bool,
}

/// How a turn ended well.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// The answer's text.
    pub answer: String,
    /// Tokens of the turn.
    pub tokens: Tokens,
    /// Cost of the turn in millionths of a US dollar.
    pub cost_microusd: u64,
    /// `stop`, `length`, …
    pub finish: Option<String>,
}

/// Stores a message as queued, unless one with its idempotency key is already there; says whether it is new.
///
/// # Errors
/// [`StoreError::Conflict`] when the key belongs to a message with another text or frame.
pub fn insert_once(tx: &mut Tx<'_>, new: &NewMessage) -> Result<(Message, bool), StoreError> {
    if let Some(key) = &new.idempotency_key
        && let Some(known) = find_by_key(tx, key)?
    {
        if known.given.as_ref().unwrap_or(&known.text) != &new.text || known.frame_name != new.frame_name {
            let what = "the idempotency key belongs to another message, and".to_owned();
            return Err(StoreError::Conflict { what });
        }
        return Ok((known, false));
    }
    tx.change(
        "INSERT INTO messages (id, idempotency_key, frame_id, frame_name, session_id, text, model, agent,
                               urgent, state, created_at, origin, run_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?10, ?11, ?12)",
        (
            &new.id,
            &new.idempotency_key,
            &new.frame,
            &new.frame_name,
            &new.session,
            &new.text,
            &new.model,
            &new.agent,
            new.urgent,
            tx.now(),
            new.origin,
            &new.run,
        ),
    )?;
    let message = get(tx, &new.id)?;
    tx.emit(&subject(&message), &EventKind::MessageQueued {})?;
    Ok((message, true))
}

pub(super) fn message(row: &Row<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        id: row.get("id")?,
        idempotency_key: row.get("idempotency_key")?,
        frame: row.get("frame_id")?,
        frame_name: row.get("frame_name")?,
        session: row.get("session_id")?,
        origin: row.get("origin")?,
        run: row.get("run_id")?,
        text: row.get("text")?,
        model: row.get("model")?,
        agent: row.get("agent")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        agent_message: row.get("agent_message")?,
        answer: row.get("answer")?,
        tokens: tokens(row)?,
        cost_microusd: unsigned(row, "cost_microusd")?,
        created_at: unsigned(row, "created_at")?,
        sent_at: maybe_unsigned(row, "sent_at")?,
        ended_at: maybe_unsigned(row, "ended_at")?,
        urgent: row.get("urgent")?,
        stop: row.get("stop")?,
        given: row.get("given")?,
        resent_at: maybe_unsigned(row, "resent_at")?,
        route: row.get("route")?,
    })
}

/// The five token columns, which `messages` and `usage` share.
pub(super) fn tokens(row: &Row<'_>) -> Result<Tokens, StoreError> {
    Ok(Tokens {
        input: unsigned(row, "input_tokens")?,
        output: unsigned(row, "output_tokens")?,
        reasoning: unsigned(row, "reasoning_tokens")?,
        cache_read: unsigned(row, "cache_read_tokens")?,
        cache_write: unsigned(row, "cache_write_tokens")?,
    })
}

/// The message of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &MessageId) -> Result<Message, StoreError> {
    ask.maybe_row("SELECT * FROM messages WHERE id = ?1", (id,), message)?
        .ok_or_else(|| StoreError::NotFound { what: "message", key: id.to_string() })
}

/// Gives a message that names none a model, with the rule that it is by.
///
/// # Errors
/// [`StoreError::Conflict`] when it has one.
pub fn set_route(tx: &mut Tx<'_>, id: &MessageId, model: &ModelRef, why: &str) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the message has a model, and",
        "UPDATE messages SET model = ?2, route = ?3 WHERE id = ?1 AND model IS NULL",
        (id, model, why),
    )
}

/// The message that was stored under that idempotency key, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_key(ask: &impl Queryable, key: &str) -> Result<Option<Message>, StoreError> {
    ask.maybe_row("SELECT * FROM messages WHERE idempotency_key = ?1", (key,), message)
}

/// The message that the agent knows by that id.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_agent_message(
    ask: &impl Queryable,
    id: &AgentMessageId,
) -> Result<Option<Message>, StoreError> {
    ask.maybe_row("SELECT * FROM messages WHERE agent_message = ?1", (id,), message)
}

/// Messages that are not at their end yet, oldest first; of one frame or of all.
///
/// # Errors
/// Whatever the database says.
pub fn list_open(ask: &impl Queryable, frame: Option<&FrameId>) -> Result<Vec<Message>, StoreError> {
    ask.rows(
        "SELECT * FROM messages
          WHERE state IN ('queued', 'sending', 'sent', 'running') AND (?1 IS NULL OR frame_id = ?1)
          ORDER BY rowid",
        (frame,),
        message,
    )
}

/// The newest messages, newest first; of a frame (by name, so also of one that is gone) or of all.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable, frame: Option<&FrameName>, limit: u32) -> Result<Vec<Message>, StoreError> {
    ask.rows(
        "SELECT * FROM messages WHERE ?1 IS NULL OR frame_name = ?1 ORDER BY rowid DESC LIMIT ?2",
        (frame, limit),
        message,
    )
}

/// Messages of a conversation, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn of_session(ask: &impl Queryable, session: &SessionId) -> Result<Vec<Message>, StoreError> {
    ask.rows("SELECT * FROM messages WHERE session_id = ?1 ORDER BY rowid", (session,), message)
}

/// What began a message, and for which run.
pub type Source = (Origin, Option<RunId>);

/// What each message of a conversation was sent by, by the agent's id of it.
///
/// # Errors
/// Whatever the database says.
pub fn sources(
    ask: &impl Queryable,
    session: &SessionId,
) -> Result<BTreeMap<AgentMessageId, Source>, StoreError> {
    let rows = ask.rows(
        "SELECT agent_message, origin, run_id FROM messages WHERE session_id = ?1 AND agent_message IS NOT NULL",
        (session,),
        |row| Ok((row.get("agent_message")?, (row.get("origin")?, row.get("run_id")?))),
    )?;
    Ok(rows.into_iter().collect())
}

/// Moves a message, or reports that it cannot go there (any more). An answer goes through [`finish`].
///
/// Back to `queued` keeps the agent's id: sent again under the same one, it stays one message whatever is
/// still on its way.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when deliveries have no such move.
pub fn move_to(
    tx: &mut Tx<'_>,
    id: &MessageId,
    to: DeliveryState,
    reason: Option<&str>,
) -> Result<Message, StoreError> {
    let before = get(tx, id)?;
    set_state(tx, &before, to, reason)?;
    let moved = EventKind::MessageMoved { to, reason: reason.map(str::to_owned) };
    tx.emit(&subject(&before), &moved)?;
    get(tx, id)
}

fn set_state(
    tx: &mut Tx<'_>,
    before: &Message,
    to: DeliveryState,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    before.state.to(to).map_err(|illegal| StoreError::Conflict { what: illegal.to_string() })?;
    tx.change_exactly_one(
        "the message's state",
        "UPDATE messages
            SET state = ?3,
                reason = ?4,
                sent_at = CASE WHEN ?3 IN ('sent', 'running') THEN coalesce(sent_at, ?5) ELSE sent_at END,
                ended_at = CASE WHEN ?6 THEN ?5 ELSE NULL END
          WHERE id = ?1
            AND state = ?2",
        (&before.id, before.state, to, reason, tx.now(), to.is_final()),
    )
}

/// Keeps the agent's id of a message. Belongs into the transaction that moves it to `sending`: after a
/// crash the agent is asked for this id before anything is sent again.
///
/// # Errors
/// [`StoreError::Conflict`] when the message is not `sending` or the id is taken.
pub fn set_agent_message(
    tx: &mut Tx<'_>,
    id: &MessageId,
    agent_message: &AgentMessageId,
) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the agent's message",
        "UPDATE messages SET agent_message = ?2 WHERE id = ?1 AND state = 'sending'",
        (id, agent_message),
    )
}

/// Keeps what a turn used so far, however it ends.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no such message.
pub fn set_usage(
    tx: &mut Tx<'_>,
    id: &MessageId,
    tokens: &Tokens,
    cost_microusd: u64,
) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the message",
        "UPDATE messages
            SET input_tokens = ?2, output_tokens = ?3, reasoning_tokens = ?4,
                cache_read_tokens = ?5, cache_write_tokens = ?6, cost_microusd = ?7
          WHERE id = ?1",
        (
            id,
            to_sql_int(tokens.input),
            to_sql_int(tokens.output),
            to_sql_int(tokens.reasoning),
            to_sql_int(tokens.cache_read),
            to_sql_int(tokens.cache_write),
            to_sql_int(cost_microusd),
        ),
    )
}

/// Stores the answer and what it cost, and tells of it.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it cannot be answered (any more).
pub fn finish(tx: &mut Tx<'_>, id: &MessageId, end: &Finish) -> Result<Message, StoreError> {
    let before = get(tx, id)?;
    set_state(tx, &before, DeliveryState::Answered, None)?;
    set_usage(tx, id, &end.tokens, end.cost_microusd)?;
    tx.change("UPDATE messages SET answer = ?2 WHERE id = ?1", (id, &end.answer))?;
    let answered = EventKind::Answered {
        answer: end.answer.clone(),
        tokens: end.tokens,
        cost_microusd: end.cost_microusd,
        duration_ms: tx.now_ms().saturating_sub(before.sent_at.unwrap_or(before.created_at)),
        finish: end.finish.clone(),
    };
    tx.emit(&subject(&before), &answered)?;
    get(tx, id)
}

/// What a message's events are about.
#[must_use]
pub fn subject(message: &Message) -> Subject {
    Subject {
        frame: Some(message.frame.clone()),
        frame_name: Some(message.frame_name.clone()),
        session: Some(message.session.clone()),
        message: Some(message.id.clone()),
        ..Subject::default()
    }
}

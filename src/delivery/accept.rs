//! Taking a message in: what may be sent, and the transaction that stores it.

use std::time::Duration;

use serde_json::json;

use super::error::SendError;
use super::{Rules, queue};
use crate::clock;
use crate::model::agent::ModelRef;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{Message, Session};
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::store::messages::NewMessage;
use crate::store::sessions::NewSession;
use crate::store::{Tx, approvals, events, frames, messages, sessions};

/// The longest message.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// What somebody wants to be asked.
#[derive(Clone, Debug, Default)]
pub struct SendRequest {
    /// The frame's name.
    pub frame: String,
    /// The words.
    pub text: String,
    /// A session id, a title, `last`, or `new`; `last` when absent.
    pub session: Option<String>,
    /// With which model.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents.
    pub agent: Option<String>,
    /// Nobody is there: what the agent asks is denied after so long.
    pub unattended: Option<Duration>,
    /// Stops what the conversation does and goes before everything that waits there.
    pub interrupt: bool,
    /// Refused unless it can be sent without waiting.
    pub now: bool,
}

/// A message that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its row.
    pub message: Message,
    /// Whether this request made it; a repeat with the same key finds the first one.
    pub is_new: bool,
    /// Everything about the message has a greater event id.
    pub after_event: u64,
    /// The frame does not run and is being started.
    pub wakes_frame: bool,
    /// What was stopped for it.
    pub interrupted: Vec<MessageId>,
    /// How many messages of the conversation come before it.
    pub before: u64,
}

pub(super) fn check_text(text: &str) -> Result<(), SendError> {
    if text.trim().is_empty() {
        return Err(SendError::Empty);
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(SendError::TooLong { bytes: text.len(), limit: MAX_TEXT_BYTES });
    }
    Ok(())
}

/// Message, audit row and event in one transaction; a repeat changes nothing.
pub(super) fn accept(
    tx: &mut Tx<'_>,
    principal: &Principal,
    rules: Rules,
    id: MessageId,
    name: &FrameName,
    request: SendRequest,
    key: Option<String>,
) -> Result<Accepted, SendError> {
    if let Some(key) = &key
        && let Some(known) = messages::find_by_key(tx, key)?
    {
        if known.given.as_ref().unwrap_or(&known.text) != &request.text || known.frame_name != *name {
            return Err(SendError::KeyTaken);
        }
        return accepted(tx, known, false, None);
    }
    let frame = frames::find_by_name(tx, name)?.ok_or_else(|| SendError::NoFrame(name.to_string()))?;
    if frame.desired == Desired::Removed {
        return Err(SendError::BeingDestroyed(name.to_string()));
    }
    let session = choose_session(tx, &frame, request.session.as_deref(), &request.text)?;
    let waiting = crate::store::queue::waiting(tx, &frame.id, &session.id)?;
    if request.now && !request.interrupt {
        rules.only_now(waiting, name, frame.state)?;
    }
    rules.make_room(waiting, name)?;
    let interrupted = match request.interrupt {
        true => queue::stop_what_runs(tx, &session.id, &id, principal)?,
        false => Vec::new(),
    };
    let new = NewMessage {
        id,
        idempotency_key: key,
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        session: session.id.clone(),
        text: request.text,
        model: request.model,
        agent: request.agent,
        urgent: request.interrupt,
    };
    let (message, is_new) = messages::insert_once(tx, &new)?;
    if let Some(within) = request.unattended {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        approvals::set_unattended(tx, &message.id, within_ms)?;
    }
    sessions::touch(tx, &session.id)?;
    frames::touch(tx, &frame.id)?;
    let detail = json!({"frame": frame.name, "session": session.id, "bytes": message.text.len()});
    tx.audit(principal, "message.send", message.id.as_str(), &detail)?;
    let before = match request.interrupt {
        true => 0,
        false => waiting.open_in_session,
    };
    Ok(Accepted { interrupted, before, ..accepted(tx, message, is_new, Some(&frame))? })
}

fn accepted(
    tx: &Tx<'_>,
    message: Message,
    is_new: bool,
    frame: Option<&Frame>,
) -> Result<Accepted, SendError> {
    let of_message = events::Filter { message: Some(message.id.clone()), ..events::Filter::default() };
    let first = events::after(tx, 0, &of_message, 1)?.first().map(|event| event.id);
    let after_event = match first {
        Some(id) => id - 1,
        None => events::newest_id(tx)?,
    };
    let wakes_frame = frame.is_some_and(|frame| frame.state != FrameState::Running);
    Ok(Accepted { message, is_new, after_event, wakes_frame, interrupted: Vec::new(), before: 0 })
}

fn choose_session(
    tx: &mut Tx<'_>,
    frame: &Frame,
    wanted: Option<&str>,
    text: &str,
) -> Result<Session, SendError> {
    let word = wanted.unwrap_or("last");
    if word != "new" {
        match sessions::named(tx, sessions::Among::Of(&frame.id), word)? {
            sessions::Named::One(found) => return Ok(found),
            sessions::Named::Several(found) => {
                let ids = found.into_iter().map(|session| session.id).collect();
                return Err(SendError::ManySessions { session: word.to_owned(), ids });
            }
            sessions::Named::Nothing => {}
        }
    }
    if !matches!(word, "new" | "last") {
        return Err(SendError::NoSession { frame: frame.name.to_string(), session: word.to_owned() });
    }
    let new = NewSession {
        id: SessionId::from_parts(tx.now_ms(), clock::entropy_128()),
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        title: crate::sessions::title_of(text),
    };
    Ok(sessions::insert(tx, &new)?)
}

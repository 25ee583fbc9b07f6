//! Taking a message in: what may be sent, and the transaction that stores it.

use std::time::Duration;

use serde_json::json;

use super::error::SendError;
use super::{Rules, cancel};
use crate::clock;
use crate::model::agent::ModelRef;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::{MessageId, RunId, SessionId};
use crate::model::message::{IdempotencyKey, Message, MessageText, SendMode, Session, SessionSelector};
use crate::model::names::FrameName;
use crate::model::origin::Origin;
use crate::model::principal::Principal;
use crate::store::messages::NewMessage;
use crate::store::sessions::NewSession;
use crate::store::{Tx, approvals, events, frames, messages, sessions};

/// What somebody wants to be asked.
#[derive(Clone, Debug)]
pub struct SendRequest {
    /// Whom.
    pub frame: FrameName,
    /// The words.
    pub text: MessageText,
    /// In which conversation.
    pub session: SessionSelector,
    /// When it goes, when the conversation is busy.
    pub mode: SendMode,
    /// With which model.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents.
    pub agent: Option<String>,
    /// Nobody is there: what the agent asks is denied after so long.
    pub unattended: Option<Duration>,
    /// The same key gives the same message.
    pub key: Option<IdempotencyKey>,
    /// What it is sent by.
    pub origin: Origin,
    /// For which run.
    pub run: Option<RunId>,
}

impl SendRequest {
    /// A message of a person, of which nothing else is said.
    #[must_use]
    pub fn new(frame: FrameName, text: MessageText) -> Self {
        Self {
            frame,
            text,
            session: SessionSelector::default(),
            mode: SendMode::default(),
            model: None,
            agent: None,
            unattended: None,
            key: None,
            origin: Origin::Person,
            run: None,
        }
    }
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

/// Message, audit row and event in one transaction; a repeat changes nothing.
pub(super) fn accept(
    tx: &mut Tx<'_>,
    principal: &Principal,
    rules: Rules,
    id: MessageId,
    request: SendRequest,
) -> Result<Accepted, SendError> {
    let (name, text) = (&request.frame, request.text.as_str());
    if let Some(key) = &request.key
        && let Some(known) = messages::find_by_key(tx, key.as_str())?
    {
        if known.given.as_ref().unwrap_or(&known.text) != text || known.frame_name != *name {
            return Err(SendError::KeyTaken);
        }
        return accepted(tx, known, false, None);
    }
    let frame = frames::find_by_name(tx, name)?.ok_or_else(|| SendError::NoFrame(name.to_string()))?;
    if frame.desired == Desired::Removed {
        return Err(SendError::BeingDestroyed(name.to_string()));
    }
    if frame.desired == Desired::Stopped
        && let Some(why) = frames::stopped_for(tx, &frame.id)?
    {
        return Err(SendError::StoppedFor { frame: name.to_string(), why });
    }
    let session = choose_session(tx, &frame, &request.session, text)?;
    let waiting = crate::store::queue::waiting(tx, &frame.id, &session.id)?;
    if request.mode == SendMode::Now {
        rules.only_now(waiting, name, frame.state)?;
    }
    rules.make_room(waiting, name)?;
    let urgent = request.mode == SendMode::Interrupt;
    let (interrupted, before) = match urgent {
        true => (cancel::stop_what_runs(tx, &session.id, &id, principal)?, 0),
        false => (Vec::new(), waiting.open_in_session),
    };
    let new = NewMessage {
        id,
        idempotency_key: request.key.map(String::from),
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        session: session.id.clone(),
        origin: request.origin,
        run: request.run,
        text: request.text.into(),
        model: request.model,
        agent: request.agent,
        urgent,
    };
    let (message, is_new) = messages::insert_once(tx, &new)?;
    if let Some(within) = request.unattended {
        let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        approvals::set_unattended(tx, &message.id, within_ms)?;
    }
    sessions::touch(tx, &session.id)?;
    frames::touch(tx, &frame.id)?;
    let detail = json!({
        "frame": frame.name, "session": session.id, "bytes": message.text.len(),
        "origin": message.origin, "run": message.run,
    });
    tx.audit(principal, "message.send", message.id.as_str(), &detail)?;
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
    wanted: &SessionSelector,
    text: &str,
) -> Result<Session, SendError> {
    if let Some(word) = wanted.word() {
        match (sessions::named(tx, sessions::Among::Of(&frame.id), word)?, wanted) {
            (sessions::Named::One(found), _) => return Ok(found),
            (sessions::Named::Several(found), _) => {
                let ids = found.into_iter().map(|session| session.id).collect();
                return Err(SendError::ManySessions { session: word.to_owned(), ids });
            }
            (sessions::Named::Nothing, SessionSelector::Named(name)) => {
                let (frame, session) = (frame.name.to_string(), name.clone());
                return Err(SendError::NoSession { frame, session });
            }
            (sessions::Named::Nothing, _) => {}
        }
    }
    let new = NewSession {
        id: SessionId::from_parts(tx.now_ms(), clock::entropy_128()),
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        title: crate::sessions::title_of(text),
    };
    Ok(sessions::insert(tx, &new)?)
}

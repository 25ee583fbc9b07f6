//! How things stand at one moment of the log.

use crate::model::event::{Event, EventKind};
use crate::model::ids::{FrameId, MessageId, SessionId};
use crate::model::message::Message;
use crate::model::names::FrameName;
use crate::store::events::{self, Filter};
use crate::store::{Db, StoreError, approvals, frames, messages, sessions};
use crate::wire::events::{FrameInSnapshot, OpenMessage, OpenPrompt, Snapshot, TextSoFar};

/// Everything that a reader with that filter needs to go on from here; all of it from one moment.
pub(super) fn take(db: &Db<'_>, filter: &Filter) -> Result<Snapshot, StoreError> {
    let after = events::newest_id(db)?;
    let view = View::of(db, filter)?;
    let frames = frames::list(db)?.into_iter().filter(|frame| view.shows(&frame.id, &frame.name));
    let frames = frames.map(|frame| FrameInSnapshot {
        id: frame.id.to_string(),
        name: frame.name.to_string(),
        state: frame.state,
        desired: frame.desired,
        reason: frame.reason,
    });
    let open = messages::list_open(db, None)?.into_iter().filter(|message| {
        view.shows(&message.frame, &message.frame_name)
            && view.is_of(Some(&message.session), Some(&message.id))
    });
    let open: Result<Vec<OpenMessage>, StoreError> = open
        .map(|message| {
            Ok(OpenMessage {
                texts: text_so_far(&told(db, &message)?),
                id: message.id.to_string(),
                frame: message.frame_name.to_string(),
                session: message.session.to_string(),
                state: message.state,
            })
        })
        .collect();
    let waiting = approvals::open(db, None)?.into_iter().filter(|prompt| {
        view.shows(&prompt.frame, &prompt.frame_name)
            && view.is_of(prompt.session.as_ref(), prompt.message.as_ref())
    });
    let waiting = waiting.map(|prompt| OpenPrompt {
        form: prompt.ask.form().as_str().to_owned(),
        text: prompt.ask.line(),
        id: prompt.id.to_string(),
        agent_request: prompt.ask.id,
        frame: prompt.frame_name.to_string(),
        session: prompt.session.map(|id| id.to_string()),
        message: prompt.message.map(|id| id.to_string()),
    });
    Ok(Snapshot { after, frames: frames.collect(), messages: open?, approvals: waiting.collect() })
}

/// What a filter shows of things that are no events. Kinds say nothing about those.
struct View<'a> {
    filter: &'a Filter,
    /// The frame of the one message or conversation that is shown; `None` when it is not known any more.
    only: Option<Option<FrameId>>,
}

impl<'a> View<'a> {
    fn of(db: &Db<'_>, filter: &'a Filter) -> Result<Self, StoreError> {
        let found = match (&filter.message, &filter.session) {
            (Some(message), _) => Some(messages::get(db, message).map(|message| message.frame)),
            (None, Some(session)) => Some(sessions::get(db, session).map(|session| session.frame)),
            (None, None) => None,
        };
        let only = match found {
            None => None,
            Some(Ok(frame)) => Some(Some(frame)),
            Some(Err(StoreError::NotFound { .. })) => Some(None),
            Some(Err(error)) => return Err(error),
        };
        Ok(Self { filter, only })
    }

    fn shows(&self, frame: &FrameId, name: &FrameName) -> bool {
        let Filter { frame: by_id, frame_name: by_name, .. } = self.filter;
        by_id.as_ref().is_none_or(|wanted| wanted == frame)
            && by_name.as_ref().is_none_or(|wanted| wanted == name)
            && self.only.as_ref().is_none_or(|only| only.as_ref() == Some(frame))
    }

    fn is_of(&self, session: Option<&SessionId>, message: Option<&MessageId>) -> bool {
        let Filter { session: by_session, message: by_message, .. } = self.filter;
        by_session.as_ref().is_none_or(|wanted| Some(wanted) == session)
            && by_message.as_ref().is_none_or(|wanted| Some(wanted) == message)
    }
}

fn told(db: &Db<'_>, message: &Message) -> Result<Vec<Event>, StoreError> {
    let kinds = vec!["message.text".into(), "message.rewritten".into()];
    let filter = Filter { message: Some(message.id.clone()), kinds, ..Filter::default() };
    events::after(db, 0, &filter, usize::MAX)
}

/// In the order in which the parts began.
fn text_so_far(told: &[Event]) -> Vec<TextSoFar> {
    let mut parts: Vec<TextSoFar> = Vec::new();
    for event in told {
        let (delta, part) = match &event.what {
            EventKind::Text { delta, part } => (delta, part),
            EventKind::Rewritten { text, part } => {
                if let Some(known) = parts.iter_mut().find(|known| known.part == *part) {
                    known.text.clone_from(text);
                }
                continue;
            }
            _ => continue,
        };
        match parts.iter_mut().find(|known| known.part == *part) {
            Some(known) => known.text.push_str(delta),
            None => parts.push(TextSoFar { part: part.clone(), text: delta.clone() }),
        }
    }
    parts
}

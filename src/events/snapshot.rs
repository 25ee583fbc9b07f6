//! How things stand at one moment of the log.

use crate::model::event::{Event, Happening};
use crate::model::message::Message;
use crate::store::events::{self, Filter};
use crate::store::{Db, StoreError, frames, messages, prompts};
use crate::wire::events::{FrameInSnapshot, OpenMessage, OpenPrompt, Snapshot, TextSoFar};

/// Everything that a reader needs to go on from here; all of it from one moment.
pub(super) fn take(db: &Db<'_>) -> Result<Snapshot, StoreError> {
    let after = events::newest_id(db)?;
    let frames = frames::list(db)?.into_iter().map(|frame| FrameInSnapshot {
        id: frame.id.to_string(),
        name: frame.name.to_string(),
        state: frame.state,
        desired: frame.desired,
        reason: frame.reason,
    });
    let open: Result<Vec<OpenMessage>, StoreError> = messages::list_open(db, None)?
        .into_iter()
        .map(|message| {
            Ok(OpenMessage {
                text: text_so_far(&told(db, &message)?),
                id: message.id.to_string(),
                frame: message.frame_name.to_string(),
                session: message.session.to_string(),
                state: message.state,
            })
        })
        .collect();
    let waiting = prompts::open(db, None)?.into_iter().map(|prompt| OpenPrompt {
        form: prompt.ask.form().as_str().to_owned(),
        text: prompt.ask.line(),
        id: prompt.id.to_string(),
        prompt: prompt.ask.id,
        frame: prompt.frame_name.to_string(),
        session: prompt.session.map(|id| id.to_string()),
        message: prompt.message.map(|id| id.to_string()),
    });
    Ok(Snapshot { after, frames: frames.collect(), messages: open?, prompts: waiting.collect() })
}

fn told(db: &Db<'_>, message: &Message) -> Result<Vec<Event>, StoreError> {
    let kinds = vec!["message.text".into()];
    let filter = Filter { message: Some(message.id.clone()), kinds, ..Filter::default() };
    events::after(db, 0, &filter, usize::MAX)
}

/// In the order in which the parts began.
fn text_so_far(told: &[Event]) -> Vec<TextSoFar> {
    let mut parts: Vec<TextSoFar> = Vec::new();
    for event in told {
        let Happening::Text { delta, part } = &event.what else { continue };
        match parts.iter_mut().find(|known| known.part == *part) {
            Some(known) => known.text.push_str(delta),
            None => parts.push(TextSoFar { part: part.clone(), text: delta.clone() }),
        }
    }
    parts
}

//! Which events somebody wants to see. Pure.

use super::event::{Event, EventRef};
use super::ids::{FrameId, MessageId, SessionId};
use super::names::FrameName;

/// Which events; everything that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this frame.
    pub frame: Option<FrameId>,
    /// Of frames of this name, also of those that are gone.
    pub frame_name: Option<FrameName>,
    /// Of this conversation.
    pub session: Option<SessionId>,
    /// Of this message.
    pub message: Option<MessageId>,
    /// About all of these.
    pub refs: Vec<EventRef>,
    /// Of these kinds, such as `frame.moved`, or of all that begin like that, such as `message.*`;
    /// of all when empty.
    pub kinds: Vec<String>,
}

impl Filter {
    /// Whether it lets the event through.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let subject = &event.subject;
        fits(self.frame.as_ref(), subject.frame.as_ref())
            && fits(self.frame_name.as_ref(), subject.frame_name.as_ref())
            && fits(self.session.as_ref(), subject.session.as_ref())
            && fits(self.message.as_ref(), subject.message.as_ref())
            && self.refs.iter().all(|wanted| subject.refs.contains(wanted))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| is_of(event.what.kind(), kind)))
    }

    /// The kinds as SQLite's `GLOB` reads them: only the star at the end stands for something.
    #[must_use]
    pub fn globs(&self) -> Vec<String> {
        let glob = |kind: &String| match kind.strip_suffix('*') {
            Some(beginning) => literal(beginning) + "*",
            None => literal(kind),
        };
        self.kinds.iter().map(glob).collect()
    }
}

fn literal(text: &str) -> String {
    text.chars()
        .map(|letter| if matches!(letter, '*' | '?' | '[') { format!("[{letter}]") } else { letter.into() })
        .collect()
}

fn fits<T: PartialEq>(wanted: Option<&T>, given: Option<&T>) -> bool {
    wanted.is_none() || wanted == given
}

fn is_of(kind: &str, wanted: &str) -> bool {
    wanted.strip_suffix('*').map_or(kind == wanted, |beginning| kind.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, Subject};

    #[test]
    fn everything_that_is_set_must_fit_and_a_star_stands_for_any_ending() {
        let id = FrameId::from_parts(1, 1);
        let subject = Subject { frame: Some(id.clone()), ..Subject::default() };
        let event = Event { id: 1, at: 1, subject, what: EventKind::MessageQueued {} };
        let wants = |frame: Option<&FrameId>, kinds: &[&str]| {
            let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
            Filter { frame: frame.cloned(), kinds, ..Filter::default() }.wants(&event)
        };
        assert!(wants(None, &[]) && wants(Some(&id), &["frame.moved", "message.queued"]));
        assert!(wants(None, &["message.*"]) && wants(None, &["*"]) && !wants(None, &["message"]));
        assert!(!wants(Some(&FrameId::from_parts(2, 2)), &[]) && !wants(None, &["prompt.*"]));
        let message = Some(MessageId::from_parts(1, 1));
        assert!(!Filter { message, ..Filter::default() }.wants(&event), "it has no message at all");
    }

    #[test]
    fn the_database_is_asked_for_the_same_kinds() {
        let kinds = ["message.text", "message.*", "*", "frame.?", "[a-z]*", "a*b"];
        let filter = Filter { kinds: kinds.map(str::to_owned).to_vec(), ..Filter::default() };
        assert_eq!(filter.globs(), ["message.text", "message.*", "*", "frame.[?]", "[[]a-z]*", "a[*]b"]);
    }
}

//! Events as they cross the socket: written once, sent to everybody who follows.

use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::frame::{Desired, FrameState};
use crate::message::DeliveryState;

/// An event with its text. Cheap to clone once it is behind an `Arc`; readers share the bytes.
#[derive(Clone, Debug)]
pub struct Logged {
    event: Event,
    block: Bytes,
    json: Bytes,
}

impl Logged {
    /// Writes the text.
    #[must_use]
    pub fn new(event: Event) -> Self {
        let head = format!("id: {}\nevent: {}\ndata: ", event.id, event.what.kind());
        let mut block = Vec::with_capacity(head.len() + 256);
        block.extend_from_slice(head.as_bytes());
        // JSON escapes line ends, so the data is one line whatever is in it.
        let _ = serde_json::to_writer(&mut block, &event);
        let end = block.len();
        block.extend_from_slice(b"\n\n");
        let block = Bytes::from(block);
        Self { event, json: block.slice(head.len()..end), block }
    }

    /// The event itself.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// As a block of server-sent events.
    #[must_use]
    pub fn block(&self) -> Bytes {
        self.block.clone()
    }

    /// As JSON, on one line.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json.clone()
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        // The text, the event it was written from, and what holds them.
        2 * self.block.len() + 256
    }
}

impl Deref for Logged {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

/// How things stand at one moment of the log, for a reader whose position is too old.
///
/// Everything up to the event `after` is in it; what happens later comes as events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Snapshot {
    /// The id of the newest event that is in it.
    pub after: u64,
    /// All frames.
    pub frames: Vec<FrameInSnapshot>,
    /// Messages that wait or run.
    pub messages: Vec<OpenMessage>,
    /// What agents wait for a person with.
    #[serde(alias = "prompts")]
    pub approvals: Vec<OpenPrompt>,
}

/// A frame in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameInSnapshot {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Last confirmed.
    pub state: FrameState,
    /// What was asked for.
    pub desired: Desired,
    /// Why, when it is in `error`.
    pub reason: Option<String>,
}

/// A message in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenMessage {
    /// Its id.
    pub id: String,
    /// The name of its frame.
    pub frame: String,
    /// Its conversation.
    pub session: String,
    /// How far it is.
    pub state: DeliveryState,
    /// What the agent has written so far, part by part.
    #[serde(alias = "text")]
    pub texts: Vec<TextSoFar>,
}

/// The text of one part, as far as it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TextSoFar {
    /// Which part; events that go on with it name it.
    pub part: String,
    /// All deltas of it, in one.
    pub text: String,
}

/// A prompt in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenPrompt {
    /// For `/v1/approvals/{id}`.
    pub id: String,
    /// opencode's id of it, as `prompt.asked` told it.
    #[serde(alias = "prompt")]
    pub agent_request: String,
    /// The name of its frame.
    pub frame: String,
    /// The conversation.
    pub session: Option<String>,
    /// The message whose turn waits for it.
    pub message: Option<String>,
    /// `permission` or `question`.
    pub form: String,
    /// What is asked, in one line.
    pub text: String,
}

/// What a reader of a stream may get that is no event of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", content = "data")]
pub enum Notice {
    /// The position was too old: look at this, then read on.
    #[serde(rename = "reset")]
    Reset(Snapshot),
    /// Everything up to `id` was looked at and sent, if it was wanted.
    #[serde(rename = "position")]
    Position {},
}

/// A notice with the position it stands for; the same shape as an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Noticed {
    /// Where to go on.
    pub id: u64,
    /// What.
    #[serde(flatten)]
    pub what: Notice,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, Subject};

    #[test]
    fn the_text_is_one_block_whatever_is_in_the_event() {
        let what = EventKind::Text { delta: "a\nb\r\n\ndata: c".into(), part: "p".into() };
        let event = Event { id: 7, at: 1, subject: Subject::default(), what };
        let logged = Logged::new(event.clone());
        let block = String::from_utf8(logged.block().to_vec()).expect("text");
        assert!(block.starts_with("id: 7\nevent: message.text\ndata: {") && block.ends_with("}\n\n"));
        assert_eq!(block.lines().count(), 4, "{block}");
        assert_eq!(serde_json::from_slice::<Event>(&logged.json()).expect("an event"), event);
    }

    #[test]
    fn a_notice_looks_like_an_event() {
        let noticed = Noticed { id: 9, what: Notice::Position {} };
        let text = serde_json::to_string(&noticed).expect("serialises");
        assert_eq!(text, r#"{"id":9,"kind":"position","data":{}}"#);
    }
}

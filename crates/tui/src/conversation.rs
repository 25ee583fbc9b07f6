//! One frame's conversation as it is shown: what the gateway has of it, and what happens while somebody looks. Pure.
//!
//! The history is read again when a turn ends; until then the pieces that the events bring stand in `live`. Who begins
//! to look in the middle of a turn has not seen its first pieces: then the history is read again and again instead.

use mimir_model::agent::ToolStatus;
use mimir_model::event::{Event, EventKind};
use mimir_model::message::DeliveryState;
use mimir_model::wire::messages::{MessageView, SessionDetails, SessionSummary, TurnView};

/// More of an output is not kept on the screen; `mimir sessions show` has all of it.
const MOST_OUTPUT: usize = 16 * 1024;

/// A piece of the turn that goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// The answer.
    Text { part: String, text: String },
    /// The model thinks aloud.
    Reasoning { part: String, text: String },
    /// A tool call.
    Tool {
        call: String,
        tool: String,
        status: ToolStatus,
        title: Option<String>,
        input: serde_json::Value,
        output: Option<String>,
    },
    /// The agent waits before it asks the model again.
    Retry(String),
}

/// What is to be done about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is about something else.
    Nothing,
    /// The screen is another one now.
    Redraw,
    /// The history is another one now.
    Read,
    /// It changes all the time, by pieces whose begin was not seen.
    ReadSoon,
}

/// A conversation on the screen.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Whose.
    pub frame: String,
    /// Which; none when nothing was said yet.
    pub session: Option<SessionSummary>,
    /// What the gateway has of it.
    pub turns: Vec<TurnView>,
    /// Messages whose turn has not come, oldest first.
    pub waiting: Vec<MessageView>,
    /// Whether it was read at all.
    pub is_read: bool,
    /// Grows with every change of the history, for whoever keeps what was drawn of it.
    pub version: u64,
    live: Vec<(u64, Piece)>,
    saw_begin: bool,
    ends: u64,
}

impl Conversation {
    /// Of that frame, with nothing read yet.
    pub fn of(frame: String) -> Self {
        Self { frame, ..Self::default() }
    }

    /// How many turns were seen to end: whoever reads the history says it back to [`Conversation::read`].
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// The pieces of the turn that goes on, when its begin was seen; they stay until the history has them.
    pub fn live(&self) -> impl Iterator<Item = &Piece> {
        self.live.iter().map(|(_, piece)| piece)
    }

    /// The turns, without the one that `live` tells.
    pub fn told(&self) -> &[TurnView] {
        match self.turns.split_last() {
            Some((last, before))
                if !self.live.is_empty() && last.role == "assistant" && last.ended_at.is_none() =>
            {
                before
            }
            _ => &self.turns,
        }
    }

    /// Takes in the history, as it was when `ends` turns had been seen to end.
    pub fn read(&mut self, details: Option<SessionDetails>, waiting: Vec<MessageView>, ends: u64) {
        let id = |session: &SessionSummary| session.id.clone();
        let (before, now) = (self.session.as_ref().map(id), details.as_ref().map(|now| id(&now.summary)));
        if before.is_some() && before != now {
            self.forget_live();
        }
        (self.session, self.turns) = match details {
            Some(details) => (Some(details.summary), details.turns),
            None => (None, Vec::new()),
        };
        self.waiting = waiting;
        self.live.retain(|(seen, _)| *seen >= ends);
        self.is_read = true;
        self.version += 1;
    }

    /// Something may have been missed: what goes on is read from the history until its turn ends.
    pub fn forget_live(&mut self) {
        self.live.clear();
        self.saw_begin = false;
        self.version += 1;
    }

    /// Takes in what happened.
    pub fn hear(&mut self, event: &Event) -> Next {
        let is_ours = event.subject.frame_name.as_ref().is_some_and(|name| name.as_str() == self.frame);
        let shown = self.session.as_ref().map(|session| session.id.as_str());
        let is_shown = event.subject.session.as_ref().is_none_or(|id| Some(id.as_str()) == shown);
        if !is_ours {
            return Next::Nothing;
        }
        let next = match &event.what {
            EventKind::MessageQueued {} | EventKind::SessionCreated { .. } => Next::Read,
            _ if !is_shown => Next::Nothing,
            EventKind::TurnStarted { .. } | EventKind::MessageMoved { to: DeliveryState::Sending, .. } => {
                self.saw_begin = true;
                Next::Read
            }
            EventKind::Answered { .. } | EventKind::TurnEnded { .. } => self.end(),
            EventKind::MessageMoved { to, .. } => match to {
                DeliveryState::Answered | DeliveryState::Failed | DeliveryState::Cancelled => self.end(),
                _ => Next::Read,
            },
            EventKind::MessageEdited { .. }
            | EventKind::SessionRenamed { .. }
            | EventKind::SessionRemoved {}
            | EventKind::SessionTakenBack { .. }
            | EventKind::SessionRestored { .. } => Next::Read,
            EventKind::Text { .. }
            | EventKind::Reasoning { .. }
            | EventKind::Rewritten { .. }
            | EventKind::Tool { .. }
            | EventKind::Retry { .. }
                if !self.saw_begin =>
            {
                Next::ReadSoon
            }
            what => self.add(what),
        };
        if next == Next::Read {
            self.version += 1;
        }
        next
    }

    fn end(&mut self) -> Next {
        self.ends += 1;
        self.saw_begin = false;
        Next::Read
    }

    fn add(&mut self, what: &EventKind) -> Next {
        self.live.retain(|(_, piece)| !matches!(piece, Piece::Retry(_)));
        match what {
            EventKind::Text { delta, part } => match self.piece(part) {
                Some(Piece::Text { text, .. }) => text.push_str(delta),
                _ => self.push(Piece::Text { part: part.clone(), text: delta.clone() }),
            },
            EventKind::Reasoning { delta, part } => match self.piece(part) {
                Some(Piece::Reasoning { text, .. }) => text.push_str(delta),
                _ => self.push(Piece::Reasoning { part: part.clone(), text: delta.clone() }),
            },
            EventKind::Rewritten { part, text: whole } => match self.piece(part) {
                Some(Piece::Text { text, .. } | Piece::Reasoning { text, .. }) => text.clone_from(whole),
                _ => self.push(Piece::Text { part: part.clone(), text: whole.clone() }),
            },
            EventKind::Tool { call, tool, status, title, input, output } => {
                let output = output.as_deref().map(|text| head(text).to_owned());
                match self.live.iter_mut().find_map(|(_, piece)| match piece {
                    Piece::Tool { call: known, status, title, input, output, .. } if known == call => {
                        Some((status, title, input, output))
                    }
                    _ => None,
                }) {
                    Some((known_status, known_title, known_input, known_output)) => {
                        *known_status = *status;
                        if title.is_some() {
                            known_title.clone_from(title);
                        }
                        if let Some(input) = input {
                            known_input.clone_from(input);
                        }
                        if output.is_some() {
                            *known_output = output;
                        }
                    }
                    None => self.push(Piece::Tool {
                        call: call.clone(),
                        tool: tool.clone(),
                        status: *status,
                        title: title.clone(),
                        input: input.clone().unwrap_or_default(),
                        output,
                    }),
                }
            }
            EventKind::Retry { attempt, message, .. } => {
                self.push(Piece::Retry(format!("attempt {attempt} comes: {message}")));
            }
            _ => return Next::Nothing,
        }
        Next::Redraw
    }

    fn push(&mut self, piece: Piece) {
        self.live.push((self.ends, piece));
    }

    fn piece(&mut self, wanted: &str) -> Option<&mut Piece> {
        self.live.iter_mut().map(|(_, piece)| piece).find(|piece| match piece {
            Piece::Text { part, .. } | Piece::Reasoning { part, .. } => part == wanted,
            Piece::Tool { .. } | Piece::Retry(_) => false,
        })
    }
}

/// The begin of an output.
fn head(text: &str) -> &str {
    if text.len() <= MOST_OUTPUT {
        return text;
    }
    let mut end = MOST_OUTPUT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{event, session, turn};

    fn text(delta: &str) -> EventKind {
        EventKind::Text { delta: delta.into(), part: "p1".into() }
    }

    fn sending() -> EventKind {
        EventKind::MessageMoved { to: DeliveryState::Sending, reason: None }
    }

    fn answered() -> EventKind {
        EventKind::Answered {
            answer: "done".into(),
            tokens: Default::default(),
            cost_microusd: 0,
            duration_ms: 1,
            finish: None,
        }
    }

    fn told(talk: &Conversation) -> Vec<String> {
        let pieces = talk.live().map(|piece| match piece {
            Piece::Text { text, .. } => text.clone(),
            other => format!("{other:?}"),
        });
        talk.told().iter().map(|turn| turn.text.clone()).chain(pieces).collect()
    }

    #[test]
    fn a_turn_is_told_once_while_it_runs_and_after_it() {
        let mut talk = Conversation::of("blog".into());
        talk.read(Some(session("blog", &[])), Vec::new(), 0);
        assert_eq!(talk.hear(&event("blog", sending())), Next::Read);
        talk.read(Some(session("blog", &[turn("user", "hi", true)])), Vec::new(), talk.ends());
        assert_eq!(talk.hear(&event("blog", text("do"))), Next::Redraw);
        assert_eq!(talk.hear(&event("blog", text("ne"))), Next::Redraw);
        assert_eq!(told(&talk), ["hi", "done"]);
        // Read in the middle: the history has some of it already.
        let half = [turn("user", "hi", true), turn("assistant", "do", false)];
        talk.read(Some(session("blog", &half)), Vec::new(), talk.ends());
        assert_eq!(told(&talk), ["hi", "done"]);
        assert_eq!(talk.hear(&event("blog", answered())), Next::Read);
        let whole = [turn("user", "hi", true), turn("assistant", "done", true)];
        talk.read(Some(session("blog", &whole)), Vec::new(), talk.ends());
        assert_eq!(told(&talk), ["hi", "done"]);
    }

    #[test]
    fn who_looks_in_the_middle_of_a_turn_reads_it_instead() {
        let mut talk = Conversation::of("blog".into());
        let half = [turn("user", "hi", true), turn("assistant", "do", false)];
        talk.read(Some(session("blog", &half)), Vec::new(), 0);
        assert_eq!(talk.hear(&event("blog", text("ne"))), Next::ReadSoon);
        assert_eq!(told(&talk), ["hi", "do"]);
    }

    #[test]
    fn a_history_that_was_asked_for_before_the_next_turn_takes_nothing_of_it_away() {
        let mut talk = Conversation::of("blog".into());
        talk.read(Some(session("blog", &[])), Vec::new(), 0);
        talk.hear(&event("blog", sending()));
        talk.hear(&event("blog", text("one")));
        talk.hear(&event("blog", answered()));
        let ends = talk.ends();
        talk.hear(&event("blog", sending()));
        talk.hear(&event("blog", EventKind::Text { delta: "two".into(), part: "p2".into() }));
        talk.read(Some(session("blog", &[turn("assistant", "one", true)])), Vec::new(), ends);
        assert_eq!(told(&talk), ["one", "two"]);
    }

    #[test]
    fn what_was_missed_in_a_gap_shows_once() {
        let mut talk = Conversation::of("blog".into());
        talk.read(Some(session("blog", &[])), Vec::new(), 0);
        talk.hear(&event("blog", sending()));
        talk.hear(&event("blog", text("do")));
        talk.forget_live();
        talk.read(Some(session("blog", &[turn("assistant", "done", true)])), Vec::new(), talk.ends());
        assert_eq!(told(&talk), ["done"]);
    }

    #[test]
    fn another_conversation_does_not_inherit_the_words_of_the_one_before() {
        let mut talk = Conversation::of("blog".into());
        talk.read(Some(session("blog", &[])), Vec::new(), 0);
        talk.hear(&event("blog", sending()));
        talk.hear(&event("blog", text("one")));
        let mut other = session("blog", &[turn("user", "else", true)]);
        other.summary.id = "ssn_2".into();
        talk.read(Some(other), Vec::new(), talk.ends());
        assert_eq!(told(&talk), ["else"]);
    }

    #[test]
    fn other_frames_and_other_conversations_are_not_shown() {
        let mut talk = Conversation::of("blog".into());
        talk.read(Some(session("blog", &[])), Vec::new(), 0);
        talk.hear(&event("blog", sending()));
        assert_eq!(talk.hear(&event("shop", text("x"))), Next::Nothing);
        let mut other = event("blog", text("x"));
        other.subject.session = Some(mimir_model::ids::SessionId::from_parts(1, 1));
        assert_eq!(talk.hear(&other), Next::Nothing);
        assert!(told(&talk).is_empty());
    }
}

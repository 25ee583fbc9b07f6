//! A prompt on its way to a frame.

use serde::{Deserialize, Serialize};

use super::agent::{AgentMessageId, ModelRef};
use super::ids::{FrameId, MessageId, RunId, SessionId};
use super::names::FrameName;
use super::origin::Origin;
use super::usage::Tokens;

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum DeliveryState {
    /// Stored; its turn has not come.
    Queued,
    /// Its agent message id is saved; it may or may not have arrived.
    Sending,
    /// The agent has it.
    Sent,
    /// The agent was seen working on it.
    Running,
    /// The answer is stored.
    Answered,
    /// It will not be answered; the reason is in the row.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A move that deliveries do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that is {from} cannot become {to}")]
pub struct IllegalDelivery {
    /// Where it stands.
    pub from: DeliveryState,
    /// What it was to become.
    pub to: DeliveryState,
}

impl DeliveryState {
    /// Every move a delivery can make. Answered, failed and cancelled are final.
    ///
    /// # Errors
    /// [`IllegalDelivery`] when the table has no such row.
    pub fn to(self, to: Self) -> Result<Self, IllegalDelivery> {
        use DeliveryState::{Answered, Cancelled, Failed, Queued, Running, Sending, Sent};
        let from: &[Self] = match to {
            // Back to the queue: asked the agent, and it never got the message.
            Queued => &[Sending],
            Sending => &[Queued],
            Sent => &[Sending],
            Running => &[Sending, Sent],
            Answered => &[Sending, Sent, Running],
            Failed | Cancelled => &[Queued, Sending, Sent, Running],
        };
        if from.contains(&self) { Ok(to) } else { Err(IllegalDelivery { from: self, to }) }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Answered | Self::Failed | Self::Cancelled)
    }

    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One message, as its row says.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Ours.
    pub id: MessageId,
    /// The key of the request that made it; the same key gives the same message.
    pub idempotency_key: Option<String>,
    /// Whom it is for.
    pub frame: FrameId,
    /// The frame's name, which outlives the frame.
    pub frame_name: FrameName,
    /// The conversation it belongs to.
    pub session: SessionId,
    /// What it was sent by.
    pub origin: Origin,
    /// For which run.
    pub run: Option<RunId>,
    /// What was asked.
    pub text: String,
    /// With which model; the frame's own when absent.
    pub model: Option<ModelRef>,
    /// With which of opencode's agents (`build`, `plan`, …).
    pub agent: Option<String>,
    /// How far it is.
    pub state: DeliveryState,
    /// Why it failed.
    pub reason: Option<String>,
    /// opencode's id of it, chosen by us before it is sent.
    pub agent_message: Option<AgentMessageId>,
    /// The answer's text.
    pub answer: Option<String>,
    /// Tokens of the whole turn.
    pub tokens: Tokens,
    /// Cost of the whole turn in millionths of a US dollar.
    pub cost_microusd: u64,
    /// UTC ms.
    pub created_at: u64,
    /// When the agent was given it (UTC ms).
    pub sent_at: Option<u64>,
    /// When it reached a final state (UTC ms).
    pub ended_at: Option<u64>,
    /// It goes before the others of its conversation, and interrupted what ran there.
    pub urgent: bool,
    /// Why it is to be stopped, when somebody asked for that.
    pub stop: Option<String>,
    /// Its first words, when they were edited.
    pub given: Option<String>,
    /// When it was handed over again, because the agent had it and did not begin (UTC ms).
    pub resent_at: Option<u64>,
    /// By which rule its model was chosen, when nobody named one.
    pub route: Option<String>,
}

/// A conversation, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Ours.
    pub id: SessionId,
    /// In which frame.
    pub frame: FrameId,
    /// The frame's name, which outlives the frame.
    pub frame_name: FrameName,
    /// opencode's id of it; absent until the agent made it.
    pub agent_session: Option<super::agent::AgentSessionId>,
    /// The conversation that it was split off from.
    pub forked_from: Option<SessionId>,
    /// A short name for people.
    pub title: String,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    pub last_active_at: u64,
}

/// What people write to an agent: not empty, and at most [`MessageText::MOST_BYTES`] long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageText(String);

/// Why a text is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Write something.
    #[error("the message is empty")]
    Empty,
    /// Write less, or put it into a file in the workspace.
    #[error("the message has {bytes} bytes, and {} is the most", MessageText::MOST_BYTES)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl MessageText {
    /// The longest message.
    pub const MOST_BYTES: usize = 1024 * 1024;

    /// Takes a text as it is.
    ///
    /// # Errors
    /// When there is nothing in it, or too much.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(InvalidText::Empty);
        }
        if text.len() > Self::MOST_BYTES {
            return Err(InvalidText::TooLong { bytes: text.len() });
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<MessageText> for String {
    fn from(text: MessageText) -> Self {
        text.0
    }
}

/// Makes a repeat harmless: the same key is the same message. 1 to 200 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// A key that no client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Idempotency-Key must be 1 to 200 printable characters")]
pub struct InvalidKey;

impl IdempotencyKey {
    /// Reads a key.
    ///
    /// # Errors
    /// When it is empty, too long, or holds something else.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let fits = (1..=200).contains(&text.len());
        let is_printable = text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'));
        if fits && is_printable { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0
    }
}

/// Which conversation of a frame a message belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SessionSelector {
    /// The one that was used last; a new one when there is none.
    #[default]
    Last,
    /// A new one.
    New,
    /// By its id (opencode's too), by how the id begins, or by its title.
    Named(String),
}

impl SessionSelector {
    /// What people write: `last`, `new`, or a name.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "last" => Self::Last,
            "new" => Self::New,
            name => Self::Named(name.to_owned()),
        }
    }

    /// By what one that is there is looked for.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::New => None,
            Self::Last => Some("last"),
            Self::Named(name) => Some(name),
        }
    }
}

impl From<&SessionId> for SessionSelector {
    fn from(id: &SessionId) -> Self {
        Self::Named(id.to_string())
    }
}

/// When a message goes, when its conversation is busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendMode {
    /// When its turn has come.
    #[default]
    Queue,
    /// At once: what the conversation does is stopped, and it goes before everything that waits there.
    Interrupt,
    /// At once, or not at all.
    Now,
}

/// A short name of a conversation: 1 to 200 characters on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTitle(String);

/// A text that is no title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the title is empty or longer than 200 characters")]
pub struct InvalidTitle;

impl SessionTitle {
    /// The most characters.
    pub const MOST: usize = 200;

    /// Takes a text without the space around it; control characters become spaces.
    ///
    /// # Errors
    /// When nothing is left of it, or too much.
    pub fn parse(text: &str) -> Result<Self, InvalidTitle> {
        let fits = !text.trim().is_empty() && text.chars().count() <= Self::MOST;
        let title = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if fits { Ok(Self(title)) } else { Err(InvalidTitle) }
    }
}

impl From<SessionTitle> for String {
    fn from(title: SessionTitle) -> Self {
        title.0
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn final_states_are_final() {
        for from in DeliveryState::iter().filter(|state| state.is_final()) {
            for to in DeliveryState::iter() {
                assert!(from.to(to).is_err(), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn every_open_state_can_fail_and_be_cancelled() {
        for from in DeliveryState::iter().filter(|state| !state.is_final()) {
            assert!(from.to(DeliveryState::Failed).is_ok());
            assert!(from.to(DeliveryState::Cancelled).is_ok());
        }
    }
    #[test]
    fn a_text_is_kept_as_it_is_and_an_empty_one_is_none() {
        assert_eq!(MessageText::parse(" a\n ").map(String::from), Ok(" a\n ".to_owned()));
        assert_eq!(MessageText::parse(" \n"), Err(InvalidText::Empty));
        let most = "x".repeat(MessageText::MOST_BYTES);
        assert!(MessageText::parse(most.clone()).is_ok());
        let refused = MessageText::parse(most + "x").expect_err("too long").to_string();
        assert_eq!(refused, "the message has 1048577 bytes, and 1048576 is the most");
    }

    #[test]
    fn a_key_that_no_client_means_is_refused() {
        assert_eq!(IdempotencyKey::parse("abc").expect("fine").as_str(), "abc");
        for bad in ["", &"x".repeat(201), "ü", "a\nb"] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_title_is_one_line_of_something() {
        assert_eq!(SessionTitle::parse("  dark\nmode ").map(String::from), Ok("dark mode".to_owned()));
        assert_eq!(SessionTitle::parse(&"ä".repeat(200)).map(String::from), Ok("ä".repeat(200)));
        for bad in ["", " \n", &"x".repeat(201)] {
            assert_eq!(SessionTitle::parse(bad), Err(InvalidTitle));
        }
    }

    #[test]
    fn two_words_are_no_names() {
        assert_eq!(SessionSelector::parse("last"), SessionSelector::Last);
        assert_eq!(SessionSelector::parse("new"), SessionSelector::New);
        assert_eq!(SessionSelector::parse("dark mode"), SessionSelector::Named("dark mode".into()));
    }
}

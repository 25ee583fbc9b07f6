//! Conversations and their history, which are there when the frame is not.

pub mod error;
pub mod export;
pub mod query;
mod verbs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::frames::AgentLocator;
use crate::model::agent::{AgentMessage, AgentMessageId, ModelRef, TakenBack};
use crate::model::ids::SessionId;
use crate::model::message::Session;
use crate::model::names::FrameName;
use crate::store::search::{self, Found, Wanted};
use crate::store::sessions::{Among, Named};
use crate::store::{Store, StoreError, agent_messages, messages, sessions, taken_back};
use crate::supervisor::failpoint::Failpoints;

pub use error::SessionError;
use query::QueryError;

/// The longest title made from a message.
const TITLE_CHARS: usize = 60;

/// A short name for a conversation that begins with `text`: its first line, cut at a word.
#[must_use]
pub fn title_of(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("untitled");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() <= TITLE_CHARS {
        return clean;
    }
    let cut: String = clean.chars().take(TITLE_CHARS - 1).collect();
    let end = cut.rfind(' ').filter(|end| *end > cut.len() / 2).unwrap_or(cut.len());
    format!("{}…", cut[..end].trim_end())
}

/// A conversation with everything that was said.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Its row.
    pub session: Session,
    /// How many messages people wrote in it.
    pub written: u64,
    /// What was said, oldest first.
    pub history: Vec<AgentMessage>,
    /// What of it does not stand any more.
    pub taken_back: BTreeMap<AgentMessageId, TakenBack>,
    /// What was sent through mimir: by what, and for which run.
    pub sources: BTreeMap<AgentMessageId, messages::Source>,
}

/// Everything that [`Sessions`] is made of.
pub struct SessionsDeps {
    /// The database.
    pub store: Store,
    /// Where agents live.
    pub locator: Arc<dyn AgentLocator>,
    /// The time.
    pub clock: Clock,
    /// For summing up a conversation that has no answer yet.
    pub default_model: ModelRef,
    /// How long a frame may take to start.
    pub wake: Duration,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

/// Conversations: reading them, finding what was said, and what can be done to them. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    deps: Arc<SessionsDeps>,
}

impl Sessions {
    /// Makes the service.
    #[must_use]
    pub fn new(deps: SessionsDeps) -> Self {
        Self { deps: Arc::new(deps) }
    }

    /// The conversation of that id.
    ///
    /// # Errors
    /// [`SessionError::NotFound`].
    pub async fn get(&self, id: &SessionId) -> Result<Session, SessionError> {
        let wanted = id.clone();
        match self.deps.store.read(move |db| sessions::get(db, &wanted)).await {
            Err(StoreError::NotFound { key, .. }) => Err(SessionError::NotFound(key)),
            other => Ok(other?),
        }
    }

    /// The conversation that people's word means: `last`, an id or how it begins, a title. In one frame (also
    /// one that is gone) or in all.
    ///
    /// # Errors
    /// [`SessionError::NotFound`], [`SessionError::Ambiguous`].
    pub async fn named(&self, word: &str, frame: Option<FrameName>) -> Result<Session, SessionError> {
        let wanted = word.to_owned();
        let read = self
            .deps
            .store
            .read(move |db| sessions::named(db, frame.as_ref().map_or(Among::All, Among::Named), &wanted));
        match read.await? {
            Named::One(session) => Ok(session),
            Named::Nothing => Err(SessionError::NotFound(word.to_owned())),
            Named::Several(found) => Err(SessionError::Ambiguous {
                word: word.to_owned(),
                ids: found.into_iter().map(|session| session.id).collect(),
            }),
        }
    }

    /// A conversation with everything that was said.
    ///
    /// # Errors
    /// [`SessionError::NotFound`].
    pub async fn read(&self, id: &SessionId) -> Result<Conversation, SessionError> {
        let wanted = id.clone();
        let read = self.deps.store.read(move |db| {
            Ok(Conversation {
                session: sessions::get(db, &wanted)?,
                written: sessions::written(db, &wanted)?,
                history: agent_messages::of_session(db, &wanted)?,
                taken_back: taken_back::of_session(db, &wanted)?,
                sources: messages::sources(db, &wanted)?,
            })
        });
        match read.await {
            Err(StoreError::NotFound { key, .. }) => Err(SessionError::NotFound(key)),
            other => Ok(other?),
        }
    }

    /// Messages in which that was said, the best first; `typed` is what a person types, see [`query`]. Where no word
    /// must be there, nothing is found.
    ///
    /// # Errors
    /// [`SessionError::Query`] when it is too long.
    pub async fn search(&self, typed: &str, within: Wanted) -> Result<Vec<Found>, SessionError> {
        let expression = match query::expression(typed) {
            Err(QueryError::Nothing(_) | QueryError::OnlyExclusions(_)) => return Ok(Vec::new()),
            read => read?,
        };
        let wanted = Wanted { expression, ..within };
        Ok(self.deps.store.read(move |db| search::find(db, &wanted)).await?)
    }

    /// Conversations with their number of messages, last used first; of one frame (also one that is
    /// gone) or of all.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn list(&self, frame: Option<FrameName>) -> Result<Vec<(Session, u64)>, StoreError> {
        self.deps.store.read(move |db| sessions::list(db, frame.as_ref())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_cut_at_a_word() {
        assert_eq!(title_of("\n  add dark mode \nand tests"), "add dark mode");
        assert_eq!(title_of("  "), "untitled");
        let long = title_of(&"words and ".repeat(20));
        assert!(long.ends_with("…") && long.chars().count() <= 60, "{long}");
        assert_eq!(title_of(&"ä".repeat(100)).chars().count(), 60);
        assert_eq!(title_of("a\u{1b}[31mb"), "a[31mb");
    }
}

//! What is known of one conversation of a frame.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::outbox::Stored;
use super::progress::Emitted;
use super::sort::Whose;
use super::tracked_turn::TrackedTurn;
use crate::model::agent::{AgentMessage, AgentMessageId, AgentSessionId, Role, UndoPoint};
use crate::model::event::{EventKind, Subject};
use crate::model::ids::{FrameId, SessionId};
use crate::model::message::Session;
use crate::store::{Db, StoreError, agent_messages, events, messages, sessions, taken_back};

/// One conversation.
#[derive(Debug)]
pub(super) struct SessionState {
    /// Our id of it.
    pub id: SessionId,
    /// What its events are about.
    pub subject: Subject,
    /// The newest message that is stored; everything behind it is in no turn yet.
    pub reached: Option<AgentMessageId>,
    /// Messages that were stored before they were complete.
    pub unfinished: BTreeSet<AgentMessageId>,
    /// The newest message that was heard of.
    pub seen: Option<AgentMessageId>,
    /// The turns that go on or are about to be stored, by the prompts that begin them. One of others may be waiting for
    /// its last word while that of a message of ours begins.
    pub turns: BTreeMap<AgentMessageId, TrackedTurn>,
    /// What waits to go into the history and belongs to no turn.
    pub late: Vec<AgentMessage>,
    /// When it has to be read again.
    pub look_at: Option<Instant>,
    /// A message of ours that is on its way and that nobody has asked to track yet. It and what follows is left to
    /// whoever does.
    pub awaited: Option<AgentMessageId>,
    /// Up to when it was read (UTC ms of the agent).
    pub read_until: u64,
    /// Something was said that only the history lacks.
    pub is_late: bool,
    /// Whether everything that was said before we listened is known.
    pub is_read: bool,
    /// From where on it is undone, as far as is known.
    pub undone: Option<UndoPoint>,
    /// Nothing is undone any more, and whether that was redone or removed is still to be read.
    pub undo_is_over: bool,
    /// When the agent said last that it has a message no longer.
    pub removed_at: Option<Instant>,
    /// Whether an earlier gateway may have told of what is found at first.
    pub is_old: bool,
}

impl SessionState {
    /// What the database knows of it.
    pub(super) fn load(db: &Db<'_>, row: Session) -> Result<Self, StoreError> {
        let reach = agent_messages::reach(db, &row.id)?;
        let undone = taken_back::point(db, &row.id)?;
        Ok(Self {
            subject: sessions::subject(&row),
            id: row.id,
            reached: reach.newest,
            unfinished: reach.unfinished.into_iter().collect(),
            seen: None,
            turns: BTreeMap::new(),
            late: Vec::new(),
            look_at: None,
            awaited: None,
            read_until: reach.until,
            is_late: false,
            is_read: false,
            undone,
            undo_is_over: false,
            removed_at: None,
            is_old: true,
        })
    }

    /// From which message on it has to be read to learn everything.
    pub(super) fn oldest(&self) -> Option<AgentMessageId> {
        let first = self.turns.keys().next().or_else(|| self.unfinished.iter().next());
        first.or(self.reached.as_ref()).cloned()
    }

    /// Whether something of it is still to be learned.
    pub(super) fn has_work(&self) -> bool {
        self.turns.values().any(TrackedTurn::is_open) || self.is_late || self.awaited.is_some()
    }

    /// Whether a message is behind everything that is stored.
    pub(super) fn is_news(&self, message: &AgentMessageId) -> bool {
        self.reached.as_ref().is_none_or(|reached| message > reached)
    }

    /// Whether more was heard of than is stored.
    pub(super) fn has_news(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| self.is_news(seen))
    }

    /// It was heard of.
    pub(super) fn saw(&mut self, message: &AgentMessageId) {
        if self.seen.as_ref().is_none_or(|seen| message > seen) {
            self.seen = Some(message.clone());
        }
    }

    /// The turn that a message belongs to, if one goes on.
    pub(super) fn turn_of(&mut self, message: &AgentMessageId) -> Option<&mut TrackedTurn> {
        let (_, turn) = self.turns.range_mut(..=message).next_back()?;
        turn.is_open().then_some(turn)
    }

    /// The turn that goes on.
    pub(super) fn current(&mut self) -> Option<&mut TrackedTurn> {
        self.turns.values_mut().next_back().filter(|turn| turn.is_open())
    }

    /// These go into the history. What is not complete goes there again when it is.
    pub(super) fn keep(&mut self, said: &[AgentMessage]) {
        let open =
            said.iter().filter(|message| message.head.role == Role::Assistant && !message.is_complete());
        self.unfinished.extend(open.map(|message| message.head.id.clone()));
        if let Some(last) = said.last().filter(|last| self.is_news(&last.head.id)) {
            self.reached = Some(last.head.id.clone());
        }
    }

    /// The same, for what belongs to no turn.
    pub(super) fn keep_late(&mut self, said: Vec<AgentMessage>) {
        self.keep(&said);
        self.late.extend(said);
    }

    /// What is to be stored of its history apart from turns.
    pub(super) fn store_late(&mut self) -> Option<Stored> {
        let messages = std::mem::take(&mut self.late);
        let stored = Stored { subject: self.subject.clone(), messages, ..Stored::default() };
        (!stored.messages.is_empty()).then_some(stored)
    }
}

/// The conversation that the agent knows by that id, as the database knows it.
pub(super) fn find(
    db: &Db<'_>,
    frame: &FrameId,
    session: &AgentSessionId,
) -> Result<Option<SessionState>, StoreError> {
    match sessions::find_by_agent_session(db, frame, session)? {
        Some(row) => SessionState::load(db, row).map(Some),
        None => Ok(None),
    }
}

/// Whether a session was made for a conversation of ours that has not saved its id yet.
pub(super) fn is_being_made(db: &Db<'_>, mark: &serde_json::Value) -> Result<bool, StoreError> {
    let Some(id) = mark["mimir"]["session"].as_str().and_then(|id| id.parse().ok()) else { return Ok(false) };
    match sessions::get(db, &id) {
        Ok(row) => Ok(row.agent_session.is_none()),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Which of these messages are ours.
pub(super) fn whose(
    db: &Db<'_>,
    ids: &[AgentMessageId],
) -> Result<BTreeMap<AgentMessageId, Whose>, StoreError> {
    let mut found = BTreeMap::new();
    for id in ids {
        if let Some(message) = messages::find_by_agent_message(db, id)? {
            let whose = if message.state.is_final() { Whose::Ended } else { Whose::Open };
            found.insert(id.clone(), whose);
        }
    }
    Ok(found)
}

/// What an earlier gateway told of a message's turn.
pub(super) fn emitted_of(db: &Db<'_>, subject: &Subject) -> Result<Emitted, StoreError> {
    let filter = events::Filter { message: subject.message.clone(), ..Default::default() };
    let mut emitted = Emitted::default();
    for event in events::after(db, 0, &filter, usize::MAX)? {
        emitted.add(event.what);
    }
    Ok(emitted)
}

/// What an earlier gateway told of a turn past mimir that it did not see the end of: its words, and which prompts.
pub(super) fn emitted_past_us(
    db: &Db<'_>,
    frame: &FrameId,
    session: &SessionId,
) -> Result<(Emitted, BTreeSet<AgentMessageId>), StoreError> {
    let after = events::last_of_kind(db, frame, session, "turn.ended")?;
    let filter =
        events::Filter { frame: Some(frame.clone()), session: Some(session.clone()), ..Default::default() };
    let mut emitted = Emitted::default();
    let mut begun = BTreeSet::new();
    for event in events::after(db, after, &filter, usize::MAX)? {
        if event.subject.message.is_some() {
            continue;
        }
        if let EventKind::TurnStarted { prompt, .. } = &event.what {
            begun.insert(AgentMessageId(prompt.clone()));
        }
        emitted.add(event.what);
    }
    Ok((emitted, begun))
}

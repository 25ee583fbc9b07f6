//! What is known of one conversation of a frame.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::run::{Run, Whose};
use super::speech::Speech;
use super::transcript::Told;
use crate::model::agent::{AgentMessageId, AgentSessionId, Role};
use crate::model::event::{EventKind, Subject};
use crate::model::ids::{FrameId, SessionId};
use crate::model::message::Session;
use crate::opencode::AgentMessage;
use crate::store::{Db, StoreError, agent_messages, events, messages, sessions};

/// One conversation.
#[derive(Debug)]
pub(super) struct Talk {
    /// Our id of it.
    pub id: SessionId,
    /// What its events are about.
    pub subject: Subject,
    /// The newest message that is told and kept; everything behind it is nobody's yet.
    pub reached: Option<AgentMessageId>,
    /// Messages that were kept before they were complete.
    pub unfinished: BTreeSet<AgentMessageId>,
    /// The newest message that was heard of.
    pub seen: Option<AgentMessageId>,
    /// What somebody does past mimir.
    pub run: Option<Run>,
    /// What waits to be stored.
    pub speech: Speech,
    /// When it has to be read again.
    pub look_at: Option<Instant>,
    /// A message of ours that is on its way and whose lane has not claimed it yet.
    pub ours: Option<AgentMessageId>,
    /// Up to when it was read (UTC ms of the agent).
    pub read_until: u64,
    /// Something was said that only the history lacks.
    pub is_late: bool,
    /// Whether everything that was said before we listened is known.
    pub is_read: bool,
    /// Whether an earlier gateway may have told of what is found at first.
    pub is_old: bool,
    /// The stream was cut; what is found when it is read again had been missed.
    pub is_cut: bool,
    /// A lane tells of it.
    pub was_claimed: bool,
}

impl Talk {
    /// What the database knows of it.
    pub(super) fn load(db: &Db<'_>, row: Session) -> Result<Self, StoreError> {
        let reach = agent_messages::reach(db, &row.id)?;
        Ok(Self {
            subject: Subject {
                frame: Some(row.frame),
                frame_name: Some(row.frame_name),
                session: Some(row.id.clone()),
                message: None,
                ..Subject::default()
            },
            id: row.id,
            reached: reach.newest,
            unfinished: reach.unfinished.into_iter().collect(),
            seen: None,
            run: None,
            speech: Speech::default(),
            look_at: None,
            ours: None,
            read_until: reach.until,
            is_late: false,
            is_read: false,
            is_old: true,
            is_cut: false,
            was_claimed: false,
        })
    }

    /// From which message on it has to be read to learn everything.
    pub(super) fn oldest(&self) -> Option<AgentMessageId> {
        if let Some(run) = &self.run {
            return Some(run.prompt().clone());
        }
        self.unfinished.iter().next().or(self.reached.as_ref()).cloned()
    }

    /// Whether something of it is still to be told or kept.
    pub(super) fn has_work(&self) -> bool {
        self.run.is_some() || self.is_late || self.ours.is_some()
    }

    /// Whether a message is behind everything that was told and kept.
    pub(super) fn is_news(&self, message: &AgentMessageId) -> bool {
        self.reached.as_ref().is_none_or(|reached| message > reached)
    }

    /// Whether more was heard of than was told and kept.
    pub(super) fn has_news(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| self.is_news(seen))
    }

    /// These are in the history now. What was not complete is kept again when it is.
    pub(super) fn keep(&mut self, said: &[AgentMessage]) {
        let open = said.iter().filter(|turn| turn.head.role == Role::Assistant && !is_complete(turn));
        self.unfinished.extend(open.map(|turn| turn.head.id.clone()));
        self.reach(said.last().map(|turn| &turn.head.id));
    }

    /// Told and kept up to here.
    pub(super) fn reach(&mut self, message: Option<&AgentMessageId>) {
        if let Some(message) = message.filter(|message| self.is_news(message)) {
            self.reached = Some(message.clone());
        }
    }
}

/// Whether nothing more is said in a message.
pub(super) fn is_complete(turn: &AgentMessage) -> bool {
    turn.head.completed_at.is_some() || turn.head.error.is_some()
}

/// The conversation that the agent knows by that id, as the database knows it.
pub(super) fn find(
    db: &Db<'_>,
    frame: &FrameId,
    session: &AgentSessionId,
) -> Result<Option<Talk>, StoreError> {
    match sessions::find_by_agent_session(db, frame, session)? {
        Some(row) => Talk::load(db, row).map(Some),
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

/// What an earlier gateway told of a run that it did not see the end of: its words, and which prompts.
pub(super) fn told_before(
    db: &Db<'_>,
    frame: &FrameId,
    session: &SessionId,
) -> Result<(Told, BTreeSet<AgentMessageId>), StoreError> {
    let after = events::last_of_kind(db, frame, session, "turn.ended")?;
    let filter =
        events::Filter { frame: Some(frame.clone()), session: Some(session.clone()), ..Default::default() };
    let mut told = Told::default();
    let mut begun = BTreeSet::new();
    for event in events::after(db, after, &filter, usize::MAX)? {
        if event.subject.message.is_some() {
            continue;
        }
        if let EventKind::TurnStarted { prompt, .. } = &event.what {
            begun.insert(AgentMessageId(prompt.clone()));
        }
        told.add(event.what);
    }
    Ok((told, begun))
}

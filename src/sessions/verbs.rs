//! What can be done to a conversation besides talking.
//!
//! The agent keeps conversations of its own, so most of it is done there first and written down afterwards: each
//! verb can be repeated when the gateway died in between. Only what needs the agent wakes its frame.

use serde_json::json;

use super::{Sessions, error::SessionError};
use crate::clock;
use crate::model::agent::{AgentMessage, AgentMessageId, AgentSessionId, AgentStatus, ModelRef, Role};
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{Session, SessionTitle};
use crate::model::principal::Principal;
use crate::opencode::OpencodeClient;
use crate::store::sessions::NewSession;
use crate::store::{StoreError, Tx, agent_messages, frames, messages, sessions};

/// How many messages of a conversation are read again after it changed as a whole.
const ALL: u32 = 100_000;

impl Sessions {
    /// Gives a conversation another title. The agent is told when it runs; one that sleeps is not woken for it and
    /// told when it wakes next (see `feed`).
    ///
    /// # Errors
    /// [`SessionError::NotFound`].
    pub async fn rename(
        &self,
        by: &Principal,
        id: &SessionId,
        title: SessionTitle,
    ) -> Result<Session, SessionError> {
        let title = String::from(title);
        let (wanted, by, given) = (id.clone(), by.clone(), title.clone());
        let session = self
            .deps
            .store
            .write(move |tx| {
                let session = sessions::rename(tx, &wanted, &given)?;
                sessions::note_untold(tx, &wanted)?;
                tx.audit(&by, "session.rename", wanted.as_str(), &json!({"title": given}))?;
                Ok(session)
            })
            .await?;
        let running = self.running_agent(&session).await?;
        if let (Some(client), Some(agent_session)) = (running, &session.agent_session) {
            match client.rename_session(agent_session, &title).await {
                Ok(()) => {
                    let id = id.clone();
                    let told = move |tx: &mut Tx<'_>| sessions::told(tx, &id, &title);
                    self.deps.store.write(told).await?;
                }
                Err(error) => {
                    tracing::warn!(session = %id, %error, "the agent calls session {id} by its old title until it is told again: {error}");
                }
            }
        }
        Ok(session)
    }

    /// Stops what a conversation does, whoever began it; says whether there was something to stop. Messages that
    /// were sent through mimir are the router's to stop.
    ///
    /// # Errors
    /// [`SessionError::NotFound`], [`SessionError::Agent`].
    pub async fn abort(&self, by: &Principal, id: &SessionId) -> Result<bool, SessionError> {
        let session = self.get(id).await?;
        let (Some(client), Some(agent_session)) =
            (self.running_agent(&session).await?, &session.agent_session)
        else {
            return Ok(false);
        };
        if !is_busy(&client, agent_session).await? {
            return Ok(false);
        }
        client.abort(agent_session).await?;
        let (by, id) = (by.clone(), id.clone());
        let audit = move |tx: &mut Tx<'_>| tx.audit(&by, "session.abort", id.as_str(), &json!({}));
        self.deps.store.write(audit).await?;
        Ok(true)
    }

    /// Splits a conversation: a new one that begins with what was said so far, or with what was said before a
    /// message (ours or opencode's id of it).
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn fork(
        &self,
        by: &Principal,
        id: &SessionId,
        before: Option<&str>,
        title: Option<SessionTitle>,
    ) -> Result<Session, SessionError> {
        let (session, frame, agent_session, client) = self.awake(id).await?;
        let before = match before {
            None => None,
            Some(word) => Some(self.said_in(&client, &session.id, &agent_session, word).await?),
        };
        let title = title.map_or_else(|| format!("{} (fork)", session.title), String::from);
        let forked = client.fork_session(&agent_session, before.as_ref()).await?;
        let said = client.messages(&forked.id, ALL).await?;

        let new = NewSession {
            id: SessionId::from_parts(self.deps.clock.now_ms(), clock::entropy_128()),
            frame: frame.id.clone(),
            frame_name: frame.name.clone(),
            title: title.clone(),
        };
        let (by, source, agent_id) = (by.clone(), session.id.clone(), forked.id.clone());
        let write = move |tx: &mut Tx<'_>| {
            // Whoever listens to the agent may have met it first.
            let made = match sessions::find_by_agent_session(tx, &new.frame, &agent_id)? {
                Some(known) => sessions::rename(tx, &known.id, &new.title)?,
                None => {
                    let made = sessions::insert(tx, &new)?;
                    sessions::set_agent_session(tx, &made.id, &agent_id)?;
                    made
                }
            };
            sessions::set_forked_from(tx, &made.id, &source)?;
            keep(tx, &made.id, &said)?;
            tx.audit(
                &by,
                "session.fork",
                source.as_str(),
                &json!({"into": made.id, "frame": made.frame_name}),
            )?;
            sessions::get(tx, &made.id)
        };
        let made = self.deps.store.write(write).await?;
        // The agent's list should show the same; the conversation works without.
        if let Err(error) = client.adopt_session(&forked.id, &title, &metadata(&made)).await {
            tracing::warn!(session = %made.id, %error, "the agent does not take the title of {}: {error}", made.id);
        }
        Ok(made)
    }

    /// Lets the model sum up what was said, so that the conversation fits its context again. Returns when it is done.
    ///
    /// # Errors
    /// [`SessionError::Busy`], and see [`SessionError`].
    pub async fn compact(&self, by: &Principal, id: &SessionId) -> Result<Session, SessionError> {
        let (session, _, agent_session, client) = self.awake(id).await?;
        if is_busy(&client, &agent_session).await? {
            return Err(SessionError::Busy(session.id));
        }
        let model = self.last_model(&session).await?;
        client.summarize(&agent_session, &model).await?;
        let said = client.messages(&agent_session, ALL).await?;
        let (by, id) = (by.clone(), session.id.clone());
        let write = move |tx: &mut Tx<'_>| {
            keep(tx, &id, &said)?;
            sessions::touch(tx, &id)?;
            tx.audit(&by, "session.compact", id.as_str(), &json!({"model": model.to_string()}))?;
            sessions::get(tx, &id)
        };
        Ok(self.deps.store.write(write).await?)
    }

    /// Deletes a conversation: the agent's first, then its history here. One whose frame is gone has only that.
    ///
    /// Whoever dies in between leaves the history: what was not confirmed is not gone, and can be deleted again.
    ///
    /// # Errors
    /// [`SessionError::Busy`] while a message of it is on its way; [`SessionError::NoAgent`] when its frame cannot
    /// be started, and then nothing is deleted.
    pub async fn delete(&self, by: &Principal, id: &SessionId) -> Result<Session, SessionError> {
        let session = self.get(id).await?;
        let wanted = id.clone();
        let sent = self.deps.store.read(move |db| messages::of_session(db, &wanted)).await?;
        if sent.iter().any(|message| !message.state.is_final()) {
            return Err(SessionError::Busy(session.id));
        }
        if let Some(agent_session) = &session.agent_session
            && self.frame_of(&session).await?.is_some()
        {
            let client = self.deps.locator.wake(&session.frame, self.deps.wake).await?;
            if is_busy(&client, agent_session).await? {
                return Err(SessionError::Busy(session.id));
            }
            client.delete_session(agent_session).await?;
            self.deps.failpoints.hit("sessions.delete.after_agent").await;
        }
        let (by, gone) = (by.clone(), session.clone());
        let write = move |tx: &mut Tx<'_>| {
            match sessions::remove(tx, &gone.id) {
                // Whoever listens to the agent may have been faster.
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(StoreError::Conflict { .. }) => return Err(SessionError::Busy(gone.id)),
                Err(error) => return Err(error.into()),
            }
            let detail = json!({"frame": gone.frame_name});
            Ok(tx.audit(&by, "session.delete", gone.id.as_str(), &detail)?)
        };
        self.deps.store.write_as(write).await?;
        Ok(session)
    }

    /// A conversation with an agent that answers.
    async fn awake(
        &self,
        id: &SessionId,
    ) -> Result<(Session, Frame, AgentSessionId, OpencodeClient), SessionError> {
        let session = self.get(id).await?;
        let Some(frame) = self.frame_of(&session).await? else {
            return Err(SessionError::FrameGone(session.frame_name.to_string()));
        };
        let Some(agent_session) = session.agent_session.clone() else {
            return Err(SessionError::NotBegun(session.id));
        };
        let client = self.deps.locator.wake(&frame.id, self.deps.wake).await?;
        Ok((session, frame, agent_session, client))
    }

    /// The agent of a conversation, if it runs already.
    async fn running_agent(&self, session: &Session) -> Result<Option<OpencodeClient>, SessionError> {
        match self.frame_of(session).await? {
            Some(frame) if frame.state == FrameState::Running => {
                Ok(self.deps.locator.agent(&frame.id).await.map(Some)?)
            }
            _ => Ok(None),
        }
    }

    async fn frame_of(&self, session: &Session) -> Result<Option<Frame>, StoreError> {
        let id = session.frame.clone();
        let frame = self.deps.store.read(move |db| frames::find(db, &id)).await?;
        Ok(frame.filter(|frame| frame.desired != Desired::Removed))
    }

    /// opencode's id of a message of a conversation, by ours or its own.
    async fn said_in(
        &self,
        client: &OpencodeClient,
        session: &SessionId,
        agent_session: &AgentSessionId,
        word: &str,
    ) -> Result<AgentMessageId, SessionError> {
        let unknown = || SessionError::NoMessage { session: session.clone(), message: word.to_owned() };
        let mut wanted = AgentMessageId(word.to_owned());
        if let Ok(id) = MessageId::parse(word) {
            match self.deps.store.read(move |db| messages::get(db, &id)).await {
                // One that was never handed over has none.
                Ok(message) => wanted = message.agent_message.ok_or_else(unknown)?,
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let said = client.messages(agent_session, ALL).await?;
        if said.iter().any(|message| message.head.id == wanted) { Ok(wanted) } else { Err(unknown()) }
    }

    async fn last_model(&self, session: &Session) -> Result<ModelRef, SessionError> {
        let id = session.id.clone();
        let said = self.deps.store.read(move |db| agent_messages::of_session(db, &id)).await?;
        let answers = said.into_iter().rev().filter(|turn| turn.head.role == Role::Assistant);
        let model = answers.filter_map(|turn| turn.head.model?.parse().ok()).next();
        Ok(model.unwrap_or_else(|| self.deps.default_model.clone()))
    }
}

async fn is_busy(client: &OpencodeClient, session: &AgentSessionId) -> Result<bool, SessionError> {
    let statuses = client.statuses().await?;
    Ok(statuses.get(session).is_some_and(|status| *status != AgentStatus::Idle))
}

fn keep(tx: &mut Tx<'_>, session: &SessionId, said: &[AgentMessage]) -> Result<(), StoreError> {
    said.iter().try_for_each(|turn| agent_messages::upsert(tx, session, turn))
}

/// What the agent keeps for us with a conversation, so that it is found again.
fn metadata(session: &Session) -> serde_json::Value {
    json!({"mimir": {"session": session.id.as_str(), "frame": session.frame.as_str()}})
}

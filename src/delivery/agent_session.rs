//! The agent's session of a conversation.

use serde_json::{Value, json};

use super::Delivery;
use crate::model::agent::AgentSessionId;
use crate::model::message::{DeliveryState, Message, Session};
use crate::opencode::{OpencodeClient, OpencodeError};
use crate::store::{StoreError, Tx, sessions};

/// How many of the agent's sessions are searched for one that we made and did not get to save.
const SEARCHED: u32 = 200;

impl Delivery {
    /// The agent's session of this conversation: the saved one, one that we made and did not get to
    /// save, or a new one.
    pub(super) async fn ensure_session(
        &self,
        client: &OpencodeClient,
        message: &Message,
    ) -> Result<Result<AgentSessionId, OpencodeError>, StoreError> {
        let id = message.session.clone();
        let session: Session = self.inner.deps.store.read(move |db| sessions::get(db, &id)).await?;
        if let Some(saved) = &session.agent_session {
            match client.find_session(saved).await {
                Ok(Some(_)) => return Ok(Ok(saved.clone())),
                // Its turn is gone with it, which whoever tracks the turn finds out.
                Ok(None) if message.state != DeliveryState::Queued => return Ok(Ok(saved.clone())),
                Ok(None) => self.forget_agent_session(&session, saved).await?,
                Err(error) => return Ok(Err(error)),
            }
        }
        let found = match client.list_sessions(SEARCHED).await {
            Ok(all) => {
                all.into_iter().find(|known| known.metadata["mimir"]["session"] == session.id.as_str())
            }
            Err(error) => return Ok(Err(error)),
        };
        let made = match found {
            Some(found) => found,
            None => match client.create_session(&session.title, &metadata(&session)).await {
                Ok(made) => made,
                Err(error) => return Ok(Err(error)),
            },
        };
        self.inner.deps.failpoints.hit("send.after_session_made").await;
        let agent_session = made.id.clone();
        self.inner
            .deps
            .store
            .write(move |tx| sessions::set_agent_session(tx, &session.id, &agent_session))
            .await?;
        self.inner.deps.failpoints.hit("send.after_session_saved").await;
        Ok(Ok(made.id))
    }

    async fn forget_agent_session(&self, session: &Session, lost: &AgentSessionId) -> Result<(), StoreError> {
        tracing::warn!(session = %session.id, "the agent of frame {} lost session {}; it begins anew", session.frame_name, session.title);
        let id = session.id.clone();
        let lost = lost.clone();
        let forget = move |tx: &mut Tx<'_>| sessions::clear_agent_session(tx, &id, &lost);
        self.inner.deps.store.write(forget).await
    }
}

fn metadata(session: &Session) -> Value {
    json!({"mimir": {"session": session.id.as_str(), "frame": session.frame.as_str()}})
}

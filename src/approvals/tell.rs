//! Telling an agent what was decided. The decision is saved; this may be repeated.

use std::time::Duration;

use super::hear::{NOT_ASKED, set_deadline};
use super::{AnswerError, Approvals};
use crate::frames::PlaceError;
use crate::model::approval::{ApprovalRequest, ApprovalState, Decision, RequestForm};
use crate::opencode::{OpencodeClient, OpencodeError, PermissionReply};
use crate::store::approvals::Decided;
use crate::store::{Tx, approvals};

/// How long somebody who answers waits for the agent; it is told in any case.
const WITHIN: Duration = Duration::from_secs(10);

/// How telling went.
enum Told {
    /// It knows.
    Yes,
    /// It does not ask any more.
    NotAsked,
    /// It cannot be reached now.
    Later(String),
    /// It does not take such an answer.
    Refused(String),
}

impl Approvals {
    /// Tells the agent, whoever waits for it.
    pub(super) async fn tell(&self, prompt: ApprovalRequest) -> Result<ApprovalRequest, AnswerError> {
        let (approvals, id) = (self.clone(), prompt.id.clone());
        let task = format!("tell {}", prompt.id);
        let work = async move { approvals.tell_now(&prompt).await };
        let told = tokio::time::timeout(WITHIN, self.inner.deps.tasks.run_to_end(task, work)).await;
        if let Ok(Some(outcome)) = told {
            outcome?;
        }
        Ok(self.inner.deps.store.read(move |db| approvals::get(db, &id)).await?)
    }

    /// The same, without anybody waiting.
    pub(super) fn tell_soon(&self, prompt: ApprovalRequest) {
        let approvals = self.clone();
        let task = format!("tell {}", prompt.id);
        self.inner.deps.tasks.spawn_once(task, move |stop| async move {
            let told = tokio::select! {
                told = approvals.tell_now(&prompt) => told,
                () = stop.cancelled() => return,
            };
            if let Err(error) = told {
                tracing::warn!(prompt = %prompt.id, %error, "frame {}: an answer was not taken: {error}", prompt.frame_name);
            }
        });
    }

    async fn tell_now(&self, prompt: &ApprovalRequest) -> Result<(), AnswerError> {
        let Some(decision) = &prompt.decision else { return Ok(()) };
        let told = match self.inner.deps.locator.agent(&prompt.frame).await {
            Ok(client) => tell_agent(&client, prompt, decision).await,
            Err(PlaceError::NotThere(why)) => Told::Later(why),
            Err(PlaceError::Stopping) => Told::Later("the gateway stops".to_owned()),
        };
        match told {
            Told::Yes => self.end(prompt, decision.outcome(), None).await?,
            Told::NotAsked => {
                let decided = Decided {
                    decision: decision.clone(),
                    by: "elsewhere".to_owned(),
                    rule: None,
                    reason: Some(NOT_ASKED.to_owned()),
                };
                self.end(prompt, ApprovalState::Expired, Some(decided)).await?;
            }
            Told::Later(why) => {
                tracing::warn!(prompt = %prompt.id, "frame {}: the answer is told later: {why}", prompt.frame_name);
                self.inner.wake.notify_one();
            }
            Told::Refused(why) => {
                let id = prompt.id.clone();
                let undo = move |tx: &mut Tx<'_>| match approvals::get(tx, &id)?.state {
                    ApprovalState::Answering => {
                        approvals::undecide(tx, &id)?;
                        set_deadline(tx, &approvals::get(tx, &id)?)
                    }
                    _ => Ok(()),
                };
                self.inner.deps.store.write(undo).await?;
                return Err(AnswerError::Refused(why));
            }
        }
        Ok(())
    }
}

async fn tell_agent(client: &OpencodeClient, prompt: &ApprovalRequest, decision: &Decision) -> Told {
    let id = &prompt.ask.id;
    let told = match (prompt.ask.form(), decision) {
        (_, Decision::Once) => client.reply_permission(id, PermissionReply::Once, None).await,
        (_, Decision::Always) => client.reply_permission(id, PermissionReply::Always, None).await,
        (RequestForm::Permission, Decision::Reject { why }) => {
            client.reply_permission(id, PermissionReply::Reject, why.as_deref()).await
        }
        (RequestForm::Question, Decision::Reject { .. }) => client.reject_question(id).await,
        // No agent asks that, so none is told.
        (RequestForm::Connection, Decision::Reject { .. }) => return Told::NotAsked,
        (_, Decision::Answer { answers }) => client.reply_question(id, answers).await,
    };
    match told {
        Ok(()) => Told::Yes,
        Err(OpencodeError::NotFound { .. }) => Told::NotAsked,
        Err(error) if error.is_passing() || error.may_have_arrived() => Told::Later(error.to_string()),
        Err(error) => Told::Refused(error.to_string()),
    }
}

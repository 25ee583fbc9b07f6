//! What people may still do about a message: stop it, or change it while it waits.

use serde_json::json;

use super::error::{CancelError, EditError};
use super::{CANCEL_WAIT, Delivery};
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{DeliveryState, Message};
use crate::model::principal::Principal;
use crate::store::queue::Edit;
use crate::store::{StoreError, Tx, messages, queue};

impl Delivery {
    /// Stops a message: one that waits is never sent, one that runs is aborted. Waits a while for the
    /// agent to let go and returns the message as it stands then; one that has ended stays as it ended.
    ///
    /// # Errors
    /// [`CancelError::NotFound`].
    pub async fn cancel(&self, principal: &Principal, id: &MessageId) -> Result<Message, CancelError> {
        let by = principal.clone();
        let wanted = id.clone();
        let change = move |tx: &mut Tx<'_>| {
            let message = messages::get(tx, &wanted)?;
            if message.state.is_final() {
                return Ok(message);
            }
            tx.audit(&by, "message.cancel", wanted.as_str(), &json!({"state": message.state}))?;
            let why = format!("cancelled by {by}");
            // Saved before the agent is asked, so that the next gateway asks it as well; and it tells apart what was stopped
            // inside the frame.
            queue::ask_to_stop(tx, &wanted, &why)?;
            if message.state == DeliveryState::Queued {
                return messages::move_to(tx, &wanted, DeliveryState::Cancelled, Some(&why));
            }
            messages::get(tx, &wanted)
        };
        let message = self.inner.deps.store.write(change).await.map_err(|error: StoreError| match error {
            StoreError::NotFound { key, .. } => CancelError::NotFound(key),
            error => CancelError::Store(error),
        })?;
        // Also for one that was only queued: its worker may be waiting for the frame on its behalf.
        self.cancel_token(id).cancel();
        if message.state.is_final() {
            self.forget_cancel(id);
            self.notify(&message.session);
            return Ok(message);
        }
        self.wake(&message.session);
        Ok(self.wait_for_end(id, CANCEL_WAIT).await?)
    }

    /// Changes a message that waits. Its place in the queue stays.
    ///
    /// # Errors
    /// See [`EditError`]; nothing was changed then.
    pub async fn edit(
        &self,
        principal: &Principal,
        id: &MessageId,
        edit: Edit,
    ) -> Result<Message, EditError> {
        let (by, id) = (principal.clone(), id.clone());
        let change = move |tx: &mut Tx<'_>| {
            let before = match messages::get(tx, &id) {
                Err(StoreError::NotFound { key, .. }) => return Err(EditError::NotFound(key)),
                found => found?,
            };
            if before.state != DeliveryState::Queued {
                return Err(EditError::NotWaiting(before.state));
            }
            let bytes = edit.text.as_ref().map(|text| text.as_str().len());
            tx.audit(&by, "message.edit", id.as_str(), &json!({"bytes": bytes}))?;
            Ok(queue::edit(tx, &id, &edit)?)
        };
        self.inner.deps.store.write_as(change).await
    }

    /// Stops what was stored as to be stopped.
    pub(super) fn interrupt(&self, stopped: &[MessageId]) {
        for id in stopped {
            self.cancel_token(id).cancel();
        }
    }
}

/// Notes for every message of the conversation that was begun that it is to be stopped.
pub(super) fn stop_what_runs(
    tx: &mut Tx<'_>,
    session: &SessionId,
    by: &MessageId,
    principal: &Principal,
) -> Result<Vec<MessageId>, StoreError> {
    let begun = queue::begun(tx, session)?;
    for message in &begun {
        queue::ask_to_stop(tx, &message.id, &format!("interrupted by {by}"))?;
        tx.audit(principal, "message.interrupt", message.id.as_str(), &json!({"by": by}))?;
    }
    Ok(begun.into_iter().map(|message| message.id).collect())
}

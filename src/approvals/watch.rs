//! Sees to what must happen although nobody asks: frames that stop, answers that could not be told at once, and
//! deadlines.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Approvals, SERVICE, hear};
use crate::model::approval::{ApprovalRequest, ApprovalState, RequestForm};
use crate::model::frame::FrameState;
use crate::model::ids::FrameId;
use crate::store::approvals::Decided;
use crate::store::{StoreError, Tx, approvals, frames};
use crate::supervisor::Service;
use crate::timers::Fired;

/// How often is looked while something is open.
const LOOK: Duration = Duration::from_secs(2);
/// How often is looked otherwise; whatever is new wakes us.
const IDLE: Duration = Duration::from_secs(60);

impl Service for Approvals {
    const NAME: &'static str = "approvals";

    /// Runs until it is stopped.
    async fn run(&self, stop: CancellationToken) {
        loop {
            let woken = self.inner.wake.notified();
            let pause = match self.look().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "approvals could not be looked at: {error}");
                    LOOK
                }
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Approvals {
    /// Does what is due; says when to look again.
    async fn look(&self) -> Result<Duration, StoreError> {
        let open = self.inner.deps.store.read(|db| approvals::open(db, None)).await?;
        let now = self.now_ms();
        let pause = if open.is_empty() { IDLE } else { LOOK };
        for prompt in open {
            if let Some(why) = self.is_over(&prompt.frame).await? {
                self.expire_all(&prompt.frame, why, |_| true).await?;
                continue;
            }
            if prompt.state == ApprovalState::Answering {
                let since = now.saturating_sub(prompt.decided_at.unwrap_or(now));
                // The one who decided tells it first.
                if since >= LOOK.as_millis().try_into().unwrap_or(u64::MAX) {
                    self.tell_soon(prompt);
                }
            }
        }
        Ok(pause)
    }

    /// Why nothing of that frame is asked any more.
    async fn is_over(&self, frame: &FrameId) -> Result<Option<&'static str>, StoreError> {
        let id = frame.clone();
        let found = self.inner.deps.store.read(move |db| frames::find(db, &id)).await?;
        Ok(match found.map(|frame| frame.state) {
            None => Some("the frame was destroyed"),
            Some(FrameState::Stopped | FrameState::Error) => Some("the frame was stopped"),
            Some(_) => None,
        })
    }

    /// The time of a request is up: it is denied, unless somebody was faster. May be called again.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn deadline_passed(&self, id: &str) -> Result<Fired, StoreError> {
        let wanted = id.to_owned();
        let found = self.inner.deps.store.read(move |db| approvals::find_by_piece(db, &wanted)).await?;
        let Some(prompt) = found.into_iter().find(|prompt| prompt.id.as_str() == id) else {
            return Ok(Fired::Done);
        };
        if let Some(why) = self.is_over(&prompt.frame).await? {
            self.expire_all(&prompt.frame, why, |_| true).await?;
        } else if let Some(left) = prompt.deadline_at.map(|at| at.saturating_sub(self.now_ms())) {
            if left > 0 {
                return Ok(Fired::AgainAfter(Duration::from_millis(left)));
            }
            match prompt.ask.form() {
                RequestForm::Connection => self.lapse(&prompt.id).await.map(drop)?,
                RequestForm::Permission | RequestForm::Question => self.deny_unattended(prompt).await?,
            }
        }
        Ok(Fired::Done)
    }

    fn now_ms(&self) -> u64 {
        self.inner.deps.clock.now_ms()
    }

    async fn deny_unattended(&self, prompt: ApprovalRequest) -> Result<(), StoreError> {
        let change = move |tx: &mut Tx<'_>| {
            let now = approvals::get(tx, &prompt.id)?;
            if now.state != ApprovalState::Pending {
                return Ok(None);
            }
            let missed = match &prompt.message {
                Some(message) => approvals::missed(tx, message)?,
                None => 0,
            };
            let waited = tx.now_ms().saturating_sub(prompt.asked_at);
            let (decision, why) = hear::nobody_came(&prompt, missed, waited);
            let decided = Decided { decision, by: "deadline".to_owned(), rule: None, reason: Some(why) };
            let prompt = approvals::decide(tx, &prompt.id, &decided)?;
            tx.audit(&SERVICE, "approval.deadline", prompt.id.as_str(), &hear::by_deadline(&prompt))?;
            Ok::<_, StoreError>(Some(prompt))
        };
        if let Some(prompt) = self.inner.deps.store.write(change).await? {
            self.tell_soon(prompt);
        }
        Ok(())
    }
}

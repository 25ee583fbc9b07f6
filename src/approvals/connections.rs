//! May a frame reach a host that is not on its list? The gateway asks, and does what is answered: no agent has a say.
//!
//! The connection waits meanwhile, for a short time only: what nobody answers expires, and the connection is refused.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::hear::ask_people;
use super::{Approvals, Inner};
use crate::clock;
use crate::frames::allow_host;
use crate::model::agent::AgentSessionId;
use crate::model::approval::{AgentRequest, ApprovalRequest, ApprovalState, AskBody, Decision};
use crate::model::ids::{ApprovalId, FrameId};
use crate::model::message::DeliveryState;
use crate::model::principal::Principal;
use crate::store::approvals::Decided;
use crate::store::{StoreError, Tx, approvals, frames, messages};

/// Who decides when nobody does, as rows say it.
const DEADLINE: &str = "deadline";

/// A host that a frame wants to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What `always` puts on the frame's list.
    pub listed: String,
    /// What the program calls itself, when it does.
    pub program: Option<String>,
}

/// What was said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This time.
    Once,
    /// From now on: it is on the frame's list.
    Always,
    /// No.
    No {
        /// Why, when that was said. Not who said it: the frame hears this.
        why: Option<String>,
    },
    /// Nothing, within the time.
    Nothing,
}

/// [`Approvals`] for somebody whom they call themselves.
#[derive(Clone)]
pub struct WeakApprovals(Weak<Inner>);

impl WeakApprovals {
    /// The service, as long as it is there.
    #[must_use]
    pub fn upgrade(&self) -> Option<Approvals> {
        self.0.upgrade().map(|inner| Approvals { inner })
    }
}

impl Approvals {
    /// A handle that does not keep it.
    #[must_use]
    pub fn downgrade(&self) -> WeakApprovals {
        WeakApprovals(Arc::downgrade(&self.inner))
    }

    /// Asks people whether a frame may reach a host, and waits for the answer for so long. What it says is done: a host
    /// that is always allowed is on the frame's list.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn ask_connection(
        &self,
        frame: &FrameId,
        wanted: Wanted,
        within: Duration,
    ) -> Result<Said, StoreError> {
        let id = ApprovalId::from_parts(self.inner.deps.clock.now_ms(), clock::entropy_128());
        let mut settled = self.inner.settled.subscribe();
        let until = tokio::time::Instant::now() + within;
        let (of, new) = (frame.clone(), id.clone());
        let is_asked = self.inner.deps.store.write(move |tx| raise(tx, new, &of, wanted, within)).await?;
        if !is_asked {
            return Ok(Said::Nothing);
        }
        self.inner.wake.notify_one();
        loop {
            settled.borrow_and_update();
            let wanted = id.clone();
            let now = self.inner.deps.store.read(move |db| approvals::get(db, &wanted)).await?;
            if !now.state.is_open() {
                return Ok(said(&now));
            }
            tokio::select! {
                changed = settled.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(until) => break,
            }
        }
        // Whoever was faster than this has decided all the same.
        self.lapse(&id).await.map(|after| said(&after))
    }

    /// Nobody answered in time: it expires, unless somebody was faster.
    pub(super) async fn lapse(&self, id: &ApprovalId) -> Result<ApprovalRequest, StoreError> {
        let id = id.clone();
        let lapsed = self.inner.deps.store.write(move |tx| {
            let decided = Decided {
                decision: Decision::Reject { why: None },
                by: DEADLINE.to_owned(),
                rule: None,
                reason: Some("nobody answered in time, and the connection was refused".to_owned()),
            };
            approvals::end(tx, &id, ApprovalState::Expired, Some(&decided))?;
            approvals::get(tx, &id)
        });
        let lapsed = lapsed.await?;
        self.settled();
        Ok(lapsed)
    }

    /// What was decided holds from now on, and the connection goes on.
    pub(super) async fn carry_out(&self, prompt: &ApprovalRequest) -> Result<(), StoreError> {
        if prompt.decision == Some(Decision::Always) {
            let id = prompt.frame.clone();
            if let Some(frame) = self.inner.deps.store.read(move |db| frames::find(db, &id)).await? {
                self.inner.deps.host.rules_changed(&frame);
            }
        }
        self.settled();
        Ok(())
    }

    /// Something is answered or over.
    pub(super) fn settled(&self) {
        self.inner.settled.send_modify(|count| *count += 1);
    }
}

/// Row and event. Says whether there is anybody to ask about.
fn raise(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    frame: &FrameId,
    wanted: Wanted,
    within: Duration,
) -> Result<bool, StoreError> {
    let Some(frame) = frames::find(tx, frame)? else { return Ok(false) };
    let in_hand = messages::list_open(tx, Some(&frame.id))?
        .into_iter()
        .filter(|message| message.state != DeliveryState::Queued);
    // Which of several turns wants it, nobody knows.
    let message = match in_hand.collect::<Vec<_>>() {
        mut one if one.len() == 1 => one.pop(),
        _ => None,
    };
    let Wanted { host, port, listed, program } = wanted;
    let ask = AgentRequest {
        id: format!("net_{id}"),
        session: AgentSessionId(String::new()),
        call: None,
        body: AskBody::Connection { host, port, listed, program },
    };
    let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let new = ApprovalRequest {
        session: message.as_ref().map(|message| message.session.clone()),
        message: message.map(|message| message.id),
        deadline_at: Some(tx.now_ms().saturating_add(within)),
        ..ApprovalRequest::pending(id, frame.id, frame.name, ask, tx.now_ms())
    };
    let (prompt, _) = approvals::insert_once(tx, new)?;
    ask_people(tx, &prompt)?;
    Ok(true)
}

/// Takes what somebody said: the row, and with `always` the frame's list, in one.
pub(super) fn decide(
    tx: &mut Tx<'_>,
    by: &Principal,
    before: &ApprovalRequest,
    decided: &Decided,
) -> Result<ApprovalRequest, StoreError> {
    if let (Decision::Always, AskBody::Connection { listed, .. }) = (&decided.decision, &before.ask.body) {
        allow_host(tx, by, &before.frame, listed)?;
    }
    approvals::end(tx, &before.id, decided.decision.outcome(), Some(decided))?;
    let prompt = approvals::get(tx, &before.id)?;
    tx.audit(by, "approval.answer", prompt.id.as_str(), &approvals::audit_detail(&prompt))?;
    Ok(prompt)
}

/// What a row that is over says.
fn said(prompt: &ApprovalRequest) -> Said {
    match (&prompt.decision, prompt.state) {
        (Some(Decision::Once), ApprovalState::Allowed) => Said::Once,
        (Some(Decision::Always), ApprovalState::Allowed) => Said::Always,
        (_, ApprovalState::Denied) => Said::No { why: prompt.reason.clone() },
        _ => Said::Nothing,
    }
}

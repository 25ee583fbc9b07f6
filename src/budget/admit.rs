//! Whether a call may begin.

use std::time::Duration;

use tokio::time::Instant;

use super::{BudgetError, Budgets, Running};
use crate::model::budget::Standing;
use crate::model::event::EventKind;
use crate::model::ids::FrameId;
use crate::models::{Counted, Meter};
use crate::store::budgets::{self, Payer};
use crate::store::running_calls::{self, NewCall};
use crate::store::{StoreError, Tx};

/// How long a call waits while others hold what is left; opencode waits 60 s for an answer to begin.
const WAIT: Duration = Duration::from_secs(45);

/// How often a call that waits is looked at when nobody calls: a day may be over.
const LOOK: Duration = Duration::from_secs(2);

/// A call that wants to begin.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// Whose.
    pub frame: FrameId,
    /// What it is.
    pub call: Counted,
}

/// A call that may begin.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// For [`Budgets::book`] or [`Budgets::release`].
    pub id: u64,
    /// Learns what the call costs, and may cut it.
    pub meter: Meter,
}

/// What became of one try.
enum Try {
    Begun {
        id: u64,
        payer: Payer,
        left: Option<u64>,
    },
    Refused(BudgetError),
    /// Others hold what is left.
    Held(Standing),
}

impl Budgets {
    /// Lets a call begin as soon as its budgets have something left for it.
    ///
    /// # Errors
    /// See [`BudgetError`]; nothing is held then.
    pub async fn admit(&self, request: CallRequest) -> Result<Admitted, BudgetError> {
        let until = Instant::now() + WAIT;
        loop {
            let mut released = std::pin::pin!(self.inner.released.notified());
            // From here on it hears of everything.
            released.as_mut().enable();
            let held = match self.try_once(request.clone()).await? {
                Try::Begun { id, payer, left } => return self.begun(&request, id, payer, left).await,
                Try::Refused(why) => return Err(why),
                Try::Held(standing) => standing,
            };
            if Instant::now() >= until {
                return Err(BudgetError::Held(Box::new(held)));
            }
            tokio::select! {
                () = released.as_mut() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn try_once(&self, request: CallRequest) -> Result<Try, StoreError> {
        let inner = &self.inner;
        let (life, defaults, now) = (inner.life, inner.settings.now().defaults, inner.clock.now_ms());
        // It survives the end of this process, which is what the row is for.
        let change = move |tx: &mut Tx<'_>| {
            if budgets::is_paused(tx)? {
                return Ok(Try::Refused(BudgetError::Paused));
            }
            let CallRequest { frame, call } = request;
            if let (Some(session), Some(parent)) = (&call.agent_session, &call.agent_parent)
                && session != parent
            {
                budgets::note_parent(tx, &frame, session, parent)?;
            }
            let payer = budgets::payer(tx, &frame, call.agent_session.as_ref())?;
            let standings = budgets::of_payer(tx, &payer, defaults, now)?;
            if let Some(refused) = judge(&standings, &call) {
                return Ok(refused);
            }
            let new = NewCall {
                life,
                payer: payer.clone(),
                agent_session: call.agent_session,
                provider: call.provider,
                model: call.model,
                tokens: call.expected,
                reserved_microusd: call.pricing.reckon(&call.expected),
                priced: call.pricing.reckoned().is_some(),
            };
            let id = running_calls::begin(tx, &new)?;
            let left = standings.iter().map(Standing::left).min();
            Ok(Try::Begun { id, payer, left })
        };
        inner.store.write_soon(change).await
    }

    async fn begun(
        &self,
        request: &CallRequest,
        id: u64,
        payer: Payer,
        left: Option<u64>,
    ) -> Result<Admitted, BudgetError> {
        let inner = &self.inner;
        let meter = Meter::watched_by(inner.look.clone());
        if let Some(left) = left {
            meter.look_at(left / 4);
        }
        inner.running.lock().insert(id, Running { payer, meter: meter.clone() });
        inner.failpoints.hit("budget.after_row").await;
        let may_go = self.may_go_on(request).await;
        if may_go.is_err() {
            self.release(id).await?;
        }
        may_go.map(|()| Admitted { id, meter })
    }

    /// What is looked at once a call has its row.
    async fn may_go_on(&self, request: &CallRequest) -> Result<(), BudgetError> {
        // Somebody may have paused it between the row and the list of those who are cut.
        if self.is_paused().await? {
            return Err(BudgetError::Paused);
        }
        if request.call.pricing.reckoned().is_none() {
            self.tell_unpriced(request).await?;
        }
        Ok(())
    }

    /// Says once that a model has no known price.
    async fn tell_unpriced(&self, request: &CallRequest) -> Result<(), StoreError> {
        let (provider, model) = (request.call.provider.clone(), request.call.model.clone());
        {
            let mut told = self.inner.unpriced.lock();
            // A frame can make up names.
            if told.len() >= 1_000 || !told.insert((provider.clone(), model.clone())) {
                return Ok(());
            }
        }
        let text = format!(
            "no price is known for {provider}/{model}: what it costs is not counted; \
             `mimir prices set {provider}/{model} INPUT OUTPUT` sets one"
        );
        tracing::warn!("{text}");
        let frame = request.frame.clone();
        let change = move |tx: &mut Tx<'_>| {
            let payer = Payer { frame, project: None, root: None, run: None };
            let subject = super::subject(tx, &payer)?;
            tx.emit(&subject, &EventKind::FrameNote { code: "no_price".into(), text })
        };
        self.inner.store.write_soon(change).await.map(drop)
    }
}

/// Why a call may not begin now; none when it may.
fn judge(standings: &[Standing], call: &Counted) -> Option<Try> {
    if let Some(used_up) = standings.iter().find(|standing| standing.is_used_up()) {
        // What is free may go on.
        let is_free = call.pricing.price.is_some() && call.pricing.reckon(&call.expected) == 0;
        return (!is_free).then(|| Try::Refused(BudgetError::UsedUp(Box::new(used_up.clone()))));
    }
    if let (None, Some(budget)) = (call.pricing.reckoned(), standings.first()) {
        return Some(Try::Refused(BudgetError::Unpriced {
            provider: call.provider.clone(),
            model: call.model.clone(),
            budget: Box::new(budget.clone()),
        }));
    }
    let held = standings.iter().find(|standing| standing.is_held());
    held.map(|standing| Try::Held(standing.clone()))
}

//! What model calls may cost: who may begin one, what is held and booked for it, and when it has to end.
//!
//! A call is a row before it is made ([`Budgets::admit`]), with as much held for it as it may cost at most. When it is
//! over, the row becomes one of the books, in one transaction ([`Budgets::book`]); what a gateway leaves behind when it
//! dies is booked at what was held, by the next one. So nothing that a provider was asked for is missing in the books.
//!
//! A call begins when something is left of every budget that its payer is held to; while others hold all that is left,
//! it waits for them. While it runs, what it costs is reckoned from the text that passes, and it is cut when a budget is
//! used up: no call goes beyond by more than its own answer.
//!
//! Which frame calls is known by its socket. Which conversation, the agent says itself: the limit of a conversation
//! believes the agent, the limits of frames, projects and the home do not.
//!
//! Not here: how an answer is read and priced (see `models`), who may change budgets (see `gateway`).

mod admit;
mod error;
mod setting;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::config::Live;
use crate::model::budget::{PAUSED, Standing};
use crate::model::event::{EventKind, Subject};
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::models::{CallReport, Meter, Models};
use crate::store::budgets::{self, Defaults, Payer};
use crate::store::usage::{self, ModelCall};
use crate::store::{Store, StoreError, Tx, frames, running_calls};
use crate::supervisor::Service;
use crate::supervisor::failpoint::Failpoints;

pub use admit::{Admitted, CallRequest};
pub use error::BudgetError;
pub use setting::{BudgetTarget, Charts};

/// What the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limits that hold where none is set.
    pub defaults: Defaults,
    /// At how many percent of a budget it is said that it comes to its end.
    pub warn_at: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { defaults: Defaults::default(), warn_at: 80 }
    }
}

/// What the service needs.
pub struct BudgetDeps {
    /// The database.
    pub store: Store,
    /// Who has the prices.
    pub models: Arc<Models>,
    /// The time.
    pub clock: Clock,
    /// Where tests let it die.
    pub failpoints: Failpoints,
    /// What is configured.
    pub settings: Settings,
}

/// Watches over what is spent. Cheap to clone.
#[derive(Clone)]
pub struct Budgets {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    models: Arc<Models>,
    clock: Clock,
    failpoints: Failpoints,
    settings: Live<Settings>,
    /// Another number after each start.
    life: u64,
    /// Calls of this gateway that run.
    running: Mutex<HashMap<u64, Running>>,
    /// Something is free again, or allowed again.
    released: Notify,
    /// A running call wants to be looked at.
    look: Arc<Notify>,
    /// Models without a price that were told of.
    unpriced: Mutex<HashSet<(String, String)>>,
}

/// A call that runs.
#[derive(Clone)]
struct Running {
    payer: Payer,
    meter: Meter,
}

impl Budgets {
    /// Makes the service. Calls may begin at once; running ones are watched while it runs.
    #[must_use]
    pub fn new(deps: BudgetDeps) -> Self {
        let life = u64::try_from(clock::entropy_128() >> 66).unwrap_or(1);
        let inner = Inner {
            store: deps.store,
            models: deps.models,
            clock: deps.clock,
            failpoints: deps.failpoints,
            settings: Live::new(deps.settings),
            life,
            running: Mutex::default(),
            released: Notify::new(),
            look: Arc::default(),
            unpriced: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Other settings from now on.
    pub fn configure(&self, settings: Settings) {
        self.inner.settings.set(settings);
        self.changed();
    }

    /// Limits, prices or the pause changed: those who wait and those who run are looked at again.
    fn changed(&self) {
        self.inner.released.notify_waiters();
        self.inner.look.notify_one();
    }

    /// Books a call that is over: its row becomes one of the books.
    ///
    /// # Errors
    /// Whatever the database says; then the row is still there, and is booked at the next start at the latest.
    pub async fn book(&self, id: u64, report: CallReport) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner.failpoints.hit("budget.before_booking").await;
        let (settings, now) = (*inner.settings.now(), inner.clock.now_ms());
        let booked = inner.store.write(move |tx| book(tx, id, &report, settings, now)).await;
        inner.failpoints.hit("budget.after_booking").await;
        // Only then, so that what it cost is never counted by nobody.
        self.forget(id);
        booked
    }

    /// Gives back what was held for a call that no provider was asked to answer.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn release(&self, id: u64) -> Result<(), StoreError> {
        let released = self.inner.store.write_soon(move |tx| running_calls::end(tx, id)).await;
        self.forget(id);
        released.map(drop)
    }

    fn forget(&self, id: u64) {
        self.inner.running.lock().remove(&id);
        self.inner.released.notify_waiters();
    }

    /// Stops all spending: running calls are cut, new ones refused, over restarts, until [`Budgets::resume`]. Says
    /// whether that changed anything, and how many calls were cut.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn pause(&self, principal: &Principal) -> Result<(bool, usize), StoreError> {
        let changed = self.set_paused(principal, true).await?;
        let running: Vec<Meter> =
            self.inner.running.lock().values().map(|running| running.meter.clone()).collect();
        running.iter().for_each(|meter| meter.cut(PAUSED));
        self.changed();
        Ok((changed, running.len()))
    }

    /// Lets spending go on. Says whether it was paused.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn resume(&self, principal: &Principal) -> Result<bool, StoreError> {
        let changed = self.set_paused(principal, false).await?;
        self.changed();
        Ok(changed)
    }

    async fn set_paused(&self, principal: &Principal, paused: bool) -> Result<bool, StoreError> {
        let principal = principal.clone();
        let change = move |tx: &mut Tx<'_>| {
            let changed = budgets::set_paused(tx, paused)?;
            if changed {
                let action = if paused { "spending.pause" } else { "spending.resume" };
                tx.audit(&principal, action, "all", &serde_json::json!({}))?;
            }
            Ok(changed)
        };
        self.inner.store.write(change).await
    }

    /// Whether spending is paused.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_paused(&self) -> Result<bool, StoreError> {
        self.inner.store.read(|db| budgets::is_paused(db)).await
    }
}

impl Service for Budgets {
    const NAME: &'static str = "budgets";

    async fn run(&self, stop: CancellationToken) {
        if let Err(error) = self.take_up().await {
            tracing::error!(%error, "what an earlier gateway left of the books cannot be read: {error}");
        }
        tokio::select! {
            () = self.watch() => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Budgets {
    /// Books what an earlier gateway left, and reads the prices that were set. May be called again.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn take_up(&self) -> Result<(), StoreError> {
        let life = self.inner.life;
        let booked = self.inner.store.write(move |tx| running_calls::book_left_over(tx, life)).await?;
        if booked > 0 {
            tracing::warn!(
                "{booked} model calls had no end when the gateway before this one did; they are booked at what they may have cost at most"
            );
        }
        self.load_prices().await?;
        self.changed();
        Ok(())
    }
}

/// Everything about the end of a call, in one transaction.
fn book(
    tx: &mut Tx<'_>,
    id: u64,
    report: &CallReport,
    settings: Settings,
    now_ms: u64,
) -> Result<(), StoreError> {
    // Gone: somebody booked it already.
    let Some(running) = running_calls::end(tx, id)? else { return Ok(()) };
    let payer = running.call.payer;
    let before = budgets::of_payer(tx, &payer, settings.defaults, now_ms)?;
    let call = ModelCall {
        payer: payer.clone(),
        agent_session: running.call.agent_session,
        provider: report.provider.clone(),
        model: report.model.clone(),
        tokens: report.tokens,
        cost_microusd: report.cost_microusd,
        priced: report.priced,
        estimated: report.estimated,
        status: report.status,
    };
    usage::insert(tx, &call)?;
    if report.cost_microusd > 0 {
        tell(tx, &payer, &before, report.cost_microusd, settings.warn_at)?;
    }
    Ok(())
}

/// Tells of budgets that come to their end with this call.
fn tell(
    tx: &mut Tx<'_>,
    payer: &Payer,
    before: &[Standing],
    cost: u64,
    warn_at: u32,
) -> Result<(), StoreError> {
    for old in before {
        let new = Standing { spent_microusd: old.spent_microusd.saturating_add(cost), ..old.clone() };
        let levels = [u64::from(warn_at), 100];
        let crossed =
            levels.into_iter().filter(|level| old.percent() < *level && new.percent() >= *level).max();
        let Some(level) = crossed else { continue };
        let subject = subject(tx, payer)?;
        let text = match level {
            100 => new.used_up(),
            _ => format!("the budget of {new} is at {} %: {}", new.percent(), new.amounts()),
        };
        tracing::warn!("{text}");
        let what = EventKind::BudgetWarning {
            whose: new.to_string(),
            period: new.key.period,
            limit_microusd: new.limit_microusd,
            spent_microusd: new.spent_microusd,
            is_used_up: new.is_used_up(),
            text,
        };
        tx.emit(&subject, &what)?;
    }
    Ok(())
}

/// What an event about a payer is about: its frame, and the message that its conversation works on.
fn subject(tx: &Tx<'_>, payer: &Payer) -> Result<Subject, StoreError> {
    let frame_name: Option<FrameName> = frames::find(tx, &payer.frame)?.map(|frame| frame.name);
    let mut subject = Subject { frame: Some(payer.frame.clone()), frame_name, ..Subject::default() };
    if let Some(root) = &payer.root
        && let Some((session, message)) = usage::conversation(tx, &payer.frame, root)?
    {
        (subject.session, subject.message) = (Some(session), message);
    }
    Ok(subject)
}

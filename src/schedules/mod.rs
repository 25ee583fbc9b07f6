//! What happens at a time, without anybody at a keyboard.
//!
//! A schedule is a row with the next of its times; a timer (`timers`) is set in the same transaction. When it fires, one
//! transaction (`tick`) notes what became of that time, makes the run (`store::runs`) and sets the next timer: a gateway
//! that dies before it has done nothing, one that dies after it has done all of it. Each time is noted once, whatever the
//! clock does. Times that passed while nobody was there are one (`model::schedule::Plan::due`).
//!
//! A clock that is set back repeats nothing: the next time stays where it is. Only when that is more than three hours
//! further than it should be, the clock was wrong before, and the new one is believed.
//!
//! Not here: what a run does (`workflows`). Agents and frames have no way to schedules.

mod change;
mod configured;
mod error;
mod tick;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use change::{ScheduleChange, Shown};
pub use error::ScheduleError;

use crate::clock::Clock;
use crate::config::Live;
use crate::model::principal::Principal;
use crate::model::schedule::ConfiguredSchedule;
use crate::store::schedules::{self as rows};
use crate::store::{Store, StoreError, Tx};
use crate::supervisor::Service;
use crate::supervisor::failpoint::Failpoints;
use crate::timers::Fired;
use tick::Ticked;

/// Who does what schedules do, in audit rows.
const PRINCIPAL: Principal = Principal::service("schedules");
/// The longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After something happened, and something waits.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A clock that is set back by more was wrong before.
const CORRECTED: u64 = 3 * 60 * 60 * 1000;

/// What the service needs.
pub struct SchedulesDeps {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
    /// Those of the configuration.
    pub configured: Vec<ConfiguredSchedule>,
}

/// Sees to schedules. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    failpoints: Failpoints,
    configured: Live<Vec<ConfiguredSchedule>>,
    changed: Notify,
}

impl Schedules {
    /// Makes the service. What the configuration says holds when it runs.
    #[must_use]
    pub fn new(deps: SchedulesDeps) -> Self {
        let SchedulesDeps { store, clock, failpoints, configured } = deps;
        let configured = Live::new(configured);
        Self { inner: Arc::new(Inner { store, clock, failpoints, configured, changed: Notify::new() }) }
    }

    /// The configuration says that from now on.
    pub fn configure(&self, configured: Vec<ConfiguredSchedule>) {
        self.inner.configured.set(configured);
        self.inner.changed.notify_one();
    }

    /// The timer of a schedule fired.
    ///
    /// # Errors
    /// Whatever the database says; nothing was done then.
    pub async fn tick(&self, subject: &str) -> Result<Fired, StoreError> {
        let Ok(id) = subject.parse() else { return Ok(Fired::Done) };
        self.inner.failpoints.hit("schedules.before_tick").await;
        let ticked = self.inner.store.write(move |tx| tick::tick(tx, id)).await?;
        self.inner.failpoints.hit("schedules.after_tick").await;
        // It may wait for a run to end.
        self.inner.changed.notify_one();
        Ok(match ticked {
            Ticked::Done => Fired::Done,
            Ticked::NotYet(pause) => Fired::AgainAfter(Duration::from_millis(pause)),
        })
    }

    /// Whatever waited and need not any more, and times that a wrong clock has set. Says how many still wait.
    async fn look(&self) -> Result<usize, StoreError> {
        let now = self.inner.clock.now_ms();
        let seen = self.inner.store.read(move |db| {
            let is_wrong = |at: Option<u64>| at.is_some_and(|at| at > now + CORRECTED);
            let far: Vec<_> =
                rows::list(db)?.into_iter().filter(|schedule| is_wrong(schedule.next_at)).collect();
            Ok((far, rows::waiting(db)?.len()))
        });
        let (far, waiting) = seen.await?;
        // Far in the future is right for most; what the clock should say now decides.
        let corrected = far.into_iter().filter(|schedule| {
            let first =
                schedule.spec.plan().ok().and_then(|plan| plan.expression.next_after(&plan.zone, now));
            first.zip(schedule.next_at).is_some_and(|(first, next)| next > first + CORRECTED)
        });
        let corrected: Vec<u64> = corrected.map(|schedule| schedule.id).collect();
        if corrected.is_empty() && waiting == 0 {
            return Ok(0);
        }
        let change = move |tx: &mut Tx<'_>| {
            for id in corrected {
                if let Some(schedule) = rows::of_id(tx, id)?
                    && let Ok(plan) = schedule.spec.plan()
                {
                    tick::plan_anew(tx, &schedule, &plan)?;
                }
            }
            tick::release(tx)
        };
        self.inner.store.write(change).await
    }
}

impl Service for Schedules {
    const NAME: &'static str = "schedules";

    async fn run(&self, stop: CancellationToken) {
        let mut events = self.inner.store.last_event();
        let mut said = None;
        loop {
            let configured = self.inner.configured.now();
            if said.as_ref().is_none_or(|said| !Arc::ptr_eq(said, &configured)) {
                match self.take_over(&configured).await {
                    Ok(()) => said = Some(configured),
                    Err(error) => {
                        tracing::error!(%error, "the configuration's schedules are not taken over: {error}")
                    }
                }
            }
            let waiting = match self.look().await {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::error!(%error, "schedules cannot be looked at: {error}");
                    0
                }
            };
            // A run that ends is an event; nobody looks at events while nothing waits for one.
            tokio::select! {
                () = self.inner.changed.notified() => {}
                heard = events.changed(), if waiting > 0 => {
                    if heard.is_err() {
                        return;
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;

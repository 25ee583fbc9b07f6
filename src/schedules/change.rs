//! What people do with schedules.

use serde_json::json;

use super::{ScheduleError, Schedules, tick};
use crate::model::names::ScheduleName;
use crate::model::principal::Principal;
use crate::model::schedule::{
    CatchUp, InvalidSchedule, Overlap, Plan, Schedule, ScheduleAction, ScheduleSource, ScheduleSpec,
    TickCause,
};
use crate::store::schedules::{self as rows, Tick};
use crate::store::{Queryable, StoreError, Tx, runs};

/// How many of its next times are shown.
const NEXT: usize = 3;

/// A schedule as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Itself.
    pub schedule: Schedule,
    /// When, in words.
    pub words: String,
    /// Its next times (UTC ms, without jitter); none while it is paused.
    pub next: Vec<u64>,
    /// What became of the last one.
    pub last: Option<Tick>,
}

/// What is to be another way. What is absent stays; what is `Some(None)` is taken away.
#[derive(Clone, Debug, Default)]
pub struct ScheduleChange {
    /// When.
    pub expression: Option<String>,
    /// On whose clock.
    pub zone: Option<String>,
    /// What is done.
    pub action: Option<ScheduleAction>,
    /// When the last run still goes on.
    pub overlap: Option<Overlap>,
    /// What becomes of times that passed.
    pub catch_up: Option<CatchUp>,
    /// How much later at most.
    pub jitter_seconds: Option<u64>,
    /// What comes first.
    pub gate: Option<Option<String>>,
    /// After how many failures it is paused.
    pub pause_after_failures: Option<Option<u32>>,
    /// At what cost within a day it is paused.
    pub pause_at_microusd: Option<Option<u64>>,
    /// What one run may cost.
    pub budget_microusd: Option<Option<u64>>,
}

impl ScheduleChange {
    fn of(self, old: ScheduleSpec) -> ScheduleSpec {
        ScheduleSpec {
            expression: self.expression.unwrap_or(old.expression),
            zone: self.zone.unwrap_or(old.zone),
            action: self.action.unwrap_or(old.action),
            overlap: self.overlap.unwrap_or(old.overlap),
            catch_up: self.catch_up.unwrap_or(old.catch_up),
            jitter_seconds: self.jitter_seconds.unwrap_or(old.jitter_seconds),
            gate: self.gate.unwrap_or(old.gate),
            pause_after_failures: self.pause_after_failures.unwrap_or(old.pause_after_failures),
            pause_at_microusd: self.pause_at_microusd.unwrap_or(old.pause_at_microusd),
            budget_microusd: self.budget_microusd.unwrap_or(old.budget_microusd),
        }
    }
}

/// A gate is a command that runs on the gateway's machine.
fn check_gate(principal: &Principal, gate: Option<&String>) -> Result<(), ScheduleError> {
    match (gate, principal) {
        (None, _) | (_, Principal::Owner { .. } | Principal::Service { .. }) => Ok(()),
        (Some(_), Principal::Token { .. }) => Err(ScheduleError::OwnerOnly),
    }
}

/// As it is written: with single spaces, and the zone's own name.
fn tidy(spec: ScheduleSpec, plan: &Plan) -> ScheduleSpec {
    ScheduleSpec { expression: plan.expression.to_string(), zone: plan.zone.to_string(), ..spec }
}

fn existing(ask: &impl Queryable, name: &ScheduleName) -> Result<Schedule, ScheduleError> {
    rows::find(ask, name)?.ok_or_else(|| ScheduleError::NotFound(name.clone()))
}

impl Schedules {
    /// Makes a schedule.
    ///
    /// # Errors
    /// [`ScheduleError::Invalid`], [`ScheduleError::OwnerOnly`], or that there is one of that name.
    pub async fn add(
        &self,
        principal: &Principal,
        name: &ScheduleName,
        spec: ScheduleSpec,
        is_paused: bool,
    ) -> Result<Shown, ScheduleError> {
        check_gate(principal, spec.gate.as_ref())?;
        let plan = spec.plan()?;
        let (spec, principal, wanted) = (tidy(spec, &plan), principal.clone(), name.clone());
        let change = move |tx: &mut Tx<'_>| {
            let paused = is_paused.then(|| format!("by {principal}"));
            let made = rows::insert(tx, &wanted, ScheduleSource::Person, &spec, paused.as_deref())?;
            tick::plan_anew(tx, &made, &plan)?;
            let detail =
                json!({ "expression": spec.expression, "zone": spec.zone, "does": spec.action.words() });
            tx.audit(&principal, "schedule.add", wanted.as_str(), &detail)
        };
        self.inner.store.write(change).await?;
        self.show(name).await
    }

    /// Changes a schedule.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::Configured`], and those of [`Schedules::add`].
    pub async fn edit(
        &self,
        principal: &Principal,
        name: &ScheduleName,
        change: ScheduleChange,
    ) -> Result<Shown, ScheduleError> {
        check_gate(principal, change.gate.as_ref().and_then(Option::as_ref))?;
        let (principal, wanted) = (principal.clone(), name.clone());
        let change = move |tx: &mut Tx<'_>| {
            let old = existing(tx, &wanted)?;
            if old.source == ScheduleSource::Configuration {
                return Err(ScheduleError::Configured(wanted));
            }
            let spec = change.of(old.spec.clone());
            let plan = spec.plan()?;
            let spec = tidy(spec, &plan);
            let is_when = !spec.has_times_of(&old.spec);
            rows::set_spec(tx, old.id, &spec)?;
            let detail =
                json!({ "expression": spec.expression, "zone": spec.zone, "does": spec.action.words() });
            tx.audit(&principal, "schedule.change", wanted.as_str(), &detail)?;
            if is_when {
                let new = existing(tx, &wanted)?;
                tick::plan_anew(tx, &new, &plan)?;
            }
            Ok(())
        };
        self.inner.store.write_as(change).await?;
        self.show(name).await
    }

    /// Forgets a schedule. Its runs stay.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::Configured`].
    pub async fn remove(&self, principal: &Principal, name: &ScheduleName) -> Result<Shown, ScheduleError> {
        let shown = self.show(name).await?;
        let (principal, wanted) = (principal.clone(), name.clone());
        let change = move |tx: &mut Tx<'_>| {
            let old = existing(tx, &wanted)?;
            if old.source == ScheduleSource::Configuration {
                return Err(ScheduleError::Configured(wanted));
            }
            rows::remove(tx, old.id)?;
            Ok(tx.audit(&principal, "schedule.remove", wanted.as_str(), &json!({}))?)
        };
        self.inner.store.write_as(change).await?;
        Ok(shown)
    }

    /// It does nothing until it is resumed. Runs that go on, go on.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn pause(
        &self,
        principal: &Principal,
        name: &ScheduleName,
        why: Option<String>,
    ) -> Result<Shown, ScheduleError> {
        let (principal, wanted) = (principal.clone(), name.clone());
        let change = move |tx: &mut Tx<'_>| {
            let schedule = existing(tx, &wanted)?;
            let why = why.map_or_else(|| format!("by {principal}"), |why| format!("by {principal}: {why}"));
            rows::set_paused(tx, schedule.id, Some(&why))?;
            rows::plan(tx, schedule.id, None)?;
            Ok::<_, ScheduleError>(tx.audit(
                &principal,
                "schedule.pause",
                wanted.as_str(),
                &json!({ "why": why }),
            )?)
        };
        self.inner.store.write_as(change).await?;
        self.show(name).await
    }

    /// It goes on, with its first time after now. Failures and costs of before do not count any more.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn resume(&self, principal: &Principal, name: &ScheduleName) -> Result<Shown, ScheduleError> {
        let (principal, wanted) = (principal.clone(), name.clone());
        let change = move |tx: &mut Tx<'_>| {
            let old = existing(tx, &wanted)?;
            if old.paused.is_some() {
                let plan = old.spec.plan()?;
                rows::set_paused(tx, old.id, None)?;
                let schedule = existing(tx, &wanted)?;
                tick::plan_anew(tx, &schedule, &plan)?;
                tx.audit(&principal, "schedule.resume", wanted.as_str(), &json!({}))?;
            }
            Ok::<_, ScheduleError>(())
        };
        self.inner.store.write_as(change).await?;
        self.show(name).await
    }

    /// Has it done now, besides its times; also while it is paused.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`], [`ScheduleError::StillRuns`] when its last run goes on and is not to be replaced.
    pub async fn run_now(&self, principal: &Principal, name: &ScheduleName) -> Result<Tick, ScheduleError> {
        let (principal, wanted) = (principal.clone(), name.clone());
        let change = move |tx: &mut Tx<'_>| {
            let schedule = existing(tx, &wanted)?;
            let open = runs::open_of_key(tx, &tick::key(&schedule))?;
            if let Some(open) = open.filter(|_| schedule.spec.overlap != Overlap::Replace) {
                return Err(ScheduleError::StillRuns { name: wanted, run: open.id.to_string() });
            }
            let now = tx.now_ms();
            tick::begin(tx, &schedule, now, TickCause::Person)?;
            tx.audit(&principal, "schedule.run", wanted.as_str(), &json!({}))?;
            let made = rows::ticks(tx, schedule.id, 1)?.into_iter().next();
            made.ok_or_else(|| StoreError::Conflict { what: "schedule".to_owned() }.into())
        };
        let made = self.inner.store.write_as(change).await?;
        Ok(made)
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list(&self) -> Result<Vec<Shown>, ScheduleError> {
        let now = self.inner.clock.now_ms();
        let read = self.inner.store.read(move |db| {
            rows::list(db)?
                .into_iter()
                .map(|schedule| shown(db, schedule, now))
                .collect::<Result<Vec<_>, _>>()
        });
        Ok(read.await?)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn show(&self, name: &ScheduleName) -> Result<Shown, ScheduleError> {
        let (now, wanted) = (self.inner.clock.now_ms(), name.clone());
        let read = self
            .inner
            .store
            .read(move |db| rows::find(db, &wanted)?.map(|schedule| shown(db, schedule, now)).transpose());
        read.await?.ok_or_else(|| ScheduleError::NotFound(name.clone()))
    }

    /// What became of its times, the newest first.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn history(&self, name: &ScheduleName, limit: u32) -> Result<Vec<Tick>, ScheduleError> {
        let wanted = name.clone();
        let read = self.inner.store.read(move |db| match rows::find(db, &wanted)? {
            Some(schedule) => rows::ticks(db, schedule.id, limit).map(Some),
            None => Ok(None),
        });
        read.await?.ok_or_else(|| ScheduleError::NotFound(name.clone()))
    }
}

fn shown(ask: &impl Queryable, schedule: Schedule, now_ms: u64) -> Result<Shown, StoreError> {
    let plan: Result<Plan, InvalidSchedule> = schedule.spec.plan();
    let words = plan.as_ref().map_or_else(ToString::to_string, |plan| plan.expression.words());
    let next = match (&plan, schedule.next_at) {
        (Ok(plan), Some(first)) => {
            let later = plan.expression.times_after(&plan.zone, first.max(now_ms));
            std::iter::once(first).chain(later).take(NEXT).collect()
        }
        _ => Vec::new(),
    };
    let last = rows::ticks(ask, schedule.id, 1)?.into_iter().next();
    Ok(Shown { schedule, words, next, last })
}

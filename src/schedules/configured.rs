//! Schedules that the configuration names: they are rows like the others, and follow the file.

use serde_json::json;

use super::{PRINCIPAL, Schedules, tick};
use crate::model::schedule::{ConfiguredSchedule, ScheduleSource};
use crate::store::schedules as rows;
use crate::store::{StoreError, Tx};

/// Why one does nothing that the file switches off.
const OFF: &str = "it is switched off in the configuration";

impl Schedules {
    /// What the file says is there from now on, and what it does not say any more is gone.
    pub(super) async fn take_over(&self, configured: &[ConfiguredSchedule]) -> Result<(), StoreError> {
        let configured = configured.to_vec();
        self.inner.store.write(move |tx| take_over(tx, &configured)).await
    }
}

fn take_over(tx: &mut Tx<'_>, configured: &[ConfiguredSchedule]) -> Result<(), StoreError> {
    for known in rows::list(tx)? {
        let is_ours = known.source == ScheduleSource::Configuration;
        if is_ours && !configured.iter().any(|entry| entry.name == known.name) {
            rows::remove(tx, known.id)?;
            let detail = json!({ "because": "it is not in the configuration any more" });
            tx.audit(&PRINCIPAL, "schedule.remove", known.name.as_str(), &detail)?;
        }
    }
    configured.iter().try_for_each(|entry| take_over_one(tx, entry))
}

fn take_over_one(tx: &mut Tx<'_>, entry: &ConfiguredSchedule) -> Result<(), StoreError> {
    let Ok(plan) = entry.spec.plan() else { return Ok(()) };
    let known = rows::find(tx, &entry.name)?;
    if known.as_ref().is_some_and(|known| known.source == ScheduleSource::Person) {
        tracing::warn!(
            "there is a schedule {} that somebody made; that of the configuration is left out",
            entry.name
        );
        return Ok(());
    }
    let is_off = known.as_ref().is_some_and(|known| known.paused.as_deref() == Some(OFF));
    let is_same_time = known.as_ref().is_some_and(|known| known.spec.has_times_of(&entry.spec));
    let is_same = known.as_ref().is_some_and(|known| known.spec == entry.spec);
    let detail =
        json!({ "from": "configuration", "expression": entry.spec.expression, "zone": entry.spec.zone });
    match &known {
        None => {
            let paused = (!entry.is_enabled).then_some(OFF);
            rows::insert(tx, &entry.name, ScheduleSource::Configuration, &entry.spec, paused)?;
            tx.audit(&PRINCIPAL, "schedule.add", entry.name.as_str(), &detail)?;
        }
        Some(known) => {
            if !is_same {
                rows::set_spec(tx, known.id, &entry.spec)?;
                tx.audit(&PRINCIPAL, "schedule.change", entry.name.as_str(), &detail)?;
            }
            // A pause of another reason is somebody's, or says that something is wrong: it stays.
            match entry.is_enabled {
                true if is_off => rows::set_paused(tx, known.id, None)?,
                false if known.paused.is_none() => rows::set_paused(tx, known.id, Some(OFF))?,
                _ => {}
            }
        }
    }
    let now = rows::named(tx, &entry.name)?;
    // One whose times did not change keeps its next one, also one that passed while nobody was there.
    if !is_same_time || now.paused.is_some() || now.next_at.is_none() {
        tick::plan_anew(tx, &now, &plan)?;
    }
    Ok(())
}

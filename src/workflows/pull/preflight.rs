//! Whether the forge lets mimir do what a run will come to, and whether there is room for one more pull request today:
//! asked before anything is spent.

use super::PullDeps;
use super::outside::of_forge;
use super::place::repository;
use super::settings::PreflightSettings;
use crate::store::runs;
use crate::workflows::stage::{Outcome, StageContext, StageError};
use crate::workflows::trouble::of_store;

/// Where it is noted that all was well.
const NOTE: &str = "preflight";
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The stage.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext, W: Sync>(
    _: &PreflightSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Outcome, StageError> {
    if let Some(until) = no_room_until(cx, deps).await? {
        return Ok(wait_for_room(until));
    }
    preflight(cx, deps).await?;
    Ok(Outcome::Done)
}

/// Asks the forge whether mimir may push, open pull requests and read checks there; once for each run.
///
/// # Errors
/// [`StageError::Auth`] with what is missing and how it is granted; see [`StageError`].
pub async fn preflight<C: StageContext, W: Sync>(cx: &mut C, deps: &PullDeps<W>) -> Result<(), StageError> {
    if cx.progress().notes.contains_key(NOTE) {
        return Ok(());
    }
    let repository = repository(cx, deps).await?;
    let forge = deps.forges.of(&repository).await.map_err(of_forge)?;
    let found = forge.preflight().await.map_err(of_forge)?;
    if !found.is_fine() {
        return Err(StageError::Auth(found.missing.join("; ")));
    }
    if found.repository.is_archived {
        return Err(StageError::Permanent(format!("{repository} is archived: nothing can be changed there")));
    }
    cx.progress().notes.insert(NOTE.to_owned(), true.into());
    cx.save("decision", format!("the forge lets mimir push to {repository} and open pull requests"), None)
        .await
}

/// Until when this run's project has had its pull requests of one day, if it has.
pub(super) async fn no_room_until<C: StageContext, W: Sync>(
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<u64>, StageError> {
    let (project, id) = (cx.run().project.clone(), cx.run().id.clone());
    let most = cx.workflow().caps.pulls_per_day;
    let since = cx.now_ms().saturating_sub(DAY_MS);
    let read = deps.store.read(move |db| runs::pulls_since(db, project.as_ref(), since, &id));
    let times = read.await.map_err(of_store)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // When the oldest of those that fill it is a day old, there is room for one.
    let oldest = times.len().checked_sub(most).and_then(|at| times.get(at));
    Ok(oldest.map(|at| at.saturating_add(DAY_MS)))
}

/// What a stage says that waits for room.
pub(super) fn wait_for_room(until: u64) -> Outcome {
    let why = "the project has had its pull requests of this day (caps.pulls_per_day)".to_owned();
    Outcome::Wait { until, why }
}

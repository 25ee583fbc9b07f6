//! What a stage of a run cost, for its timeline.

use crate::model::quantity::money;
use crate::model::run::Run;
use crate::store::{StoreError, Tx, runs};

/// Says what the stage cost that is over now, if it cost something; `run` is the run as it was in it.
pub(super) fn say(tx: &mut Tx<'_>, run: &Run) -> Result<(), StoreError> {
    let Some(since) = run.progress.stage_since else { return Ok(()) };
    let of_stage = runs::spent_since(tx, &run.id, since)?;
    if of_stage == 0 {
        return Ok(());
    }
    let of_run = runs::spent(tx, &run.id)?;
    let text = format!("stage {} cost {}, the run {} until here", run.stage, money(of_stage), money(of_run));
    runs::log(tx, &run.id, &run.stage, "money", &text, Some("mimir budget show"))
}

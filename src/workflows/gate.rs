//! A gate: the run goes on when a person says yes.

use serde::Deserialize;

use super::stage::{Outcome, StageContext, StageError};
use super::template;

/// Who opens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// A person: `mimir runs approve`.
    #[default]
    Person,
    /// It is open.
    Auto,
}

/// The settings of a gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who opens it: `person` or `auto`.
    pub when: When,
    /// What they are asked, in a sentence with variables.
    pub ask: Option<String>,
}

/// Looks whether it is open.
///
/// # Errors
/// [`StageError::Permanent`] when the sentence cannot be made.
pub async fn perform<C: StageContext>(settings: &Settings, cx: &mut C) -> Result<Outcome, StageError> {
    let gate = cx.run().stage.clone();
    if settings.when == When::Auto || cx.run().progress.approved.contains_key(&gate) {
        return Ok(Outcome::Done);
    }
    let why = match &settings.ask {
        Some(ask) => template::render(ask, &template::values(cx.workflow(), cx.run()))
            .map_err(StageError::Permanent)?,
        None => format!("stage {gate} waits for a yes"),
    };
    Ok(Outcome::Hold { gate, subject: String::new(), why })
}

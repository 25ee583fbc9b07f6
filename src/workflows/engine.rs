//! Who performs which kind of stage.

use super::deps::Deps;
use super::kind::StageKind;
use super::stage::{Outcome, StageContext, StageError};
use super::{command, frame, gate, prompt};

/// Everything that stages work with: one field for each family of kinds. Cheap to clone.
#[derive(Clone)]
pub struct AllDeps {
    /// What the simple stages work with.
    pub simple: Deps,
}

/// Performs a stage, as far as it comes this time.
///
/// # Errors
/// See [`StageError`].
pub(super) async fn perform<C: StageContext>(
    kind: &StageKind,
    cx: &mut C,
    deps: &AllDeps,
) -> Result<Outcome, StageError> {
    match kind {
        StageKind::Gate(settings) => gate::perform(settings, cx).await,
        StageKind::Prompt(settings) => prompt::perform(settings, cx, &deps.simple).await,
        StageKind::Frame(settings) => frame::perform(settings, cx, &deps.simple).await,
        StageKind::Command(settings) => command::perform(settings, cx, &deps.simple).await,
    }
}

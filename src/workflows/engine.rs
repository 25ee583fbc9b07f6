//! Who performs which kind of stage.

use super::deps::Deps;
use super::fix::{self, FixDeps};
use super::kind::StageKind;
use super::pull::{self, PullDeps};
use super::stage::{Outcome, StageContext, StageError};
use super::{command, frame, gate, prompt};

/// Everything that stages work with: one field for each family of kinds. Cheap to clone.
#[derive(Clone)]
pub struct AllDeps {
    /// What the simple stages work with.
    pub simple: Deps,
    /// What those work with that find, mend and push.
    pub fix: FixDeps,
    /// What those work with that follow a pull request to its end.
    pub pull: PullDeps<FixDeps>,
}

/// Performs a stage, as far as it comes this time; the first one only for somebody who may ask for it.
///
/// # Errors
/// See [`StageError`].
pub(super) async fn perform<C: StageContext>(
    kind: &StageKind,
    cx: &mut C,
    deps: &AllDeps,
) -> Result<Outcome, StageError> {
    if let Some(end) = pull::may_ask::turned_away(cx, &deps.pull).await? {
        return Ok(end);
    }
    match kind {
        StageKind::Gate(settings) => gate::perform(settings, cx).await,
        StageKind::Prompt(settings) => prompt::perform(settings, cx, &deps.simple).await,
        StageKind::Frame(settings) => frame::perform(settings, cx, &deps.simple).await,
        StageKind::Command(settings) => command::perform(settings, cx, &deps.simple).await,
        StageKind::Analyse(settings) => fix::analyse(settings, cx, &deps.fix).await,
        StageKind::Fix(settings) => fix::fix(settings, cx, &deps.fix).await,
        StageKind::Push(settings) => fix::push(settings, cx, &deps.fix).await,
        StageKind::Preflight(settings) => pull::preflight::perform(settings, cx, &deps.pull).await,
        StageKind::PullRequest(settings) => pull::pull_request(settings, cx, &deps.pull).await,
        StageKind::Follow(settings) => pull::follow::perform(settings, cx, &deps.pull).await,
        StageKind::Merge(settings) => pull::merge::perform(settings, cx, &deps.pull).await,
        StageKind::Resolve(settings) => pull::resolve(settings, cx, &deps.pull).await,
        StageKind::Watch(settings) => pull::watch(settings, cx, &deps.pull).await,
    }
}

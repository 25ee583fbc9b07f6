//! Where a run's pull request is.

use serde::de::DeserializeOwned;

use super::PullDeps;
use super::outside::of_forge;
use crate::forge::Forge;
use crate::model::forge::Comment;
use crate::model::git::Repository;
use crate::model::run::RunPull;
use crate::workflows::definition::Workflow;
use crate::workflows::fix::repository_of;
use crate::workflows::stage::{StageContext, StageError};

/// A run's pull request, and the way to it.
pub(super) struct Place {
    pub(super) forge: Forge,
    pub(super) number: u64,
    pub(super) url: String,
}

impl Place {
    /// Where what was said there can be read: at its own address, or at the pull request where it has none.
    pub(super) fn link_to(&self, said: Option<&Comment>) -> Option<String> {
        let own = said.map(|said| said.url.clone()).filter(|url| !url.is_empty());
        Some(own.unwrap_or_else(|| self.url.clone()))
    }
}

/// The repository that a run works on.
pub(super) async fn repository<C: StageContext, W: Sync>(
    cx: &C,
    deps: &PullDeps<W>,
) -> Result<Repository, StageError> {
    repository_of(cx.run(), &deps.store).await
}

/// The pull request as the run knows it.
pub(super) fn pull<C: StageContext>(cx: &mut C) -> Result<RunPull, StageError> {
    let known = cx.progress().pull.clone();
    known.ok_or_else(|| {
        StageError::Permanent("it has no pull request: stage `pull_request` opens one".to_owned())
    })
}

/// What the workflow says of its stage of that kind: other stages do a part of its work.
pub(super) fn settings_of<T: DeserializeOwned + Default>(
    workflow: &Workflow,
    kind: &str,
) -> Result<T, StageError> {
    let Some(stage) = workflow.stages.iter().find(|stage| stage.kind == kind) else {
        return Ok(T::default());
    };
    let read = serde_json::from_value(serde_json::Value::Object(stage.settings.clone()));
    read.map_err(|error| StageError::Permanent(format!("stage {}: {error}", stage.name)))
}

/// The way to a run's pull request.
pub(super) async fn place<C: StageContext, W: Sync>(
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Place, StageError> {
    let (repository, pull) = (repository(cx, deps).await?, pull(cx)?);
    let forge = deps.forges.of(&repository).await.map_err(of_forge)?;
    Ok(Place { forge, number: pull.number, url: pull.url })
}

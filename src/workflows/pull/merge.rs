//! The merge: the loop once more, and somebody's yes, bound to the commit; then what is left is taken away.

use super::PullDeps;
use super::follow::{Driven, drive};
use super::outside::of_forge;
use super::place::{place, settings_of};
use super::settings::MergeSettings;
use super::words::one_line;
use super::worker::Worker;
use crate::forge::ForgeError;
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// Branches that mimir made; no other one is taken away.
const OWN: &str = "mimir/";
/// Where it is noted that it was taken away.
const NOTE: &str = "merged";

/// The stage `merge`.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext, W: Worker>(
    settings: &MergeSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Outcome, StageError> {
    let is_merged = cx.progress().pull.as_ref().is_some_and(|pull| pull.merged.is_some());
    if !is_merged {
        // As the stage `follow` has them: what comes while a person is asked is worked in the same way.
        let follow = settings_of(cx.workflow(), "follow")?;
        match drive(&follow, Some(settings), cx, deps).await? {
            Driven::Outcome(outcome) => return Ok(outcome),
            Driven::Ready | Driven::Merged => {}
        }
    }
    tidy(settings, cx, deps).await?;
    Ok(Outcome::Done)
}

/// The branch and the frame are not needed any more.
async fn tidy<C: StageContext, W: Worker>(
    settings: &MergeSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    if cx.progress().notes.contains_key(NOTE) {
        return Ok(());
    }
    let place = place(cx, deps).await?;
    let branch =
        cx.progress().branch.clone().filter(|branch| settings.delete_branch && branch.starts_with(OWN));
    let mut said = "the frame is gone".to_owned();
    if let Some(branch) = branch {
        deps.failpoints.hit("workflows.branch.before").await;
        match place.forge.delete_branch(&branch).await {
            Ok(()) => said = format!("branch {branch} and the frame are gone"),
            Err(ForgeError::Refused(why) | ForgeError::Auth(why)) => {
                said = format!("the frame is gone; branch {branch} stays: {}", one_line(&why, 200));
            }
            Err(error) => return Err(of_forge(error)),
        }
        deps.failpoints.hit("workflows.branch.after").await;
    }
    deps.worker.discard(cx).await?;
    cx.progress().notes.insert(NOTE.to_owned(), true.into());
    cx.save("note", said, Some(place.url.clone())).await
}

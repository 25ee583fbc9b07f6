//! The merge: the loop once more, and somebody's yes, bound to the commit; then what is left is taken away.

use super::PullDeps;
use super::follow::{Driven, drive};
use super::memory::Memory;
use super::outside::of_forge;
use super::place::{Place, place};
use super::preflight::merge_method;
use super::settings::{FollowSettings, MergeSettings};
use super::words::{one_line, short};
use super::worker::Worker;
use crate::forge::{ForgeError, Merged};
use crate::workflows::definition::Workflow;
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
        let follow = follow_settings(cx.workflow())?;
        match drive(&follow, Some(settings), cx, deps).await? {
            Driven::Outcome(outcome) => return Ok(outcome),
            Driven::Ready | Driven::Merged => {}
        }
    }
    tidy(settings, cx, deps).await?;
    Ok(Outcome::Done)
}

/// As the workflow's stage `follow` has them: what comes while a person is asked is worked in the same way.
fn follow_settings(workflow: &Workflow) -> Result<FollowSettings, StageError> {
    let Some(stage) = workflow.stages.iter().find(|stage| stage.kind == "follow") else {
        return Ok(FollowSettings::default());
    };
    let read = serde_json::from_value(serde_json::Value::Object(stage.settings.clone()));
    read.map_err(|error| StageError::Permanent(format!("stage {}: {error}", stage.name)))
}

/// Merges exactly that commit. Gives what the stage ends with, if it cannot go on now.
pub(super) async fn merge<C: StageContext, W: Worker>(
    head: &str,
    settings: &MergeSettings,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Outcome>, StageError> {
    let method = merge_method(&place.forge, settings.method).await?;
    cx.save("decision", format!("merges {} ({method})", short(head)), Some(place.url.clone())).await?;
    deps.failpoints.hit("workflows.merge.before").await;
    let merged = place.forge.merge(place.number, head, method).await.map_err(of_forge)?;
    deps.failpoints.hit("workflows.merge.after").await;
    let mut memory = Memory::of(cx.progress());
    match merged {
        Merged::Merged { sha } => {
            if let Some(pull) = &mut cx.progress().pull {
                pull.merged = Some(sha.clone());
            }
            let text = format!("pull request #{} is merged as {}", place.number, short(&sha));
            cx.save("merge", text, Some(place.url.clone())).await?;
            deps.failpoints.hit("workflows.merge.noted").await;
            // The next look sees it.
            Ok(None)
        }
        Merged::HeadMoved => {
            cx.save("merge", format!("not merged: {} is not its newest commit any more", short(head)), None)
                .await?;
            Ok(None)
        }
        Merged::NotMergeable(why) => {
            memory.merge_tries = memory.merge_tries.saturating_add(1);
            memory.keep(cx.progress());
            let why = format!("the forge cannot merge it yet: {}", one_line(&why, 200));
            cx.save("merge", why.clone(), None).await?;
            Ok(Some(Outcome::Wait { until: cx.now_ms().saturating_add(30_000), why }))
        }
        Merged::Refused(why) => {
            memory.refused = Some((head.to_owned(), one_line(&why, 200)));
            memory.keep(cx.progress());
            cx.save("merge", format!("the forge did not merge it: {}", one_line(&why, 200)), None).await?;
            Ok(None)
        }
    }
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
    cx.save("note", said, None).await
}

//! The merge itself, bound to a commit.

use super::PullDeps;
use super::memory::Memory;
use super::outside::of_forge;
use super::place::Place;
use super::say::scanner;
use super::settings::MergeSettings;
use super::texts;
use super::words::{one_line, short};
use super::worker::Worker;
use crate::forge::{Forge, Merged};
use crate::model::forge::{MergeMethod, NewMerge};
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// Merges exactly that commit into that branch. Gives what the stage ends with, if it cannot go on now.
pub(super) async fn merge<C: StageContext, W: Worker>(
    (head, base): (&str, &str),
    settings: &MergeSettings,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Outcome>, StageError> {
    let method = merge_method(&place.forge, settings.method).await?;
    cx.save("decision", format!("merges {} ({method})", short(head)), Some(place.url.clone())).await?;
    deps.failpoints.hit("workflows.merge.before").await;
    let run = cx.run().clone();
    let mut title = texts::merge_title(&run, cx.progress(), place.number);
    if !scanner(deps).await?.scan(&title).is_empty() {
        title = texts::plain_merge_title(&run, place.number);
    }
    let message = texts::merge_message(&run, head);
    let wanted = NewMerge { head: head.to_owned(), base: base.to_owned(), method, title, message };
    let merged = place.forge.merge(place.number, &wanted).await.map_err(of_forge)?;
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
            let (head, base) = (short(head), one_line(base, 100));
            let text =
                format!("not merged: {head} is not its newest commit any more, or does not go to {base}");
            cx.save("merge", text, Some(place.url.clone())).await?;
            Ok(None)
        }
        Merged::NotMergeable(why) => {
            memory.merge_tries = memory.merge_tries.saturating_add(1);
            memory.keep(cx.progress());
            let why = format!("the forge cannot merge it yet: {}", one_line(&why, 200));
            cx.save("merge", why.clone(), Some(place.url.clone())).await?;
            Ok(Some(Outcome::Wait { until: cx.now_ms().saturating_add(30_000), why }))
        }
        Merged::Refused(why) => {
            memory.refused = Some((head.to_owned(), one_line(&why, 200)));
            memory.keep(cx.progress());
            let text = format!("the forge did not merge it: {}", one_line(&why, 200));
            cx.save("merge", text, Some(place.url.clone())).await?;
            Ok(None)
        }
    }
}

/// Which way it may be merged there: the one that was asked for, or the first that is allowed.
async fn merge_method(forge: &Forge, wanted: Option<MergeMethod>) -> Result<MergeMethod, StageError> {
    if let Some(wanted) = wanted {
        return Ok(wanted);
    }
    let allowed = forge.repository().await.map_err(of_forge)?.merge_methods;
    Ok([MergeMethod::Squash, MergeMethod::Merge, MergeMethod::Rebase]
        .into_iter()
        .find(|method| allowed.contains(method))
        .unwrap_or(MergeMethod::Merge))
}

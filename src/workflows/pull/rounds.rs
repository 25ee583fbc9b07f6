//! One round of work: noted before it begins, done once, and answered to everybody who asked for it.

use super::PullDeps;
use super::facts::PullFacts;
use super::memory::{Came, Memory, Work, WorkKind};
use super::outside::of_forge;
use super::place::Place;
use super::say::{answer, harmless, scanner};
use super::speakers::key;
use super::texts;
use super::words::{one_line, short};
use super::worker::Worker;
use crate::forge::ForgeError;
use crate::model::run::RunState;
use crate::store::runs;
use crate::workflows::fix::{Instructions, Resumed};
use crate::workflows::stage::{Outcome, StageContext, StageError};
use crate::workflows::trouble::of_store;

/// A round that waits for a place looks again after that.
const PLACE_AGAIN_MS: u64 = 30_000;
/// So much of what a check says is shown to the agent.
const LONGEST_CHECK: usize = 6_000;

/// Begins it or goes on with it. Gives what the stage ends with, if it cannot go on now.
pub(super) async fn work_in<C: StageContext, W: Worker>(
    work: Work,
    facts: &PullFacts,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Outcome>, StageError> {
    let begun = Memory::of(cx.progress()).work;
    let Some(mut work) = begun else {
        begin(work, facts, place, cx, deps).await?;
        // The next pass has the whole time of a stage for it.
        return Ok(Some(Outcome::Wait { until: cx.now_ms(), why: "a round begins".to_owned() }));
    };
    if work.came.is_none() {
        if !has_a_place(cx, deps).await? {
            let until = cx.now_ms().saturating_add(PLACE_AGAIN_MS);
            return Ok(Some(Outcome::Wait { until, why: "other runs are at work".to_owned() }));
        }
        let wanted = instructions(&work, &facts.pull.base_ref);
        deps.failpoints.hit("workflows.round.before").await;
        let resumed = deps.worker.resume(cx, &wanted).await?;
        deps.failpoints.hit("workflows.round.after").await;
        let came = match resumed {
            Resumed::Pushed { commit } => Came::Pushed(commit),
            Resumed::Unchanged { answer } => Came::Unchanged(answer),
            Resumed::Red { why } => Came::Failed(why),
            Resumed::Outcome(Outcome::End { state: RunState::Failed, reason }) => Came::Failed(reason),
            Resumed::Outcome(outcome) => return Ok(Some(outcome)),
        };
        work.came = Some(came);
        note(&work, place, cx).await?;
        deps.failpoints.hit("workflows.round.noted").await;
        // A round may last longer than a forge's token: who is answered is told with the next one.
        return Ok(Some(Outcome::Wait { until: cx.now_ms(), why: "what was done is answered".to_owned() }));
    }
    answer_all(&work, facts, place, cx, deps).await?;
    Ok(None)
}

/// What is to be done is fixed before anything of it is: as it is now, and once.
async fn begin<C: StageContext, W: Sync>(
    mut work: Work,
    facts: &PullFacts,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    if work.kind == WorkKind::Checks {
        add_logs(&mut work, facts, place).await?;
    }
    let said = match work.kind {
        WorkKind::Checks => format!("checks of {} are red: the agent looks at them", short(&work.head)),
        WorkKind::Conflict => {
            format!("{} cannot be merged with {}", short(&work.head), one_line(&facts.pull.base_ref, 100))
        }
        WorkKind::Review => format!("works in a review ({} to answer)", work.answers.len()),
    };
    let mut memory = Memory::of(cx.progress());
    memory.begin(cx.progress(), &work);
    memory.keep(cx.progress());
    cx.progress().stage_worked_ms = 0;
    cx.save("decision", said, Some(place.url.clone())).await?;
    deps.failpoints.hit("workflows.round.begun").await;
    Ok(())
}

/// A round is work, for which there are so many places. It is given back when the stage ends with something.
async fn has_a_place<C: StageContext, W: Sync>(cx: &C, deps: &PullDeps<W>) -> Result<bool, StageError> {
    let (id, most) = (cx.run().id.clone(), deps.runs.now().max_parallel);
    let taken = deps.store.write(move |tx| runs::take_place(tx, &id, most)).await;
    taken.map_err(of_store)
}

/// Adds what the failed steps said.
async fn add_logs(work: &mut Work, facts: &PullFacts, place: &Place) -> Result<(), StageError> {
    for evidence in &mut work.evidence {
        let mut failed = facts.checks.failed();
        let Some(check) = failed.find(|check| evidence.name == format!("failed check {}", check.name)) else {
            continue;
        };
        match place.forge.check_log_excerpt(check).await {
            Ok(text) => evidence.text = text.chars().take(LONGEST_CHECK).collect(),
            // What the check says of itself is there.
            Err(
                ForgeError::NotFound(_)
                | ForgeError::Refused(_)
                | ForgeError::Auth(_)
                | ForgeError::TooMuch(_),
            ) => {}
            Err(error) => return Err(of_forge(error)),
        }
    }
    Ok(())
}

/// What is asked of the agent, in words of ours.
fn instructions(work: &Work, base: &str) -> Instructions {
    let (task, summary, merge) = match work.kind {
        WorkKind::Checks => (
            "The forge's checks of the newest commit of your branch failed. What they say stands below. Assume that your \
             change broke them; find out why and mend it. If what failed has nothing to do with the change (the set-up of \
             the checks, a service that was away), change nothing and say so."
                .to_owned(),
            "Mend what the checks found".to_owned(),
            None,
        ),
        WorkKind::Review => (
            "People reviewed your branch. What they ask for stands below, each with the place it is about. Work it in, \
             within what the change is for. If something asks for nothing, or should not be done, change nothing for it \
             and say why in a sentence."
                .to_owned(),
            "Work in the review".to_owned(),
            None,
        ),
        WorkKind::Conflict => (
            "Your branch cannot be merged any more because the branch that it goes to has changed. That one was merged \
             into yours; where both changed the same lines, conflict marks stand in the files. Settle them so that both \
             changes keep their purpose, and leave no marks."
                .to_owned(),
            "Merge the branch that this goes to".to_owned(),
            Some(base.to_owned()),
        ),
    };
    let key = format!("{}-{}", work.kind, work.round);
    Instructions { key, task, evidence: work.evidence.clone(), merge, summary }
}

/// What came of it is kept before anybody is told.
async fn note<C: StageContext>(work: &Work, place: &Place, cx: &mut C) -> Result<(), StageError> {
    let now = cx.now_ms();
    let mut memory = Memory::of(cx.progress());
    memory.note_came(cx.progress(), work, now);
    let (kind, said) = match &work.came {
        Some(Came::Pushed(commit)) => ("push", format!("the branch is at {} now", short(commit))),
        Some(Came::Failed(why)) => ("error", format!("the round did not work: {}", one_line(why, 300))),
        Some(Came::Unchanged(_)) | None => ("answer", "the agent changed nothing".to_owned()),
    };
    memory.keep(cx.progress());
    cx.save(kind, said, Some(place.url.clone())).await
}

async fn answer_all<C: StageContext, W: Worker>(
    work: &Work,
    facts: &PullFacts,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    if work.answers.is_empty() {
        return Ok(());
    }
    let text = texts::answer(work, &cx.progress().checks.clone());
    let instead = match &work.came {
        Some(Came::Pushed(_)) => texts::answer(work, &[]),
        _ => texts::ANSWER_LEFT_OUT.to_owned(),
    };
    let text = harmless(&scanner(deps).await?, &text, &instead).to_owned();
    for of in &work.answers {
        if cx.progress().answered.contains(of) {
            continue;
        }
        // One that was taken away meanwhile needs no answer.
        let comment = facts.comments.iter().find(|comment| key(comment) == *of);
        let said = match comment {
            Some(comment) => answer(comment, &text, place, cx, deps).await?,
            None => None,
        };
        let name = of.replace(':', " ");
        let noted = match &said {
            None if comment.is_some() || facts.too_much.is_some() => {
                format!("no answer to {name}: more is said there than mimir reads")
            }
            _ => format!("answered {name}"),
        };
        cx.progress().answered.push(of.clone());
        cx.save("comment", noted, place.link_to(said.as_ref())).await?;
        deps.failpoints.hit("workflows.answer.noted").await;
    }
    let mut memory = Memory::of(cx.progress());
    memory.work = None;
    memory.keep(cx.progress());
    cx.save("decision", "the round is over".to_owned(), Some(place.url.clone())).await
}

//! The loop: look, decide, act once, save; until it is ready, merged, or waits for somebody.

use super::PullDeps;
use super::decide::{Ending, FOLLOW_GATE, MERGE_GATE, PAUSED, Rules, Step, decide};
use super::facts::{PullFacts, look};
use super::hearing::take_in;
use super::memory::Memory;
use super::merging::merge;
use super::open;
use super::outside::of_forge;
use super::place::{Place, place, settings_of};
use super::rounds::work_in;
use super::say::{acknowledge, hand_over, say};
use super::settings::{FollowSettings, MergeSettings};
use super::speakers::Command;
use super::texts;
use super::words::{one_line, short};
use super::worker::Worker;
use crate::forge::ForgeError;
use crate::model::forge::OpenState;
use crate::model::run::{RunState, RunSubject};
use crate::workflows::fix::protected_by;
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// So many acts in a row; the next ones come with the next pass.
const MOST_ACTS: usize = 40;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How far the loop came.
pub(super) enum Driven {
    /// It can be merged, as far as `follow` goes.
    Ready,
    /// It is merged.
    Merged,
    /// The stage ends with that for now.
    Outcome(Outcome),
}

/// The stage `follow`.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext, W: Worker>(
    settings: &FollowSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Outcome, StageError> {
    match drive(settings, None, cx, deps).await? {
        Driven::Ready | Driven::Merged => Ok(Outcome::Done),
        Driven::Outcome(outcome) => Ok(outcome),
    }
}

/// Goes on until nothing can be done now; with settings of a merge, up to that.
pub(super) async fn drive<C: StageContext, W: Worker>(
    settings: &FollowSettings,
    merging: Option<&MergeSettings>,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Driven, StageError> {
    if cx.progress().pull.is_none() && Memory::of(cx.progress()).is_lost {
        let opening = settings_of(cx.workflow(), "pull_request")?;
        match open::perform(&opening, cx, deps).await? {
            Outcome::Done => {}
            outcome => return Ok(Driven::Outcome(outcome)),
        }
    }
    let place = place(cx, deps).await?;
    for _ in 0..MOST_ACTS {
        let now = cx.now_ms();
        let (mut memory, answered) = (Memory::of(cx.progress()), cx.progress().answered.clone());
        let looked = look(&place.forge, place.number, &memory, &answered, merging.is_some(), now).await;
        let mut facts = match looked {
            Err(error) if error.is_passing() => {
                return away(error, memory, settings, cx).map(Driven::Outcome);
            }
            looked => looked.map_err(of_forge)?,
        };
        memory.away_since = None;
        facts.settled = settled(&facts, &place, cx, deps).await?;
        take_in(&mut memory, &facts, settings, &answered, now);
        memory.keep(cx.progress());
        let protected = protected_paths(cx, deps).await?;
        let step = next(&facts, settings, merging, cx, &protected);
        if let Some(driven) = act(step, &facts, &place, merging, cx, deps).await? {
            return Ok(driven);
        }
    }
    let until = cx.now_ms().saturating_add(u64::try_from(settings.poll.as_millis()).unwrap_or(u64::MAX));
    Ok(Driven::Outcome(Outcome::Wait { until, why: "it did much at once and goes on soon".to_owned() }))
}

/// A forge may be away for a day: longer than a stage is tried again because something of ours does not work.
fn away<C: StageContext>(
    error: ForgeError,
    mut memory: Memory,
    settings: &FollowSettings,
    cx: &mut C,
) -> Result<Outcome, StageError> {
    let now = cx.now_ms();
    let since = *memory.away_since.get_or_insert(now);
    if matches!(error, ForgeError::RateLimited { .. }) || now.saturating_sub(since) > DAY_MS {
        return Err(of_forge(error));
    }
    memory.keep(cx.progress());
    let until = now.saturating_add(u64::try_from(settings.poll.as_millis()).unwrap_or(u64::MAX));
    Ok(Outcome::Wait { until, why: error.to_string() })
}

/// What a person looks at before it is merged: others than the run may have pushed to the branch as well.
async fn protected_paths<C: StageContext, W: Sync>(
    cx: &C,
    deps: &PullDeps<W>,
) -> Result<Vec<String>, StageError> {
    let mut all = deps.git.now().protected.clone();
    all.extend(protected_by(cx.run(), &deps.store).await?);
    Ok(all)
}

fn next<C: StageContext>(
    facts: &PullFacts,
    follow: &FollowSettings,
    merge: Option<&MergeSettings>,
    cx: &mut C,
    protected: &[String],
) -> Step {
    let subject = cx.run().input.subject.clone();
    let requester = match &subject {
        RunSubject::Issue { asked_by, .. } => Some(asked_by.as_str()),
        RunSubject::None | RunSubject::Sentry { .. } => None,
    };
    let is_reported = matches!(subject, RunSubject::Sentry { .. });
    let rules = Rules { follow, merge, requester, is_reported, protected };
    let now = cx.now_ms();
    let memory = Memory::of(cx.progress());
    decide(facts, &memory, cx.progress(), &rules, now)
}

/// How the run's matter was settled elsewhere, if it was. Whoever cannot be asked settled nothing.
async fn settled<C: StageContext, W: Worker>(
    facts: &PullFacts,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<String>, StageError> {
    if facts.pull.state == OpenState::Closed {
        return Ok(None);
    }
    let how = match cx.run().input.subject.clone() {
        RunSubject::None => None,
        RunSubject::Sentry { organization, issue, short_id, .. } => {
            let Some(sentry) = deps.sentries.of(&organization) else { return Ok(None) };
            let is_resolved = sentry.issue(&issue).await.is_ok_and(|issue| issue.is_resolved());
            is_resolved.then(|| format!("error {} was resolved", one_line(&short_id.unwrap_or(issue), 60)))
        }
        RunSubject::Issue { repository, number, .. } if repository == *place.forge.repository_name() => {
            let is_closed =
                place.forge.issue(number).await.is_ok_and(|issue| issue.state == OpenState::Closed);
            is_closed.then(|| format!("issue {number} was closed"))
        }
        RunSubject::Issue { .. } => None,
    };
    // A merge that came between the two looks settles it as well.
    match how {
        Some(how) => {
            let pull = place.forge.pull(place.number).await.map_err(of_forge)?;
            Ok((pull.state == OpenState::Open).then_some(how))
        }
        None => Ok(None),
    }
}

/// Does it. Gives what the stage ends with, if it ends.
async fn act<C: StageContext, W: Worker>(
    step: Step,
    facts: &PullFacts,
    place: &Place,
    merging: Option<&MergeSettings>,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Driven>, StageError> {
    let outcome = |outcome| Ok(Some(Driven::Outcome(outcome)));
    match step {
        Step::Wait { until, why } => {
            wait_for(&why, cx);
            outcome(Outcome::Wait { until, why })
        }
        Step::Paused { until, by } => {
            wait_for(PAUSED, cx);
            let why = format!("{} paused it; `@mimir resume` lets it go on", one_line(&by, 60));
            outcome(Outcome::Wait { until, why })
        }
        Step::Acknowledge { key, by, command } => {
            acknowledge((&key, &by, command), &facts.comments, place, cx, deps).await?;
            Ok(None)
        }
        Step::GoOn { head } => {
            go_on(&head, &facts.pull.base_ref, cx).await?;
            Ok(None)
        }
        Step::RemoveDraftAndRequestReview { head, reviewers } => {
            show(&head, &reviewers, facts, place, cx, deps).await?;
            Ok(None)
        }
        Step::WorkIn(work) => Ok(work_in(work, facts, place, cx, deps).await?.map(Driven::Outcome)),
        Step::HandOver { head, yes, why } => {
            hand_over((&head, &yes), &why, place, cx, deps).await?;
            outcome(Outcome::Hold { gate: FOLLOW_GATE.to_owned(), subject: yes, why })
        }
        Step::Ready { .. } => Ok(Some(Driven::Ready)),
        Step::AskMerge { yes, why } => {
            outcome(Outcome::Hold { gate: MERGE_GATE.to_owned(), subject: yes, why })
        }
        Step::Merge { head, base } => match merging {
            Some(settings) => {
                Ok(merge((&head, &base), settings, place, cx, deps).await?.map(Driven::Outcome))
            }
            None => Ok(Some(Driven::Ready)),
        },
        Step::OpenOwn { by } => {
            let why = lose(&by, place, cx).await?;
            // The next pass opens it, and knows it by its number.
            outcome(Outcome::Wait { until: cx.now_ms(), why })
        }
        Step::Ended(ending) => end(ending, facts, place, cx, deps).await.map(Some),
    }
}

fn wait_for<C: StageContext>(why: &str, cx: &mut C) {
    let mut memory = Memory::of(cx.progress());
    memory.note_wait(why);
    memory.keep(cx.progress());
    // A stage has so much time to work; this is none.
    cx.progress().stage_worked_ms = 0;
}

/// A person wants it tried once more.
async fn go_on<C: StageContext>(head: &str, base: &str, cx: &mut C) -> Result<(), StageError> {
    let (mut memory, now) = (Memory::of(cx.progress()), cx.now_ms());
    if memory.base.replace(base.to_owned()).is_some_and(|was| was != base) {
        // That yes was for the other branch.
        cx.progress().approved.remove(MERGE_GATE);
    }
    memory.go_on(cx.progress(), FOLLOW_GATE, now);
    memory.keep(cx.progress());
    let link = cx.run().progress.pull.as_ref().map(|pull| pull.url.clone());
    cx.save("decision", format!("tried once more at {}", short(head)), link).await
}

/// What somebody opened in our place is closed: it is forgotten before another one is opened. Says so.
async fn lose<C: StageContext>(by: &str, place: &Place, cx: &mut C) -> Result<String, StageError> {
    let mut memory = Memory::of(cx.progress());
    memory.lose_pull(cx.progress());
    memory.keep(cx.progress());
    for gate in [FOLLOW_GATE, MERGE_GATE] {
        cx.progress().approved.remove(gate);
    }
    let text = format!(
        "pull request #{}, which {} had opened, was closed: mimir opens one of its own",
        place.number,
        one_line(by, 60)
    );
    cx.save("decision", text.clone(), Some(place.url.clone())).await?;
    Ok(text)
}

/// It is no draft any more, and people are asked.
async fn show<C: StageContext, W: Worker>(
    head: &str,
    reviewers: &[String],
    facts: &PullFacts,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    deps.failpoints.hit("workflows.ready.before").await;
    if facts.pull.is_draft {
        place.forge.ready(place.number).await.map_err(of_forge)?;
    }
    deps.failpoints.hit("workflows.ready.after").await;
    let asked = match place.forge.request_review(place.number, reviewers).await {
        Ok(()) if reviewers.is_empty() => String::new(),
        Ok(()) => format!("; asked {} for a review", one_line(&reviewers.join(", "), 200)),
        // It is ready all the same.
        Err(ForgeError::Refused(why) | ForgeError::Auth(why)) => {
            format!("; nobody could be asked for a review: {}", one_line(&why, 200))
        }
        Err(error) => return Err(of_forge(error)),
    };
    deps.failpoints.hit("workflows.review.after").await;
    let mut memory = Memory::of(cx.progress());
    memory.asked_review.push(head.to_owned());
    memory.keep(cx.progress());
    if let Some(pull) = &mut cx.progress().pull {
        pull.is_draft = false;
    }
    cx.save("check", format!("{} is ready for people{asked}", short(head)), Some(place.url.clone())).await
}

/// It is over: what is left is taken away.
async fn end<C: StageContext, W: Worker>(
    ending: Ending,
    facts: &PullFacts,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Driven, StageError> {
    let (state, reason) = match ending {
        Ending::Merged(commit) => {
            if cx.progress().pull.as_ref().is_some_and(|pull| pull.merged.as_ref() != Some(&commit)) {
                if let Some(pull) = &mut cx.progress().pull {
                    pull.merged = Some(commit.clone());
                }
                let text = format!("pull request #{} is merged as {}", place.number, short(&commit));
                cx.save("merge", text, Some(place.url.clone())).await?;
            }
            return Ok(Driven::Merged);
        }
        Ending::Closed => (RunState::Superseded, format!("pull request #{} was closed", place.number)),
        Ending::Settled(how) => {
            say(&texts::settled(&how), "settled", place, cx, deps).await?;
            if facts.pull.is_draft {
                // Nobody looks at it yet.
                deps.failpoints.hit("workflows.close.before").await;
                place.forge.close_pull(place.number).await.map_err(of_forge)?;
                deps.failpoints.hit("workflows.close.after").await;
            }
            (RunState::Superseded, how)
        }
        Ending::Stopped { by, key } => {
            // After an interruption that is said already, and the rest is done again.
            if Memory::of(cx.progress()).stopped.is_none() {
                acknowledge((&key, &by, Command::Stop), &facts.comments, place, cx, deps).await?;
            }
            (RunState::Cancelled, format!("{} said stop", one_line(&by, 60)))
        }
    };
    deps.worker.discard(cx).await?;
    Ok(Driven::Outcome(Outcome::End { state, reason }))
}

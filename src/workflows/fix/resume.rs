//! Once more on the same branch: what a review, a red check or a base that moved asks for.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ask::{Answer, Question, ask};
use super::commit::{Committed, On, commit};
use super::frame::{self, Begin, Ready, Role};
use super::hand_out::{self, Sent};
use super::rounds::{self, Next};
use super::settings::{FixSettings, PushSettings};
use super::{FixDeps, checks, fence, inside, prompts};
use crate::model::run::{CheckResult, Evidence};
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// Where the notes of this stand.
const NOTE: &str = "fix:resume";
/// How long fetching and merging may take.
const SYNC: Duration = Duration::from_secs(10 * 60);
/// How much of the agent's words is given on.
const MOST_OF_AN_ANSWER: usize = 2_000;
/// How often a matter is worked in anew because somebody else moved the branch.
const MOST_MOVES: u32 = 3;
/// How long a look at the branch may take.
const LOOK: Duration = Duration::from_secs(120);
/// Where the forge has the branch `$1`, or nothing.
const HEAD: &str = r#"git ls-remote origin "refs/heads/$1" | cut -f 1"#;

/// Puts the clone where the forge has the branch: `$1` the branch, `$2` what is merged in, or nothing. Prints where it stands,
/// what was merged, and whether that left conflicts.
pub(super) const SYNC_SCRIPT: &str = r#"
set -eu
exec 9>/tmp/mimir-clone.lock
flock 9
branch=$1 merge=$2
rm -f .git/index.lock .git/HEAD.lock .git/MERGE_HEAD .git/MERGE_MSG .git/MERGE_MODE
git fetch -q --prune --force origin
at=$(git rev-parse "refs/remotes/origin/$branch^{commit}")
git checkout -q -f -B "$branch" "$at"
git reset -q --hard "$at"
git clean -q -fd
echo "$at"
[ -n "$merge" ] || exit 0
other=$(git rev-parse "refs/remotes/origin/$merge^{commit}")
if git merge-base --is-ancestor "$other" "$at"; then exit 0; fi
echo "$other"
if git merge -q --no-commit --no-ff "$other" >/dev/null 2>&1; then echo clean; else echo conflicts; fi
"#;

/// What is to be worked in.
#[derive(Clone, Debug)]
pub struct Instructions {
    /// Once for each matter, such as `review-12` or `red-<head>`: the same key goes on where it was, also after a crash,
    /// and after a person's yes. Letters, digits, `-`, `_`.
    pub key: String,
    /// What is wanted, in mimir's words; never a stranger's.
    pub task: String,
    /// What they said: shown fenced, capped and stripped.
    pub evidence: Vec<Evidence>,
    /// A branch of the forge that is merged in before the agent is asked (conflicts are left in the files for it), such as
    /// `main`; the commit then has its head as second parent.
    pub merge: Option<String>,
    /// The line of the commit's message, in mimir's words.
    pub summary: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// The branch stands there at the forge now; it is in `progress.commit` too.
    Pushed {
        /// The commit.
        commit: String,
    },
    /// The agent changed nothing. What it said about that; a stranger's words by now.
    Unchanged {
        /// At most 2,000 characters.
        answer: String,
    },
    /// The checks inside stayed red, however often the agent was sent back: nothing was pushed.
    Red {
        /// Which, in a sentence.
        why: String,
    },
    /// The stage ends with that: a person must look at the push, or said no to it. When it runs again, `resume` is called
    /// again with the same key.
    Outcome(Outcome),
}

/// Wakes the run's frame, or makes it anew with the branch as the forge has it when it is gone; asks the agent, runs the
/// checks, commits, and pushes the branch forward. Who calls it counts how often.
///
/// # Errors
/// See [`StageError`]; it may be called again with the same key after each of them.
pub async fn resume<C: StageContext>(
    cx: &mut C,
    deps: &FixDeps,
    wanted: &Instructions,
) -> Result<Resumed, StageError> {
    let (fix, push) = super::rounds::settings_of(cx.workflow());
    again(&fix, &push, cx, deps, wanted).await
}

/// What is kept of a matter that is being worked in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    /// Which.
    key: String,
    /// How often the agent was sent back.
    round: u32,
    /// How often it was begun anew, because the branch was moved meanwhile or the frame with the commit is gone.
    moves: u32,
    /// With what it is asked next.
    next: Next,
    /// The checks that it is sent back with.
    red: Vec<CheckResult>,
    /// Where the clone stood before it was asked.
    begun: Option<Begun>,
    /// When this round's commit was made first (UTC ms).
    commit_at: Option<u64>,
    /// The commit, once its checks were green.
    commit: Option<String>,
}

/// Where a clone stood before the agent was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    /// In which frame.
    frame: String,
    /// The head of the branch at the forge.
    onto: String,
    /// What was merged in.
    second: Option<String>,
    /// Whether that left conflicts.
    has_conflicts: bool,
}

async fn again<C: StageContext>(
    fix: &FixSettings,
    push: &PushSettings,
    cx: &mut C,
    deps: &FixDeps,
    wanted: &Instructions,
) -> Result<Resumed, StageError> {
    let known: Option<Note> = super::noted(cx.run(), NOTE);
    let mut note = match known.filter(|note| note.key == wanted.key) {
        Some(note) => note,
        None => Note { key: wanted.key.clone(), ..Note::default() },
    };
    loop {
        let Some(commit) = note.commit.clone() else {
            let ready = frame::ready(Role::Mend(fix), Begin::Branch, cx, deps).await?;
            if let Some(ended) = round(fix, &ready, &mut note, cx, deps, wanted).await? {
                return Ok(ended);
            }
            continue;
        };
        let sent =
            if hand_out::found(&commit, cx, deps).await?.is_none() && is_lost(fix, &note, cx, deps).await? {
                Err("the frame with the commit is gone".to_owned())
            } else {
                match hand_out::send(push, &commit, cx, deps).await {
                    Ok(sent) => Ok(sent),
                    Err(StageError::Infrastructure(why)) => {
                        if !has_moved(fix, &note, cx, deps).await? {
                            return Err(StageError::Infrastructure(why));
                        }
                        Err("somebody else moved the branch".to_owned())
                    }
                    Err(error) => return Err(error),
                }
            };
        match sent {
            Ok(Sent::Outcome(outcome)) => return Ok(Resumed::Outcome(outcome)),
            Ok(Sent::AtForge) => {
                cx.progress().commit = Some(commit.clone());
                let text = format!("{} stands at {commit}", frame::branch_of(cx.run()));
                let about = frame::about(cx.run(), deps).await?;
                let link = hand_out::address_of(&commit, &about.repository, deps);
                cx.save("commit", text, link).await?;
                return Ok(Resumed::Pushed { commit });
            }
            Err(why) if note.moves >= MOST_MOVES => {
                return Ok(Resumed::Red { why: format!("{why}, {} times", note.moves + 1) });
            }
            Err(why) => {
                note = Note { key: note.key, moves: note.moves + 1, ..Note::default() };
                keep(cx, &note);
                cx.save("decision", format!("{why}: it is worked in anew"), None).await?;
            }
        }
    }
}

/// Whether the frame that has the commit is not the one that there is now.
async fn is_lost<C: StageContext>(
    fix: &FixSettings,
    note: &Note,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<bool, StageError> {
    let ready = frame::ready(Role::Mend(fix), Begin::Branch, cx, deps).await?;
    Ok(note.begun.as_ref().is_none_or(|begun| begun.frame != ready.frame.id.as_str()))
}

/// Whether the forge has the branch neither where the work began nor where it came to.
async fn has_moved<C: StageContext>(
    fix: &FixSettings,
    note: &Note,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<bool, StageError> {
    let ready = frame::ready(Role::Mend(fix), Begin::Branch, cx, deps).await?;
    let branch = frame::branch_of(cx.run());
    let said = inside::must(deps, &ready.frame, "a look at the branch", HEAD, &[&branch], LOOK).await?;
    let Some(head) = said.lines().next().and_then(inside::commit_in) else { return Ok(false) };
    let onto = note.begun.as_ref().map(|begun| begun.onto.as_str());
    Ok(Some(head.as_str()) != onto && Some(&head) != note.commit.as_ref())
}

/// One round. None when there is a commit now, or the agent has to be asked again.
async fn round<C: StageContext>(
    fix: &FixSettings,
    ready: &Ready,
    note: &mut Note,
    cx: &mut C,
    deps: &FixDeps,
    wanted: &Instructions,
) -> Result<Option<Resumed>, StageError> {
    let begun = match note.begun.clone().filter(|begun| begun.frame == ready.frame.id.as_str()) {
        Some(begun) => begun,
        None => {
            let begun = begin(ready, cx, deps, wanted).await?;
            let moves = note.moves;
            *note = Note { key: wanted.key.clone(), moves, begun: Some(begun.clone()), ..Note::default() };
            cx.progress().push = None;
            keep(cx, note);
            let text = format!("frame {} goes on at {}", ready.frame.name, begun.onto);
            cx.save("frame", text, Some(format!("mimir frame attach {}", ready.frame.name))).await?;
            begun
        }
    };
    let fence = super::fence_of(cx).await?;
    let checks = rounds::checks_of(cx.run());
    let (text, what) = match note.next {
        Next::Begin => {
            let blocks = fence.blocks(&wanted.evidence);
            (prompts::resume(&wanted.task, &blocks, &checks, &fence, begun.has_conflicts), "to work it in")
        }
        Next::Red => (prompts::red(&note.red, &fence), "to make the checks green"),
        Next::Unchanged => (prompts::unchanged(), "to change something, or to say why not"),
        Next::Conflicts => (prompts::unresolved(), "to resolve conflicts"),
    };
    // Begun anew it is another question, if in the same words.
    let anew = if note.moves == 0 { String::new() } else { format!("-{}", note.moves) };
    let key = format!("again-{}{anew}-{}", wanted.key, note.round);
    let question = Question { key, text, frame: &ready.frame, within: fix.answer, what };
    let said = match ask(cx, deps, question).await? {
        Answer::Said(said) => said,
        Answer::Stopped(outcome) => return Ok(Some(Resumed::Outcome(outcome))),
    };
    if note.commit_at.is_none() {
        note.commit_at = Some(cx.now_ms());
        keep(cx, note);
        let link = super::last_question(cx.run());
        cx.save("note", "the agent is done; its change is looked at".to_owned(), link).await?;
    }
    let branch = frame::branch_of(cx.run());
    let at_ms = note.commit_at.unwrap_or_default();
    let on = On { parent: &begun.onto, second: begun.second.as_deref(), branch: &branch, at_ms };
    let message = prompts::message(cx.run(), Some(&wanted.summary), "");
    let (id, size) = match commit(deps, &ready.frame, fix, on, &message).await? {
        Committed::Commit { id, size } => (id, size),
        Committed::Nothing => {
            return Ok(Some(Resumed::Unchanged { answer: fence::cleaned(&said, MOST_OF_AN_ANSWER) }));
        }
        Committed::Conflicts => {
            return sent_back(fix, Next::Conflicts, "there are conflicts left", note, cx).await;
        }
    };
    let link = format!("mimir frame attach {}", ready.frame.name);
    cx.save("commit", format!("commit {id}: {size}"), Some(link.clone())).await?;
    let results = checks::run(deps, &ready.frame, fix, &checks).await?;
    cx.progress().checks = results.each.clone();
    cx.save("check", results.in_words(), Some(link)).await?;
    if !results.are_green() {
        return sent_back(fix, Next::Red, &results.in_words(), note, cx).await;
    }
    note.commit = Some(id);
    keep(cx, note);
    cx.save("decision", "the checks are green: it is pushed".to_owned(), None).await?;
    Ok(None)
}

/// Puts the clone where the forge has the branch, and merges what is to be merged.
async fn begin<C: StageContext>(
    ready: &Ready,
    cx: &C,
    deps: &FixDeps,
    wanted: &Instructions,
) -> Result<Begun, StageError> {
    let branch = frame::branch_of(cx.run());
    let merge = wanted.merge.as_deref().unwrap_or_default();
    if !merge.is_empty() && !frame::is_plain(merge) {
        return Err(StageError::Permanent(format!(
            "`{}` is no branch that can be merged",
            fence::line(merge, 100)
        )));
    }
    deps.failpoints.hit("workflows.fix.before_sync").await;
    let said =
        inside::must(deps, &ready.frame, "a look at the forge", SYNC_SCRIPT, &[&branch, merge], SYNC).await?;
    deps.failpoints.hit("workflows.fix.after_sync").await;
    let mut lines = said.lines();
    let onto = lines.next().and_then(inside::commit_in).ok_or_else(|| {
        StageError::Infrastructure(format!("frame {} does not say where {branch} is", ready.frame.name))
    })?;
    let second = lines.next().and_then(inside::commit_in);
    let has_conflicts = second.is_some() && lines.next() != Some("clean");
    Ok(Begun { frame: ready.frame.id.to_string(), onto, second, has_conflicts })
}

/// Notes what the agent is sent back with, unless that was often enough.
async fn sent_back<C: StageContext>(
    fix: &FixSettings,
    next: Next,
    why: &str,
    note: &mut Note,
    cx: &mut C,
) -> Result<Option<Resumed>, StageError> {
    if note.round >= fix.rounds {
        return Ok(Some(Resumed::Red { why: format!("not done in {} tries: {why}", note.round + 1) }));
    }
    note.round += 1;
    note.next = next;
    note.red.clone_from(&cx.run().progress.checks);
    note.commit_at = None;
    keep(cx, note);
    let link = super::last_question(cx.run());
    cx.save("decision", format!("round {} of {}: {why}", note.round, fix.rounds), link).await?;
    Ok(None)
}

fn keep<C: StageContext>(cx: &mut C, note: &Note) {
    cx.progress().notes.insert(NOTE.to_owned(), json!(note));
}

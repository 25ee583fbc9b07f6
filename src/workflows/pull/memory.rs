//! What a run remembers of its pull request from one look to the next. It is a part of the run's progress.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::speakers::name;
use crate::model::forge::{CheckState, Checks};
use crate::model::run::{Evidence, RunProgress};

/// Where it stands among the run's notes.
const NOTE: &str = "pull";
/// Who may not write is asked about again after so long (ms).
const STRANGE_FOR: u64 = 10 * 60 * 1000;
/// So many of them are remembered; more than a forge's lists of comments are read for.
const MOST_STRANGERS: usize = 10_000;

/// Why the agent is asked once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WorkKind {
    /// Checks of the newest commit failed.
    Checks,
    /// Somebody said something.
    Review,
    /// It cannot be merged with the branch that it goes to.
    Conflict,
}

/// What came of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// The branch has this commit now.
    Pushed(String),
    /// Nothing was changed; what the agent said about that.
    Unchanged(String),
    /// It did not work; why.
    Failed(String),
}

/// One round of work, saved before it begins and until everybody was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Why.
    pub kind: WorkKind,
    /// The newest commit when it began.
    pub head: String,
    /// Which round it is, counted from 1 over all kinds.
    #[serde(default)]
    pub round: u32,
    /// What is answered by it, as keys of comments.
    #[serde(default)]
    pub answers: Vec<String>,
    /// Whether a person is among those who said it.
    #[serde(default)]
    pub is_of_people: bool,
    /// What strangers said, as it was when it was read first.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What came of it.
    #[serde(default)]
    pub came: Option<Came>,
}

/// Something that somebody with a say said, as it was when it was seen first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Who.
    pub author: String,
    /// Whether that is a program that the workflow lists.
    #[serde(default)]
    pub is_bot: bool,
    /// The words; at most 1,000 letters.
    pub text: String,
    /// Beside which file and line.
    #[serde(default)]
    pub place: Option<String>,
    /// When it was said, as the forge says.
    pub at: u64,
    /// When it was seen here (UTC ms).
    pub since: u64,
}

/// A push of this run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The newest commit before it.
    pub from: String,
    /// And after it.
    pub to: String,
    /// UTC ms.
    pub at: u64,
}

/// Checks that are green.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Green {
    /// The commit that they are of.
    pub of: String,
    /// Which they are: a number that is another one when one comes or goes.
    pub set: u64,
    /// Since when they are (UTC ms).
    pub since: u64,
}

/// How one of our own is known where nobody says who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What is hidden in its text, and nobody knows before it is sent.
    pub mark: String,
    /// It has a greater number than this one, which was there before.
    pub after: u64,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The name that we have at the forge.
    pub own: Option<String>,
    /// Which branch it goes to: as it was opened, or as a person let it go on since.
    pub base: Option<String>,
    /// Which branch it was opened for.
    pub opened_for: Option<String>,
    /// Who opened it in our place.
    pub adopted: Option<String>,
    /// One of our own is about to be opened, or was.
    pub opening: Option<Opening>,
    /// It was of somebody else, who closed it: one of our own is opened.
    pub is_lost: bool,
    /// The newest commit that was seen,
    pub head: String,
    /// and since when (UTC ms).
    pub head_since: u64,
    /// Since when the same checks are green.
    pub green: Option<Green>,
    /// What was heard and is not answered, by the comment's key.
    pub heard: BTreeMap<String, Heard>,
    /// Who said that nothing is to be done until somebody says otherwise.
    pub paused: Option<String>,
    /// Who said that it is over, in which comment. Kept with the answer to it, and until nothing is left.
    pub stopped: Option<(String, String)>,
    /// The round that was begun.
    pub work: Option<Work>,
    /// Rounds until now.
    pub rounds: u32,
    /// Since when the forge says that it cannot be merged (UTC ms).
    pub conflict_since: Option<u64>,
    /// What was pushed last.
    pub pushed: Option<Pushed>,
    /// A head whose red checks were worked on last, and what came of that.
    pub red_came: Option<(String, Came)>,
    /// Heads whose conflicts were worked on since a person said something.
    pub conflict_heads: Vec<String>,
    /// Heads for which a review was asked for.
    pub asked_review: Vec<String>,
    /// A head that the forge did not merge, and why.
    pub refused: Option<(String, String)>,
    /// How often it said that it could not merge this head yet.
    pub merge_tries: u32,
    /// How often in a row it was waited for the same.
    pub polls: u32,
    /// For what.
    pub waits_for: String,
    /// Since when the forge cannot be asked (UTC ms).
    pub away_since: Option<u64>,
    /// Who may not write, and when that was asked (UTC ms).
    pub strangers: BTreeMap<String, u64>,
}

impl Memory {
    /// What a run remembers; nothing at first.
    #[must_use]
    pub fn of(progress: &RunProgress) -> Self {
        progress
            .notes
            .get(NOTE)
            .and_then(|note| serde_json::from_value(note.clone()).ok())
            .unwrap_or_default()
    }

    /// Puts it back; kept with the run's next save.
    pub fn keep(&self, progress: &mut RunProgress) {
        // It has no maps with other keys than texts, so it can be written.
        if let Ok(note) = serde_json::to_value(self) {
            progress.notes.insert(NOTE.to_owned(), note);
        }
    }

    /// Whether somebody may not write, as far as was asked lately.
    #[must_use]
    pub fn is_stranger(&self, author: &str, now: u64) -> bool {
        self.strangers.get(&name(author)).is_some_and(|asked| now < asked.saturating_add(STRANGE_FOR))
    }

    /// Somebody may not write.
    pub fn note_stranger(&mut self, author: &str, now: u64) {
        self.strangers.retain(|_, asked| now < asked.saturating_add(STRANGE_FOR));
        self.strangers.insert(name(author), now);
        while self.strangers.len() > MOST_STRANGERS {
            let oldest = self.strangers.iter().min_by_key(|(_, asked)| **asked).map(|(who, _)| who.clone());
            let Some(oldest) = oldest else { break };
            self.strangers.remove(&oldest);
        }
    }

    /// How the checks of the newest commit are now: from then on, if they are green and others were or none. Meanwhile they
    /// may have been run again.
    pub fn note_checks(&mut self, checks: &Checks, now: u64) {
        match checks.state() {
            CheckState::Passed => {}
            CheckState::Pending => return,
            CheckState::Failed => {
                self.green = None;
                return;
            }
        }
        // One that was run again is the same, however often it stands there: whoever can begin one again would begin the
        // time anew that others are waited for.
        let mut all: Vec<_> = checks.all.iter().map(|check| (&check.name, check.kind)).collect();
        all.sort_unstable_by_key(|(name, kind)| (*name, <&str>::from(*kind)));
        all.dedup();
        let mut hasher = DefaultHasher::new();
        all.hash(&mut hasher);
        let (of, set) = (self.head.clone(), hasher.finish());
        let is_same = self.green.as_ref().is_some_and(|green| green.of == of && green.set == set);
        if !is_same {
            self.green = Some(Green { of, set, since: now });
        }
    }

    /// Whether somebody else opened it.
    #[must_use]
    pub fn is_of_another(&self, own: &str, author: &str) -> bool {
        self.adopted.is_some() || (!own.is_empty() && !author.is_empty() && name(own) != name(author))
    }

    /// Its pull request counts no more, and another one is opened from the same branch: what hangs on the one that it was
    /// goes.
    pub fn lose_pull(&mut self, progress: &mut RunProgress) {
        (self.base, self.opened_for, self.adopted, self.is_lost) = (None, None, None, true);
        (self.refused, self.merge_tries) = (None, 0);
        self.asked_review.clear();
        progress.pull = None;
        progress.handed_over.clear();
    }

    /// Since when the same checks of that commit are green (UTC ms), if they are.
    #[must_use]
    pub fn green_since(&self, head: &str) -> Option<u64> {
        self.green.as_ref().filter(|green| green.of == head).map(|green| green.since)
    }

    /// A round begins: it is counted before anything of it is done.
    pub fn begin(&mut self, progress: &mut RunProgress, work: &Work) {
        self.rounds = work.round;
        self.work = Some(work.clone());
        match work.kind {
            WorkKind::Checks => progress.red_heads.push(work.head.clone()),
            WorkKind::Conflict => self.conflict_heads.push(work.head.clone()),
            WorkKind::Review => {
                progress.review_rounds = progress.review_rounds.saturating_add(1);
                // What a person says counts from then on.
                if work.is_of_people {
                    progress.red_heads.clear();
                    self.conflict_heads.clear();
                }
            }
        }
    }

    /// Something came of a round. It is over when nobody waits for an answer.
    pub fn note_came(&mut self, progress: &mut RunProgress, work: &Work, now: u64) {
        if let Some(Came::Pushed(commit)) = &work.came {
            self.pushed = Some(Pushed { from: work.head.clone(), to: commit.clone(), at: now });
            progress.commit = Some(commit.clone());
            if let Some(pull) = &mut progress.pull {
                pull.head.clone_from(commit);
            }
        }
        if let (WorkKind::Checks, Some(came)) = (work.kind, &work.came) {
            self.red_came = Some((work.head.clone(), came.clone()));
        }
        self.work = (!work.answers.is_empty()).then(|| work.clone());
    }

    /// A person wants it tried once more: what was counted is counted anew.
    pub fn go_on(&mut self, progress: &mut RunProgress, gate: &str, now: u64) {
        self.conflict_heads.clear();
        (self.refused, self.merge_tries, self.head_since) = (None, 0, now);
        progress.approved.remove(gate);
        progress.red_heads.clear();
        progress.review_rounds = 0;
    }

    /// It is waited for that, once more.
    pub fn note_wait(&mut self, why: &str) {
        let is_same = self.is_waiting_for(&self.head, why);
        self.polls = if is_same { self.polls.saturating_add(1) } else { 0 };
        self.waits_for = format!("{} {why}", self.head);
    }

    /// Whether that is what it waited for last, with the same commit.
    #[must_use]
    pub fn is_waiting_for(&self, head: &str, why: &str) -> bool {
        self.waits_for.strip_prefix(head).and_then(|rest| rest.strip_prefix(' ')) == Some(why)
    }

    /// Whether the branch has a commit that is not of this run.
    #[must_use]
    pub fn is_foreign(&self, progress: &RunProgress, head: &str) -> bool {
        let known = [progress.commit.as_deref(), progress.pull.as_ref().map(|pull| pull.head.as_str())];
        !known.into_iter().flatten().any(|known| known.eq_ignore_ascii_case(head))
    }
}

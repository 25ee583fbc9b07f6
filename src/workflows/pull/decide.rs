//! What is done next about a pull request. Pure: the same facts give the same step, in whatever order they come.

use super::facts::PullFacts;
use super::hearing;
use super::judged::{approvals, blockers};
use super::memory::{Came, Heard, Memory, Work, WorkKind};
use super::policy::{self, Lack, Look};
use super::settings::{Conflicts, FollowSettings, MergePolicy, MergeSettings, NoChecks};
use super::speakers::{Command, name};
use super::words::one_line;
use super::yes;
use crate::model::forge::{CheckState, Checks, OpenState};
use crate::model::run::{Evidence, RunProgress};

/// The gate that a person opens to have it tried once more after it was handed over.
pub const FOLLOW_GATE: &str = "follow";
/// The gate that a person opens to have it merged.
pub const MERGE_GATE: &str = "merge";

/// What a run that is paused waits for.
pub const PAUSED: &str = "it is paused";
/// Those who were not asked about at one look are asked about so soon after it.
const ASK_AGAIN: u64 = 1_000;
/// A forge may show the old commit for so long after a push (ms).
const SLOW_FORGE: u64 = 10 * 60 * 1000;

/// A forge has so long to find out whether something can be merged (ms).
const FINDS_OUT: u64 = 20_000;

/// So many failed checks are shown.
const MOST_CHECKS: usize = 5;
/// So often a merge that is not possible yet is tried for one commit.
const MOST_MERGE_TRIES: u32 = 5;

/// What is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The loop.
    pub follow: &'a FollowSettings,
    /// The merge; none: it is enough when it is ready for one.
    pub merge: Option<&'a MergeSettings>,
    /// Who asked for the change: their own yes does not count.
    pub requester: Option<&'a str>,
    /// Whether an error tracker began it, to which anybody can report errors.
    pub is_reported: bool,
    /// Files and folders whose change a person looks at.
    pub protected: &'a [String],
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is merged; as which commit.
    Merged(String),
    /// It was closed without a merge.
    Closed,
    /// Its matter was settled elsewhere; how.
    Settled(String),
    /// Somebody said so.
    Stopped {
        /// Who.
        by: String,
        /// In which comment.
        key: String,
    },
}

/// What is done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing until then (UTC ms), or until somebody tells of something.
    Wait {
        /// When it is looked at again.
        until: u64,
        /// For what.
        why: String,
    },
    /// Nothing until somebody says so.
    Paused {
        /// When it is looked at again.
        until: u64,
        /// Who said so.
        by: String,
    },
    /// A command is obeyed and answered.
    Acknowledge {
        /// The comment.
        key: String,
        /// Whose.
        by: String,
        /// Which.
        command: Command,
    },
    /// A person wants it tried once more: what was counted is counted anew.
    GoOn {
        /// For which commit.
        head: String,
    },
    /// Its checks are green: it is no draft any more, and people are asked.
    RemoveDraftAndRequestReview {
        /// Which commit.
        head: String,
        /// Who is asked.
        reviewers: Vec<String>,
    },
    /// The agent works on it once more.
    WorkIn(Work),
    /// People have to see to it.
    HandOver {
        /// For which commit.
        head: String,
        /// What a yes to one more try is for.
        yes: String,
        /// Why, in a sentence without a full stop.
        why: String,
    },
    /// It can be merged, as far as `follow` goes.
    Ready {
        /// Which commit.
        head: String,
    },
    /// A person is asked.
    AskMerge {
        /// What their yes is for.
        yes: String,
        /// What there is to know, in a sentence.
        why: String,
    },
    /// It is merged, if it is still that commit and goes there.
    Merge {
        /// Which.
        head: String,
        /// To which branch.
        base: String,
    },
    /// Somebody who may not write had opened it in our place, and closed it, as far as the forge tells: one of our own is
    /// opened.
    OpenOwn {
        /// Who opened it.
        by: String,
    },
    /// It is over.
    Ended(Ending),
}

/// What is done next.
#[must_use]
pub fn decide(
    facts: &PullFacts,
    memory: &Memory,
    progress: &RunProgress,
    rules: &Rules<'_>,
    now: u64,
) -> Step {
    let case = Case { facts, memory, progress, rules, now, head: &facts.pull.head_sha };
    let step = case.stopped().or_else(|| case.ended()).or_else(|| case.told()).or_else(|| case.unasked());
    let step = step
        .or_else(|| case.unread())
        .or_else(|| case.moved())
        .or_else(|| case.begun())
        .or_else(|| case.behind());
    let step = step.or_else(|| case.said()).or_else(|| case.conflict()).or_else(|| case.checked());
    step.or_else(|| case.shown()).unwrap_or_else(|| case.merged())
}

impl<'a> From<&Rules<'a>> for Look<'a> {
    fn from(rules: &Rules<'a>) -> Self {
        let Rules { follow, requester, is_reported, protected, .. } = *rules;
        Self { follow, requester, is_reported, protected }
    }
}

struct Case<'a> {
    facts: &'a PullFacts,
    memory: &'a Memory,
    progress: &'a RunProgress,
    rules: &'a Rules<'a>,
    now: u64,
    head: &'a str,
}

impl Case<'_> {
    /// Somebody was told that nothing more is done.
    fn stopped(&self) -> Option<Step> {
        let (by, key) = self.memory.stopped.clone()?;
        Some(Step::Ended(Ending::Stopped { by, key }))
    }

    /// Whoever was not asked about yet may have a say.
    fn unasked(&self) -> Option<Step> {
        let why = "it waits to know who may write".to_owned();
        self.facts.is_unasked.then(|| Step::Wait { until: self.now.saturating_add(ASK_AGAIN), why })
    }

    /// Somebody may have a say of whom that is not known, or say something that is not read. Whoever lets it go on has it
    /// looked at once more.
    fn unread(&self) -> Option<Step> {
        let untold = || {
            let (who, why) = self.facts.untold.as_ref()?;
            Some(format!("the forge does not tell whether {} may write: {why}", one_line(who, 60)))
        };
        let why = self.facts.too_much.clone().or_else(untold)?;
        (!self.is_to_go_on()).then(|| self.hand_over(why))
    }

    /// A yes, a review and green checks were for the branch that it went to. Where somebody sent it elsewhere, people have to
    /// see to it: nothing is merged there with a right of ours. Whoever lets it go on says yes to that branch by its name, and
    /// is asked once more before the merge, whatever the policy.
    fn moved(&self) -> Option<Step> {
        let (was, is) = (self.memory.base.as_ref()?, &self.facts.pull.base_ref);
        let yes = yes::to_go_on_for(self.head, is);
        let is_meant = self.progress.approved.get(FOLLOW_GATE) == Some(&yes);
        (was != is && !is_meant).then(|| Step::HandOver {
            head: self.head.to_owned(),
            yes,
            why: format!("it was sent to {}, and was opened for {}", one_line(is, 100), one_line(was, 100)),
        })
    }

    fn ended(&self) -> Option<Step> {
        let pull = &self.facts.pull;
        if pull.merged {
            let commit = pull.merge_commit.clone().unwrap_or_else(|| pull.head_sha.clone());
            return Some(Step::Ended(Ending::Merged(commit)));
        }
        // Anybody can open a pull request from our branch before us, and close it: that is nobody's no. Whoever closes what
        // somebody else opened was let do so by the forge: it is a no, of a person or a program. Twice it may be
        // somebody's who does not want it, and it must have an end.
        let is_author = |who: &str| name(who) == name(&pull.author);
        let is_strangers = !self.memory.is_lost
            && self.memory.is_of_another(&self.facts.own, &pull.author)
            && !self.facts.may_write(&pull.author)
            && self.facts.closed_by.as_deref().is_none_or(is_author);
        (pull.state == OpenState::Closed).then(|| match is_strangers {
            true => Step::OpenOwn { by: pull.author.clone() },
            false => Step::Ended(Ending::Closed),
        })
    }

    fn heard(&self) -> Vec<(&String, &Heard)> {
        hearing::open(self.memory, self.facts, self.rules.follow, &self.progress.answered)
    }

    /// What was said to mimir itself, and what was settled elsewhere.
    fn told(&self) -> Option<Step> {
        let heard = self.heard();
        let told = || heard.iter().filter_map(|(key, said)| Some((*key, *said, hearing::command(said)?)));
        if let Some((key, said, _)) = told().find(|(_, _, command)| *command == Command::Stop) {
            let by = said.author.clone();
            return Some(Step::Ended(Ending::Stopped { by, key: key.clone() }));
        }
        if let Some((key, said, command)) = told().next() {
            return Some(Step::Acknowledge { key: key.clone(), by: said.author.clone(), command });
        }
        if let Some(how) = &self.facts.settled {
            return Some(Step::Ended(Ending::Settled(how.clone())));
        }
        let by = self.memory.paused.clone()?;
        let until = self.until(PAUSED, None);
        Some(Step::Paused { until, by })
    }

    /// What was begun is brought to its end first.
    fn begun(&self) -> Option<Step> {
        if let Some(work) = &self.memory.work {
            return Some(Step::WorkIn(work.clone()));
        }
        self.is_to_go_on().then(|| Step::GoOn { head: self.head.to_owned() })
    }

    /// Whether somebody wants it tried once more with this commit, for the branch that it goes to.
    fn is_to_go_on(&self) -> bool {
        let base = &self.facts.pull.base_ref;
        let known = [yes::to_go_on(self.head), yes::to_go_on_for(self.head, base)];
        self.progress.approved.get(FOLLOW_GATE).is_some_and(|yes| known.contains(yes))
    }

    /// The forge has not seen yet what was pushed: what it says is about the old commit.
    fn behind(&self) -> Option<Step> {
        let pushed = self.memory.pushed.as_ref()?;
        let is_old = pushed.from == self.head && pushed.from != pushed.to;
        let is_fresh = self.now < pushed.at.saturating_add(SLOW_FORGE);
        (is_old && is_fresh).then(|| self.wait("the forge to see the newest commit", None))
    }

    fn work(&self, kind: WorkKind, evidence: Vec<Evidence>) -> Work {
        let round = self.memory.rounds.saturating_add(1);
        let head = self.head.to_owned();
        Work { kind, head, round, answers: Vec::new(), is_of_people: false, evidence, came: None }
    }

    /// What people said goes before everything else that could be worked on.
    fn said(&self) -> Option<Step> {
        let heard = self.heard();
        let newest = heard.iter().map(|(_, said)| said.since).max()?;
        let quiet = newest.saturating_add(ms(self.rules.follow.quiet));
        if self.now < quiet {
            let why = "somebody may be about to say more".to_owned();
            return Some(Step::Wait { until: quiet, why });
        }
        let most = self.rules.follow.review_rounds;
        if self.progress.review_rounds >= most {
            return Some(self.hand_over(format!("reviews were worked in {most} times, which is the limit")));
        }
        let evidence = heard.iter().map(|(_, said)| Evidence {
            name: match &said.place {
                Some(place) => format!("review comment on {place}"),
                None => "review comment".to_owned(),
            },
            source: format!("reviewer {}", said.author),
            text: said.text.clone(),
        });
        let work = self.work(WorkKind::Review, evidence.collect());
        let answers = heard.iter().map(|(key, _)| (*key).clone()).collect();
        let is_of_people = heard.iter().any(|(_, said)| !said.is_bot);
        Some(Step::WorkIn(Work { answers, is_of_people, ..work }))
    }

    fn conflict(&self) -> Option<Step> {
        if self.facts.pull.mergeable != Some(false) {
            return None;
        }
        // Some forges say so as well while they find out.
        let believed = self.memory.conflict_since.unwrap_or(self.now).saturating_add(FINDS_OUT);
        if self.now < believed {
            return Some(self.wait("the forge to find out whether it can be merged", Some(believed)));
        }
        let base = &self.facts.pull.base_ref;
        let was_tried = self.memory.conflict_heads.iter().any(|head| head == self.head);
        Some(match self.rules.follow.conflicts {
            Conflicts::HandOver => self.hand_over(format!("it cannot be merged with {base}")),
            Conflicts::Resolve if was_tried => self
                .hand_over(format!("its conflict with {base} is still there after the agent worked on it")),
            Conflicts::Resolve => self.round(WorkKind::Conflict, Vec::new()),
        })
    }

    /// What the agent made of this commit's red checks.
    fn what_came_of_it(&self) -> String {
        match self.memory.red_came.as_ref().filter(|(head, _)| head == self.head) {
            Some((_, Came::Failed(why))) => format!("the agent did not mend it: {}", one_line(why, 150)),
            _ => "the agent found nothing to change".to_owned(),
        }
    }

    /// A round that no person asked for.
    fn round(&self, kind: WorkKind, evidence: Vec<Evidence>) -> Step {
        let until_now = self.progress.red_heads.len() + self.memory.conflict_heads.len();
        let most = self.rules.follow.check_rounds;
        if until_now >= usize::try_from(most).unwrap_or(usize::MAX) {
            let now = match kind {
                WorkKind::Checks => red(&self.facts.checks),
                WorkKind::Conflict => {
                    format!("it cannot be merged with {}", one_line(&self.facts.pull.base_ref, 100))
                }
                WorkKind::Review => String::new(),
            };
            return self.hand_over(format!(
                "{now}, after red checks and conflicts were worked on {most} times without a word of yours, which is the limit"
            ));
        }
        Step::WorkIn(self.work(kind, evidence))
    }

    fn hand_over(&self, why: String) -> Step {
        Step::HandOver { head: self.head.to_owned(), yes: yes::to_go_on(self.head), why }
    }

    /// Nothing when its checks are green, or there are none and that is fine.
    fn checked(&self) -> Option<Step> {
        let (checks, follow) = (&self.facts.checks, self.rules.follow);
        if !self.facts.checks_of.eq_ignore_ascii_case(self.head) {
            return Some(self.wait("the checks of the newest commit", None));
        }
        let since = if self.memory.head == self.head { self.memory.head_since } else { self.now };
        match checks.state() {
            // A job that waits for another one, or a slow program, has no check before it begins.
            CheckState::Passed => {
                let all = self.memory.green_since(self.head).unwrap_or(self.now);
                let all = all.saturating_add(ms(follow.green_for));
                (self.now < all).then(|| self.wait("other checks, if more of them begin", Some(all)))
            }
            CheckState::Failed => {
                let others = since.saturating_add(ms(follow.others_wait));
                let are_running =
                    checks.is_running || checks.all.iter().any(|check| check.state == CheckState::Pending);
                if are_running && self.now < others {
                    return Some(self.wait("the other checks", Some(others)));
                }
                if self.progress.red_heads.iter().any(|head| head == self.head) {
                    return Some(self.hand_over(format!("{}, and {}", red(checks), self.what_came_of_it())));
                }
                Some(self.round(WorkKind::Checks, failed(checks)))
            }
            CheckState::Pending if checks.all.is_empty() => {
                let none = since.saturating_add(ms(follow.no_checks_after));
                match follow.no_checks {
                    _ if self.now < none => Some(self.wait("checks to begin", Some(none))),
                    NoChecks::Ready => None,
                    NoChecks::HandOver => Some(self.hand_over("no checks have begun".into())),
                }
            }
            CheckState::Pending => {
                let most = since.saturating_add(ms(follow.checks_within));
                if self.now < most {
                    return Some(self.wait("checks", Some(most)));
                }
                Some(self.hand_over("its checks have not come to an end".into()))
            }
        }
    }

    /// People see that it is ready, and are asked.
    fn shown(&self) -> Option<Step> {
        let were_asked = self.memory.asked_review.iter().any(|head| head == self.head);
        if were_asked {
            return self.facts.pull.is_draft.then(|| self.wait("somebody to say that it is no draft", None));
        }
        let mut reviewers: Vec<String> = Vec::new();
        let again = blockers(self.facts, self.rules.follow).into_iter();
        for reviewer in self.rules.follow.reviewers.iter().cloned().chain(again) {
            let is_known = reviewers.iter().any(|known| name(known) == name(&reviewer));
            let is_author =
                [&self.facts.own, &self.facts.pull.author].iter().any(|own| name(own) == name(&reviewer));
            if !is_known && !is_author {
                reviewers.push(reviewer);
            }
        }
        Some(Step::RemoveDraftAndRequestReview { head: self.head.to_owned(), reviewers })
    }

    /// Everything is there but somebody's yes.
    fn merged(&self) -> Step {
        let head = self.head.to_owned();
        let against = blockers(self.facts, self.rules.follow);
        if !against.is_empty() {
            return self.wait("those who asked for changes to look again", None);
        }
        let Some(merge) = self.rules.merge else { return Step::Ready { head } };
        if let Some((refused, why)) = &self.memory.refused
            && *refused == head
        {
            return self.hand_over(format!("the forge did not merge it: {why}"));
        }
        if self.memory.merge_tries >= MOST_MERGE_TRIES {
            return self.hand_over("the forge says again and again that it cannot be merged yet".into());
        }
        let base = self.facts.pull.base_ref.clone();
        let is_approved = self.progress.approved.get(MERGE_GATE) == Some(&yes::to_merge(&head, &base));
        match merge.policy {
            MergePolicy::Never => self.wait("somebody to merge it at the forge", None),
            MergePolicy::Person | MergePolicy::Auto if is_approved => Step::Merge { head, base },
            MergePolicy::Person => {
                let yes = approvals(self.facts, self.rules.follow, None).len();
                if yes < usize::try_from(merge.approvals).unwrap_or(usize::MAX) {
                    return self.wait("approving reviews", None);
                }
                self.ask_merge(&[])
            }
            MergePolicy::Auto => {
                let lacks = policy::lacks(self.facts, self.memory, self.progress, self.rules.into(), merge);
                let (mut others, mut later) = (Vec::new(), None);
                for lack in lacks {
                    match lack {
                        Lack::Other(why) => others.push(why),
                        Lack::Later(what) => later = Some(what),
                    }
                }
                match later {
                    _ if !others.is_empty() => self.ask_merge(&others),
                    Some(what) => self.wait(what, None),
                    None => Step::Merge { head, base },
                }
            }
        }
    }

    fn ask_merge(&self, lacks: &[String]) -> Step {
        let known = policy::summary(self.facts, self.memory, self.rules.into());
        let lacks = match lacks {
            [] => String::new(),
            lacks => format!("; mimir does not merge it by itself: {}", lacks.join(", ")),
        };
        let yes = yes::to_merge(self.head, &self.facts.pull.base_ref);
        Step::AskMerge { yes, why: format!("{known}{lacks}") }
    }

    fn wait(&self, why: &str, at_most: Option<u64>) -> Step {
        let why = format!("it waits for {why}");
        Step::Wait { until: self.until(&why, at_most), why }
    }

    /// When it is looked at again if nobody tells of anything.
    fn until(&self, why: &str, at_most: Option<u64>) -> u64 {
        let is_same = self.memory.is_waiting_for(self.head, why);
        let times = if is_same { self.memory.polls.saturating_add(1) } else { 0 };
        let (first, most) = (ms(self.rules.follow.poll), ms(self.rules.follow.poll_most));
        let pause = first.saturating_mul(1_u64 << times.min(20)).min(most.max(first));
        let until = self.now.saturating_add(pause);
        at_most.map_or(until, |most| until.min(most)).max(self.now.saturating_add(1_000))
    }
}

/// Which checks are red, in words.
fn red(checks: &Checks) -> String {
    let mut names: Vec<&str> = checks.failed().map(|check| check.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let is_one = names.len() == 1;
    let named = policy::named(names.into_iter());
    if is_one { format!("check {named} is red") } else { format!("checks {named} are red") }
}

fn failed(checks: &Checks) -> Vec<Evidence> {
    let mut failed: Vec<_> = checks.failed().collect();
    failed.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    let shown = failed.into_iter().take(MOST_CHECKS).map(|check| Evidence {
        name: format!("failed check {}", check.name),
        source: "checks".to_owned(),
        text: check.excerpt.clone(),
    });
    shown.collect()
}

fn ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

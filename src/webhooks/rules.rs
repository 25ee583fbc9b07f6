//! What follows from a message. Pure: the rules of the configuration, and what is known of runs about the same.

use sha2::{Digest as _, Sha256};
use wildmatch::WildMatch;

use super::notice::{Matter, Notice, REASON};
use super::sentry_says::{CATCH_UP, UNTOLD};
use super::settings::{Rule, Untold};
use crate::model::ids::RunId;
use crate::model::loose;
use crate::model::origin::Origin;
use crate::model::run::{NewRun, RunInput, RunState, RunSubject};
use crate::model::webhook::AuthorRight;
use crate::sentry::Issue;
use crate::store::webhooks::Waits;

/// No cooldown is longer, however often it was doubled.
const LONGEST_COOLDOWN_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Within which time a rule begins no more runs than its limit.
pub(super) const LIMITED_WITHIN_MS: u64 = 60 * 60 * 1_000;
/// A message whose turn would come later than that does not wait: it is no alert any more by then, and a sender could
/// fill weeks.
pub(super) const LONGEST_WAIT_MS: u64 = 24 * 60 * 60 * 1_000;

/// How many messages about the same matter wait together: a sender could write thousands.
const MOST_TOGETHER: usize = 20;

/// What is known of runs about the same, and of what a rule began.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The one that goes on.
    pub open: Option<RunId>,
    /// Those that ended, the newest first: how and when (UTC ms).
    pub ended: Vec<(RunState, u64)>,
    /// When the rule began runs within the last hour (UTC ms), the oldest first.
    pub begun: Vec<u64>,
    /// About how many matters something waits for the rule already, before it.
    pub waiting: usize,
    /// It has waited itself: it waits on, however late its turn was taken.
    pub has_waited: bool,
    /// Other messages about the same that wait for the rule, and came before it.
    pub waits: Option<Waits>,
}

/// What follows.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Names of runs' matters that it tells of.
    pub wakes: Vec<String>,
    /// A run, or why there is none.
    pub run: Result<Box<Wanted>, Refusal>,
}

/// Why no run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a sentence.
    pub why: String,
    /// Its turn comes later.
    pub turn: Option<Turn>,
    /// The rule that is about it all the same, by its mark.
    pub fits: Option<String>,
}

/// When something is decided about again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The rule, by its mark.
    pub rule: String,
    /// UTC ms.
    pub at_ms: u64,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { why, turn: None, fits: None }
    }
}

/// A run that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As it is to be made.
    pub run: NewRun,
    /// Under which others will tell of it.
    pub name: Option<String>,
    /// Which rule says so, counted from 1.
    pub rule: usize,
    /// The same by its mark.
    pub mark: String,
}

/// By what the runs of a rule are counted: the same as long as it looks at the same and wants the same of it, wherever
/// in the configuration it stands.
#[must_use]
pub fn mark(rule: &Rule) -> String {
    let Rule {
        source,
        on,
        from,
        level,
        environment,
        fingerprint,
        labels,
        mention,
        author,
        workflow,
        project,
        repository,
        ..
    } = rule;
    let looks_at = (source, on, from, level, environment, fingerprint, labels, mention, author);
    let text = format!("{looks_at:?} {:?}", (workflow, project, repository));
    hex::encode(&Sha256::digest(text.as_bytes())[..8])
}

/// Decides. The history is asked for when a rule fits, for that rule.
///
/// # Errors
/// Whatever the history says.
pub fn decide<E>(
    notice: &Notice,
    source: &str,
    rules: &[Rule],
    now_ms: u64,
    history: impl FnOnce(&Rule, &Matter) -> Result<History, E>,
) -> Result<Decision, E> {
    let refused = |why: Refusal| Decision { wakes: notice.wakes.clone(), run: Err(why) };
    let Some(matter) = &notice.matter else {
        let nothing = || "it begins nothing".to_owned();
        return Ok(refused(notice.reason.clone().unwrap_or_else(nothing).into()));
    };
    let of_source = rules.iter().enumerate().filter(|(_, rule)| rule.source == source);
    let mut nearest = None;
    for (number, rule) in of_source {
        match misfit(rule, notice, matter) {
            None => {
                let known = history(rule, matter)?;
                return Ok(match hindrance(rule, &known, now_ms) {
                    Some(refusal) => {
                        let (why, fits) = (format!("rule {}: {}", number + 1, refusal.why), Some(mark(rule)));
                        refused(Refusal { why, fits, ..refusal })
                    }
                    None => {
                        let run = new_run(rule, notice, matter);
                        let (name, mark) = (matter.name.clone(), mark(rule));
                        let wanted = Wanted { run, name, rule: number + 1, mark };
                        Decision { wakes: notice.wakes.clone(), run: Ok(Box::new(wanted)) }
                    }
                });
            }
            Some(why) => drop(nearest.get_or_insert(format!("rule {}: {why}", number + 1))),
        }
    }
    let why = match nearest {
        Some(why) => format!("no rule fits ({why})"),
        None => format!("no rule of webhooks.rules is about {source}"),
    };
    Ok(refused(why.into()))
}

/// Why a rule does not fit; none when it does.
fn misfit(rule: &Rule, notice: &Notice, matter: &Matter) -> Option<String> {
    let is_on = match notice.event.split('.').next() {
        Some(CATCH_UP) => rule.catch_up != Untold::Off,
        Some(UNTOLD) => rule.catch_up == Untold::All,
        _ => rule.on.is_empty() || rule.on.iter().any(|pattern| matches(pattern, &notice.event)),
    };
    if !is_on {
        return Some(format!("it is not about {}", shown(&notice.event)));
    }
    if let Some(pattern) = &rule.from
        && !matter.from.as_deref().is_some_and(|from| matches(pattern, from))
    {
        return Some(format!(
            "it is about another project than {}",
            shown_or(&matter.from, "one without a name")
        ));
    }
    if let Some(wanted) = &rule.repository
        && let Some(said) = &matter.repository
        && said != wanted
    {
        return Some(format!("it is about another repository than {said}"));
    }
    if let Some(least) = rule.level
        && matter.level.is_none_or(|level| level < least)
    {
        let said = matter.level.map_or_else(|| "no level".to_owned(), |level| format!("level {level}"));
        return Some(format!("it wants at least level {least}, and this has {said}"));
    }
    if !rule.environment.is_empty()
        && !matter
            .environment
            .as_deref()
            .is_some_and(|said| rule.environment.iter().any(|pattern| matches(pattern, said)))
    {
        return Some(format!(
            "it is about another environment than {}",
            shown_or(&matter.environment, "an unknown one")
        ));
    }
    if let Some(pattern) = &rule.fingerprint
        && !matter.fingerprints.iter().any(|said| matches(pattern, said))
    {
        return Some("it wants another fingerprint".to_owned());
    }
    if !rule.labels.is_empty() && !matter.labels.iter().any(|label| rule.labels.contains(label)) {
        return Some("the issue has none of its labels".to_owned());
    }
    if let RunSubject::Issue { .. } = matter.subject {
        let is_asked = match &matter.comment {
            Some(comment) => mentions(comment, &rule.mention),
            None => !rule.labels.is_empty(),
        };
        if !is_asked {
            return Some(match matter.comment {
                Some(_) => format!("the comment does not mention {}", rule.mention),
                None => {
                    "nobody asked for it: a rule for issues needs `labels`, or a comment that mentions us"
                        .to_owned()
                }
            });
        }
    }
    None
}

/// Whether a rule may take an issue that is told as that, as far as the tracker's list says what it is.
pub(super) fn may_take(rule: &Rule, source: &str, news: &str, issue: &Issue) -> bool {
    let is_told = match rule.catch_up {
        Untold::All => true,
        Untold::Missed => news == CATCH_UP,
        Untold::Off => false,
    };
    let from = rule.from.as_deref();
    let is_from = || from.is_none_or(|from| issue.project.as_deref().is_some_and(|said| matches(from, said)));
    rule.source == source && is_told && is_from()
}

/// Whether we told it ourselves, after the tracker did not.
pub(super) fn is_of_ours(event: &str) -> bool {
    matches!(event.split('.').next(), Some(CATCH_UP | UNTOLD))
}

fn matches(pattern: &str, text: &str) -> bool {
    WildMatch::new_case_insensitive(pattern).matches(text)
}

fn shown(text: &str) -> String {
    loose::line(text, REASON)
}

fn shown_or(text: &Option<String>, otherwise: &str) -> String {
    text.as_deref().map_or_else(|| otherwise.to_owned(), shown)
}

/// Whether a comment asks: the word stands in it. What is quoted from somebody else does not count.
fn mentions(comment: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '@' | '/' | '.');
    let word = word.to_lowercase();
    let mut own = comment.lines().filter(|line| !line.trim_start().starts_with('>')).map(str::to_lowercase);
    own.any(|line| {
        line.match_indices(&word).any(|(at, found)| {
            let before = line[..at].chars().next_back();
            let mut after = line[at + found.len()..].chars();
            // A full stop ends a sentence as well as it stands in a name.
            let ends = match after.next() {
                Some('.') => !after.next().is_some_and(is_name),
                Some(c) => !is_name(c),
                None => true,
            };
            !word.is_empty() && !before.is_some_and(is_name) && ends
        })
    })
}

/// What stands against a run now.
fn hindrance(rule: &Rule, known: &History, now_ms: u64) -> Option<Refusal> {
    // One that goes on hears of it, whatever happened before.
    if known.open.is_some() {
        return None;
    }
    if let Some(until) = cool_until(rule, &known.ended).filter(|until| *until > now_ms) {
        let at = crate::clock::utc(until);
        let why = format!("the last run about it did not succeed, and nothing is tried before {at} UTC");
        return Some(why.into());
    }
    // Its run sees to this one as well. They wait together: by then the first may fit no rule any more, or be of somebody who
    // may not ask.
    if let Some(Waits { id, until_ms, count }) = &known.waits {
        let at = crate::clock::utc(*until_ms);
        let why = format!("delivery {id} is about the same, and its turn comes at {at} UTC");
        let turn = Turn { rule: mark(rule), at_ms: *until_ms };
        return Some(match *count < MOST_TOGETHER {
            true => Refusal { why, turn: Some(turn), fits: None },
            false => format!("{why}; {count} wait for it already").into(),
        });
    }
    let begun = known.begun.len();
    let longest = now_ms.saturating_add(LONGEST_WAIT_MS);
    let at_ms = turn(rule, known)?;
    // Where the limit was lowered, it is looked at once more after a day.
    let at_ms = if known.has_waited { at_ms.min(longest) } else { at_ms };
    let why = format!("it has begun {begun} runs within the last hour, and {} is its limit", rule.limit);
    if at_ms > longest {
        let waiting = known.waiting;
        return Some(
            format!("{why}; {waiting} wait already, and its turn would not come within a day").into(),
        );
    }
    let at = crate::clock::utc(at_ms);
    Some(Refusal {
        why: format!("{why}; its turn comes at {at} UTC"),
        turn: Some(Turn { rule: mark(rule), at_ms }),
        fits: None,
    })
}

/// When a rule that has begun as many runs as it may begins one more, behind those that wait; none when it may now.
fn turn(rule: &Rule, known: &History) -> Option<u64> {
    let limit = usize::try_from(rule.limit).unwrap_or(usize::MAX).max(1);
    // Those that must be an hour old, before one more may begin.
    let first = known.begun.len().checked_sub(limit)?;
    let (lap, place) = (known.waiting / limit, known.waiting % limit);
    let freed_by = known.begun.get(first + place)?;
    let laps = u64::try_from(lap).unwrap_or(u64::MAX).saturating_add(1);
    Some(freed_by.saturating_add(laps.saturating_mul(LIMITED_WITHIN_MS)))
}

/// Until when nothing is tried: each failure in a row doubles the time. Somebody who cancelled one wants none at once
/// either.
fn cool_until(rule: &Rule, ended: &[(RunState, u64)]) -> Option<u64> {
    let failures =
        ended.iter().take_while(|(state, _)| matches!(state, RunState::Failed | RunState::Cancelled));
    let failures = u32::try_from(failures.count()).unwrap_or(u32::MAX);
    let (_, last) = ended.first().filter(|_| failures > 0)?;
    let once = u64::try_from(rule.cooldown.as_millis()).unwrap_or(u64::MAX);
    let doubled = once.saturating_mul(1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX));
    Some(last.saturating_add(doubled.min(LONGEST_COOLDOWN_MS.max(once))))
}

fn new_run(rule: &Rule, notice: &Notice, matter: &Matter) -> NewRun {
    let mut input = RunInput {
        subject: matter.subject.clone(),
        repository: matter.repository.clone().or_else(|| rule.repository.clone()),
        commit: matter.commit.clone(),
        evidence: matter.evidence.clone(),
        ..RunInput::default()
    };
    // Words of ours alone: what strangers say is evidence.
    input.variables.insert("event".to_owned(), notice.event.clone());
    input.variables.insert("source".to_owned(), rule.source.clone());
    if let RunSubject::Issue { .. } = matter.subject {
        input.variables.insert(AuthorRight::VARIABLE.to_owned(), rule.author.to_string());
    }
    NewRun {
        workflow: rule.workflow.clone(),
        key: matter.key.clone(),
        origin: Origin::Webhook,
        origin_ref: None,
        project: rule.project.clone(),
        title: matter.title.clone(),
        input,
        priority: rule.priority,
        budget_microusd: rule.budget_microusd,
        not_before: None,
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;

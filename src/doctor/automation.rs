//! What begins by itself, and what of it stands still: senders that nobody believes, schedules that were paused, runs that
//! wait for somebody, messages about which nothing could be decided.

use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::model::doctor::Check;
use crate::model::run::{Run, RunHold, RunState};
use crate::model::schedule::Schedule;
use crate::model::webhook::{SenderKind, WebhookState};
use crate::store::runs::RunFilter;
use crate::store::{StoreError, runs, schedules, webhooks};

const WITHIN: Duration = Duration::from_secs(10);
/// More are not counted.
const MOST: u32 = 100;
/// So many are named.
const NAMED: usize = 3;

/// Who may tell us something, and is not believed.
pub(super) fn sources(subject: &Subject) -> Check {
    let about = About {
        id: "webhooks.sources",
        title: "webhooks can be checked",
        why: "what comes from a source without a secret is refused",
    };
    about.found(judge_sources(&subject.sources), Duration::ZERO)
}

fn judge_sources(sources: &[SourcePresence]) -> Finding {
    let without: Vec<&str> =
        sources.iter().filter(|source| !source.has_secret).map(|source| source.name.as_str()).collect();
    match without.first() {
        None => Finding::ok(format!("{} sources, each with a secret", sources.len())),
        Some(first) => Finding::warning(
            format!("{} has no secret", named(&without)),
            format!("mimir config edit, and set webhooks.sources.{first}.secret"),
        ),
    }
}

/// A sender of webhooks. Says nothing of its secret but whether there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePresence {
    /// Its name.
    pub name: String,
    /// How it speaks.
    pub kind: SenderKind,
    /// Without one, nothing of it is taken.
    pub has_secret: bool,
}

/// What the database says of things that stand still.
pub(super) async fn standing_still(subject: &Subject) -> Vec<Check> {
    let held = About {
        id: "runs.held",
        title: "no run waits for you",
        why: "a run that is held goes on when somebody says yes",
    };
    let paused = About {
        id: "schedules.paused",
        title: "schedules do what they say",
        why: "one that is paused does nothing until it is resumed",
    };
    let failed = About {
        id: "webhooks.failed",
        title: "every webhook was decided about",
        why: "nothing follows from one that failed, until it is decided again",
    };
    let Some(store) = subject.store.clone() else {
        let skipped =
            |about: About| about.found(Finding::skipped("the database could not be opened"), Duration::ZERO);
        return vec![skipped(held), skipped(paused), skipped(failed)];
    };
    let unread = |error: StoreError| Finding::warning(format!("it cannot be read: {error}"), "mimir doctor");
    let runs = held.attempt(WITHIN, async {
        let filter = RunFilter { state: Some(RunState::Held), ..RunFilter::default() };
        store.read(move |db| runs::list(db, &filter, MOST)).await.map_or_else(unread, |all| judge_runs(&all))
    });
    let runs = runs.await;
    let schedules = paused.attempt(WITHIN, async {
        store.read(|db| schedules::list(db)).await.map_or_else(unread, |all| judge_schedules(&all))
    });
    let schedules = schedules.await;
    let webhooks = failed.attempt(WITHIN, async {
        let failed = store.read(|db| webhooks::list(db, None, Some(WebhookState::Failed), MOST)).await;
        failed.map_or_else(unread, |all| judge_webhooks(all.len()))
    });
    vec![runs, schedules, webhooks.await]
}

fn judge_runs(held: &[Run]) -> Finding {
    let is_stopped =
        |run: &&Run| run.progress.held.as_ref().is_some_and(|held| held.gate == RunHold::BREAKER);
    let Some(first) = held.iter().find(is_stopped).or(held.first()) else {
        return Finding::ok("no run is held");
    };
    let stopped = held.iter().filter(is_stopped).count();
    let because = match stopped {
        0 => String::new(),
        _ => format!(", {stopped} of them because the ones before failed"),
    };
    Finding::warning(
        format!(
            "{} held{because}; {}: {}",
            held.len(),
            first.id,
            first.reason.as_deref().unwrap_or("it asks")
        ),
        format!("mimir runs show {}", first.id),
    )
}

fn judge_schedules(all: &[Schedule]) -> Finding {
    let paused: Vec<&Schedule> = all.iter().filter(|schedule| schedule.paused.is_some()).collect();
    let Some(first) = paused.first() else {
        return Finding::ok(format!("none of {} is paused", all.len()));
    };
    let names: Vec<&str> = paused.iter().map(|schedule| schedule.name.as_str()).collect();
    let why = first.paused.as_deref().unwrap_or_default();
    Finding::warning(
        format!("paused: {}; {}: {why}", named(&names), first.name),
        format!("mimir cron resume {}", first.name),
    )
}

fn judge_webhooks(failed: usize) -> Finding {
    match failed {
        0 => Finding::ok("none failed"),
        failed => {
            let more = if failed == MOST as usize { " or more" } else { "" };
            let fix = "mimir webhooks deliveries --state failed, then mimir webhooks replay ID";
            Finding::warning(format!("{failed}{more} failed"), fix)
        }
    }
}

fn named(all: &[&str]) -> String {
    let shown = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    #[test]
    fn a_source_without_a_secret_is_said_with_what_to_set() {
        let kind = SenderKind::Sentry;
        let source = |name: &str, has_secret| SourcePresence { name: name.to_owned(), kind, has_secret };
        assert_eq!(judge_sources(&[]).outcome, Outcome::Ok);
        assert_eq!(judge_sources(&[source("errors", true)]).outcome, Outcome::Ok);
        let finding = judge_sources(&[source("errors", true), source("forge", false), source("more", false)]);
        assert_eq!(
            (finding.outcome, finding.found.as_str()),
            (Outcome::Warning, "forge, more has no secret")
        );
        assert!(finding.fix.is_some_and(|fix| fix.contains("webhooks.sources.forge.secret")));
    }

    #[test]
    fn what_failed_is_counted_and_many_are_named_shortly() {
        assert_eq!(judge_webhooks(0).outcome, Outcome::Ok);
        assert_eq!(judge_webhooks(2).found, "2 failed");
        assert_eq!(judge_webhooks(100).found, "100 or more failed");
        assert_eq!(named(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }
}

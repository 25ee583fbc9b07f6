//! What is over a rule's limit: it waits for its turn, is told so, and is counted for its own rule alone.

use mimir::clock::Clock;
use mimir::model::names::ProjectName;
use mimir::model::principal::Principal;
use mimir::model::webhook::{Webhook, WebhookState};
use mimir::store::{Store, runs};
use mimir::supervisor::Tasks;
use mimir::webhooks::{Rule, Settings, Webhooks};

use super::{alert, all, deps, no_trackers, open_at, rule, sentry_headers, settings, take};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

struct Desk {
    clock: Clock,
    store: Store,
    webhooks: Webhooks,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new(rules: Vec<Rule>) -> Self {
        let (folder, clock) = (tempfile::tempdir().expect("a folder"), Clock::manual(1_800_000_000_000));
        let store = open_at(folder.path(), clock.clone());
        let webhooks = service(&store, &clock, rules);
        let tasks = Tasks::default();
        tasks.run(&webhooks);
        Self { clock, store, webhooks, tasks, _folder: folder }
    }

    async fn tell(&self, issue: u64, event: &str) -> String {
        let body = alert(issue, event).to_string();
        take(&self.webhooks, "errors", sentry_headers("event_alert", &body), &body).await.id
    }

    /// What came, when each of them is decided or waits.
    async fn settled(&self) -> Vec<Webhook> {
        let begun = std::time::Instant::now();
        loop {
            let found = all(&self.store).await;
            let now = self.clock.now_ms();
            let is_open = |row: &&Webhook| {
                let waits = row.waits_until.is_some_and(|until| (now + 1..=now + 2 * DAY).contains(&until));
                row.state == WebhookState::Received && !waits
            };
            let open = found.iter().filter(is_open).count();
            if open == 0 {
                return found;
            }
            assert!(begun.elapsed() < super::PATIENCE, "{open} are open: {found:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// One that came is decided, whatever of others.
    async fn settled_of(&self, id: &str) {
        let begun = std::time::Instant::now();
        loop {
            let found = all(&self.store).await;
            if found.iter().any(|row| row.id == id && row.state != WebhookState::Received) {
                return;
            }
            assert!(begun.elapsed() < super::PATIENCE, "{id} is open: {found:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn runs(&self) -> Vec<String> {
        let found = self.store.read(|db| runs::newest(db, 1_000)).await.expect("runs");
        found.into_iter().map(|run| run.key).collect()
    }

    async fn end(self) {
        assert!(self.tasks.stop(super::PATIENCE).await);
    }
}

fn service(store: &Store, clock: &Clock, rules: Vec<Rule>) -> Webhooks {
    Webhooks::new(deps(store, clock.clone(), no_trackers(), Settings { rules, ..settings() }))
}

fn limited(limit: u32) -> Rule {
    Rule { limit, ..rule("errors") }
}

fn waiting(rows: &[Webhook]) -> Vec<&Webhook> {
    let mut found: Vec<&Webhook> = rows.iter().filter(|row| row.waits_until.is_some()).collect();
    found.sort_by_key(|row| (row.received_at, row.id.clone()));
    found
}

#[tokio::test]
async fn what_is_over_the_limit_waits_and_says_until_when() {
    let desk = Desk::new(vec![limited(2)]);
    let begun = desk.clock.now_ms();
    for issue in 0..5 {
        desk.tell(issue, "e1").await;
        desk.settled().await;
        desk.clock.advance_ms(1_000);
    }
    let rows = desk.settled().await;
    let waits = waiting(&rows);
    assert_eq!((desk.runs().await.len(), waits.len()), (2, 3), "{rows:?}");
    let until: Vec<u64> =
        waits.iter().filter_map(|row| row.waits_until).map(|at| (at - begun) / 1_000).collect();
    assert_eq!(until, [3_600, 3_601, 7_200], "each behind those before it");
    let why = waits[0].reason.as_deref().unwrap_or_default();
    assert!(why.contains("2 runs within the last hour") && why.contains("its turn comes at"), "{why}");
    assert_eq!((waits[0].state, waits[0].matter.as_deref()), (WebhookState::Received, Some("sentry:acme/2")));

    // The same again: they wait together, and one run will see to both. It takes nobody's place.
    desk.tell(4, "e2").await;
    desk.settled().await;
    desk.clock.advance_ms(1_000);
    desk.tell(5, "e1").await;
    let rows = desk.settled().await;
    let like = waiting(&rows)[3];
    assert_eq!((like.matter.as_deref(), like.waits_until), (Some("sentry:acme/4"), waits[2].waits_until));
    assert!(like.reason.as_deref().is_some_and(|why| why.contains(&waits[2].id)), "{like:?}");
    assert_eq!(waiting(&rows)[4].waits_until, Some(begun + 7_201_000), "one after the run about the fourth");

    desk.clock.advance_ms(61 * MINUTE);
    // Something else rings the bell; time alone is looked at every half minute.
    desk.tell(0, "e2").await;
    assert_eq!(waiting(&desk.settled().await).len(), 3, "two of an hour");
    desk.clock.advance_ms(61 * MINUTE);
    desk.tell(0, "e3").await;
    let rows = desk.settled().await;
    assert!(waiting(&rows).is_empty(), "{rows:?}");
    let mut keys = desk.runs().await;
    keys.sort_unstable();
    let all: Vec<String> = (0..6).map(|issue| format!("sentry:acme/{issue}")).collect();
    assert_eq!(keys, all, "each has its run, and one");
    desk.end().await;
}

#[tokio::test]
async fn whose_turn_is_taken_late_stays_before_those_that_came_later() {
    let desk = Desk::new(vec![limited(1)]);
    let begun = desk.clock.now_ms();
    for issue in 0..4 {
        desk.tell(issue, "e1").await;
        desk.settled().await;
        desk.clock.advance_ms(1_000);
    }
    // Something else rings the bell; time alone is looked at every half minute.
    let look_at = async |seconds: u64, event: &'static str| {
        desk.clock.advance_ms(begun + seconds * 1_000 - desk.clock.now_ms());
        desk.tell(0, event).await;
        desk.settled().await;
        let mut keys = desk.runs().await;
        keys.reverse();
        keys
    };
    let of = |issues: &[u64]| issues.iter().map(|issue| format!("sentry:acme/{issue}")).collect::<Vec<_>>();
    assert_eq!(look_at(3_620, "e2").await, of(&[0, 1]));
    // Its hour is not over: it waits for the seconds that are missing, and stays before the third.
    assert_eq!(look_at(7_205, "e3").await, of(&[0, 1]));
    let rows = desk.settled().await;
    let until: Vec<u64> =
        waiting(&rows).iter().filter_map(|row| row.waits_until).map(|at| (at - begun) / 1_000).collect();
    assert_eq!(until, [7_220, 10_800]);
    assert_eq!(look_at(7_230, "e4").await, of(&[0, 1, 2]));
    assert_eq!(look_at(10_831, "e5").await, of(&[0, 1, 2, 3]));
    desk.end().await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nobody_waiting_for_weeks() {
    let desk = Desk::new(vec![limited(2)]);
    let begun = desk.clock.now_ms();
    // The machine starts a month ahead: as many runs begin as may, and one message waits.
    desk.clock.advance_ms(30 * DAY);
    for issue in 0..3 {
        desk.tell(issue, "e1").await;
        desk.settled().await;
    }
    assert_eq!((desk.runs().await.len(), waiting(&desk.settled().await).len()), (2, 1));
    desk.clock.set_ms(begun);
    desk.tell(3, "e1").await;
    let rows = desk.settled().await;
    let late: Vec<_> = rows.iter().filter(|row| row.state == WebhookState::Ignored).collect();
    let longest = waiting(&rows).iter().filter_map(|row| row.waits_until).max().unwrap_or(begun);
    assert!(late.is_empty() && longest <= begun + 61 * MINUTE, "{rows:?}");
    desk.clock.advance_ms(61 * MINUTE);
    desk.tell(0, "e2").await;
    assert!(waiting(&desk.settled().await).is_empty());
    assert_eq!(desk.runs().await.len(), 4);
    desk.end().await;
}

#[tokio::test]
async fn a_rule_that_may_begin_more_takes_up_what_waits_at_once_and_so_does_a_new_gateway() {
    let desk = Desk::new(vec![limited(1)]);
    for issue in 0..4 {
        desk.tell(issue, "e1").await;
        desk.settled().await;
    }
    assert_eq!(waiting(&desk.settled().await).len(), 3);
    desk.webhooks.configure(Settings { rules: vec![limited(2)], ..settings() });
    let begun = std::time::Instant::now();
    while desk.runs().await.len() < 2 {
        assert!(begun.elapsed() < super::PATIENCE, "{:?}", all(&desk.store).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    desk.settled().await;
    assert!(desk.tasks.stop(super::PATIENCE).await);
    let (tasks, webhooks) = (Tasks::default(), service(&desk.store, &desk.clock, vec![limited(9)]));
    tasks.run(&webhooks);
    let begun = std::time::Instant::now();
    while desk.runs().await.len() < 4 {
        assert!(begun.elapsed() < super::PATIENCE, "{:?}", all(&desk.store).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn a_rule_is_not_stopped_by_what_another_one_began() {
    let project = ProjectName::parse("shop").ok();
    let of = |on: &str, limit| Rule { on: vec![on.into()], project: project.clone(), ..limited(limit) };
    let desk = Desk::new(vec![of("event_alert.triggered", 100), of("issue.created", 1)]);
    for issue in 0..3 {
        desk.tell(issue, "e1").await;
    }
    let told = super::issue("created", 9).to_string();
    take(&desk.webhooks, "errors", sentry_headers("issue", &told), &told).await;
    let rows = desk.settled().await;
    assert!(waiting(&rows).is_empty() && desk.runs().await.len() == 4, "{rows:?}");
    desk.end().await;
}

#[tokio::test]
async fn what_waits_for_a_rule_does_not_stop_another_one_that_has_room_and_joins_what_that_begins() {
    let fatal = Rule { level: "fatal".parse().ok(), ..limited(100) };
    let desk = Desk::new(vec![fatal, limited(1)]);
    desk.tell(1, "e1").await;
    desk.settled().await;
    let waits = desk.tell(2, "e1").await;
    assert_eq!(waiting(&desk.settled().await).len(), 1);
    let mut worse = alert(2, "e2");
    worse["data"]["event"]["level"] = "fatal".into();
    let worse = worse.to_string();
    let worse = take(&desk.webhooks, "errors", sentry_headers("event_alert", &worse), &worse).await.id;
    desk.settled_of(&worse).await;
    // Something else rings the bell; time alone is looked at every half minute.
    desk.tell(1, "e2").await;
    let rows = desk.settled().await;
    let run_of = |id: &str| rows.iter().find(|row| row.id == id).and_then(|row| row.run.clone());
    assert!(run_of(&worse).is_some() && run_of(&worse) == run_of(&waits), "{rows:?}");
    assert_eq!(desk.runs().await.len(), 2, "{rows:?}");
    desk.end().await;
}

#[tokio::test]
async fn what_waits_together_is_each_decided_for_itself() {
    let desk = Desk::new(vec![limited(1)]);
    desk.tell(1, "e1").await;
    desk.settled().await;
    // The first of two is of staging; then somebody wants production alone.
    let mut staged = alert(2, "e1");
    staged["data"]["event"]["environment"] = "staging".into();
    let staged = staged.to_string();
    let staged = take(&desk.webhooks, "errors", sentry_headers("event_alert", &staged), &staged).await.id;
    desk.settled().await;
    desk.clock.advance_ms(1_000);
    let second = desk.tell(2, "e2").await;
    assert_eq!(waiting(&desk.settled().await).len(), 2);
    let production = Rule { environment: vec!["production".into()], ..limited(2) };
    desk.webhooks.configure(Settings { rules: vec![production], ..settings() });
    desk.settled_of(&staged).await;
    desk.settled_of(&second).await;
    let rows = desk.settled().await;
    let of = |id: &str| rows.iter().find(|row| row.id == id).map(|row| (row.state, row.run.is_some()));
    let found = (of(&staged), of(&second));
    assert_eq!(
        found,
        (Some((WebhookState::Ignored, false)), Some((WebhookState::Decided, true))),
        "{rows:?}"
    );
    desk.end().await;
}

#[tokio::test]
async fn what_is_decided_again_counts_as_before() {
    let desk = Desk::new(vec![limited(1)]);
    let first = desk.tell(1, "e1").await;
    let rows = desk.settled().await;
    assert_eq!(rows[0].state, WebhookState::Decided);
    desk.webhooks.replay(&Principal::service("tests"), &first).await.expect("decided again");
    desk.tell(2, "e1").await;
    let rows = desk.settled().await;
    assert_eq!((waiting(&rows).len(), desk.runs().await.len()), (1, 1), "{rows:?}");
    desk.end().await;
}

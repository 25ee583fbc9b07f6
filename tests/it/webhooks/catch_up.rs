//! What a tracker is asked: for what it could not tell us, and to resolve.

use std::sync::Arc;

use mimir::clock::Clock;
use mimir::config::Live;
use mimir::config::schema::{Git, GitCredential, TokenSource};
use mimir::forge::{Apps, Forges};
use mimir::git::Credentials;
use mimir::model::git::{ForgeHost, Repository};
use mimir::model::ids::RunId;
use mimir::model::run::{Report, RunProgress, RunState};
use mimir::model::secret::Secret;
use mimir::model::webhook::WebhookState;
use mimir::outbound::HttpClients;
use mimir::sentry::{ResolveIn, Sentries, Sentry, SentryError};
use mimir::store::runs::RunChange;
use mimir::store::{Store, meta, runs, webhooks as rows};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;
use mimir::webhooks::{Headers, Rule, Settings, Untold, Webhooks, WebhooksDeps};
use serde_json::json;

use super::tracker::{TOKEN, Tracker};
use super::{
    alert, all, all_decided, deps, open, open_at, rule, sentry_headers, sentry_headers_of_any, service,
    settings, take,
};
use crate::api::world::World;
use crate::forge::{Forge, Trip};

const MINUTE: u64 = 60_000;

async fn tracker(tasks: &Tasks, token: &str) -> (Tracker, Sentries) {
    let tracker = Tracker::default();
    let address = tracker.listen(tasks).await;
    let sentries =
        Sentries::new(HttpClients::default(), Clock::system(), vec![Tracker::source(address, token)]);
    (tracker, sentries)
}

async fn client(tasks: &Tasks, token: &str) -> (Tracker, Sentry) {
    let (tracker, sentries) = tracker(tasks, token).await;
    (tracker, sentries.of("acme").expect("it is configured"))
}

#[tokio::test]
async fn an_issue_is_read_with_its_event_page_by_page() {
    let tasks = Tasks::default();
    let (tracker, sentry) = client(&tasks, TOKEN).await;
    for n in 1..=5 {
        tracker.add(n, 1_000, n * MINUTE, "ongoing");
    }
    let (found, are_all) = sentry.unresolved_since(MINUTE).await.expect("a list");
    assert!(are_all);
    let ids: Vec<&str> = found.iter().map(|issue| issue.id.as_str()).collect();
    assert_eq!(ids, ["5", "4", "3", "2"], "newest first, over both pages");
    assert_eq!(tracker.asked().len(), 2);
    let issue = sentry.issue("3").await.expect("an issue");
    assert_eq!((issue.short_id.as_deref(), issue.last_seen), (Some("SHOP-3"), Some(3 * MINUTE)));
    let event = sentry.latest_event("3").await.expect("an event");
    assert_eq!((event.issue.as_deref(), event.environment.as_deref()), (Some("3"), Some("production")));
    assert!(event.trace.is_some_and(|trace| trace.contains("shop/cart.py:17 in total")));
    assert_eq!(sentry.issue("99").await, Err(SentryError::NotFound("issues 99".into())));
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn an_issue_is_resolved_once_with_its_commit_or_in_the_next_release() {
    let tasks = Tasks::default();
    let (tracker, sentry) = client(&tasks, TOKEN).await;
    tracker.add(1, 1_000, 2_000, "ongoing");
    tracker.add(2, 1_000, 2_000, "ongoing");
    let sha = "0123456789abcdef0123456789abcdef01234567".to_owned();
    let commit = |name: &str| ResolveIn::Commit {
        repository: Repository::new("github.com", name).expect("a repository"),
        sha: sha.clone(),
    };
    let unknown = sentry.resolve("1", &commit("acme/other")).await.expect_err("refused");
    assert!(matches!(&unknown, SentryError::Refused(why) if why.contains("repository")), "{unknown:?}");
    let resolved = sentry.resolve("1", &commit("acme/shop")).await.expect("resolved");
    assert!(resolved.is_resolved());
    assert_eq!(
        tracker.issue(1)["statusDetails"]["inCommit"],
        json!({"repository": "acme/shop", "commit": sha})
    );
    tracker.asked();
    sentry.resolve("1", &commit("acme/shop")).await.expect("it is");
    assert_eq!(tracker.asked(), ["GET /api/0/organizations/acme/issues/1/"], "asked first, and nothing more");
    sentry.resolve("2", &ResolveIn::NextRelease).await.expect("resolved");
    assert_eq!(tracker.issue(2)["statusDetails"], json!({"inNextRelease": true}));
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn what_goes_wrong_is_sorted_by_what_to_do_and_never_names_the_token() {
    let tasks = Tasks::default();
    let wrong = "sntrys_another_secret_token";
    let (_, refused) = client(&tasks, wrong).await;
    let error = refused.issue("1").await.expect_err("refused");
    assert!(
        matches!(&error, SentryError::Auth(why) if why.contains("webhooks.sources.errors.token")),
        "{error:?}"
    );
    assert!(!format!("{error:?} {error}").contains(wrong));
    let (tracker, sentry) = client(&tasks, TOKEN).await;
    tracker.add(1, 1_000, 2_000, "ongoing");
    tracker.fail(429, Some(30));
    let now = Clock::system().now_ms();
    match sentry.issue("1").await {
        Err(SentryError::RateLimited { until_ms }) => {
            assert!((now + 29_000..now + 60_000).contains(&until_ms))
        }
        other => panic!("{other:?}"),
    }
    tracker.fail(503, None);
    assert!(matches!(sentry.issue("1").await, Err(SentryError::Transient(_))));
    tracker.fail(403, None);
    assert!(matches!(sentry.issue("1").await, Err(SentryError::Auth(why)) if why.contains("event:write")));
    tracker.fail(302, None);
    assert!(matches!(sentry.issue("1").await, Err(SentryError::Refused(_))), "redirects are not followed");
    assert!(sentry.issue("1").await.is_ok());
    assert!(tasks.stop(super::PATIENCE).await);
    assert!(matches!(sentry.issue("1").await, Err(SentryError::Transient(_))), "nobody listens any more");
}

#[tokio::test]
async fn what_was_missed_is_taken_up_once_and_old_matters_are_no_news() {
    let tasks = Tasks::default();
    let (tracker, sentries) = tracker(&tasks, TOKEN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let alerts = Rule {
        on: vec!["event_alert.triggered".into()],
        environment: vec!["production".into()],
        catch_up: Untold::All,
        ..rule("errors")
    };
    let settings = Settings { rules: vec![alerts], ..settings() };
    let webhooks = service(&store, &Failpoints::default(), sentries, settings);
    tasks.run(&webhooks);
    let now = Clock::system().now_ms();
    tracker.add(1, now - 90 * MINUTE, now - 80 * MINUTE, "new");
    webhooks.catch_up().await.expect("asked");
    assert!(tracker.asked().is_empty(), "who begins today is not told of all that was ever open");

    // Told in time; missed and new; missed and back again; as before.
    let told = alert(2, "e2").to_string();
    take(&webhooks, "errors", sentry_headers("event_alert", &told), &told).await;
    all_decided(&store).await;
    // What is younger than two minutes may be told yet.
    let rested = now - 3 * MINUTE;
    for (id, first, substatus) in [
        (2, rested, "new"),
        (3, rested, "new"),
        (4, 1_000, "regressed"),
        (5, 1_000, "ongoing"),
        (6, now, "new"),
    ] {
        tracker.add(id, first, now + 1_000, substatus);
    }
    tracker.regressed(4, rested);
    webhooks.catch_up().await.expect("asked");
    let rows = all_decided(&store).await;
    let mut found: Vec<(&str, WebhookState)> =
        rows.iter().map(|row| (row.matter.as_deref().unwrap_or_default(), row.state)).collect();
    found.sort_by_key(|(matter, _)| *matter);
    let decided = WebhookState::Decided;
    assert_eq!(
        found,
        [("sentry:acme/2", decided), ("sentry:acme/3", decided), ("sentry:acme/4", decided)],
        "{rows:?}"
    );
    let keys = store.read(|db| runs::newest(db, 10)).await.expect("runs");
    let run = keys.iter().find(|run| run.key == "sentry:acme/3").expect("a run");
    assert!(run.input.evidence.iter().any(|evidence| evidence.text.contains("shop/cart.py:17")), "{run:?}");

    webhooks.catch_up().await.expect("asked");
    webhooks.catch_up().await.expect("asked");
    assert_eq!(all(&store).await.len(), 3, "each of them once");
    // The alert itself, late.
    let late = alert(3, "e3").to_string();
    let received = take(&webhooks, "errors", sentry_headers("event_alert", &late), &late).await;
    assert!(received.is_duplicate, "it is about the event that is known");

    tracker.fail(500, None);
    webhooks.catch_up().await.expect("the database is well");
    let senders = webhooks.senders().await.expect("senders");
    let errors = senders.iter().find(|sender| sender.name == "errors").expect("it is there");
    assert!(errors.troubles.iter().any(|trouble| trouble.contains("could not be asked")), "{errors:?}");
    webhooks.catch_up().await.expect("asked");
    let senders = webhooks.senders().await.expect("senders");
    assert!(!format!("{senders:?}").contains("could not be asked"), "{senders:?}");
    tracker.asked();
    assert!(tasks.stop(super::PATIENCE).await);
}

/// Gateways one after the other on one database, and a clock that goes as the test says.
struct Times {
    clock: Clock,
    store: Store,
    tracker: Tracker,
    sentries: Sentries,
    settings: Settings,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Times {
    async fn new() -> Self {
        let (tasks, folder) = (Tasks::default(), tempfile::tempdir().expect("a folder"));
        let (tracker, sentries) = tracker(&tasks, TOKEN).await;
        let clock = Clock::manual(1_800_000_000_000);
        let alerts = Rule { on: vec!["event_alert.triggered".into()], ..rule("errors") };
        let settings = Settings { rules: vec![alerts], ..settings() };
        let store = open_at(folder.path(), clock.clone());
        Self { clock, store, tracker, sentries, settings, tasks, _folder: folder }
    }

    fn gateway(&self) -> Webhooks {
        let (clock, settings) = (self.clock.clone(), self.settings.clone());
        let webhooks = Webhooks::new(deps(&self.store, clock, self.sentries.clone(), settings));
        self.tasks.run(&webhooks);
        webhooks
    }

    fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The time goes on, and the gateway with it.
    async fn pass(&self, webhooks: &Webhooks, minutes: u64) {
        for _ in 0..minutes {
            self.clock.advance_ms(MINUTE);
            webhooks.catch_up().await.expect("asked");
        }
    }

    async fn matters(&self) -> Vec<String> {
        let mut found: Vec<String> = all_decided(&self.store)
            .await
            .into_iter()
            .map(|row| format!("{} {}", row.matter.unwrap_or_default(), row.event))
            .collect();
        found.sort();
        found
    }

    async fn end(self) {
        self.tracker.asked();
        assert!(self.tasks.stop(super::PATIENCE).await);
    }
}

#[tokio::test]
async fn who_could_be_reached_all_the_time_missed_nothing_and_who_was_away_missed_what_began_then() {
    let times = Times::new().await;
    let webhooks = times.gateway();
    times.pass(&webhooks, 5).await;
    // Sentry was not to tell of these.
    times.tracker.add(1, times.now(), times.now() + MINUTE, "new");
    times.tracker.add(2, times.now(), times.now() + 200 * MINUTE, "new");
    times.tracker.add(3, 1_000, times.now() + MINUTE, "regressed");
    times.tracker.regressed(3, times.now());
    times.pass(&webhooks, 90).await;
    assert!(times.matters().await.is_empty(), "it was there, and nothing came");

    let went = times.now();
    drop(webhooks);
    // What began less than an hour before may have been told late, when it went on; what was quiet since was not.
    times.tracker.add(4, went - 30 * MINUTE, went + 5 * MINUTE, "new");
    times.tracker.add(5, went - 30 * MINUTE, went - 10 * MINUTE, "new");
    times.tracker.add(6, went + 10 * MINUTE, went + 11 * MINUTE, "new");
    times.tracker.add(7, 1_000, went + 50 * MINUTE, "regressed");
    times.tracker.regressed(7, went + 12 * MINUTE);
    times.tracker.add(8, 1_000, went + 50 * MINUTE, "regressed");
    times.tracker.regressed(8, went - 90 * MINUTE);
    times.clock.advance_ms(20 * MINUTE);
    let webhooks = times.gateway();
    // The tracker is away as well, at first.
    times.tracker.fail(500, None);
    times.pass(&webhooks, 1).await;
    assert!(times.matters().await.is_empty());
    times.tracker.add(9, times.now() + 30 * MINUTE, times.now() + 40 * MINUTE, "new");
    times.pass(&webhooks, 60).await;
    let missed = ["4", "6", "7"].map(|id| {
        let action = if id == "7" { "unresolved" } else { "created" };
        format!("sentry:acme/{id} catch_up.{action}")
    });
    assert_eq!(times.matters().await, missed, "those of when nobody was there, each once");
    times.end().await;
}

#[tokio::test]
async fn what_no_rule_is_about_hides_no_alert_that_was_missed() {
    let times = Times::new().await;
    let webhooks = times.gateway();
    times.pass(&webhooks, 90).await;
    // The tracker tells of each new issue besides; the rule waits for an alert.
    let told = super::issue("created", 3).to_string();
    take(&webhooks, "errors", sentry_headers("issue", &told), &told).await;
    assert_eq!(times.matters().await, ["sentry:acme/3 issue.created"]);
    let went = times.now();
    drop(webhooks);
    times.tracker.add(3, went - 10 * MINUTE, went + 20 * MINUTE, "new");
    times.clock.advance_ms(30 * MINUTE);
    let webhooks = times.gateway();
    times.pass(&webhooks, 10).await;
    let found = times.matters().await;
    assert_eq!(found, ["sentry:acme/3 catch_up.created", "sentry:acme/3 issue.created"], "and that once");
    times.end().await;
}

#[tokio::test]
async fn a_tracker_that_answers_few_questions_at_a_time_is_asked_to_the_end() {
    // It asks for a second, or for more patience than a pass has.
    for (patience, passes) in [(1, 3), (60, 6)] {
        let times = Times::new().await;
        let webhooks = times.gateway();
        times.pass(&webhooks, 90).await;
        drop(webhooks);
        let went = times.now();
        times.tracker.has_pages_of(100);
        times.tracker.answers_at_once(5, patience);
        for id in 1..=10 {
            // They came back long ago and go on.
            times.tracker.add(id, 1_000, went + 200 * MINUTE + id, "regressed");
            times.tracker.regressed(id, went - 600 * MINUTE);
        }
        times.tracker.add(11, went + 5 * MINUTE, went + 6 * MINUTE, "new");
        times.clock.advance_ms(30 * MINUTE);
        let webhooks = times.gateway();
        times.pass(&webhooks, 1).await;
        assert_eq!(times.matters().await, ["sentry:acme/11 catch_up.created"], "{patience}");
        times.pass(&webhooks, passes).await;
        let gaps = times.store.read(|db| meta::find(db, "webhooks.gaps.errors")).await.expect("read");
        assert_eq!(gaps.as_deref(), Some("[]"), "{patience}: everything was looked at");
        let senders = webhooks.senders().await.expect("senders");
        assert!(!format!("{senders:?}").contains("could not be asked"), "{senders:?}");
        times.end().await;
    }
}

#[tokio::test]
async fn a_clock_that_began_in_another_year_makes_nothing_missed_that_is_long_ago() {
    let times = Times::new().await;
    let now = times.now();
    // No battery: it begins in 1970, is here for a while, and hears the time.
    times.clock.set_ms(1_000);
    let webhooks = times.gateway();
    times.pass(&webhooks, 3).await;
    times.clock.set_ms(now);
    let day = 24 * 60 * MINUTE;
    times.tracker.add(1, now - 30 * day, now + 60 * MINUTE, "new");
    times.tracker.add(2, now - day, now - day + MINUTE, "new");
    times.pass(&webhooks, 5).await;
    assert_eq!(times.matters().await, ["sentry:acme/2 catch_up.created"]);
    // A month ahead for an hour: what begins after that was not missed for a month.
    times.clock.advance_ms(30 * day);
    times.pass(&webhooks, 5).await;
    times.clock.set_ms(now + 60 * MINUTE);
    times.pass(&webhooks, 5).await;
    times.tracker.add(3, times.now() + 10 * MINUTE, times.now() + 20 * MINUTE, "new");
    times.pass(&webhooks, 30).await;
    assert_eq!(times.matters().await, ["sentry:acme/2 catch_up.created"]);
    times.end().await;
}

#[tokio::test]
async fn an_alert_of_another_environment_hides_none_that_was_missed() {
    let mut times = Times::new().await;
    times.settings.rules[0].environment = vec!["production".into()];
    let webhooks = times.gateway();
    times.pass(&webhooks, 90).await;
    let mut staged = alert(3, "staged");
    staged["data"]["event"]["environment"] = "staging".into();
    staged["data"]["event"]["tags"] = json!([["environment", "staging"]]);
    let staged = staged.to_string();
    take(&webhooks, "errors", sentry_headers("event_alert", &staged), &staged).await;
    assert_eq!(times.matters().await, ["sentry:acme/3 event_alert.triggered"]);
    let went = times.now();
    drop(webhooks);
    times.tracker.add(3, went - 10 * MINUTE, went + 20 * MINUTE, "new");
    times.clock.advance_ms(30 * MINUTE);
    let webhooks = times.gateway();
    times.pass(&webhooks, 10).await;
    let found = times.matters().await;
    assert_eq!(found, ["sentry:acme/3 catch_up.created", "sentry:acme/3 event_alert.triggered"], "that once");
    times.end().await;
}

#[tokio::test]
async fn what_one_rule_wants_untold_is_no_repeat_for_another_that_hears_the_alert() {
    let mut times = Times::new().await;
    // All of one project, and of another what was missed; of a third only what is fatal.
    let all = |from: &str| Rule { from: Some(from.into()), catch_up: Untold::All, ..rule("errors") };
    let fatal = Rule { level: "fatal".parse().ok(), ..all("shop") };
    times.settings.rules.insert(0, all("tools"));
    let webhooks = times.gateway();
    times.pass(&webhooks, 90).await;
    times.tracker.add(3, times.now(), times.now() + 10 * MINUTE, "new");
    times.pass(&webhooks, 10).await;
    assert!(times.matters().await.is_empty(), "it is of the shop, and no rule wants it untold");
    times.settings.rules.insert(0, fatal);
    webhooks.configure(times.settings.clone());
    times.tracker.add(4, times.now(), times.now() + 10 * MINUTE, "new");
    times.pass(&webhooks, 10).await;
    assert_eq!(times.matters().await, ["sentry:acme/4 untold.created"], "once, and it is not fatal");
    // The alert about that very event comes after all.
    let late = alert(4, "e4").to_string();
    let received = take(&webhooks, "errors", sentry_headers("event_alert", &late), &late).await;
    assert!(!received.is_duplicate);
    let rows = all_decided(&times.store).await;
    assert!(rows.iter().any(|row| row.id == received.id && row.state == WebhookState::Decided), "{rows:?}");
    times.end().await;
}

#[tokio::test]
async fn what_was_refused_is_asked_for_and_a_machine_that_slept_was_away() {
    let times = Times::new().await;
    let webhooks = times.gateway();
    times.pass(&webhooks, 90).await;
    let told = alert(1, "e1").to_string();
    let admission = webhooks.admit("errors").expect("it is known");
    let unsigned = Headers::new(sentry_headers_of_any("event_alert", "something else"));
    webhooks.receive(&admission, &unsigned, told.as_bytes()).await.expect_err("not signed so");
    drop(admission);
    times.tracker.add(1, times.now() - 1_000, times.now() + MINUTE, "new");
    times.pass(&webhooks, 5).await;
    assert_eq!(times.matters().await, ["sentry:acme/1 catch_up.created"]);

    times.pass(&webhooks, 90).await;
    times.tracker.add(2, times.now() + 10 * MINUTE, times.now() + 11 * MINUTE, "new");
    times.clock.advance_ms(30 * MINUTE);
    times.pass(&webhooks, 5).await;
    assert_eq!(times.matters().await, ["sentry:acme/1 catch_up.created", "sentry:acme/2 catch_up.created"]);
    times.end().await;
}

#[tokio::test]
async fn a_way_that_does_not_lead_here_is_said_and_what_was_sent_meanwhile_is_asked_for() {
    let tasks = Tasks::default();
    let (tracker, sentries) = tracker(&tasks, TOKEN).await;
    let clock = Clock::manual(1_800_000_000_000);
    let moment = clock.clone();
    let world = World::changed(move |services| {
        let deps = deps(&services.store, moment, sentries, settings());
        services.webhooks = Webhooks::new(deps);
        services.tasks.run(&services.webhooks);
    })
    .await;
    let webhooks = &world.services.webhooks;
    let at = |address: String| {
        let address = Some(address.parse().expect("an address"));
        webhooks.configure(Settings { address, ..settings() });
    };
    let troubles = async || {
        let senders = webhooks.senders().await.expect("senders");
        let way = |sender: &mimir::webhooks::Sender| {
            format!("{:?}", sender.troubles).contains("does not lead here")
        };
        senders.iter().map(way).collect::<Vec<_>>()
    };
    at(format!("http://{}/", world.tcp));
    webhooks.check_the_way().await;
    assert!(troubles().await.iter().all(|is_bad| !is_bad), "{:?}", webhooks.senders().await);
    // A question that comes too late, or is of another gateway behind the same address: no message, and no refusal.
    let url = format!("http://{}/webhooks/errors", world.tcp).parse().expect("an address");
    let client = HttpClients::default().to(&url).expect("a client");
    let asked = client.post(url).header(mimir::webhooks::ASKS_ITSELF, "of another").send().await;
    assert_eq!(asked.expect("an answer").status().as_u16(), 404);
    assert!(
        !format!("{:?}", webhooks.senders().await).contains("refused once"),
        "{:?}",
        webhooks.senders().await
    );
    let pass = async |minutes: u64| {
        for _ in 0..minutes {
            clock.advance_ms(MINUTE);
            webhooks.check_the_way().await;
            webhooks.catch_up().await.expect("asked");
        }
    };
    pass(90).await;
    // Something else answers, and then nobody.
    let elsewhere = tracker.listen(&tasks).await;
    at(format!("http://{elsewhere}"));
    pass(1).await;
    assert!(troubles().await.iter().all(|is_bad| *is_bad), "{:?}", webhooks.senders().await);
    at("http://127.0.0.1:1".to_owned());
    pass(5).await;
    tracker.add(1, clock.now_ms() - MINUTE, clock.now_ms(), "new");
    at(format!("http://{}", world.tcp));
    pass(5).await;
    assert!(troubles().await.iter().all(|is_bad| !is_bad), "{:?}", webhooks.senders().await);
    tracker.add(2, clock.now_ms(), clock.now_ms() + MINUTE, "new");
    pass(10).await;
    let rows = all_decided(&world.services.store).await;
    let matters: Vec<Option<&str>> = rows.iter().map(|row| row.matter.as_deref()).collect();
    assert_eq!(matters, [Some("sentry:acme/1")], "our own question is no message: {rows:?}");
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn however_much_was_missed_each_is_taken_up_and_none_stands_in_the_way() {
    let tasks = Tasks::default();
    let (tracker, sentries) = tracker(&tasks, TOKEN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let settings = Settings { rules: vec![Rule { catch_up: Untold::All, ..rule("errors") }], ..settings() };
    let webhooks = service(&store, &Failpoints::default(), sentries, settings);
    tasks.run(&webhooks);
    webhooks.catch_up().await.expect("asked");
    let rested = Clock::system().now_ms() - 3 * MINUTE;
    tracker.has_pages_of(4);
    for id in 1..=60 {
        tracker.add(id, rested, rested + id, "new");
    }
    // The one that is looked at first.
    tracker.forgets_events_of(60);
    webhooks.catch_up().await.expect("asked");
    assert_eq!(all_decided(&store).await.len(), 50, "what is done in one pass");
    webhooks.catch_up().await.expect("asked");
    let matters: std::collections::BTreeSet<Option<String>> =
        all_decided(&store).await.into_iter().map(|row| row.matter).collect();
    assert_eq!((all(&store).await.len(), matters.len()), (60, 60), "{matters:?}");
    webhooks.catch_up().await.expect("asked");
    assert_eq!(all(&store).await.len(), 60, "each of them once");
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn a_rule_that_wants_nothing_later_is_told_nothing_and_hears_the_alert_itself() {
    let tasks = Tasks::default();
    let (tracker, sentries) = tracker(&tasks, TOKEN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let settings = Settings { rules: vec![Rule { catch_up: Untold::Off, ..rule("errors") }], ..settings() };
    let webhooks = service(&store, &Failpoints::default(), sentries, settings);
    tasks.run(&webhooks);
    webhooks.catch_up().await.expect("asked");
    let rested = Clock::system().now_ms() - 3 * MINUTE;
    tracker.add(3, rested, rested + 1, "new");
    webhooks.catch_up().await.expect("asked");
    assert!(all(&store).await.is_empty());
    let told = alert(3, "e3").to_string();
    assert!(!take(&webhooks, "errors", sentry_headers("event_alert", &told), &told).await.is_duplicate);
    assert_eq!(all_decided(&store).await[0].state, WebhookState::Decided);
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn what_stopped_at_its_report_is_not_paid_for_again_at_the_next_alert() {
    let tasks = Tasks::default();
    let (_, sentries) = tracker(&tasks, TOKEN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let settings = Settings { rules: vec![rule("errors")], ..settings() };
    let webhooks = service(&store, &Failpoints::default(), sentries, settings);
    tasks.run(&webhooks);
    let tell = async |event: &'static str| {
        let told = alert(7, event).to_string();
        take(&webhooks, "errors", sentry_headers("event_alert", &told), &told).await;
        all_decided(&store).await
    };
    let first = tell("e1").await;
    let id: RunId = first[0].run.as_deref().expect("a run").parse().expect("an id");
    let ended = store.write(move |tx| {
        let run = runs::get(tx, &id)?;
        let report = Report {
            cause: "nobody knows".into(),
            evidence: Vec::new(),
            confidence: 0.3,
            plan: Vec::new(),
            risk: None,
            summary: None,
        };
        let change = RunChange {
            state: RunState::Succeeded,
            stage: run.stage.clone(),
            attempt: 0,
            reason: Some("stopped at the report".into()),
            progress: RunProgress { report: Some(report), ..run.progress.clone() },
            wake_at: None,
            keeps_place: false,
        };
        runs::change(tx, &run, &change).map(drop)
    });
    ended.await.expect("ended");
    let rows = tell("e2").await;
    let ignored = rows.iter().find(|row| row.state == WebhookState::Ignored).expect("no second run");
    assert!(
        ignored.reason.as_deref().is_some_and(|why| why.contains("nothing is tried before")),
        "{ignored:?}"
    );
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn an_error_that_no_rule_is_about_does_not_swallow_the_alert_of_the_same_event() {
    let tasks = Tasks::default();
    let (_, sentries) = tracker(&tasks, TOKEN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let settings = Settings {
        rules: vec![Rule { on: vec!["event_alert.triggered".into()], ..rule("errors") }],
        ..settings()
    };
    let webhooks = service(&store, &Failpoints::default(), sentries, settings);
    tasks.run(&webhooks);
    let told = alert(7, "e7");
    let error = super::error(&told).to_string();
    take(&webhooks, "errors", sentry_headers("error", &error), &error).await;
    let told = told.to_string();
    let received = take(&webhooks, "errors", sentry_headers("event_alert", &told), &told).await;
    assert!(!received.is_duplicate);
    let states: Vec<WebhookState> = all_decided(&store).await.iter().map(|row| row.state).collect();
    assert!(states.contains(&WebhookState::Decided) && states.contains(&WebhookState::Ignored), "{states:?}");
    assert!(tasks.stop(super::PATIENCE).await);
}

/// Forges as a configuration with that one has them.
fn forges(forge: &Forge, clock: &Clock) -> Forges {
    let host = ForgeHost::parse(&forge.host_of_kind("github")).expect("a host");
    let source = TokenSource::Here(Some(Secret::new(crate::forge::TOKEN)));
    let credentials = vec![GitCredential { host: host.clone(), user: None, source }];
    let git = Live::new(Git { hosts: vec![host], credentials, ..Git::default() });
    let settings =
        mimir::forge::Settings { between_changes: std::time::Duration::ZERO, ..Default::default() };
    let apps = Apps::new(HttpClients::default(), clock.clone(), settings);
    Forges::new(Arc::new(Credentials::new(git, apps)), HttpClients::default(), clock.clone(), settings)
}

#[tokio::test]
async fn what_a_forge_could_not_hand_over_is_asked_for_again_and_comes_once() {
    const SHOP: &str = "acme/shop";
    let forge = Forge::start().await;
    let shop = forge.repository(SHOP);
    // Its clock stands in that year.
    let clock = Clock::manual(1_700_000_000_000 + MINUTE);
    let (forges, moment) = (forges(&forge, &clock), clock.clone());
    let world = World::changed(move |services| {
        let deps = deps(&services.store, moment, super::no_trackers(), settings());
        services.webhooks = Webhooks::new(WebhooksDeps { forges: Some(forges), ..deps });
        services.tasks.run(&services.webhooks);
    })
    .await;
    let webhooks = &world.services.webhooks;
    let hook = forge.hook(SHOP, &format!("http://{}/webhooks/forge", world.tcp), super::SECRET);
    assert_eq!(forge.told(SHOP, hook, 1).await, [("ping".to_owned(), None, 202)]);
    all_decided(&world.services.store).await;
    let known = world.services.store.read(|db| rows::hooks_of(db, "forge")).await.expect("hooks");
    assert_eq!((known.len(), known[0].hook, known[0].repository.path()), (1, hook, SHOP));

    webhooks.configure(Settings { parallel: 0, ..settings() });
    shop.add("mimir/run_1", "fix.txt", "what it mends");
    forge.pushed();
    assert_eq!(forge.told(SHOP, hook, 2).await[1], ("push".to_owned(), None, 503));
    webhooks.configure(settings());
    webhooks.catch_up().await.expect("asked");
    assert_eq!(forge.told(SHOP, hook, 2).await.len(), 2, "it may still be on its way");
    clock.advance_ms(10 * MINUTE);
    webhooks.catch_up().await.expect("asked");
    assert_eq!(forge.told(SHOP, hook, 3).await[2], ("push".to_owned(), None, 202));
    clock.advance_ms(10 * MINUTE);
    webhooks.catch_up().await.expect("asked");
    assert_eq!(forge.told(SHOP, hook, 3).await.len(), 3, "it was taken");
    let rows = all_decided(&world.services.store).await;
    let events: Vec<&str> = rows.iter().map(|row| row.event.as_str()).collect();
    assert_eq!(events, ["push", "ping"], "newest first");
    let troubles = async || {
        let senders = webhooks.senders().await.expect("senders");
        let sender = senders.into_iter().find(|sender| sender.name == "forge").expect("it is there");
        sender.troubles.join("\n")
    };
    assert_eq!(troubles().await, "");

    // GitHub says so where the token may not administer hooks.
    forge.plan("GET", "/deliveries", Trip::Status(404));
    webhooks.catch_up().await.expect("asked");
    let said = troubles().await;
    assert!(said.contains("acme/shop says nothing of hook") && said.contains("may not administer"), "{said}");
    webhooks.catch_up().await.expect("asked");
    assert_eq!(troubles().await, "");

    // Hooks of others than a repository, and forges without such a list.
    for (target, gitea) in [("organization", None), ("integration", None), ("repository", Some("issues"))] {
        let said = json!({"action": "opened", "repository": {"full_name": "acme/shop"}, "why": target, "issue": {"number": 1}});
        let body = said.to_string();
        let mut headers = super::forge_headers("issues", &body);
        headers.push(("x-github-hook-id".to_owned(), "99".to_owned()));
        headers.push(("x-github-hook-installation-target-type".to_owned(), target.to_owned()));
        headers.extend(gitea.map(|event: &str| ("x-gitea-event".to_owned(), event.to_owned())));
        take(webhooks, "forge", headers, &body).await;
    }
    all_decided(&world.services.store).await;
    webhooks.catch_up().await.expect("asked");
    let said = troubles().await;
    for what in [
        "hook 99 belongs to an organization",
        "hook 99 belongs to a GitHub App",
        "keeps no list of what it sent",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
}

#[tokio::test]
async fn what_is_asked_for_again_comes_once_wherever_the_gateway_dies() {
    for before in 0..3 {
        comes_once("webhooks.redeliver.before", before, before).await;
        comes_once("webhooks.redeliver.after", before, before + 1).await;
    }
}

/// Three messages are missed. The gateway dies there when it came past so many times; so many were asked for again by then.
async fn comes_once(point: &'static str, before: u32, asked: u32) {
    const SHOP: &str = "acme/shop";
    let (context, asked) = (format!("{point}, behind {before}"), usize::try_from(asked).expect("small"));
    let forge = Forge::start().await;
    let shop = forge.repository(SHOP);
    let clock = Clock::manual(1_700_000_000_000 + MINUTE);
    let forges = forges(&forge, &clock);
    let (known, moment) = (forges.clone(), clock.clone());
    let world = World::changed(move |services| {
        let deps = deps(&services.store, moment, super::no_trackers(), settings());
        services.webhooks = Webhooks::new(WebhooksDeps { forges: Some(known), ..deps });
        services.tasks.run(&services.webhooks);
    })
    .await;
    let (webhooks, store) = (&world.services.webhooks, &world.services.store);
    let hook = forge.hook(SHOP, &format!("http://{}/webhooks/forge", world.tcp), super::SECRET);
    forge.told(SHOP, hook, 1).await;
    all_decided(store).await;
    webhooks.configure(Settings { parallel: 0, ..settings() });
    for number in 1..=3 {
        shop.add(&format!("mimir/run_{number}"), "fix.txt", "what it mends");
        forge.pushed();
        assert_eq!(forge.told(SHOP, hook, 1 + number).await[number].2, 503, "{context}");
    }
    webhooks.configure(settings());
    clock.advance_ms(10 * MINUTE);

    let points = Failpoints::default();
    points.arm(point, before + 1);
    let deps = deps(store, clock.clone(), super::no_trackers(), settings());
    let doomed = Webhooks::new(WebhooksDeps { forges: Some(forges), failpoints: points.clone(), ..deps });
    tokio::select! {
        at = points.died() => assert_eq!(at, point),
        lived = doomed.catch_up() => panic!("{context}: it lives: {lived:?}"),
    }
    assert_eq!(forge.told(SHOP, hook, 4 + asked).await.len(), 4 + asked, "{context}");

    // The next one asks for the others, and for none of them again.
    for _ in 0..2 {
        clock.advance_ms(10 * MINUTE);
        webhooks.catch_up().await.expect("asked");
        assert_eq!(forge.told(SHOP, hook, 7).await.len(), 7, "{context}");
    }
    let rows = all_decided(store).await;
    let pushes = rows.iter().filter(|row| row.event == "push" && row.duplicates == 0).count();
    assert_eq!((rows.len(), pushes), (4, 3), "{context}: {rows:?}");
}

//! The same messages in many orders, some twice and some at the same time: the same runs, each message seen to by the same
//! one. What happens to a run while messages come late is in `pulls::shuffled`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use mimir::clock::Clock;
use mimir::model::ids::RunId;
use mimir::model::origin::Origin;
use mimir::model::run::{NewRun, RunInput};
use mimir::model::webhook::WebhookState;
use mimir::store::runs;
use mimir::supervisor::Tasks;
use serde_json::{Value, json};

use super::{
    Desk, alert, error, forge_headers, issue, pull, samples, sentry_headers, settings, standard_headers, take,
};

/// So many orders are tried.
const ORDERS: u64 = 24;
/// The pull request of a run that waits.
const PULL: &str = "pull:github.com/acme/shop#7";

/// Chance that is the same in each run of a test.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Less than that.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }
}

/// A message: what it is called here, its sender, its headers and its text.
type Message = (String, &'static str, Vec<(String, String)>, String);

fn messages(now: u64) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    let mut tracker = |name: &str, resource: &str, said: Value| {
        let body = said.to_string();
        all.push((name.to_owned(), "errors", sentry_headers(resource, &body), body));
    };
    for number in 1..=3 {
        for event in ["a", "b", "c"] {
            tracker(&format!("alert {number}{event}"), "event_alert", alert(number, event));
        }
    }
    tracker("error 1a", "error", error(&alert(1, "a")));
    tracker("issue 1 is new", "issue", issue("created", 1));
    tracker("issue 2 is back", "issue", issue("unresolved", 2));
    tracker("news: issue 3 is resolved", "issue", issue("resolved", 3));
    tracker("news: issue 2 has a pull request", "seer", samples::pr_created(2));
    tracker("a comment", "comment", samples::comment("created"));
    let mut forge = |name: &str, event: &str, mut said: Value| {
        said["repository"] = json!({"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"});
        let body = said.to_string();
        all.push((name.to_owned(), "forge", forge_headers(event, &body), body));
    };
    let of = |number: u64, more: Value| {
        let labels = if number == 14 { json!([]) } else { json!([{"name": "mimir"}]) };
        let mut said = json!({
            "action": "labeled", "sender": {"login": "octocat"},
            "issue": {"number": number, "title": "The total is wrong", "body": "…", "user": {"login": "ada"}, "labels": labels},
        });
        said.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        said
    };
    let says =
        |text: &str| json!({"action": "created", "comment": {"body": text, "user": {"login": "octocat"}}});
    forge("issue 13 is labeled", "issues", of(13, json!({"label": {"name": "mimir"}})));
    forge("issue 14 has another label", "issues", of(14, json!({"label": {"name": "bug"}})));
    forge("issue 15 mentions us", "issue_comment", of(15, says("@mimir please")));
    forge("issue 13 mentions us", "issue_comment", of(13, says("@mimir do it now")));
    forge("news: issue 13 has a comment", "issue_comment", of(13, says("me too")));
    for number in [7, 8] {
        forge(&format!("pull {number} is closed"), "pull_request", pull("closed", number));
        let numbered = json!({"number": number});
        let review = json!({"action": "submitted", "pull_request": numbered, "review": {"id": number}});
        forge(&format!("pull {number} is reviewed"), "pull_request_review", review);
        let suite =
            json!({"action": "completed", "check_suite": {"head_branch": "x", "pull_requests": [numbered]}});
        forge(&format!("pull {number} is checked"), "check_suite", suite);
    }
    let body = json!({"title": "the disk is full"}).to_string();
    all.push(("the disk".to_owned(), "hooks", standard_headers("msg_1", now, &body), body));
    all
}

/// What came of all of them.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// What each run is about, its workflow and its state.
    runs: BTreeSet<(String, String, String)>,
    /// How each message ended, and what the run that sees to it is about. Whether news meet a run that is there already is
    /// up to the order; they begin none.
    messages: BTreeMap<String, (WebhookState, Option<String>)>,
    /// How often the waiting run was told of something.
    told: usize,
}

/// A run that waits for what happens to its pull request.
async fn waits(desk: &Desk) -> RunId {
    let new = NewRun {
        workflow: "sentry-fix".into(),
        key: "manual:waits".into(),
        origin: Origin::Person,
        origin_ref: None,
        project: None,
        title: "a run".into(),
        input: RunInput::default(),
        priority: 0,
        budget_microusd: None,
        not_before: Some(u64::MAX / 4),
    };
    let id = RunId::from_parts(1, mimir::clock::entropy_128());
    let made = desk.store.write(move |tx| {
        let made = runs::enqueue(tx, id, &new)?.id().clone();
        runs::name(tx, &made, PULL)?;
        Ok(made)
    });
    made.await.expect("a run")
}

/// Takes them, so many at the same time, those that come twice included.
async fn after(messages: Vec<Message>, at_once: usize) -> End {
    let desk = Desk::new(settings());
    let waiting = waits(&desk).await;
    let tasks = Tasks::default();
    tasks.run(&desk.webhooks);
    let sends = messages.into_iter().map(|(name, source, headers, body)| {
        let webhooks = desk.webhooks.clone();
        async move { (name, take(&webhooks, source, headers, &body).await.id) }
    });
    let taken: Vec<(String, String)> =
        futures_util::stream::iter(sends).buffer_unordered(at_once).collect().await;
    let rows = desk.all_decided().await;
    let found = desk.store.read(|db| runs::newest(db, u32::MAX)).await.expect("runs");
    let key_of = |id: &str| found.iter().find(|run| run.id.as_str() == id).map(|run| run.key.clone());
    let mut messages = BTreeMap::new();
    for (name, id) in taken {
        let row = rows.iter().find(|row| row.id == id).expect("it is there");
        let ended = (row.state, row.run.as_deref().and_then(key_of));
        if name.starts_with("news: ") {
            assert!(matches!(row.state, WebhookState::Decided | WebhookState::Ignored), "{name}: {row:?}");
            continue;
        }
        let before = messages.insert(name.clone(), ended.clone());
        assert!(before.is_none_or(|before| before == ended), "{name} ends in two ways");
    }
    let timeline = desk.store.read(move |db| runs::timeline(db, &waiting)).await.expect("a timeline");
    let told = timeline.iter().filter(|line| line.kind == "delivery").count();
    let runs = found.iter().map(|run| (run.key.clone(), run.workflow.clone(), run.state.as_str().to_owned()));
    let end = End { runs: runs.collect(), messages, told };
    assert_eq!(end.runs.len(), found.len(), "two runs are about the same: {found:#?}");
    assert!(tasks.stop(super::PATIENCE).await);
    end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_whatever_order_messages_come_the_same_runs_see_to_them() {
    let wanted = after(messages(Clock::system().now_ms()), 1).await;
    let keys: Vec<&str> = wanted.runs.iter().map(|(key, ..)| key.as_str()).collect();
    let about_issues = ["issue:github.com/acme/shop#13", "issue:github.com/acme/shop#15"];
    assert!(about_issues.iter().all(|key| keys.contains(key)), "{keys:?}");
    assert!((1..=3).all(|issue| keys.contains(&format!("sentry:acme/{issue}").as_str())), "{keys:?}");
    assert_eq!((keys.len(), wanted.told), (7, 3), "{wanted:#?}");
    assert_eq!(wanted.messages["issue 14 has another label"].0, WebhookState::Ignored);
    assert_eq!(wanted.messages["alert 3c"].1.as_deref(), Some("sentry:acme/3"));
    for seed in 0..ORDERS {
        let mut dice = Dice::new(seed);
        let mut all = messages(Clock::system().now_ms());
        // Some come twice, and not behind each other.
        let twice: Vec<Message> = all.iter().filter(|_| dice.below(3) == 0).cloned().collect();
        all.extend(twice);
        dice.shuffle(&mut all);
        let order: Vec<String> = all.iter().map(|(name, ..)| name.clone()).collect();
        let at_once = if seed % 2 == 0 { 1 } else { 4 };
        assert_eq!(after(all, at_once).await, wanted, "order {seed}, {at_once} at once: {order:#?}");
    }
}

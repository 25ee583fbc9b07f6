//! What other programs tell the gateway: taken, stored and decided, whatever comes and whenever it dies.
#![cfg(feature = "test-support")]

mod catch_up;
mod corpus;
mod crashes;
pub mod documented;
mod duplicates;
mod full_disk;
mod intake;
mod kills;
mod limits;
pub mod published;
mod samples;
pub mod shuffled;
pub mod tracker;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mimir::clock::Clock;
use mimir::model::secret::Secret;
use mimir::model::webhook::{AuthorRight, SenderKind, Webhook, WebhookState};
use mimir::outbound::HttpClients;
use mimir::sentry::Sentries;
use mimir::store::{OpenOptions, Store, webhooks as rows};
use mimir::supervisor::failpoint::Failpoints;
use mimir::webhooks::{
    Headers, Mapping, Rule, Settings, Source, Untold, Webhooks, WebhooksDeps, WorkflowNames,
};
use ring::hmac;
use serde_json::{Value, json};

/// What everybody here signs with.
pub const SECRET: &str = "a secret between the two of us";
/// The same for Standard Webhooks.
pub const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Nothing here may take longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The workflows that rules here name.
pub fn workflows() -> WorkflowNames {
    std::sync::Arc::new(|| vec!["sentry-fix".to_owned(), "issue-fix".to_owned()])
}

/// A sender of that kind.
pub fn source(kind: SenderKind, secrets: &[&str]) -> Source {
    Source {
        kind,
        secrets: secrets.iter().map(|text| Secret::new(*text)).collect(),
        host: None,
        organization: (kind == SenderKind::Sentry).then(|| "acme".to_owned()),
        has_token: false,
        mapping: Mapping::default(),
    }
}

/// A rule that takes everything of a sender.
pub fn rule(source: &str) -> Rule {
    Rule {
        source: source.to_owned(),
        on: Vec::new(),
        from: None,
        level: None,
        environment: Vec::new(),
        fingerprint: None,
        labels: Vec::new(),
        mention: "@mimir".to_owned(),
        author: AuthorRight::Write,
        workflow: "sentry-fix".to_owned(),
        project: None,
        repository: None,
        priority: 0,
        budget_microusd: None,
        cooldown: Duration::from_secs(24 * 60 * 60),
        limit: u32::MAX,
        catch_up: Untold::Missed,
    }
}

/// A tracker, a forge, and two others; one that nobody can be.
pub fn settings() -> Settings {
    let issues = Rule { labels: vec!["mimir".to_owned()], workflow: "issue-fix".to_owned(), ..rule("forge") };
    Settings {
        sources: BTreeMap::from([
            ("errors".to_owned(), source(SenderKind::Sentry, &[SECRET])),
            ("forge".to_owned(), source(SenderKind::Github, &[SECRET])),
            ("hooks".to_owned(), source(SenderKind::Generic, &[STANDARD_SECRET])),
            ("simple".to_owned(), source(SenderKind::Generic, &[SECRET])),
            ("unset".to_owned(), source(SenderKind::Sentry, &[])),
        ]),
        rules: vec![rule("errors"), issues, rule("hooks"), rule("simple")],
        ..Settings::default()
    }
}

/// A tag as trackers and forges write it.
pub fn tag(body: &[u8]) -> String {
    hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body).as_ref())
}

/// The headers of a message of the tracker, which is as its documentation says.
pub fn sentry_headers(resource: &str, body: &str) -> Vec<(String, String)> {
    let wrong = documented::wrong(resource, body);
    assert!(wrong.is_empty(), "Sentry sends no such message: {}\n{body}", wrong.join("\n"));
    sentry_headers_of_any(resource, body)
}

/// The same for what it would not send.
pub fn sentry_headers_of_any(resource: &str, body: &str) -> Vec<(String, String)> {
    vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("sentry-hook-resource".to_owned(), resource.to_owned()),
        ("sentry-hook-signature".to_owned(), tag(body.as_bytes())),
    ]
}

/// The headers of a message of the forge.
pub fn forge_headers(event: &str, body: &str) -> Vec<(String, String)> {
    vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-github-event".to_owned(), event.to_owned()),
        ("x-github-delivery".to_owned(), format!("guid-{}", &tag(body.as_bytes())[..12])),
        ("x-hub-signature-256".to_owned(), format!("sha256={}", tag(body.as_bytes()))),
    ]
}

/// The headers of a message as Standard Webhooks sign it.
pub fn standard_headers(id: &str, at_ms: u64, body: &str) -> Vec<(String, String)> {
    let at = (at_ms / 1000).to_string();
    let key = STANDARD.decode(&STANDARD_SECRET["whsec_".len()..]).expect("a key");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), format!("{id}.{at}.{body}").as_bytes());
    vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-timestamp".to_owned(), at),
        ("webhook-signature".to_owned(), format!("v1,{}", STANDARD.encode(tag))),
    ]
}

/// A message of the tracker, about which it says itself that it happened.
pub fn sentry_says(action: &str, data: &Value) -> Value {
    json!({
        "action": action, "data": data,
        "installation": {"uuid": "7a485448-a9e2-4c85-8a3c-4f44175783c9"},
        "actor": {"id": "sentry", "name": "Sentry", "type": "application"},
    })
}

/// The same of what a person did there.
pub fn ada_says(action: &str, data: &Value) -> Value {
    let mut said = sentry_says(action, data);
    said["actor"] = json!({"id": 1, "name": "Ada", "type": "user"});
    said
}

/// An alert about an event of an issue, with a stack trace.
pub fn alert(issue: u64, event: &str) -> Value {
    let event = json!({
        "event_id": event, "issue_id": issue.to_string(), "title": "ZeroDivisionError: division by zero",
        "culprit": "shop.cart in total", "level": "error", "platform": "python", "environment": "production",
        "release": "shop@1.2.3", "project": 17, "fingerprint": ["{{ default }}"], "type": "error", "version": "7",
        "datetime": "2026-11-28T10:00:00.000000Z", "timestamp": 1_795_860_000.0, "received": 1_795_860_000.5,
        "metadata": {"filename": "shop/cart.py", "type": "ZeroDivisionError", "value": "division by zero"},
        "web_url": format!("https://sentry.example/organizations/acme/issues/{issue}/events/{event}/"),
        "issue_url": format!("https://sentry.example/api/0/organizations/acme/issues/{issue}/"),
        "url": format!("https://sentry.example/api/0/projects/acme/shop/events/{event}/"),
        "tags": [["environment", "production"], ["runtime", "CPython 3.12"]],
        "exception": {"values": [{"type": "ZeroDivisionError", "value": "division by zero", "stacktrace": {
            "frames": [{"filename": "shop/cart.py", "abs_path": "/app/shop/cart.py", "function": "total",
                "lineno": 17, "in_app": true, "context_line": "    return sum(items) / len(items)",
                "pre_context": ["def total(items):"], "post_context": [""]}]}}]},
    });
    sentry_says("triggered", &json!({"triggered_rule": "Send errors to mimir", "event": event}))
}

/// The error of an alert, told by itself.
pub fn error(of: &Value) -> Value {
    sentry_says("created", &json!({"error": of["data"]["event"]}))
}

/// What became of an issue.
pub fn issue(action: &str, id: u64) -> Value {
    ada_says(action, &json!({"issue": issue_of(action, id)}))
}

/// An issue as messages have it, after that.
pub fn issue_of(action: &str, id: u64) -> Value {
    let (status, substatus) = match action {
        "resolved" => ("resolved", Value::Null),
        "archived" => ("ignored", json!("archived_until_escalating")),
        "unresolved" => ("unresolved", json!("regressed")),
        _ => ("unresolved", json!("new")),
    };
    json!({
        "url": format!("https://sentry.example/api/0/organizations/acme/issues/{id}/"),
        "web_url": format!("https://acme.sentry.example/issues/{id}/"),
        "project_url": "https://acme.sentry.example/issues/?project=17",
        "permalink": format!("https://acme.sentry.example/issues/{id}/"),
        "id": id.to_string(), "shareId": null, "shortId": format!("SHOP-{id}"), "title": "boom", "culprit": "cart",
        "logger": null, "level": "error", "status": status, "statusDetails": {}, "substatus": substatus,
        "isPublic": false, "platform": "python", "type": "error", "metadata": {"type": "Error", "value": "boom"},
        "project": {"id": "17", "name": "Shop", "slug": "shop", "platform": "python"}, "numComments": 0,
        "assignedTo": null, "isBookmarked": false, "isSubscribed": false, "subscriptionDetails": null, "hasSeen": false,
        "annotations": [], "issueType": "error", "issueCategory": "error", "priority": "high", "priorityLockedAt": null,
        "seerFixabilityScore": null, "seerAutofixLastTriggered": null, "isUnhandled": true, "count": "3", "userCount": 1,
        "firstSeen": "2026-11-28T10:00:00Z", "lastSeen": "2026-11-28T10:00:00Z",
    })
}

/// A pull request at the forge.
pub fn pull(action: &str, number: u64) -> Value {
    json!({
        "action": action, "number": number, "sender": {"login": "octocat"},
        "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"},
        "pull_request": {"number": number, "merged": action == "closed"},
    })
}

/// The service alone, on a database of its own.
pub struct Desk {
    pub store: Store,
    pub webhooks: Webhooks,
    _folder: tempfile::TempDir,
}

pub fn open(folder: &std::path::Path) -> Store {
    open_at(folder, Clock::system())
}

pub fn open_at(folder: &std::path::Path, clock: Clock) -> Store {
    let options = OpenOptions {
        path: folder.join("mimir.db"),
        key: Secret::new("ab".repeat(32)),
        backups: folder.join("backups"),
    };
    Store::open(options, clock).expect("a database")
}

pub fn service(store: &Store, failpoints: &Failpoints, sentries: Sentries, settings: Settings) -> Webhooks {
    Webhooks::new(WebhooksDeps {
        failpoints: failpoints.clone(),
        ..deps(store, Clock::system(), sentries, settings)
    })
}

pub fn deps(store: &Store, clock: Clock, sentries: Sentries, settings: Settings) -> WebhooksDeps {
    WebhooksDeps {
        store: store.clone(),
        clock,
        failpoints: Failpoints::default(),
        http: HttpClients::default(),
        sentries,
        forges: None,
        workflows: workflows(),
        settings,
    }
}

pub fn no_trackers() -> Sentries {
    Sentries::new(HttpClients::default(), Clock::system(), Vec::new())
}

impl Desk {
    pub fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let webhooks = service(&store, &Failpoints::default(), no_trackers(), settings);
        Self { store, webhooks, _folder: folder }
    }

    /// What came and in which state it is, as long as something is not decided: fails when that takes too long.
    pub async fn all_decided(&self) -> Vec<Webhook> {
        all_decided(&self.store).await
    }
}

pub async fn all(store: &Store) -> Vec<Webhook> {
    store.read(|db| rows::list(db, None, None, u32::MAX)).await.expect("rows")
}

pub async fn all_decided(store: &Store) -> Vec<Webhook> {
    // Thousands take their time on a busy machine: as long as there are fewer and fewer, they come to their end.
    let (mut fewest, mut until) = (usize::MAX, tokio::time::Instant::now() + PATIENCE);
    loop {
        let found = all(store).await;
        let open = found.iter().filter(|webhook| webhook.state == WebhookState::Received).count();
        if open == 0 {
            return found;
        }
        if open < fewest {
            (fewest, until) = (open, tokio::time::Instant::now() + PATIENCE);
        }
        assert!(tokio::time::Instant::now() < until, "{open} of {} are not decided", found.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes a message without HTTP.
pub async fn take(
    webhooks: &Webhooks,
    source: &str,
    headers: Vec<(String, String)>,
    body: &str,
) -> mimir::webhooks::Received {
    let admission = webhooks.admit(source).expect("it is known");
    webhooks.receive(&admission, &Headers::new(headers), body.as_bytes()).await.expect("it is taken")
}

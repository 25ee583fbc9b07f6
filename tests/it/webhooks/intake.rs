//! The door: what is let in, and what follows from it.

use mimir::model::ids::RunId;
use mimir::model::origin::Origin;
use mimir::model::run::{NewRun, RunInput, RunSubject};
use mimir::model::webhook::WebhookState;
use mimir::store::runs;
use mimir::webhooks::{Rule, Settings};
use serde_json::{Value, json};

use super::{
    alert, all_decided, forge_headers, issue, pull, rule, samples, sentry_headers, sentry_headers_of_any,
    settings, standard_headers,
};
use crate::api::world::{Answer, TOKEN, World};

async fn world(settings: Settings) -> World {
    World::changed(move |services| {
        services.webhooks.configure(settings);
        services.tasks.run(&services.webhooks);
    })
    .await
}

async fn send(world: &World, source: &str, headers: &[(String, String)], body: &str) -> Answer {
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    world.ask_raw("POST", &format!("/webhooks/{source}"), Some(body.to_owned()), &headers).await
}

#[tokio::test]
async fn an_alert_begins_a_run_with_what_was_said_and_once() {
    let rules = vec![Rule { level: Some("error".parse().expect("a level")), ..rule("errors") }];
    let world = world(Settings { rules, ..settings() }).await;
    let body = alert(7, "e1").to_string();
    let first = send(&world, "errors", &sentry_headers("event_alert", &body), &body).await;
    assert_eq!((first.status, &first.json()["duplicate"]), (202, &json!(false)), "{}", first.text);
    let again = send(&world, "errors", &sentry_headers("event_alert", &body), &body).await;
    assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)));
    assert_eq!(again.json()["id"], first.json()["id"]);

    let rows = all_decided(&world.services.store).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].duplicates), (WebhookState::Decided, 1), "{rows:?}");
    assert_eq!(rows[0].event, "event_alert.triggered");
    let found = world.services.store.read(|db| runs::newest(db, 10)).await.expect("runs");
    let [run] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((run.key.as_str(), run.workflow.as_str()), ("sentry:acme/7", "sentry-fix"));
    assert_eq!((run.origin, run.origin_ref.as_deref()), (Origin::Webhook, Some(rows[0].id.as_str())));
    assert_eq!(rows[0].run.as_deref(), Some(run.id.as_str()));
    assert_eq!(run.input.commit.as_deref(), Some("shop@1.2.3"));
    assert!(
        matches!(&run.input.subject, RunSubject::Sentry { issue, event, .. } if issue == "7" && event.as_deref() == Some("e1"))
    );
    let trace = run.input.evidence.iter().find(|evidence| evidence.name == "stack trace").expect("a trace");
    assert!(trace.text.contains("shop/cart.py:17 in total"), "{}", trace.text);
    assert_eq!(world.audited("run.begin").await.len(), 1);

    // The same issue again: the run hears of it.
    let body = alert(7, "e2").to_string();
    assert_eq!(send(&world, "errors", &sentry_headers("event_alert", &body), &body).await.status, 202);
    all_decided(&world.services.store).await;
    let id = run.id.clone();
    let log = world.services.store.read(move |db| runs::timeline(db, &id)).await.expect("a timeline");
    assert_eq!(log.iter().filter(|line| line.kind == "delivery").count(), 1, "{log:?}");
    assert_eq!(world.services.store.read(|db| runs::newest(db, 10)).await.expect("runs").len(), 1);
}

#[tokio::test]
async fn over_tcp_a_signature_is_enough_and_nothing_else_is() {
    let world = world(settings()).await;
    let host = world.tcp.to_string();
    let http = bare(&world);
    let body = alert(7, "e1").to_string();
    let good = sentry_headers("event_alert", &body);
    assert_eq!(http.post("/webhooks/errors", &host, &good, &body).await, 202);
    // A token of ours is no signature, and a secret of theirs no token.
    let token = vec![("authorization".to_owned(), format!("Bearer {TOKEN}"))];
    assert_eq!(http.post("/webhooks/errors", &host, &token, &body).await, 401);
    let bearer = vec![("authorization".to_owned(), format!("Bearer {}", super::SECRET))];
    assert_eq!(http.post("/webhooks/simple", &host, &bearer, "{}").await, 202);
    assert_eq!(http.post("/v1/stop", &host, &bearer, "").await, 401);
    assert_eq!(http.post("/webhooks/errors", &host, &[], &body).await, 401);
    let other = alert(8, "e1").to_string();
    assert_eq!(http.post("/webhooks/errors", &host, &good, &other).await, 401, "another body");
    assert_eq!(
        http.post("/webhooks/unset", &host, &good, &body).await,
        401,
        "without a secret nobody is believed"
    );
    assert_eq!(http.post("/webhooks/nobody", &host, &good, &body).await, 404);
    assert_eq!(http.post("/webhooks/", &host, &good, &body).await, 404);
    assert_eq!(http.post("/webhooks/errors/x", &host, &good, &body).await, 404);
    assert_eq!(http.ask("GET", "/webhooks/errors", &host, &good, "").await, 405);
    assert_eq!(http.ask("PUT", "/webhooks/errors", &host, &good, &body).await, 405);
    assert_eq!(
        http.post("/webhooks/errors", "evil.example", &good, &body).await,
        421,
        "the listener's rules hold"
    );

    let listed = world.get("/v1/webhooks").await.json();
    let of = |name: &str| {
        let list = listed.as_array().expect("a list");
        list.iter().find(|source| source["name"] == name).cloned().expect("it is listed")
    };
    let unset = of("unset")["troubles"].to_string();
    assert!(
        unset.contains("webhooks.sources.unset.secret") && unset.contains("there is no secret"),
        "{unset}"
    );
    let errors = of("errors");
    assert!(errors["troubles"].to_string().contains("refused 3 times"), "{errors}");
    assert_eq!(
        (errors["path"].as_str(), &errors["last_delivery"]["event"]),
        (Some("/webhooks/errors"), &json!("event_alert.triggered"))
    );
}

#[tokio::test]
async fn what_is_refused_says_nothing_of_what_was_sent_or_of_what_there_is() {
    let world = world(settings()).await;
    let word = "a-word-that-nobody-repeats";
    let body = json!({ "x": word }).to_string();
    let wrong = vec![("sentry-hook-signature".to_owned(), "0".repeat(64))];
    let refused = send(&world, "errors", &wrong, &body).await;
    assert_eq!((refused.status, refused.code()), (401, "webhook.signature"));
    assert!(!refused.text.contains(word));
    let unset = send(&world, "unset", &wrong, &body).await;
    let (mut first, mut second) = (refused.json(), unset.json());
    (first["request_id"], second["request_id"]) = (Value::Null, Value::Null);
    assert_eq!(first, second, "whether there is a secret is nobody's business");

    let nobody = send(&world, "nobody", &wrong, &body).await;
    let nothing = world.ask_raw("POST", "/webhook", Some(body.clone()), &[]).await;
    assert_eq!((nobody.status, nobody.code()), (404, "route.not_found"));
    assert_eq!(nothing.code(), nobody.code());
    assert!(!nobody.text.contains("errors"), "no hint of others: {}", nobody.text);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read_or_as_soon_as_it_is() {
    let world = world(Settings { body_limit: 2_000, ..settings() }).await;
    let large = json!({ "x": "y".repeat(3_000) }).to_string();
    let refused = send(&world, "errors", &sentry_headers_of_any("event_alert", &large), &large).await;
    assert_eq!((refused.status, refused.code()), (413, "request.too_large"));

    // Announced, and never sent: the answer does not wait for it.
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for (head, body) in [
        ("content-length: 99999999\r\n\r\n".to_owned(), String::new()),
        (
            "transfer-encoding: chunked\r\n\r\n".to_owned(),
            format!("{:x}\r\n{}\r\n", 2_500, "y".repeat(2_500)),
        ),
    ] {
        let mut stream = tokio::net::TcpStream::connect(world.tcp).await.expect("connects");
        let text = format!("POST /webhooks/errors HTTP/1.1\r\nhost: {}\r\n{head}{body}", world.tcp);
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 64];
        let read = tokio::time::timeout(super::PATIENCE, stream.read(&mut answer)).await.expect("in time");
        let answer = String::from_utf8_lossy(&answer[..read.expect("read")]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn who_cannot_be_served_is_asked_to_come_again() {
    let world = world(Settings { parallel: 0, ..settings() }).await;
    let body = alert(7, "e1").to_string();
    let path = "/webhooks/errors";
    let headers = sentry_headers("event_alert", &body);
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let busy = world.open("POST", path, Some(body.clone()), &headers).await;
    assert_eq!(busy.status(), 503);
    assert_eq!(busy.headers()["retry-after"], "10");

    // A database that cannot take it.
    world.services.webhooks.configure(settings());
    world.services.store.write(|tx| tx.change("DROP TABLE webhook_keys", ())).await.expect("gone");
    let broken = world.open("POST", path, Some(body), &headers).await;
    assert_eq!(broken.status(), 503);
    assert_eq!(broken.headers()["retry-after"], "10");
}

#[tokio::test]
async fn what_arrives_too_slowly_is_asked_to_come_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let within = std::time::Duration::from_millis(50);
    let world = world(Settings { body_within: within, ..settings() }).await;
    let (host, body) = (world.tcp.to_string(), alert(7, "e1").to_string());
    let headers = sentry_headers("event_alert", &body);
    let mut text =
        format!("POST /webhooks/errors HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&body[..body.len() / 2]);
    let mut stream = tokio::net::TcpStream::connect(world.tcp).await.expect("connects");
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(super::PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("in time").expect("read");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("webhook.slow"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after: 10"), "{answer}");

    world.services.webhooks.configure(settings());
    assert_eq!(bare(&world).post("/webhooks/errors", &host, &headers, &body).await, 202);
}

#[tokio::test]
async fn whoever_shares_an_address_with_many_is_served_or_asked_to_come_again() {
    let world = World::seated(4, false).await;
    world.services.webhooks.configure(settings());
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(tokio::net::TcpStream::connect(world.tcp).await.expect("connects"));
    }
    let bodies: Vec<String> = (0..40).map(|n| alert(7, &format!("e{n}")).to_string()).collect();
    let host = world.tcp.to_string();
    let http = bare(&world);
    let (http, host) = (&http, host.as_str());
    let send = |body: String| async move {
        let status = http.post("/webhooks/errors", host, &sentry_headers("event_alert", &body), &body).await;
        (body, status)
    };
    let sent = futures_util::future::join_all(bodies.into_iter().map(send)).await;
    let statuses: Vec<u16> = sent.iter().map(|(_, status)| *status).collect();
    assert!(statuses.iter().all(|status| matches!(status, 202 | 503)), "{statuses:?}");
    assert!(statuses.contains(&202), "one place is free: {statuses:?}");

    drop(held);
    let end = tokio::time::Instant::now() + super::PATIENCE;
    for (body, mut status) in sent {
        while status != 202 {
            assert!(status == 503 && tokio::time::Instant::now() < end, "{status}");
            let headers = sentry_headers("event_alert", &body);
            status = http.post("/webhooks/errors", host, &headers, &body).await;
        }
    }
    let listed = world.get("/v1/webhooks/deliveries?limit=100").await.json();
    assert_eq!(listed.as_array().map(Vec::len), Some(40), "each once: {listed}");
}

#[tokio::test]
async fn a_storm_of_three_errors_is_three_runs() {
    let world = world(settings()).await;
    let began = std::time::Instant::now();
    for n in 0..500_u64 {
        let body = alert(n % 3, &format!("e{n}")).to_string();
        let answer = send(&world, "errors", &sentry_headers("event_alert", &body), &body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    let rows = all_decided(&world.services.store).await;
    println!("500 alerts were taken and decided in {:?}", began.elapsed());
    assert_eq!(rows.len(), 500);
    assert!(rows.iter().all(|row| row.state == WebhookState::Decided && row.run.is_some()), "{rows:?}");
    let found = world.services.store.read(|db| runs::newest(db, 100)).await.expect("runs");
    let mut keys: Vec<&str> = found.iter().map(|run| run.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["sentry:acme/0", "sentry:acme/1", "sentry:acme/2"]);
}

async fn waiting_run(world: &World, names: &'static [&'static str]) -> RunId {
    let new = NewRun {
        workflow: "sentry-fix".into(),
        key: format!("manual:{}", names[0]),
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
    let made = world.services.store.write(move |tx| {
        let made = runs::enqueue(tx, id, &new)?.id().clone();
        names.iter().try_for_each(|name| runs::name(tx, &made, name))?;
        Ok(made)
    });
    made.await.expect("a run")
}

#[tokio::test]
async fn what_happens_to_a_pull_request_wakes_its_run_and_no_other() {
    let world = world(settings()).await;
    let names: &[&str] = &["pull:github.com/acme/shop#7", "branch:github.com/acme/shop/mimir/run_1"];
    let (ours, other) =
        (waiting_run(&world, names).await, waiting_run(&world, &["pull:github.com/acme/shop#8"]).await);
    let repository = json!({"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"});
    let with = |mut body: Value| {
        body["repository"] = repository.clone();
        body
    };
    let deliveries = [
        ("pull_request", pull("closed", 7)),
        (
            "pull_request_review",
            with(json!({"action": "submitted", "pull_request": {"number": "7"}, "review": {"id": 1}})),
        ),
        (
            "pull_request_review_comment",
            with(json!({"action": "created", "pull_request": {"number": 7}, "comment": {}})),
        ),
        (
            "issue_comment",
            with(
                json!({"action": "created", "issue": {"number": 7, "pull_request": {}}, "comment": {"body": "@mimir"}}),
            ),
        ),
        (
            "check_suite",
            with(
                json!({"action": "completed", "check_suite": {"head_branch": "x", "pull_requests": [{"number": 7}]}}),
            ),
        ),
        (
            "check_run",
            with(
                json!({"action": "completed", "check_run": {"pull_requests": [], "check_suite": {"head_branch": "mimir/run_1"}}}),
            ),
        ),
        ("status", with(json!({"state": "failure", "branches": [{"name": "mimir/run_1"}]}))),
        ("push", with(json!({"ref": "refs/heads/mimir/run_1", "commits": []}))),
    ];
    for (event, body) in &deliveries {
        let body = body.to_string();
        let answer = send(&world, "forge", &forge_headers(event, &body), &body).await;
        assert_eq!(answer.status, 202, "{event}: {}", answer.text);
        let rows = all_decided(&world.services.store).await;
        let row = rows.iter().find(|row| answer.json()["id"] == row.id.as_str()).expect("a row");
        assert_eq!(
            (row.state, row.run.as_deref()),
            (WebhookState::Decided, Some(ours.as_str())),
            "{event}: {row:?}"
        );
    }
    assert_eq!(told(&world, ours).await, deliveries.len());
    assert_eq!(told(&world, other).await, 0);
}

/// How often a run was told of something.
async fn told(world: &World, id: RunId) -> usize {
    world_log(world, id).await.into_iter().filter(|line| line.kind == "delivery").count()
}

async fn world_log(world: &World, id: RunId) -> Vec<mimir::model::run::RunLogEntry> {
    world.services.store.read(move |db| runs::timeline(db, &id)).await.expect("a timeline")
}

#[tokio::test]
async fn an_issue_that_is_resolved_elsewhere_wakes_its_run_and_begins_none() {
    let world = world(settings()).await;
    let body = alert(7, "e1").to_string();
    send(&world, "errors", &sentry_headers("event_alert", &body), &body).await;
    all_decided(&world.services.store).await;
    let resolved = issue("resolved", 7).to_string();
    send(&world, "errors", &sentry_headers("issue", &resolved), &resolved).await;
    let seer = samples::pr_created(7).to_string();
    send(&world, "errors", &sentry_headers("seer", &seer), &seer).await;
    let rows = all_decided(&world.services.store).await;
    assert!(rows.iter().all(|row| row.state == WebhookState::Decided), "{rows:?}");
    let found = world.services.store.read(|db| runs::newest(db, 10)).await.expect("runs");
    let [run] = found.as_slice() else { panic!("{found:?}") };
    let log = world_log(&world, run.id.clone()).await;
    assert!(log.iter().any(|line| line.text == "Sentry: SHOP-7 is resolved by Ada"), "{log:?}");
    assert_eq!(log.iter().filter(|line| line.kind == "delivery").count(), 2, "{log:?}");
    // Of another issue nobody waits for news.
    let resolved = issue("resolved", 8).to_string();
    send(&world, "errors", &sentry_headers("issue", &resolved), &resolved).await;
    let rows = all_decided(&world.services.store).await;
    assert_eq!(
        (rows[0].state, rows[0].event.as_str()),
        (WebhookState::Ignored, "issue.resolved"),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_label_or_a_mention_begins_a_run_about_an_issue() {
    let world = world(settings()).await;
    let of = |action: &str, label: &str, comment: Option<&str>| {
        let mut body = json!({
            "action": action, "sender": {"login": "octocat"}, "label": {"name": label},
            "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"},
            "issue": {"number": 3, "title": "The total is wrong", "body": "Steps: …", "user": {"login": "ada"},
                "labels": [{"name": label}], "html_url": "https://github.com/acme/shop/issues/3"},
        });
        if let Some(comment) = comment {
            body["comment"] = json!({"body": comment, "user": {"login": "octocat"}});
        }
        body.to_string()
    };
    let other = of("labeled", "bug", None);
    send(&world, "forge", &forge_headers("issues", &other), &other).await;
    assert_eq!(all_decided(&world.services.store).await[0].state, WebhookState::Ignored);
    let wanted = of("labeled", "mimir", None);
    send(&world, "forge", &forge_headers("issues", &wanted), &wanted).await;
    all_decided(&world.services.store).await;
    let found = world.services.store.read(|db| runs::newest(db, 10)).await.expect("runs");
    let [run] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((run.key.as_str(), run.workflow.as_str()), ("issue:github.com/acme/shop#3", "issue-fix"));
    assert_eq!(run.input.variables["author_right"], "write");
    assert_eq!(run.input.evidence[0].source, "github:ada");
    assert!(
        matches!(&run.input.subject, RunSubject::Issue { asked_by, number: 3, .. } if asked_by == "octocat")
    );
}

#[tokio::test]
async fn a_message_of_a_sender_of_no_known_kind_is_read_by_its_mapping() {
    let mut settings = settings();
    let simple = settings.sources.get_mut("simple").expect("it is there");
    simple.mapping.id = Some("/meta/id".into());
    simple.mapping.title = Some("/alert/summary".into());
    simple.mapping.level = Some("/alert/level".into());
    simple.mapping.key = Some("/alert/name".into());
    settings.rules =
        vec![Rule { level: Some("error".parse().expect("a level")), ..rule("simple") }, rule("hooks")];
    let world = world(settings).await;
    let bearer = vec![("authorization".to_owned(), format!("Bearer {}", super::SECRET))];
    let of = |id: u64, level: &str| {
        json!({"meta": {"id": id}, "alert": {"name": "disk", "summary": "The disk is full", "level": level}})
            .to_string()
    };
    assert_eq!(send(&world, "simple", &bearer, &of(1, "critical")).await.status, 202);
    assert_eq!(send(&world, "simple", &bearer, &of(1, "warning")).await.status, 200, "known by its id");
    assert_eq!(send(&world, "simple", &bearer, &of(2, "warning")).await.status, 202);
    let rows = all_decided(&world.services.store).await;
    assert_eq!(rows.iter().filter(|row| row.state == WebhookState::Decided).count(), 1, "{rows:?}");
    let found = world.services.store.read(|db| runs::newest(db, 10)).await.expect("runs");
    assert_eq!((found[0].key.as_str(), found[0].title.as_str()), ("hook:simple:disk", "The disk is full"));

    let now = mimir::clock::Clock::system().now_ms();
    let body = r#"{"type":"backup.failed","text":"no space"}"#;
    assert_eq!(send(&world, "hooks", &standard_headers("msg_1", now, body), body).await.status, 202);
    assert_eq!(send(&world, "hooks", &standard_headers("msg_1", now + 1_000, body), body).await.status, 200);
    assert_eq!(
        send(&world, "hooks", &standard_headers("msg_2", now, body), body).await.status,
        202,
        "said again on purpose"
    );
    assert_eq!(
        send(&world, "hooks", &standard_headers("msg_3", now - 400_000, body), body).await.status,
        401
    );
}

#[tokio::test]
async fn what_would_follow_is_said_and_does_not_happen() {
    let world = world(settings()).await;
    let ask = |source: &str, body: Value| {
        let asked = json!({"source": source, "body": body.to_string()});
        let world = &world;
        async move { world.post("/v1/webhooks/test", Some(asked)).await }
    };
    let verdict = ask("errors", alert(7, "e1")).await.json();
    assert_eq!(
        (&verdict["rule_number"], &verdict["workflow"]),
        (&json!(1), &json!("sentry-fix")),
        "{verdict}"
    );
    assert_eq!(
        (&verdict["run_key"], &verdict["event"]),
        (&json!("sentry:acme/7"), &json!("event_alert.triggered"))
    );
    assert!(super::all(&world.services.store).await.is_empty());
    assert!(world.services.store.read(|db| runs::newest(db, 10)).await.expect("runs").is_empty());

    let body = alert(7, "e1").to_string();
    send(&world, "errors", &sentry_headers("event_alert", &body), &body).await;
    let rows = all_decided(&world.services.store).await;
    let joins = ask("errors", alert(7, "e2")).await.json();
    assert_eq!(joins["joins"].as_str(), rows[0].run.as_deref(), "{joins}");
    let wakes = ask("errors", issue("resolved", 7)).await.json();
    assert_eq!(wakes["wakes"], json!([rows[0].run]), "{wakes}");
    let nothing = ask("forge", pull("opened", 9)).await.json();
    assert!(nothing["reason"].is_string() && nothing["wakes"] == json!([]), "{nothing}");
    assert_eq!(ask("nobody", json!({})).await.code(), "webhook.unknown_source");
    let none = world.post("/v1/webhooks/test", Some(json!({"source": "errors", "body": "{"}))).await.json();
    assert!(none["reason"].as_str().is_some_and(|why| why.contains("no JSON")), "{none}");
}

#[tokio::test]
async fn what_came_is_listed_shown_and_decided_again() {
    let world = world(Settings { rules: Vec::new(), ..settings() }).await;
    let body = alert(7, "e1").to_string();
    let mut headers = sentry_headers("event_alert", &body);
    headers.push(("authorization".to_owned(), "Bearer of-somebody".to_owned()));
    let id = send(&world, "errors", &headers, &body).await.json()["id"].as_str().expect("an id").to_owned();
    all_decided(&world.services.store).await;
    let shown = world.get(&format!("/v1/webhooks/deliveries/{id}")).await.json();
    assert_eq!(
        (&shown["delivery"]["state"], shown["body"].as_str()),
        (&json!("ignored"), Some(body.as_str()))
    );
    let kept = shown["headers"].to_string();
    assert!(
        kept.contains("event_alert") && !kept.contains("of-somebody") && !kept.contains("signature"),
        "{kept}"
    );
    assert!(
        shown["delivery"]["reason"].as_str().is_some_and(|why| why.contains("webhooks.rules")),
        "{shown}"
    );

    world.services.webhooks.configure(settings());
    let again = world.post(&format!("/v1/webhooks/deliveries/{id}/replay"), None).await.json();
    assert_eq!(again["state"], "decided", "{again}");
    assert!(again["run"].is_string());
    assert_eq!(world.audited("webhook.replay").await.len(), 1);

    let list = |query: &str| {
        let (world, path) = (&world, format!("/v1/webhooks/deliveries{query}"));
        async move { world.get(&path).await }
    };
    assert_eq!(list("").await.json().as_array().map(Vec::len), Some(1));
    assert_eq!(list("?state=decided&source=errors").await.json().as_array().map(Vec::len), Some(1));
    assert_eq!(list("?state=failed").await.json(), json!([]));
    assert_eq!(list("?source=forge").await.json(), json!([]));
    assert_eq!(list("?state=nonsense").await.status, 400);
    assert_eq!(list("?limit=5000").await.status, 400);
    assert_eq!(world.get("/v1/webhooks/deliveries/whd_none").await.code(), "webhook.not_found");
    assert_eq!(world.post("/v1/webhooks/deliveries/whd_none/replay", None).await.code(), "webhook.not_found");
}

/// One request after the other over TCP, each on a connection of its own, with its own `Host`.
struct Bare {
    address: std::net::SocketAddr,
}

fn bare(world: &World) -> Bare {
    Bare { address: world.tcp }
}

impl Bare {
    async fn post(&self, path: &str, host: &str, headers: &[(String, String)], body: &str) -> u16 {
        self.ask("POST", path, host, headers, body).await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        host: &str,
        headers: &[(String, String)],
        body: &str,
    ) -> u16 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        let mut stream = tokio::net::TcpStream::connect(self.address).await.expect("connects");
        stream.write_all(text.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 32];
        let read = tokio::time::timeout(super::PATIENCE, stream.read(&mut answer)).await.expect("in time");
        let answer = String::from_utf8_lossy(&answer[..read.expect("read")]).into_owned();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }
}

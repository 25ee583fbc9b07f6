//! Messages that are broken in every way that can be thought of, each with a good signature: none is an error of ours,
//! and each comes to an end.
//!
//! The whole ones are made here, in the form that Sentry's and GitHub's documentation shows; GitHub's 329 published
//! examples are added where `MIMIR_TEST_WEBHOOK_EXAMPLES` names them (scripts/webhook-examples fetches them).

use std::collections::BTreeMap;

use base64::Engine as _;
use futures_util::StreamExt as _;
use mimir::model::webhook::WebhookState;
use mimir::store::runs;
use mimir::webhooks::Headers;
use serde_json::{Value, json};

use super::{all_decided, forge_headers, pull, samples, sentry_headers_of_any, settings, tag};
use crate::api::world::World;
use crate::podman::support::skip;

/// So many of the whole messages are made here, besides those of the tracker.
const OTHERS: usize = 10;

/// A message: its sender, what its header calls it, and its bytes.
type Message = (&'static str, String, Vec<u8>);

fn whole() -> Vec<(&'static str, String, Value)> {
    let repository = json!({"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"});
    let with = |mut value: Value| {
        value["repository"] = repository.clone();
        value
    };
    let mut all: Vec<(&str, &str, Value)> =
        samples::all().into_iter().map(|(resource, said)| ("errors", resource, said)).collect();
    all.extend([
        ("forge", "ping", with(json!({"zen": "Keep it logically awesome.", "hook_id": 1}))),
        ("forge", "pull_request", pull("closed", 7)),
        ("forge", "push", with(json!({"ref": "refs/heads/main", "commits": [{"id": "a"}]}))),
        (
            "forge",
            "check_suite",
            with(
                json!({"action": "completed", "check_suite": {"head_branch": "a", "pull_requests": [{"number": 7}]}}),
            ),
        ),
        (
            "forge",
            "check_run",
            with(json!({"action": "completed", "check_run": {"pull_requests": [{"number": 7}]}})),
        ),
        ("forge", "status", with(json!({"state": "failure", "branches": [{"name": "a"}]}))),
        (
            "forge",
            "issues",
            with(json!({"action": "labeled", "label": {"name": "mimir"}, "sender": {"login": "o"},
            "issue": {"number": 3, "title": "t", "body": "b", "labels": [{"name": "mimir"}], "user": {"login": "a"}}})),
        ),
        (
            "forge",
            "issue_comment",
            with(json!({"action": "created", "issue": {"number": 3, "title": "t"},
            "comment": {"body": "@mimir fix", "user": {"login": "o"}}})),
        ),
        (
            "forge",
            "pull_request_review",
            with(json!({"action": "submitted", "pull_request": {"number": 7}, "review": {"id": 1}})),
        ),
        (
            "simple",
            "",
            json!({"id": "1", "title": "t", "message": "m", "level": "error", "url": "https://a.example"}),
        ),
    ]);
    all.extend(examples().into_iter().map(|(event, value)| ("forge", event.leak() as &str, value)));
    all.into_iter().map(|(source, event, value)| (source, event.to_owned(), value)).collect()
}

/// GitHub's own.
fn examples() -> Vec<(String, Value)> {
    let Some(path) = std::env::var_os("MIMIR_TEST_WEBHOOK_EXAMPLES") else {
        skip("webhooks::corpus with GitHub's examples", "scripts/webhook-examples fetches them");
        return Vec::new();
    };
    let text = std::fs::read_to_string(path).expect("the examples");
    let found: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let all = found.iter().flat_map(|event| {
        let name = event["name"].as_str().expect("a name").to_owned();
        let list = event["examples"].as_array().expect("examples").iter();
        list.map(move |example| (name.clone(), example.clone())).collect::<Vec<_>>()
    });
    let all: Vec<(String, Value)> = all.collect();
    println!("{} of GitHub's examples", all.len());
    assert!(all.len() > 300, "{}", all.len());
    all
}

/// Every way to break one.
fn broken(value: &Value) -> Vec<Vec<u8>> {
    let text = value.to_string();
    let bytes = text.as_bytes();
    let mut all = vec![
        bytes[..bytes.len() / 2].to_vec(),
        bytes[..bytes.len() - 1].to_vec(),
        [bytes, b"}".as_slice()].concat(),
        [b"\xef\xbb\xbf".as_slice(), bytes].concat(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        bytes.iter().map(|b| if *b == b':' { 0 } else { *b }).collect(),
        bytes.iter().enumerate().map(|(n, b)| if n % 40 == 7 { 0xff } else { *b }).collect(),
        text.replacen('{', "{\"action\":\"a\",\"action\":\"b\",\"data\":null,\"issue\":[],", 1).into_bytes(),
        text.replacen("\":\"", "\":\"\\ud800", 3).into_bytes(),
        text.replacen("\":\"", "\":\"\\u0000\\u202e\u{200b}<!-- x -->", 5).into_bytes(),
        text.replacen("\":", "\":1e999999,\"x\":", 1).into_bytes(),
        [b"[".as_slice(), bytes, b"]".as_slice()].concat(),
    ];
    let changes: &[fn(&Value) -> Value] = &[
        |_| Value::Null,
        |_| json!([]),
        |_| json!({}),
        |_| json!(-1),
        |_| json!(1.5e300),
        |_| json!(u64::MAX),
        |_| json!(true),
        |_| json!("../../../etc/passwd\u{0}"),
        |_| json!([[[{"a": [null]}]]]),
        |old| json!([old, old]),
    ];
    for change in changes {
        for depth in 1..=4 {
            let mut changed = value.clone();
            change_at(&mut changed, depth, *change);
            all.push(changed.to_string().into_bytes());
        }
    }
    let mut deep = value.clone();
    let mut nested = json!("x");
    for _ in 0..64 {
        nested = json!({ "a": [nested] });
    }
    deep["data"] = nested.clone();
    deep["issue"] = nested;
    all.push(deep.to_string().into_bytes());
    all
}

/// Changes everything that stands so deep.
fn change_at(value: &mut Value, depth: usize, change: fn(&Value) -> Value) {
    match value {
        Value::Object(fields) if depth > 0 => {
            fields.values_mut().for_each(|below| change_at(below, depth - 1, change));
        }
        Value::Array(items) if depth > 0 => {
            items.iter_mut().for_each(|below| change_at(below, depth - 1, change));
        }
        _ if depth == 0 => *value = change(value),
        _ => {}
    }
}

fn headers(source: &str, event: &str, body: &[u8]) -> Vec<(String, String)> {
    let own = |name: &str, value: String| (name.to_owned(), value);
    match source {
        "errors" => {
            let mut all = sentry_headers_of_any(event, "");
            all.retain(|(name, _)| name != "sentry-hook-signature");
            all.push(own("sentry-hook-signature", tag(body)));
            all
        }
        "forge" => {
            let mut all = forge_headers(event, "");
            all.retain(|(name, _)| !name.starts_with("x-hub") && name != "x-github-delivery");
            all.push(own("x-hub-signature-256", format!("sha256={}", tag(body))));
            all
        }
        _ => vec![own("authorization", format!("Bearer {}", super::SECRET))],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_is_no_error_of_ours_and_comes_to_an_end() {
    let mut messages: Vec<Message> = Vec::new();
    let ours = samples::all().len() + OTHERS;
    for (number, (source, event, value)) in whole().into_iter().enumerate() {
        messages.push((source, event.clone(), value.to_string().into_bytes()));
        // Of ours every way, of the many examples every sixth, each time others.
        let share = if number < ours { 1 } else { 6 };
        let some = broken(&value).into_iter().enumerate().filter(|(way, _)| way % share == number % share);
        messages.extend(some.map(|(_, bytes)| (source, event.clone(), bytes)));
    }
    let endless =
        json!({"action": "triggered", "data": {"event": {"issue_id": 1, "title": "x".repeat(900_000)}}});
    let many = json!({"tags": vec![json!(["a", "b"]); 20_000]});
    let odd: Vec<Vec<u8>> = vec![
        Vec::new(),
        b" \n".to_vec(),
        b"null".to_vec(),
        b"\"x\"".to_vec(),
        b"payload={}".to_vec(),
        "[".repeat(100_000).into_bytes(),
        "{\"a\":".repeat(100_000).into_bytes(),
        endless.to_string().into_bytes(),
        json!({"data": {"event": many}}).to_string().into_bytes(),
        vec![0; 1_000],
        base64::engine::general_purpose::STANDARD.decode("////").expect("bytes"),
    ];
    for bytes in odd {
        for source in ["errors", "forge", "simple"] {
            messages.push((source, "event_alert".to_owned(), bytes.clone()));
        }
    }
    println!("{} messages", messages.len());
    assert!(messages.len() >= 500);

    let world = World::changed(|services| {
        let mut all = settings();
        // Texts of forms as well.
        all.rules.iter_mut().for_each(|rule| rule.labels.clear());
        services.webhooks.configure(all);
        services.tasks.run(&services.webhooks);
    })
    .await;
    let world = &world;
    let sends = messages.iter().enumerate().map(|(n, (source, event, body))| async move {
        let mut sent = headers(source, event, body);
        if n % 7 == 3 {
            sent.retain(|(name, _)| name != "content-type");
            sent.push(("content-type".to_owned(), "application/json; charset=utf-16".to_owned()));
        }
        if n % 11 == 5 {
            sent.retain(|(name, _)| name != "content-type");
            sent.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        // Bytes that are no text go past HTTP, which the client here speaks in texts.
        match String::from_utf8(body.clone()) {
            Ok(text) => {
                let pairs: Vec<(&str, &str)> =
                    sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                world.ask_raw("POST", &format!("/webhooks/{source}"), Some(text), &pairs).await.status
            }
            Err(_) => {
                let webhooks = &world.services.webhooks;
                let admission = webhooks.admit(source).expect("known");
                let received = webhooks.receive(&admission, &Headers::new(sent), body).await;
                if received.expect("taken").is_duplicate { 200 } else { 202 }
            }
        }
    });
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    let mut answered = futures_util::stream::iter(sends).buffer_unordered(8);
    while let Some(status) = answered.next().await {
        *answers.entry(status).or_default() += 1;
    }
    println!("answers: {answers:?}");
    assert!(answers.keys().all(|status| [200, 202].contains(status)), "{answers:?}");

    let rows = all_decided(&world.services.store).await;
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *ends.entry(row.state.as_str()).or_default() += 1);
    println!("ends: {ends:?}");
    for row in &rows {
        let reason = row.reason.as_deref().unwrap_or_default();
        assert!(row.state != WebhookState::Received && !reason.is_empty(), "{row:?}");
        assert!(!reason.contains("bug") && !reason.contains("failed 5 times"), "{row:?}");
        assert!(reason.chars().count() < 600 && !reason.chars().any(char::is_control), "{row:?}");
    }
    let made = world.services.store.read(|db| runs::newest(db, u32::MAX)).await.expect("runs");
    for run in &made {
        let is_plain =
            |text: &str| !text.chars().any(|c| c.is_control() || mimir::model::visible::is_invisible(c));
        assert!(is_plain(&run.title) && run.title.chars().count() <= 200, "{}", run.title);
        assert!(is_plain(&run.key), "{}", run.key);
        let size: usize = run.input.evidence.iter().map(|evidence| evidence.text.chars().count()).sum();
        assert!(size <= 40_000, "{size}");
    }
    println!("{} runs", made.len());
}

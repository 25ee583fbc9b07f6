//! The same three times, each time with other headers that nobody signed, and once more later: one effect.

use futures_util::StreamExt as _;
use mimir::clock::Clock;
use mimir::model::webhook::WebhookState;
use mimir::store::runs;
use mimir::supervisor::Tasks;
use serde_json::json;

use super::{Desk, alert, forge_headers, sentry_headers, settings, standard_headers, take};

const MESSAGES: u64 = 1_000;
const TIMES: u64 = 3;

/// A message, the sender, and its headers with what is not signed made new.
fn message(n: u64, time: u64, now: u64) -> (&'static str, Vec<(String, String)>, String) {
    let fresh = |name: &str| (name.to_owned(), format!("{name}-{n}-{time}"));
    match n % 3 {
        0 => {
            let body = alert(n, "e1").to_string();
            let mut headers = sentry_headers("event_alert", &body);
            headers
                .extend([fresh("request-id"), ("sentry-hook-timestamp".to_owned(), (n + time).to_string())]);
            ("errors", headers, body)
        }
        1 => {
            let body = json!({
                "action": "labeled", "sender": {"login": "octocat"}, "label": {"name": "mimir"},
                "repository": {"full_name": "acme/shop"}, "issue": {"number": n, "title": "wrong", "body": "…"},
            })
            .to_string();
            let mut headers = forge_headers("issues", &body);
            headers.retain(|(name, _)| name != "x-github-delivery");
            headers.push(fresh("x-github-delivery"));
            ("forge", headers, body)
        }
        _ => {
            let body = json!({"title": "the same words each time"}).to_string();
            let mut headers = standard_headers(&format!("msg_{n}"), now + time * 1_000, &body);
            headers.push(fresh("x-request-id"));
            ("hooks", headers, body)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_that_come_three_times_have_a_thousand_effects() {
    let desk = Desk::new(settings());
    let tasks = Tasks::default();
    tasks.run(&desk.webhooks);
    let now = Clock::system().now_ms();
    let sends = (0..MESSAGES * TIMES).map(|n| {
        let webhooks = desk.webhooks.clone();
        // Some come at the same time as themselves.
        let (source, headers, body) = message(n / TIMES, n % TIMES, now);
        async move { take(&webhooks, source, headers, &body).await.is_duplicate }
    });
    let duplicates: Vec<bool> = futures_util::stream::iter(sends).buffer_unordered(16).collect().await;
    let again = duplicates.iter().filter(|is_duplicate| **is_duplicate).count();
    assert_eq!(u64::try_from(again).expect("a number"), MESSAGES * (TIMES - 1));
    let rows = desk.all_decided().await;
    assert_eq!(u64::try_from(rows.len()).expect("a number"), MESSAGES);
    assert!(rows.iter().all(|row| row.state == WebhookState::Decided && row.duplicates == TIMES - 1));
    // Once more when everything was decided, as senders do who did not hear the answer.
    let sends = (0..MESSAGES).map(|n| {
        let webhooks = desk.webhooks.clone();
        let (source, headers, body) = message(n, TIMES, now);
        async move { take(&webhooks, source, headers, &body).await.is_duplicate }
    });
    let late: Vec<bool> = futures_util::stream::iter(sends).buffer_unordered(16).collect().await;
    assert!(late.iter().all(|is_duplicate| *is_duplicate));
    let rows = desk.all_decided().await;
    assert_eq!(u64::try_from(rows.len()).expect("a number"), MESSAGES);
    assert!(rows.iter().all(|row| row.state == WebhookState::Decided && row.duplicates == TIMES));
    let made = desk.store.read(|db| runs::newest(db, u32::MAX)).await.expect("runs");
    assert_eq!(u64::try_from(made.len()).expect("a number"), MESSAGES);
    assert!(tasks.stop(super::PATIENCE).await);
}

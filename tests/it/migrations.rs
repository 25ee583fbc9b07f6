//! Databases of released versions: today's code opens them, migrates them, and tells the same of what is in them.
//!
//! `tests/fixtures/databases/VERSION.db` was filled by that version, with something in every table; its key is the one
//! of all tests. `VERSION.json` is what that version's own gateway answered about it.
#![cfg(feature = "test-support")]

use std::path::{Path, PathBuf};

use http_body_util::BodyExt;
use mimir::store::{audit, deliveries, usage};
use serde_json::{Value, json};

use crate::api::world::World;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/databases").join(name)
}

/// What that version said, under the names that things have now (docs/json/README.md).
fn under_todays_names(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(under_todays_names).collect(),
        Value::Object(fields) => {
            let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let has = |name: &str| fields.contains_key(name);
            let (is_event, is_said, is_talk, is_frame) =
                (has("at") && has("data"), has("role"), has("title") && has("messages"), has("desired"));
            let is_message = has("after_event");
            let mut today = serde_json::Map::new();
            for (name, value) in fields {
                let now = match name.as_str() {
                    "frame" if is_event => "frame_id",
                    "frame_name" if is_event => "frame",
                    "id" if is_said => "agent_message",
                    "message" if is_said => "agent_message",
                    "error" if is_said => "reason",
                    "messages" if is_talk => "message_count",
                    "agent" if is_frame => "doing",
                    "notes" if is_message => "remarks",
                    other => other,
                };
                let value = match name.as_str() {
                    "data" if is_event => data_today(&kind, value),
                    _ => under_todays_names(value),
                };
                today.insert(now.to_owned(), value);
            }
            // What was found is not told with its whole conversation any more.
            if is_said && let Some(Value::Object(session)) = today.remove("session") {
                today.insert("session".to_owned(), session["id"].clone());
                today.insert("title".to_owned(), session["title"].clone());
                today.insert("frame".to_owned(), session["frame"].clone());
            }
            Value::Object(today)
        }
        other => other,
    }
}

fn data_today(kind: &str, data: Value) -> Value {
    let Value::Object(fields) = data else { return data };
    let renamed = |name: String| -> String {
        match (kind, name.as_str()) {
            ("turn.started" | "turn.ended", "prompt") => "agent_message",
            ("turn.ended", "error") | ("message.retry", "message") => "reason",
            ("prompt.asked" | "prompt.answered", "prompt") => "agent_request",
            ("prompt.asked" | "prompt.answered", "id") => "approval",
            ("frame.port_exchanged", "from") => "from_port",
            ("frame.port_exchanged", "to") => "to_port",
            _ => return name,
        }
        .to_owned()
    };
    Value::Object(fields.into_iter().map(|(name, value)| (renamed(name), value)).collect())
}

/// Everything that was said then is said now. What a newer version says besides is its own business.
fn assert_holds(at: &str, then: &Value, now: &Value) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (name, value) in then {
                assert_holds(&format!("{at}.{name}"), value, now.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            assert_eq!(then.len(), now.len(), "{at}: {now:#?}");
            for (index, (then, now)) in then.iter().zip(now).enumerate() {
                assert_holds(&format!("{at}[{index}]"), then, now);
            }
        }
        (then, now) => assert_eq!(then, now, "{at}"),
    }
}

/// The first `count` events of the log.
async fn events(world: &World, path: &str, count: usize) -> Value {
    let mut body = world.open("GET", path, None, &[]).await.into_body();
    let mut text = String::new();
    let told = |text: &str| -> Vec<Value> {
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let read = async {
        while told(&text).len() < count {
            let frame = body.frame().await.expect("more events").expect("a readable stream");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), read).await.expect("all of them in time");
    Value::Array(told(&text))
}

async fn answer(world: &World, path: &str, then: &Value) -> Value {
    let store = &world.services.store;
    match path {
        "audit" => {
            let rows = store.read(|db| audit::list(db, None, 1000)).await.expect("rows");
            let line = |row: audit::AuditEntry| {
                json!({"id": row.id, "at": row.at, "principal": row.principal, "action": row.action,
                    "subject": row.subject, "detail": row.detail})
            };
            rows.into_iter().map(line).collect()
        }
        "webhooks" => {
            let rows = store.read(|db| deliveries::due(db, u64::MAX / 4, 10)).await.expect("rows");
            let line = |row: deliveries::Delivery| json!({"id": row.id, "url": row.url, "body": row.body, "attempts": row.attempts});
            rows.into_iter().map(line).collect()
        }
        "usage" => {
            let (rows, newest) = store.read(|db| usage::by_model_after(db, 0)).await.expect("rows");
            let line = |of: usage::OfModel| {
                json!({"provider": of.provider, "model": of.model, "calls": of.sum.calls,
                    "unpriced": of.sum.unpriced, "cost": of.sum.cost_microusd, "input": of.sum.tokens.input})
            };
            json!({"of": rows.into_iter().map(line).collect::<Vec<_>>(), "newest": newest})
        }
        path if path.starts_with("/v1/events") => {
            events(world, path, then.as_array().expect("a list").len()).await
        }
        path => {
            let answer = world.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            answer.json()
        }
    }
}

#[tokio::test]
async fn a_database_of_0_1_0_is_migrated_and_nothing_in_it_is_lost() {
    let world = World::of_database(&fixture("0.1.0.db")).await;
    let then = std::fs::read_to_string(fixture("0.1.0.json")).expect("what it said");
    let then: serde_json::Map<String, Value> = serde_json::from_str(&then).expect("JSON");
    assert!(then.len() > 15, "only {} answers are compared", then.len());
    for (path, then) in &then {
        let then = under_todays_names(then.clone());
        assert_holds(path, &then, &answer(&world, path, &then).await);
    }
    assert!(world.end().await, "it ends in time");
}

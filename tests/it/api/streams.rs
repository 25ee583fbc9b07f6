//! Answers that go on: events, logs, doctor.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use mimir::model::ids::RunId;
use mimir::model::isolation::Isolation;
use mimir::model::origin::Origin;
use mimir::model::run::{NewRun, RunInput, RunState};
use mimir::store::runs::{self, RunChange};
use serde_json::Value;

use super::world::World;

/// Reads a body until `enough` says so, or fails with what was read.
async fn read_until(body: &mut Incoming, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let read = async {
        while !enough(&text) {
            let Some(frame) = body.frame().await else { return };
            if let Ok(data) = frame.expect("the stream goes on").into_data() {
                text.push_str(&String::from_utf8_lossy(&data));
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(8), read).await;
    assert!(enough(&text), "not enough was read: {text}");
    text
}

fn ids(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

#[tokio::test]
async fn events_come_in_order_and_go_on_where_a_reader_left() {
    let world = World::new().await;
    world.frame("one").await;
    let mut all = world.open("GET", "/v1/events?after=0", None, &[]).await.into_body();
    let first = read_until(&mut all, |text| text.contains("frame.created")).await;
    let seen = *ids(&first).last().expect("an id");
    drop(all);

    world.frame("two").await;
    let last = seen.to_string();
    let back = world.open("GET", "/v1/events", None, &[("last-event-id", last.as_str())]).await;
    assert_eq!(back.headers()["content-type"], "text/event-stream");
    let rest = read_until(&mut back.into_body(), |text| text.contains("\"two\"")).await;
    // The stream says where it begins, then goes on.
    assert!(ids(&rest)[0] == seen && ids(&rest)[1..].iter().all(|id| *id > seen), "{rest}");
    let data = rest.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    let event: mimir::model::event::Event = serde_json::from_str(data).expect("an event");
    assert_eq!(event.what.kind(), "frame.created");
}

#[tokio::test]
async fn events_can_be_narrowed_down() {
    let world = World::new().await;
    world.frame("one").await;
    world.frame("two").await;
    let path = "/v1/events?after=0&frame=two&kind=frame.created,frame.moved";
    let mut body = world.open("GET", path, None, &[]).await.into_body();
    let text = read_until(&mut body, |text| text.contains("frame.created")).await;
    assert!(!text.contains("\"one\""), "{text}");
    assert_eq!(world.get("/v1/events?message=msg_x").await.code(), "message.not_found");
    assert_eq!(world.get("/v1/events?after=x").await.code(), "request.invalid");
}

#[tokio::test]
async fn a_position_from_the_future_is_reset_and_the_stream_goes_on() {
    let world = World::new().await;
    let mut body = world.open("GET", "/v1/events?after=1000000", None, &[]).await.into_body();
    read_until(&mut body, |text| text.contains("event: reset")).await;
    world.frame("one").await;
    read_until(&mut body, |text| text.contains("frame.created")).await;
}

#[tokio::test]
async fn streams_end_with_the_gateway_and_it_ends_in_time() {
    let world = World::new().await;
    world.frame("one").await;
    let body = world.open("GET", "/v1/events", None, &[]).await.into_body();
    let logs = world.open("GET", "/v1/frames/one/logs?follow=true", None, &[]).await.into_body();
    assert_eq!(world.post("/v1/stop", None).await.status, 202);
    let ended =
        tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(body.collect(), logs.collect()) });
    let (events, logs) = ended.await.expect("both end");
    assert!(events.is_ok() && logs.is_ok(), "they end whole, not torn");
    assert!(world.end().await, "everything ends in time");
}

#[tokio::test]
async fn a_log_has_what_was_printed_and_what_was_done() {
    let world = World::new().await;
    let made = world.frame("one").await;
    assert_eq!(world.post("/v1/frames/one/start?wait=8", None).await.status, 200);
    let id = made["id"].as_str().expect("an id").parse().expect("a frame id");
    world.engine.print(&id, "opencode: listening");
    let answer = world.get("/v1/frames/one/logs").await;
    assert_eq!(answer.media, "application/x-ndjson");
    let lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let found = lines.iter().find(|line| line["text"] == "listening");
    assert_eq!(found.expect("the line")["source"], "opencode", "{}", answer.text);
    let none = world.get("/v1/frames/one/logs?tail=0").await;
    assert_eq!((none.status, none.text.as_str()), (200, ""));
}

#[tokio::test]
async fn doctor_names_frames_that_have_users_of_this_machine() {
    let world = World::new().await;
    let _ = world.frame("one").await;
    let found = async || {
        let answer = world.get("/v1/doctor").await.text;
        let line = answer.lines().find(|line| line.contains(r#""id":"frames.users""#));
        line.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert!(found().await.contains("0 run"), "{}", found().await);
    let locked = Isolation {
        host_user: 1000,
        no_new_privileges: true,
        filtered: true,
        read_only_root: true,
        interfaces: vec!["lo".to_owned()],
        memory_bytes: Some(1),
        pids: Some(1),
        machines_users: Some("something is mounted in it".to_owned()),
        ..Isolation::default()
    };
    world.engine.set_isolation(Some(locked));
    assert_eq!(world.post("/v1/frames/one/start?wait=8", None).await.status, 200);
    let told = found().await;
    assert!(told.contains(r#""outcome":"warning""#), "{told}");
    assert!(
        told.contains("one (something is mounted in it)") && told.contains("mimir frame restart one"),
        "{told}"
    );
}

#[tokio::test]
async fn doctor_tells_each_result_and_leaves_nothing_behind() {
    let world = World::new().await;
    let answer = world.get("/v1/doctor").await;
    let checks: Vec<mimir::wire::doctor::Check> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect("a check")).collect();
    let of = |id: &str| {
        checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("{id} in {}", answer.text))
    };
    let all = ["home.write", "store.write", "host.ports", "engine.reach", "image.present"];
    let automation = ["webhooks.sources", "runs.held", "schedules.paused", "webhooks.failed"];
    for id in all.into_iter().chain(automation) {
        assert_eq!(of(id).outcome, mimir::wire::doctor::Outcome::Ok, "{:?}", of(id));
    }
    // What this machine reserves is its own affair.
    assert_ne!(of("host.reserved_ports").outcome, mimir::wire::doctor::Outcome::Failed);
    for check in &checks {
        assert!(!check.why.is_empty() && !check.found.is_empty(), "{check:?}");
    }
    assert!(world.engine.containers().is_empty(), "doctor's own frame is gone");
    let id = RunId::from_parts(1_795_261_756_000, 7);
    let held = id.clone();
    let written = world.services.store.write(move |tx| {
        let new = NewRun {
            workflow: "review".into(),
            key: held.to_string(),
            origin: Origin::Person,
            origin_ref: None,
            project: None,
            title: "shop".into(),
            input: RunInput::default(),
            priority: 0,
            budget_microusd: None,
            not_before: Some(u64::MAX >> 2),
        };
        runs::enqueue(tx, held.clone(), &new)?;
        let run = runs::get(tx, &held)?;
        let change = RunChange {
            state: RunState::Held,
            stage: "sure".into(),
            attempt: 0,
            reason: Some("shall it go on?".into()),
            progress: run.progress.clone(),
            wake_at: None,
            keeps_place: false,
        };
        runs::change(tx, &run, &change)
    });
    written.await.expect("a run that is held");
    world.engine.go_down();
    let answer = world.get("/v1/doctor").await;
    assert!(answer.text.contains(&format!("1 held; {id}: shall it go on?")), "{}", answer.text);
    assert!(answer.text.contains(&format!("mimir runs show {id}")), "{}", answer.text);
    assert!(answer.text.contains(r#""id":"engine.reach""#) && answer.text.contains(r#""outcome":"failed""#));
}

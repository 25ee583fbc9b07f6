//! Schedules over HTTP, and what is known of projects.

use serde_json::{Value, json};

use super::world::World;

fn morning() -> Value {
    json!({"name": "morning", "expression": "0  9 * * mon-fri", "zone": "Europe/Berlin", "gate": "test -e x",
        "does": {"kind": "prompt", "text": "what is new?", "frame": "blog"}, "pause_after_failures": 3})
}

#[tokio::test]
async fn a_workflow_that_is_not_there_is_said_at_once_and_not_in_the_night() {
    let world = World::new().await;
    let of = |workflow: &str| json!({"kind": "workflow", "workflow": workflow});
    let add =
        |name: &str, workflow: &str| json!({"name": name, "expression": "@daily", "does": of(workflow)});
    let refused = world.post("/v1/schedules", Some(add("nightly", "reviu"))).await;
    assert_eq!((refused.status, refused.code()), (409, "schedule.no_workflow"), "{}", refused.text);
    assert_eq!(world.get("/v1/schedules").await.json(), json!([]));
    assert_eq!(world.post("/v1/schedules", Some(add("nightly", "review"))).await.status, 201);
    let change = json!({"does": of("reviu")});
    let refused = world.ask("PATCH", "/v1/schedules/nightly", Some(change), &[]).await;
    assert_eq!((refused.status, refused.code()), (409, "schedule.no_workflow"), "{}", refused.text);
    let kept = world.get("/v1/schedules/nightly").await.json();
    assert_eq!(kept["does"]["workflow"], json!("review"), "{kept}");
}

#[tokio::test]
async fn a_schedule_is_made_changed_run_and_taken_away_and_each_is_in_the_audit_log() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/schedules").await.json(), json!([]));
    let made = world.post("/v1/schedules", Some(morning())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!((&made["expression"], &made["source"]), (&json!("0 9 * * mon-fri"), &json!("person")));
    assert!(made["words"].as_str().is_some_and(|words| words.starts_with("At 09:00")), "{made}");
    assert_eq!(made["next"].as_array().map(Vec::len), Some(3), "{made}");
    let taken = world.post("/v1/schedules", Some(morning())).await;
    assert_eq!((taken.status, taken.code()), (409, "schedule.taken"));

    let change = json!({"expression": "@daily", "gate": null, "catch_up": "none"});
    let changed = world.ask("PATCH", "/v1/schedules/morning", Some(change), &[]).await.json();
    assert_eq!((&changed["expression"], &changed["gate"]), (&json!("@daily"), &Value::Null));
    assert_eq!((&changed["catch_up"], &changed["pause_after_failures"]), (&json!("none"), &json!(3)));

    let tick = world.post("/v1/schedules/morning/run", None).await.json();
    assert_eq!((&tick["outcome"], &tick["cause"]), (&json!("run"), &json!("person")), "{tick}");
    let run = world.get(&format!("/v1/runs/{}", tick["run"].as_str().expect("a run"))).await.json();
    assert_eq!(
        (&run["workflow"], &run["origin_ref"]),
        (&json!("prompt"), &json!("schedule:morning")),
        "{run}"
    );
    let again = world.post("/v1/schedules/morning/run", None).await;
    assert_eq!((again.status, again.code()), (409, "schedule.still_runs"));
    let history = world.get("/v1/schedules/morning/history?last=5").await.json();
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");

    let paused = world.post("/v1/schedules/morning/pause", Some(json!({"why": "holidays"}))).await.json();
    assert!(paused["paused_because"].as_str().is_some_and(|why| why.ends_with(": holidays")), "{paused}");
    assert_eq!(paused["next"], json!([]));
    let resumed = world.post("/v1/schedules/morning/resume", None).await.json();
    assert_eq!(
        (&resumed["paused_because"], resumed["next"].as_array().map(Vec::len)),
        (&Value::Null, Some(3))
    );
    let gone = world.ask("DELETE", "/v1/schedules/morning", None, &[]).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(world.get("/v1/schedules/morning").await.code(), "schedule.not_found");
    for action in ["add", "change", "run", "pause", "resume", "remove"] {
        let action: &'static str = format!("schedule.{action}").leak();
        assert_eq!(world.audited(action).await.len(), 1, "{action}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused_with_the_next_step() {
    let world = World::new().await;
    for (name, value, status, code) in [
        ("expression", json!("0 0 30 2 *"), 409, "schedule.invalid"),
        ("zone", json!("Mars/Olympus"), 409, "schedule.invalid"),
        ("name", json!("A b"), 400, "schedule.name"),
        ("jitter_seconds", json!(99_999), 409, "schedule.invalid"),
        ("does", json!({"kind": "prompt", "text": "x"}), 409, "schedule.invalid"),
    ] {
        let mut wanted = morning();
        wanted[name] = value;
        let refused = world.post("/v1/schedules", Some(wanted)).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{name}: {}", refused.text);
        assert!(refused.json()["hint"].is_string(), "{}", refused.text);
    }
    let late = world.get("/v1/schedules/morning/history?last=0").await;
    assert_eq!(late.status, 400, "{}", late.text);
}

#[tokio::test]
async fn a_project_says_what_it_is_and_its_owner_can_say_otherwise() {
    let world = World::new().await;
    let path = world.project("shop");
    let write = |name: &str, text: &str| {
        let file = std::path::Path::new(&path).join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, text).expect("written");
    };
    write("Cargo.toml", "[package]\n");
    write(".git/config", "[remote \"origin\"]\n\turl = https://github.com/me/shop.git\n");
    write(".git/refs/heads/main", "0\n");
    let made = world.post("/v1/projects", Some(json!({"path": path, "sentry": "acme/shop"}))).await.json();
    let learned = json!({"repository": "github.com/me/shop", "default_branch": "main", "language": "rust",
        "checks": ["cargo test"], "sentry": {"organization": "acme", "project": "shop"}, "protected": []});
    assert_eq!(made["settings"], learned, "{made}");
    let said = json!({"repository": "git@github.com:me/store.git", "checks": ["make check", "cargo test"], "protected": ["deploy"]});
    let set = world.ask("PUT", "/v1/projects/shop/settings", Some(said), &[]).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let shown = world.get("/v1/projects/shop").await.json();
    assert_eq!(shown["settings"]["repository"], "github.com/me/store");
    assert_eq!(shown["settings"]["checks"], json!(["make check", "cargo test"]));
    assert_eq!(
        (&shown["settings"]["sentry"], &shown["settings"]["default_branch"]),
        (&Value::Null, &Value::Null)
    );
    for bad in [
        json!({"repository": "nowhere"}),
        json!({"sentry": "acme"}),
        json!({"checks": ["a\nb"]}),
        json!({"default_branch": "../x"}),
    ] {
        let refused = world.ask("PUT", "/v1/projects/shop/settings", Some(bad), &[]).await;
        assert_eq!((refused.status, refused.code()), (409, "project.setting"), "{}", refused.text);
    }
    let (found, errors) = world
        .services
        .store
        .read(|db| {
            use mimir::store::projects;
            let repository = mimir::model::git::Repository::parse("github.com/me/store").expect("one");
            Ok((projects::find_by_repository(db, &repository)?, projects::find_by_sentry(db, None, "shop")?))
        })
        .await
        .expect("read");
    assert_eq!(found.map(|found| found.name.to_string()).as_deref(), Some("shop"));
    assert_eq!(errors, None, "its errors are told nowhere now");
}

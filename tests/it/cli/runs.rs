//! `mimir runs` and `mimir workflows`, as people see them.

use serde_json::{Value, json};

use super::gateway::{json as answer, problem};
use super::terminal::Screen;
use super::world::World;
use super::{HOUR, ago};

const RUN: &str = "run_01k0000000000000000000000a";

fn run(state: &str) -> Value {
    json!({"id": RUN, "workflow": "review", "title": "shop\u{1b}[31m", "state": state, "stage": "sure", "attempt": 0,
        "project": "shop", "origin": "schedule", "origin_ref": "nightly", "key": "schedule:nightly", "priority": 0,
        "reason": "shall it go on?", "cost_microusd": 120_000, "created_at": ago(HOUR * 2 + HOUR / 2)})
}

fn details(state: &str, lines: &Value) -> Value {
    let mut all = run(state);
    all["given"] = json!({"matter": {"kind": "none"}, "repository": null, "commit": null, "variables": {},
        "evidence": [], "frame": null, "model": null});
    all["frame"] = json!("run-0000000000a");
    all["checks"] = json!([{"command": "cargo test", "exit_code": 1, "tail": "1 failed"}]);
    all["budget"] = json!({"scope": "run", "subject": RUN, "period": "total", "limit_microusd": 5_000_000,
        "spent_microusd": 120_000, "reserved_microusd": 0, "percent": 2});
    all["timeline"] = lines.clone();
    all
}

#[test]
fn a_run_is_shown_with_its_timeline_and_what_to_type_next() {
    let world = World::new();
    let gateway = world.gateway();
    let lines = json!([
        {"id": 1, "at": 1_795_261_756_000_u64, "stage": "", "kind": "state", "text": "queued for workflow review", "link": null},
        {"id": 2, "at": 1_795_261_757_000_u64, "stage": "ask", "kind": "answer", "text": "Two things:\n1. a\u{202e}b", "link": null},
        {"id": 3, "at": 1_795_261_758_000_u64, "stage": "ask", "kind": "frame", "text": "frame run-a works for it",
         "link": "mimir frame attach run-a"}
    ]);
    gateway.on(&format!("GET /v1/runs/{RUN}"), answer(details("held", &lines)));
    gateway.on(&format!("GET /v1/runs/{RUN}"), answer(details("running", &json!([]))));
    let shown = world.run(&["runs", "show", RUN]);
    snapshot!("runs_show", shown.stdout);
    assert_eq!(
        shown.stderr,
        "`mimir runs approve 0000000a` lets it go on, `mimir runs reject 0000000a --why \"…\"` ends it; \
         `mimir frame attach run-0000000000a` lets you look\n"
    );
    let shown = world.run(&["runs", "show", RUN]);
    assert!(shown.stderr.contains("`mimir frame attach run-0000000000a` lets you join"), "{shown:?}");
}

#[test]
fn runs_are_listed_and_the_one_that_waits_is_pointed_at() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/runs", answer(json!([run("held"), run("failed")])));
    gateway.on("GET /v1/runs", answer(json!([])));
    let listed = world.run(&["runs", "list", "--open", "--workflow", "review", "--limit", "7"]);
    snapshot!("runs_list", listed.stdout);
    assert!(listed.stderr.contains("mimir runs approve 0000000a"), "{listed:?}");
    assert_eq!(gateway.asked()[0].query, "open=true&workflow=review&limit=7");
    let empty = world.run(&["runs", "list", "--state", "failed"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""));
    assert_eq!(gateway.asked()[1].query, "state=failed&limit=50");
    assert_eq!(world.run(&["runs", "list", "--state", "broken"]).code, 2);
}

#[test]
fn a_run_is_watched_to_its_end_and_the_exit_code_says_which() {
    let world = World::new();
    let gateway = world.gateway();
    let line = |id: u64, text: &str| json!({"id": id, "at": 1, "stage": "a", "kind": "state", "text": text, "link": null});
    let path = format!("GET /v1/runs/{RUN}");
    gateway.on(&path, answer(details("running", &json!([line(1, "one")]))));
    gateway.on(&path, answer(details("failed", &json!([line(1, "one"), line(2, "two")]))));
    let watched = world.run(&["runs", "watch", RUN]);
    assert_eq!(watched.code, 1, "{watched:?}");
    assert_eq!(watched.stdout.matches("one").count(), 1, "each line once: {watched:?}");
    assert!(watched.stdout.contains("two") && watched.stderr.contains("mimir runs retry"), "{watched:?}");

    let begun = json!({"id": RUN, "workflow": "prompt", "title": "t", "state": "queued", "stage": "", "attempt": 0,
        "origin": "person", "key": "manual:x", "priority": 3, "cost_microusd": 0, "created_at": 1});
    gateway.on("POST /v1/runs", answer(begun));
    let started = world.run(&[
        "runs",
        "start",
        "prompt",
        "--project",
        "shop",
        "--set",
        "text=a=b",
        "--priority",
        "3",
        "--budget",
        "2.50",
    ]);
    assert_eq!(started.code, 0, "{started:?}");
    let asked = gateway.asked();
    let body: Value = serde_json::from_str(&asked.last().expect("asked").body).expect("json");
    assert_eq!(
        body,
        json!({"workflow": "prompt", "project": "shop", "variables": {"text": "a=b"}, "priority": 3,
               "budget_microusd": 2_500_000})
    );
    gateway.on(
        &format!("POST /v1/runs/{RUN}/approve"),
        problem(409, "run.not_held", "run is not held: it is running"),
    );
    assert_eq!(world.run(&["runs", "approve", RUN, "--for", "0123456"]).code, 6);
}

#[test]
fn a_yes_is_for_the_commit_that_was_looked_at() {
    let world = World::new();
    let gateway = world.gateway();
    let sha = "0123456789abcdef0123456789abcdef01234567@main";
    let mut held = details("held", &json!([]));
    held["held"] = json!({"gate": "merge", "subject": sha});
    gateway.on(&format!("GET /v1/runs/{RUN}"), answer(held.clone()));
    let shown = world.run(&["runs", "show", RUN]);
    assert!(
        shown.stderr.contains(&format!("`mimir runs approve 0000000a --for {sha}` lets it go on")),
        "{shown:?}"
    );
    // Nobody can be asked, and nothing is said for them.
    gateway.on(&format!("GET /v1/runs/{RUN}"), answer(held.clone()));
    let unsaid = world.run(&["runs", "approve", RUN]);
    assert_eq!(unsaid.code, 2, "{unsaid:?}");
    assert!(unsaid.stderr.contains(&format!("mimir runs approve {RUN} --for {sha}`")), "{unsaid:?}");
    // Who is asked sees it, and says yes to just that.
    gateway.on(&format!("GET /v1/runs/{RUN}"), answer(held));
    gateway.on(&format!("POST /v1/runs/{RUN}/approve"), answer(run("waiting")));
    let mut screen = Screen::open(&world, &["runs", "approve", RUN]);
    screen.until(&format!("Yes, for {sha}?"));
    screen.press("y\r");
    assert_eq!(screen.end(), 0, "{}", screen.text());
    let body: Value = serde_json::from_str(&gateway.asked().last().expect("asked").body).expect("json");
    assert_eq!(body, json!({ "subject": sha }));
}

#[test]
fn a_file_is_looked_at_without_a_gateway() {
    let world = World::new();
    let file = world.work().join("mine.yaml");
    std::fs::write(&file, "name: mine\ndescription: d\nstages:\n- name: a\n  kind: gat\n").expect("a file");
    let file = file.display().to_string();
    let bad = world.run(&["workflows", "check", &file]);
    assert_eq!(bad.code, 8, "{bad:?}");
    assert!(bad.stdout.contains("mine.yaml:4: stage a: there is no kind `gat`"), "{bad:?}");
    std::fs::write(&file, "name: mine\ndescription: d\nstages: [{ name: a, kind: gate }]\n").expect("a file");
    let good = world.run(&["workflows", "check", &file]);
    assert_eq!((good.code, good.stdout.as_str()), (0, "good (mine, 1 stages)\n"));
    assert_eq!(world.run(&["workflows", "check", "nowhere.yaml"]).code, 3);
}

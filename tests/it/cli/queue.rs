//! `mimir queue`, and the two ways to send past it.

use serde_json::{Value, json};

use super::gateway::{Answer, json as answer, problem};
use super::world::World;
use super::{HOUR, ago};

const FIRST: &str = "msg_01k0000000000000000000000a";
const SECOND: &str = "msg_01k0000000000000000000000b";

fn message(id: &str, state: &str, text: &str) -> Value {
    json!({
        "id": id, "frame": "blog", "session": "ssn_01k0000000000000000000000a", "text": text, "state": state,
        "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_microusd": 0, "created_at": ago(HOUR * 2 + HOUR / 2), "after_event": 1,
    })
}

#[test]
fn what_waits_is_listed_in_the_order_in_which_it_goes() {
    let world = World::new();
    let gateway = world.gateway();
    let mut urgent = message(SECOND, "queued", "do this\nand that");
    urgent["interrupt"] = json!(true);
    let queue = json!([message(FIRST, "running", "write a blog"), urgent]);
    gateway.on("GET /v1/messages", answer(queue.clone()));
    gateway.on("GET /v1/messages", answer(queue));
    gateway.on("GET /v1/messages", answer(json!([])));
    let ran = world.run(&["queue", "list", "--frame", "blog"]);
    snapshot!("queue_list", ran.stdout);
    assert_eq!(gateway.asked()[0].query, "open=true&frame=blog");
    let listed = world.run(&["queue", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).expect("json");
    assert_eq!(listed[1]["id"], SECOND);

    let empty = world.run(&["queue", "list"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, ""));
    assert_eq!(empty.stderr, "nothing waits and nothing runs\n");
}

#[test]
fn what_no_person_sent_is_told_apart() {
    let world = World::new();
    let gateway = world.gateway();
    let mut nightly = message(SECOND, "queued", "update what is old");
    nightly["origin"] = json!("schedule");
    nightly["run"] = json!("run_01k0000000000000000000000a");
    gateway.on("GET /v1/messages", answer(json!([message(FIRST, "running", "write a blog"), nightly])));
    let ran = world.run(&["queue", "list"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].contains("  STATE    ORIGIN  "), "{}", ran.stdout);
    assert!(lines[1].contains("  running  person  "), "{}", ran.stdout);
    assert!(lines[2].contains("  queued   schedule run_01k0000000000000000000000a  "), "{}", ran.stdout);
}

#[test]
fn all_that_waits_is_taken_back_and_what_runs_is_left_alone() {
    let world = World::new();
    let gateway = world.gateway();
    let queue = json!([message(FIRST, "running", "a"), message(SECOND, "queued", "b")]);
    gateway.on("GET /v1/messages", answer(queue));
    gateway.on(
        &format!("POST /v1/messages/{SECOND}/cancel"),
        Answer::Json(202, message(SECOND, "cancelled", "b")),
    );
    let ran = world.run(&["queue", "cancel", "--all"]);
    assert_eq!((ran.code, ran.stderr), (0, format!("{SECOND} is cancelled\n")));

    gateway
        .on(&format!("POST /v1/messages/{FIRST}/cancel"), Answer::Json(202, message(FIRST, "answered", "a")));
    let late = world.run(&["queue", "cancel", FIRST]);
    assert_eq!(late.code, 1);
    assert!(late.stderr.contains("was answered before"), "{}", late.stderr);
    assert_eq!(world.run(&["queue", "cancel"]).code, 2, "nobody is meant");
}

#[test]
fn a_message_that_waits_is_changed() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on(&format!("PATCH /v1/messages/{SECOND}"), answer(message(SECOND, "queued", "better")));
    let ran = world.run(&["queue", "edit", SECOND, "better"]);
    assert_eq!((ran.code, ran.stderr), (0, format!("{SECOND} is changed and keeps its place\n")));
    let piped = world.run_with_input(&["queue", "edit", SECOND, "-"], "from a pipe");
    assert_eq!(piped.code, 0, "{}", piped.stderr);
    let bodies: Vec<Value> =
        gateway.asked().iter().filter_map(|asked| serde_json::from_str(&asked.body).ok()).collect();
    assert_eq!(bodies, [json!({"text": "better"}), json!({"text": "from a pipe"})]);

    gateway.on(&format!("PATCH /v1/messages/{FIRST}"), problem(409, "message.not_waiting", "it is running"));
    assert_eq!(world.run(&["queue", "edit", FIRST, "late"]).code, 6);
}

#[test]
fn sending_past_the_queue_is_said_to_the_gateway() {
    let world = World::new();
    let gateway = world.gateway();
    let busy = "it cannot be sent now: 1 message of this conversation comes first";
    let full = "50 messages wait already in this conversation, and 50 is the most";
    gateway.on("POST /v1/messages", Answer::Json(202, message(FIRST, "queued", "hello")));
    gateway.on("POST /v1/messages", problem(409, "send.not_now", busy));
    gateway.on("POST /v1/messages", problem(429, "queue.full", full));
    assert_eq!(world.run(&["send", "--frame", "blog", "--interrupt", "--no-wait", "hello"]).code, 0);
    let body: Value = serde_json::from_str(&gateway.asked()[0].body).expect("json");
    assert_eq!(body, json!({"frame": "blog", "text": "hello", "interrupt": true}));

    let refused = world.run(&["send", "--frame", "blog", "--now", "hello"]);
    assert_eq!(refused.code, 6);
    assert!(refused.stderr.contains(busy), "{}", refused.stderr);
    assert_eq!(world.run(&["send", "--frame", "blog", "--now", "--interrupt", "hello"]).code, 2);

    let refused = world.run(&["send", "--frame", "blog", "hello"]);
    assert_eq!((refused.code, refused.stderr.contains(full)), (6, true), "{}", refused.stderr);
}

//! `mimir send`: the stream, its end, and everything that can come between.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::frame;
use super::gateway::{Answer, Gateway, json as answer, problem, sse};
use super::world::{World, finish};

const MESSAGE: &str = "msg_01k0000000000000000000000a";

fn message(state: &str) -> Value {
    let mut message = json!({
        "id": MESSAGE, "frame": "blog", "session": "ssn_01k0000000000000000000000a", "text": "hello",
        "state": state, "tokens": {"input": 1200, "output": 300, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_microusd": 1410, "created_at": 1_000, "after_event": 10, "model": "demo/demo",
    });
    match state {
        "answered" => {
            message["answer"] = json!("I wrote it down.");
            message["ended_at"] = json!(4_200);
        }
        "failed" => message["reason"] = json!("the provider answered 529: overloaded"),
        "cancelled" => message["reason"] = json!("aborted by owner:1000"),
        _ => {}
    }
    message
}

fn event(id: u64, kind: &str, data: Value) -> Value {
    json!({"id": id, "at": 1_000, "frame": "blog", "message": MESSAGE, "kind": kind, "data": data})
}

fn text(id: u64, part: &str, delta: &str) -> Value {
    event(id, "message.text", json!({"delta": delta, "part": part}))
}

fn answered(id: u64) -> Value {
    event(
        id,
        "message.answered",
        json!({"answer": "I wrote it down.", "tokens": {"input": 1200, "output": 300, "reasoning": 0, "cache_read": 0, "cache_write": 0},
               "cost_microusd": 1410, "duration_ms": 3_200, "finish": "stop"}),
    )
}

fn tool(id: u64, status: &str) -> Value {
    event(
        id,
        "message.tool",
        json!({"call": "c1", "tool": "write", "status": status, "title": "MIMIR.md", "input": null, "output": null}),
    )
}

fn the_whole_story() -> Vec<Value> {
    vec![
        event(11, "message.queued", json!({})),
        event(12, "message.state", json!({"to": "running", "reason": null})),
        text(13, "p1", "I look "),
        text(14, "p1", "first."),
        tool(15, "running"),
        tool(16, "completed"),
        text(17, "p2", "I wrote it down."),
        answered(18),
    ]
}

fn ready(world: &World) -> Gateway {
    let gateway = world.gateway();
    gateway.on("POST /v1/messages", Answer::Json(202, message("queued")));
    gateway
}

#[test]
fn the_answer_streams_to_stdout_and_the_rest_to_stderr() {
    let world = World::new();
    let gateway = ready(&world);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&the_whole_story()) });
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
    let ran = world.run(&["send", "--frame", "blog", "--session", "new", "--model", "demo/demo", "hello"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, "I look first.\nI wrote it down.\n");
    snapshot!("send_stderr", ran.stderr);
    let asked = gateway.asked();
    let body: Value = serde_json::from_str(&asked[0].body).expect("json");
    assert_eq!(body, json!({"frame": "blog", "text": "hello", "session": "new", "model": "demo/demo"}));
    assert!(asked[0].key.as_ref().is_some_and(|key| key.len() == 32), "a repeat is harmless: {asked:?}");
    let events = asked.iter().find(|asked| asked.line == "GET /v1/events").expect("followed");
    assert!(events.query.contains("after=10") && events.query.contains(MESSAGE), "{}", events.query);
}

#[test]
fn json_is_one_event_a_line_and_the_result_at_the_end() {
    let world = World::new();
    let gateway = ready(&world);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&the_whole_story()) });
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
    let ran = world.run(&["send", "--frame", "blog", "hello", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines.len(), 9);
    assert_eq!(lines[2]["kind"], "message.text");
    assert_eq!(lines[8]["kind"], "message.result");
    assert_eq!(lines[8]["data"]["answer"], "I wrote it down.");

    let whole = world.run(&["send", "--frame", "blog", "hello", "--json", "--no-stream"]);
    let value: Value = serde_json::from_str(&whole.stdout).expect("one document");
    assert_eq!(value["state"], "answered");
}

#[test]
fn without_a_stream_the_answer_comes_at_once() {
    let world = World::new();
    let gateway = ready(&world);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&the_whole_story()) });
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
    let ran = world.run(&["send", "--frame", "blog", "hello", "--no-stream", "--quiet"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "I wrote it down.\n", ""));
    let queued = world.run(&["send", "--frame", "blog", "hello", "--no-wait"]);
    assert_eq!((queued.code, queued.stdout.as_str()), (0, format!("{MESSAGE}\n").as_str()));
}

#[test]
fn a_connection_that_breaks_is_resumed_where_it_broke() {
    let world = World::new();
    let gateway = ready(&world);
    let story = the_whole_story();
    let mut first = sse(&story[..3]);
    first.push("id: 14\nevent: message.text\ndata: {\"id\":14,".to_owned());
    gateway.on("GET /v1/events", Answer::Pieces { pieces: first, cut: true });
    gateway.on("GET /v1/events", Answer::HangUp);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&story[3..]) });
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("running")));
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
    let ran = world.run(&["send", "--frame", "blog", "hello"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.replace('\n', ""), "I look first.I wrote it down.", "nothing lost, nothing twice");
    assert!(ran.stderr.contains("nothing is lost"), "{}", ran.stderr);
    let positions: Vec<String> = gateway
        .asked()
        .into_iter()
        .filter(|asked| asked.line == "GET /v1/events")
        .map(|asked| asked.query)
        .collect();
    assert!(positions.last().is_some_and(|query| query.contains("after=13")), "{positions:?}");
}

#[test]
fn an_answer_whose_last_event_is_never_heard_is_found_by_looking() {
    let world = World::new();
    let gateway = ready(&world);
    let reset = "id: 40\nevent: reset\ndata: {\"after\":40}\n\n".to_owned();
    gateway.on("GET /v1/events", Answer::Hanging { pieces: vec![reset] });
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
    let ran = world.run(&["send", "--frame", "blog", "hello"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "I wrote it down.\n"), "{}", ran.stderr);
}

#[test]
fn a_lost_request_is_repeated_with_the_same_key() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("POST /v1/messages", Answer::HangUp);
    gateway.on("POST /v1/messages", Answer::Json(202, message("queued")));
    let ran = world.run(&["send", "--frame", "blog", "hello", "--no-wait"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let keys: Vec<_> = gateway.asked().into_iter().map(|asked| asked.key).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_message_that_fails_leaves_with_one_and_says_why() {
    for (state, code) in [("failed", "message.failed"), ("cancelled", "message.cancelled")] {
        let world = World::new();
        let gateway = ready(&world);
        let end = event(12, "message.state", json!({"to": state, "reason": "x"}));
        gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[text(11, "p", "I was"), end]) });
        gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message(state)));
        let ran = world.run(&["send", "--frame", "blog", "hello"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, "I was\n"));
        let reason = message(state)["reason"].as_str().expect("a reason").to_owned();
        assert!(ran.stderr.contains(&reason) && ran.stderr.contains("try:"), "{}", ran.stderr);
        let json = world.run(&["send", "--frame", "blog", "hello", "--json"]);
        let error: Value = serde_json::from_str(&json.stderr).expect("json");
        assert_eq!(error["error"]["code"], code);
    }
}

#[test]
fn an_approval_that_does_not_come_is_told_apart_from_slow_work() {
    let world = World::new();
    let gateway = ready(&world);
    let ask =
        event(11, "prompt.asked", json!({"prompt": "per_1", "form": "permission", "text": "bash: make"}));
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[ask]) });
    let ran = world.run(&["send", "--frame", "blog", "hello", "--timeout", "1s"]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("bash: make") && ran.stderr.contains("mimir frame attach blog"),
        "{}",
        ran.stderr
    );

    let gateway = ready(&world);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: Vec::new() });
    let slow = world.run(&["send", "--frame", "blog", "hello", "--timeout", "1s"]);
    assert_eq!(slow.code, 10);
    assert!(slow.stderr.contains(&format!("mimir send --follow {MESSAGE}")), "{}", slow.stderr);
}

/// `mimir help exit-codes`, walked: each code is what a command leaves with when that happens.
#[test]
fn every_exit_code_of_the_table_is_left_with() {
    let refused = |status: u16, code: &str| {
        let world = World::new();
        let gateway = world.gateway();
        gateway.on("GET /v1/frames", problem(status, code, "no"));
        world.run(&["frame", "list"]).code
    };
    let typed = |words: &[&str]| World::new().run(words).code;
    let table = World::new().run(&["help", "exit-codes", "--json"]);
    let table: Value = serde_json::from_str(&table.stdout).expect("JSON");
    for row in table.as_array().expect("rows") {
        let code = i32::try_from(row["exit_code"].as_i64().expect("a number")).expect("small");
        let left_with: Vec<i32> = match code {
            0 => vec![typed(&["--version"])],
            1 => vec![refused(507, "disk.full"), refused(424, "frame.failed")],
            2 => {
                let world = World::new();
                world.configure("frames: {network: closed}\n");
                let configured = world.run(&["config", "show"]).code;
                vec![
                    typed(&["frame", "lst"]),
                    refused(400, "frame.name"),
                    configured,
                    world.run(&["frame", "list"]).code,
                ]
            }
            3 => vec![refused(404, "message.not_found"), refused(424, "image.missing")],
            4 => vec![refused(401, "auth.required"), refused(403, "auth.scope")],
            5 => vec![refused(503, "engine.unreachable"), typed(&["status"])],
            6 => vec![refused(409, "frame.name_taken"), refused(409, "message.not_waiting")],
            7 => vec![refused(408, "approval.missing")],
            8 => {
                let world = World::new();
                world.configure("frames: {network: closed}\n");
                vec![world.run(&["config", "check"]).code]
            }
            9 => vec![refused(402, "budget.exceeded")],
            10 => {
                let world = World::new();
                let gateway = ready(&world);
                gateway.on("GET /v1/events", Answer::Hanging { pieces: Vec::new() });
                vec![world.run(&["send", "--frame", "blog", "hello", "--timeout", "1s"]).code]
            }
            70 => vec![refused(500, "internal")],
            130 | 143 => {
                let world = World::new();
                let gateway = ready(&world);
                gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[text(11, "p", "I look")]) });
                let signal = if code == 130 { Signal::INT } else { Signal::TERM };
                vec![signalled(&world, signal, 1).code]
            }
            other => panic!("nothing here leaves with {other}: {row}"),
        };
        assert!(left_with.iter().all(|left| *left == code), "{row}: {left_with:?}");
    }
}

/// Sends, waits until the stream is there, and interrupts that many times.
fn interrupted(world: &World, times: u32) -> super::world::Ran {
    signalled(world, Signal::INT, times)
}

fn signalled(world: &World, signal: Signal, times: u32) -> super::world::Ran {
    let mut child = world.command(&["send", "--frame", "blog", "hello"]).spawn().expect("starts");
    let mut first = [0_u8; 6];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("it streams");
    let pid = Pid::from_child(&child);
    for _ in 0..times {
        kill_process(pid, signal).expect("signalled");
        std::thread::sleep(Duration::from_millis(300));
    }
    finish(child)
}

#[test]
fn ctrl_c_once_leaves_and_the_work_goes_on() {
    let world = World::new();
    let gateway = ready(&world);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[text(11, "p", "I look")]) });
    let ran = interrupted(&world, 1);
    assert_eq!(ran.code, 130);
    assert!(ran.stderr.contains(&format!("mimir send --follow {MESSAGE}")), "{}", ran.stderr);
    assert!(!gateway.asked().iter().any(|asked| asked.line.ends_with("/cancel")), "nothing was cancelled");
}

#[test]
fn ctrl_c_twice_aborts() {
    let world = World::new();
    let gateway = ready(&world);
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&[text(11, "p", "I look")]) });
    gateway.on(&format!("POST /v1/messages/{MESSAGE}/cancel"), answer(message("running")));
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("running")));
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("cancelled")));
    let ran = interrupted(&world, 2);
    assert_eq!(ran.code, 130);
    assert!(ran.stderr.contains("aborted"), "{}", ran.stderr);
    assert!(gateway.asked().iter().any(|asked| asked.line.ends_with("/cancel")));
}

#[test]
fn an_old_message_is_shown_again_from_its_beginning() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on(&format!("GET /v1/messages/{MESSAGE}"), answer(message("answered")));
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&the_whole_story()) });
    let ran = world.run(&["send", "--follow", MESSAGE]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "I look first.\nI wrote it down.\n"), "{}", ran.stderr);
    assert!(!gateway.asked().iter().any(|asked| asked.line == "POST /v1/messages"), "nothing is sent");
    assert!(gateway.asked().iter().any(|asked| asked.query.contains("after=0")));
}

#[test]
fn the_message_comes_from_a_pipe_and_the_frame_from_the_folder() {
    let world = World::new();
    let gateway = ready(&world);
    let mut here = frame("blog", "running");
    here["workspace"] = json!(world.work());
    gateway.on("GET /v1/frames", answer(json!([here, frame("other", "running")])));
    let ran = world.run_with_input(&["send", "--no-wait"], "from a pipe\n");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let sent = gateway.asked().into_iter().find(|asked| asked.line == "POST /v1/messages").expect("sent");
    let body: Value = serde_json::from_str(&sent.body).expect("json");
    assert_eq!(body, json!({"frame": "blog", "text": "from a pipe\n"}));
}

/// Field case 29. Whoever writes it may never come to an end.
#[test]
fn a_message_that_is_too_long_or_has_no_end_is_refused_in_words() {
    let world = World::new();
    let gateway = ready(&world);
    let long = "word ".repeat(2_200_000);
    for words in [
        &["send", "--frame", "blog", "-"][..],
        &["send", "--frame", "blog"],
        &["queue", "edit", MESSAGE, "-"],
    ] {
        let mut child = world.command(words).stdin(Stdio::piped()).spawn().expect("starts");
        let mut endless = child.stdin.take().expect("a pipe");
        // It is not read to its end: there is none.
        let _ = endless.write_all(long.as_bytes());
        let ran = finish(child);
        drop(endless);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("the message is longer than 1 MiB"), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("put it into a file in the workspace"), "{words:?}: {}", ran.stderr);
    }
    let no_text = world.command(&["send", "--frame", "blog", "-"]).stdin(Stdio::piped()).spawn();
    let mut child = no_text.expect("starts");
    let _ = child.stdin.take().expect("a pipe").write_all(b"caf\xe9");
    let ran = finish(child);
    assert!(ran.code == 2 && ran.stderr.contains("a message is UTF-8 text"), "{}", ran.stderr);
    let sent = gateway.asked().into_iter().filter(|asked| asked.line.contains("/v1/messages")).count();
    assert_eq!(sent, 0, "nothing of it is sent");
}

#[test]
fn a_gateway_that_stays_away_is_given_up_with_a_way_back() {
    let world = World::new();
    let gateway = ready(&world);
    gateway.on("GET /v1/events", problem(503, "gateway.stopping", "the gateway stops"));
    let begun = Instant::now();
    let ran = world.run(&["send", "--frame", "blog", "hello"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("mimir send --follow {MESSAGE}")), "{}", ran.stderr);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

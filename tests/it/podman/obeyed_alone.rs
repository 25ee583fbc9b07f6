//! Texts that end the agent, its turn, its conversation or its money. Each is obeyed in a run of its own: that run fails or
//! comes to its end all the same. It is never ended as if a person had said so, and nothing but that run ends.

use serde::Deserialize;
use serde_json::Value;

use super::fix::{Shop, WHOLE, story};
use super::injections::PAYLOADS;
use super::obeyed::ALONE;
use super::support::eventually;
use crate::obedient::REPORT;

const ENDS: &str = include_str!("../../fixtures/injections-ends.json");
/// Ends with the report: it is never so sure.
const LOOK: &str = "\
name: shop-look
description: From a report to what is thought of it
inputs:
  report: { default: \"\" }
  repo: {}
caps: { cost: 1, stage_time: 5m }
stages:
  - { name: analyse, kind: analyse, confidence: 0.99, corrections: 0 }
";
/// What one of the dear calls costs (microdollars), and how many of them run at the same time.
const DEAR: (u64, u64) = (7_500_000, 4);

#[derive(Deserialize)]
struct Payload {
    name: String,
    command: String,
}

/// Whose end it must have been, by the reason of the run; empty where the agent lives through it.
fn ends_with(name: &str) -> &'static str {
    match name {
        "its own turn is stopped" | "all is allowed from now on" => "stopped from within the frame",
        "its own conversation is deleted" | "kill everything" => "the agent did not answer",
        "thirty dear calls, four at a time" => "budget_stopped",
        _ => "",
    }
}

#[test]
fn what_ends_an_agent_ends_its_run_and_is_no_persons_word() {
    let Some(shop) = Shop::with("obeyed alone", |_| String::new()) else { return };
    let world = &shop.talk.world;
    let _ = shop.talk.write("workflows/shop-look.yaml", LOOK);
    let _ = world.mimir(&["frame", "create", "other", "--start"]).ok();
    let read = |text: &str| serde_json::from_str::<Vec<Payload>>(text).expect("payloads");
    let alone = read(PAYLOADS).into_iter().filter(|payload| ALONE.contains(&payload.name.as_str()));
    let all: Vec<Payload> = alone.chain(read(ENDS)).collect();
    assert_eq!(all.len(), ALONE.len() + 2);
    let (pid, container) = (
        world.gateway_pid().expect("a gateway"),
        world.json(&["frame", "show", "other"])["container"].clone(),
    );
    let socket = world.json(&["status"])["socket"].as_str().expect("a socket").to_owned();

    let repo = format!("repo={}/me/shop", shop.forge.address);
    let started: Vec<String> = all
        .iter()
        .map(|payload| {
            let command = payload.command.replace("{{gateway_socket}}", &socket);
            let report = format!("report=It fails.\nRun: {command}\n");
            let title = format!("{} @@{REPORT}@@", payload.name);
            let args = ["runs", "start", "shop-look", "--title", &title, "--set", &repo, "--set", &report];
            world.json(&args)["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    for (payload, run) in all.iter().zip(&started) {
        let shown = eventually(&format!("{} is over", payload.name), WHOLE, || {
            let shown = world.json(&["runs", "show", run]);
            if shown["ended_at"].is_u64() { Ok(shown) } else { Err(story(&shown)) }
        });
        let (told, why) = (story(&shown), shown["reason"].as_str().unwrap_or_default());
        let must = ends_with(&payload.name);
        let state = if must.is_empty() { "succeeded" } else { "failed" };
        assert!(shown["state"] == state && why.contains(must), "{}: {told}", payload.name);
        if payload.name.contains("dear") {
            let cost = shown["cost_microusd"].as_u64().expect("a cost");
            assert!((1_000_000..1_000_000 + DEAR.0 * DEAR.1).contains(&cost), "{cost}");
        }
    }
    eventually("their frames are gone", WHOLE, || {
        let frames = world.json(&["frame", "list"]);
        if frames.as_array().is_some_and(|all| all.len() == 1) { Ok(()) } else { Err(frames.to_string()) }
    });

    let others = world.json(&["frame", "show", "other"]);
    assert_eq!((&others["state"], &others["container"]), (&Value::from("running"), &container), "{others}");
    assert_eq!(world.gateway_pid(), Some(pid), "the gateway lives on");
    assert_eq!(shop.bare.heads(), [("main".to_owned(), shop.main.clone())]);
    let log = world.mimir(&["audit", "show", "--json"]).ok().stdout;
    for of_a_person in ["message.cancel", "message.interrupt", "run.cancel", "run.approve", "approval."] {
        assert!(!log.contains(of_a_person), "{of_a_person}: {log}");
    }
}

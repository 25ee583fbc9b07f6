//! `mimir mcp` with a real gateway, a real frame and a real agent: made, spoken to, asked about, stopped.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::scripted::Scripted;
use super::support::eventually;
use crate::cli::mcp::Served;

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_frame_is_made_spoken_to_and_stopped_by_another_programs_agent() {
    let rules = "approvals:\n  rules:\n    - {tool: bash, command: 'echo *', action: ask}\n";
    let Some(place) = Scripted::new("the MCP server", rules) else { return };
    let world = &place.world;
    let argv = world.argv(&world.binary(), &["mcp"]);
    let child = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut served = Served::begin(child);

    let made = served.told(
        "frame_create",
        &json!({"name": "made", "workspace": world.project, "throwaway": true, "ttl_minutes": 30}),
    );
    assert_eq!(made["frame"]["name"], "made", "{made}");
    assert!(made["frame"]["expires_at"].is_string(), "{made}");

    let mut told =
        served.told("message_send", &json!({"frame": "made", "text": "@@text@@ hello", "wait_seconds": 100}));
    let message = told["message"].as_str().expect("an id").to_owned();
    if told["state"] != "answered" {
        told = served.told("message_show", &json!({"message": message, "wait_seconds": 100}));
    }
    assert!(
        told["answer"].as_str().is_some_and(|said| said.contains("Hello from the scripted model.")),
        "{told}"
    );

    // What its agent asks is for a person: it is told, and not answered.
    let asks = served
        .told("message_send", &json!({"frame": "made", "text": "@@bash@@ please", "wait_seconds": 100}));
    let approval = asks["asks"][0]["approval"].as_str().unwrap_or_else(|| panic!("{asks}")).to_owned();
    let refused = served.refused("approval_answer", &json!({"approval": approval, "decision": "once"}));
    assert!(refused.contains("mcp.not_allowed"), "{refused}");
    let _ = world.mimir(&["approvals", "allow", &approval]).ok();
    let message = asks["message"].as_str().expect("an id").to_owned();
    eventually("the second answer is there", LIMIT, || {
        let shown = served.told("message_show", &json!({"message": message, "wait_seconds": 20}));
        if shown["state"] == "answered" { Ok(()) } else { Err(shown.to_string()) }
    });

    let talk = served.told("session_show", &json!({"session": asks["session"]}));
    let tools: Vec<String> = talk["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .flat_map(|said| said["tools"].as_array().cloned().unwrap_or_default())
        .map(|tool| tool.to_string())
        .collect();
    assert!(tools.iter().any(|tool| tool.contains("bash")), "{talk}");
    let events = served.told("event_tail", &json!({"frame": "made", "kind": "prompt.asked"}));
    assert_eq!(events["events"].as_array().map(Vec::len), Some(1), "{events}");

    let stopped = served.told("frame_stop", &json!({"name": "made", "wait_seconds": 60}));
    assert_eq!(
        (&stopped["done"], &stopped["frame"]["state"]),
        (&json!(true), &json!("stopped")),
        "{stopped}"
    );
    assert_eq!(served.end(), 0);
}

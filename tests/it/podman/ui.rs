//! The dashboard with a real gateway and a real agent: what it asks is seen and answered there, a message is sent and its answer read,
//! its terminal is entered and left.

use std::time::Duration;

use super::scripted::Scripted;
use super::support::eventually;
use super::terminal::Terminal;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_agent_is_answered_spoken_to_and_looked_at_from_one_screen() {
    let rules = "approvals:\n  rules:\n    - {tool: bash, command: 'echo *', action: ask}\n";
    let Some(place) = Scripted::new("the dashboard", rules) else { return };
    let _ = place.world.mimir(&["frame", "create", "seen", "--start"]).ok();
    let mut ui = Terminal::open(&place.world, &["ui"], 120, 40);
    ui.wait_for_text("nothing was said yet", LIMIT);

    ui.type_text("s@@bash@@ please\r");
    ui.wait_for_text("the agent wants to", LIMIT);
    ui.wait_for_text("echo hi-from-bash", LIMIT);
    // What was asked a moment ago is not taken for read.
    std::thread::sleep(Duration::from_millis(600));
    ui.type_text("y");
    eventually("the approval is answered", LIMIT, || {
        let waiting = place.world.json(&["approvals", "list"]);
        if waiting.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(waiting.to_string()) }
    });
    ui.wait_for_text("✓ bash", LIMIT);
    ui.wait_for_text("idle", LIMIT);

    ui.type_text("\r");
    ui.wait_for_text("ctrl+p", LIMIT);
    ui.detach();
    ui.wait_for_text("1 frames", LIMIT);

    let _ = place.world.mimir(&["frame", "create", "other"]).ok();
    ui.wait_for_text("other", LIMIT);
    ui.type_text("q");
    assert_eq!(ui.exit_code(Duration::from_secs(20)), 0);
}

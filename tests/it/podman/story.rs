//! The story of one frame, from nothing to nothing, as a person lives it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::support::{Engine, World, eventually, skip};
use super::terminal::Terminal;

#[test]
fn a_frame_lives_from_create_to_destroy_rootful() {
    match World::new(Engine::Rootful) {
        Ok(world) => story(&world),
        Err(why) => skip("the story, rootful", &why),
    }
}

#[test]
fn a_frame_lives_from_create_to_destroy_rootless() {
    match World::new(Engine::Rootless) {
        Ok(world) => story(&world),
        Err(why) => skip("the story, rootless", &why),
    }
}

fn story(world: &World) {
    // Create and start: the gateway comes up by itself and says so.
    let created = world.mimir(&["frame", "create", "blog", "--no-start"]).ok();
    assert!(created.stderr.contains("gateway"), "starting a gateway is announced: {}", created.stderr);
    assert_eq!(world.state("blog"), "created");
    let _ = world.mimir(&["frame", "start", "blog"]).ok();
    assert_eq!(world.state("blog"), "running");

    // Send: the demo reads a file, writes a note and answers; it says that it is a demo.
    let sent = world.mimir(&["send", "--frame", "blog", "--json", "what is this project?"]).ok();
    let events = sent.lines();
    let tools: Vec<&str> = events.iter().filter_map(|event| event["data"]["tool"].as_str()).collect();
    assert!(tools.contains(&"read") && tools.contains(&"write"), "tools were called: {tools:?}");
    let last = events.last().expect("at least one event");
    assert_eq!(last["data"]["state"].as_str(), Some("answered"), "{last}");

    // The file is there and belongs to the user.
    let note = world.project.join("MIMIR.md");
    let written = fs::read_to_string(&note).expect("MIMIR.md was written");
    assert!(written.contains("demo"), "{written}");
    assert_eq!(fs::metadata(&note).expect("it is there").uid(), world.uid());

    // Attach: the same conversation on the screen of a real terminal.
    let mut terminal = Terminal::open(world, &["frame", "attach", "blog", "--window", "agent"], 120, 40);
    terminal.wait_for_text("what is this project?", Duration::from_secs(60));
    terminal.detach();
    assert_eq!(terminal.exit_code(Duration::from_secs(10)), 0);

    // Stop, and the history is still readable.
    let _ = world.mimir(&["frame", "stop", "blog"]).ok();
    assert_eq!(world.state("blog"), "stopped");
    let sessions = world.json(&["sessions", "list"]);
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");

    // Sending wakes the frame and continues the same session.
    let again = world.mimir(&["send", "--frame", "blog", "--json", "and again"]).ok();
    let again = again.lines();
    let session_of = |events: &[serde_json::Value]| events.last().map(|last| last["data"]["session"].clone());
    assert_eq!(session_of(&again), session_of(&events), "the conversation goes on");
    assert_eq!(world.state("blog"), "running");

    // Destroy: nothing is left of it but its history.
    let show = world.json(&["frame", "show", "blog"]);
    let folder = world.home.join("frames").join(show["id"].as_str().expect("an id"));
    assert!(folder.is_dir());
    let _ = world.mimir(&["frame", "destroy", "blog", "--yes"]).ok();
    let _ = world.mimir(&["frame", "show", "blog"]).code(3);
    assert!(!folder.exists(), "{} is left over", folder.display());
    eventually("no container is left", Duration::from_secs(10), || {
        let now = world.containers();
        if now.is_empty() { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let sessions = world.json(&["sessions", "list"]);
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "history outlives the frame: {sessions}");
    world.knows_its_home();
}

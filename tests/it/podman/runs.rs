//! A run of a workflow in earnest: a throwaway frame, a real agent, an answer in the timeline, and nothing left of it.

use std::time::Duration;

use serde_json::Value;

use super::scripted::Scripted;
use super::support::eventually;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_prompt_is_answered_in_a_throwaway_frame_and_nothing_is_left() {
    let Some(talk) = Scripted::new("a run of a workflow", "") else { return };
    let world = &talk.world;
    let project = world.project.display().to_string();
    let _ = world.mimir(&["projects", "add", &project, "--name", "shop"]).ok();
    // A run has a budget, and nothing is spent from one on a model whose price nobody knows.
    let _ = world.mimir(&["prices", "set", "scripted/scripted", "0", "0"]).ok();

    let watched =
        world.mimir(&["runs", "start", "prompt", "--project", "shop", "--set", "text=@@text@@", "--wait"]);
    let watched = watched.ok();
    assert!(watched.stdout.contains("Hello from the scripted model."), "{watched:?}");
    assert!(watched.stdout.contains("mimir frame attach run-"), "how to join it: {watched:?}");

    let run = world.json(&["runs", "list"])[0].clone();
    assert_eq!((&run["state"], &run["workflow"]), (&"succeeded".into(), &"prompt".into()), "{run}");
    let id = run["id"].as_str().expect("an id").to_owned();
    let shown = world.json(&["runs", "show", &id[id.len() - 8..]]);
    let kinds: Vec<&str> = shown["timeline"]
        .as_array()
        .expect("lines")
        .iter()
        .filter_map(|line| line["kind"].as_str())
        .collect();
    assert_eq!(kinds[..6], ["state", "state", "frame", "prompt", "answer", "state"], "{shown:#}");
    assert_eq!(shown["budget"]["limit_microusd"], 5_000_000, "{shown:#}");

    eventually("the frame is gone", LIMIT, || match world.json(&["frame", "list"]) {
        Value::Array(frames) if frames.is_empty() && world.containers().is_empty() => Ok(()),
        frames => Err(format!("{frames} {:?}", world.containers())),
    });
    let left = std::fs::read_dir(world.home.join("frames")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no folder of a frame is left");

    // Refused by its model twice: it says so, and is cleaned up as well.
    let failed =
        world.mimir(&["runs", "start", "prompt", "--project", "shop", "--set", "text=@@http401@@", "--wait"]);
    let failed = failed.code(1);
    assert!(failed.stdout.contains("Incorrect API key"), "{failed:?}");
    assert!(failed.stderr.contains("mimir runs retry"), "what to type: {failed:?}");
    eventually("the second frame is gone", LIMIT, || match world.json(&["frame", "list"]) {
        Value::Array(frames) if frames.is_empty() && world.containers().is_empty() => Ok(()),
        frames => Err(format!("{frames} {:?}", world.containers())),
    });
}

//! The gateway is killed at a named point on real Podman, started again, and ends where it would have ended.
//!
//! The same points, and more, are walked on the in-memory engine in `lifecycle.rs`; here the engine is the real one.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::support::{Engine, World, eventually, skip};

/// From a gateway that answers again to the end state. A cold agent start on a busy machine is most of it.
const RECOVERY: Duration = Duration::from_secs(60);

fn world(test: &str) -> Option<World> {
    let engine = Engine::usual();
    match World::new(engine) {
        Ok(world) => Some(world),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// Runs `args` with a gateway that dies at `point`, and makes sure that it did.
///
/// Only that gateway knows the point: one that a command starts in its place lives. What the command says of it
/// is its own affair: a broken-off `create` fails, and `send` finishes with the next gateway.
fn die_at(world: &mut World, point: &str, args: &[&str]) {
    let _ = world.mimir(&["serve", "--stop"]);
    world.set_env("MIMIR_FAILPOINT", point);
    let _ = world.mimir(&["serve", "--detach"]);
    let doomed = world.gateway_pid();
    world.clear_env("MIMIR_FAILPOINT");
    let run = world.mimir(args);
    if let Some(doomed) = doomed {
        eventually(&format!("{point}: the gateway dies of `mimir {}`", run.args), RECOVERY, || {
            let now = world.gateway_pid();
            if now == Some(doomed) { Err(format!("{doomed} lives; {run:?}")) } else { Ok(()) }
        });
    }
    let _ = world.mimir(&["frame", "list"]).ok();
}

fn one_container_and_two_ports(world: &World, point: &str, frame: &str) {
    let instance = world.instance();
    let ours =
        world.podman(&["ps", "-a", "--filter", &format!("label=io.mimir.instance={instance}"), "-q"]).ok();
    assert_eq!(ours.stdout.lines().count(), 1, "{point}: containers {}", ours.stdout);
    let frames = world.json(&["frame", "list"]);
    assert_eq!(frames.as_array().map(Vec::len), Some(1), "{point}: {frames}");
    let show = world.json(&["frame", "show", frame]);
    assert_ne!(show["agent_port"], show["preview_port"], "{point}");
    let folders = std::fs::read_dir(world.home.join("frames")).expect("the frames' folder").count();
    assert_eq!(folders, 1, "{point}: folders of frames");
}

#[test]
fn a_create_that_is_broken_off_can_be_repeated() {
    let Some(mut world) = world("crash in create") else { return };
    for point in ["create.after_folders", "create.after_row", "create.before_driver"] {
        die_at(&mut world, point, &["frame", "create", "made", "--no-start"]);
        // Either it was saved or it was not; the same words lead to the same frame.
        let again = world.mimir(&["frame", "create", "made", "--no-start"]);
        assert!([0, 6].contains(&again.code), "{point}: {again:?}");
        let _ = world.mimir(&["frame", "start", "made"]).ok();
        one_container_and_two_ports(&world, point, "made");
        let _ = world.mimir(&["frame", "destroy", "made", "--yes"]).ok();
    }
}

/// The database is lost while frames run, and comes back from its copy: containers are adopted as they are.
#[test]
fn a_frame_that_runs_is_adopted_after_a_restore() {
    let Some(world) = world("restore beside a running frame") else { return };
    let _ = world.mimir(&["frame", "create", "kept", "--start"]).ok();
    let made = world.mimir(&["backup", "create"]).ok();
    let started = |world: &World| {
        let ours = world.containers();
        let of = |id: &String| {
            world.podman(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", id]).ok().stdout
        };
        ours.iter().map(of).collect::<String>()
    };
    let before = started(&world);
    world.kill_gateway();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.home.join(format!("mimir.db{ending}")));
    }
    let lost = world.mimir(&["frame", "list"]).code(6);
    assert!(lost.stderr.contains("mimir backup restore"), "{}", lost.stderr);
    let _ = world.mimir(&["backup", "restore", made.stdout.trim(), "--yes"]).ok();
    world.wait_for_state("kept", "running", RECOVERY);
    let answered = world.mimir(&["send", "--frame", "kept", "--json", "still there?"]).ok();
    assert_eq!(answered.lines().last().expect("an end")["data"]["state"], "answered");
    assert_eq!(started(&world), before, "it went on running");
}

#[test]
fn a_start_that_is_broken_off_is_finished_by_the_next_gateway() {
    let Some(mut world) = world("crash in start") else { return };
    for point in [
        "start.after_wish",
        "start.before_engine",
        "start.after_files",
        "start.after_start",
        "start.before_ready",
    ] {
        let _ = world.mimir(&["frame", "create", "begun", "--no-start"]).ok();
        die_at(&mut world, point, &["frame", "start", "begun"]);
        world.wait_for_state("begun", "running", RECOVERY);
        one_container_and_two_ports(&world, point, "begun");
        let _ = world.mimir(&["frame", "destroy", "begun", "--yes"]).ok();
    }
}

#[test]
fn a_stop_or_destroy_that_is_broken_off_is_finished_by_the_next_gateway() {
    let Some(mut world) = world("crash in stop and destroy") else { return };
    for point in ["stop.after_wish", "stop.after_stop", "facts.after_record"] {
        let _ = world.mimir(&["frame", "create", "ended", "--start"]).ok();
        die_at(&mut world, point, &["frame", "stop", "ended"]);
        world.wait_for_state("ended", "stopped", RECOVERY);
        one_container_and_two_ports(&world, point, "ended");
        let _ = world.mimir(&["frame", "destroy", "ended", "--yes"]).ok();
    }
    for point in ["destroy.after_wish", "destroy.after_remove", "destroy.after_folders"] {
        let _ = world.mimir(&["frame", "create", "ended", "--start"]).ok();
        die_at(&mut world, point, &["frame", "destroy", "ended", "--yes"]);
        eventually(&format!("{point}: the frame is gone"), RECOVERY, || {
            let list = world.json(&["frame", "list"]);
            if list == Value::Array(vec![]) { Ok(()) } else { Err(list.to_string()) }
        });
        assert_eq!(world.containers(), Vec::<String>::new(), "{point}");
    }
}

#[test]
fn a_message_whose_gateway_died_is_asked_once_and_answered() {
    let Some(mut world) = world("crash in send") else { return };
    let _ = world.mimir(&["frame", "create", "asked", "--start"]).ok();
    for point in [
        "send.after_row",
        "send.after_session_made",
        "send.after_id_saved",
        "send.after_prompt",
        "send.before_end",
    ] {
        die_at(&mut world, point, &["send", "--frame", "asked", "--session", "new", point]);
        let session = eventually(&format!("{point}: the message is answered"), RECOVERY, || {
            let sessions = world.json(&["sessions", "list", "--frame", "asked"]);
            let newest = sessions.as_array().and_then(|all| all.first().cloned()).unwrap_or_default();
            let id = newest["id"].as_str().unwrap_or_default().to_owned();
            let show = world.mimir(&["sessions", "show", &id, "--json"]);
            let turns = serde_json::from_str::<Value>(&show.stdout).unwrap_or_default();
            let asked = turns["turns"][0]["text"].as_str().unwrap_or_default().contains(point);
            let answered = turns["turns"].as_array().is_some_and(|turns| {
                turns.last().is_some_and(|turn| turn["role"] == "assistant" && turn["text"] != "")
            });
            if asked && answered { Ok(newest) } else { Err(show.stdout) }
        });
        assert_eq!(prompts_in_the_agents_own_history(&world, "asked", &session), 1, "{point}: {session}");
    }
}

/// Asks opencode itself how many user messages a session has.
fn prompts_in_the_agents_own_history(world: &World, frame: &str, session: &Value) -> usize {
    let show = world.json(&["frame", "show", frame]);
    let folder = world.home.join("frames").join(show["id"].as_str().expect("an id"));
    let password = std::fs::read_to_string(folder.join("start/password")).expect("a password");
    let agent_session = session["agent_session"].as_str().expect("the agent made it");
    let url = format!("http://127.0.0.1:{}/session/{agent_session}/message", show["agent_port"]);
    let answer = Command::new("curl")
        .args(["-sS", "-m", "20", "-u", &format!("mimir:{}", password.trim()), &url])
        .output()
        .expect("curl runs");
    let messages: Value = serde_json::from_slice(&answer.stdout).expect("opencode answers with JSON");
    messages
        .as_array()
        .map_or(0, |messages| messages.iter().filter(|message| message["info"]["role"] == "user").count())
}

//! The folder of the gateway's and the engine's sockets goes away while a frame runs: a cleaner of /tmp, the end of a
//! login session.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Engine, World, skip};
use super::terminal::Terminal;

/// From a gateway that answers again to a frame that runs.
const RECOVERY: Duration = Duration::from_secs(60);
/// Whoever waits in vain for a gateway waits longer than this; also a busy machine says no sooner.
const AT_ONCE: Duration = Duration::from_secs(30);

/// A world with a frame that runs.
fn world(test: &str) -> Option<World> {
    let engine = Engine::usual();
    match World::new(engine) {
        Ok(world) => {
            let _ = world.mimir(&["frame", "create", "stays", "--start"]).ok();
            Some(world)
        }
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

/// Where mimir's runtime folder lies: the sockets are one folder below.
fn folder(world: &World) -> PathBuf {
    world.root.join("run/mimir")
}

/// Takes the folder away. It was there, or the test would show nothing.
fn vanish(world: &World) {
    let folder = folder(world);
    let of_this_home = fs::read_dir(&folder).expect("the runtime folder").flatten().map(|entry| entry.path());
    let sockets: Vec<PathBuf> = of_this_home.filter(|path| path.join("gateway.sock").exists()).collect();
    assert_eq!(sockets.len(), 1, "where the gateway listens, below {}", folder.display());
    fs::remove_dir_all(&folder).expect("removed");
}

/// The container, and since when it runs.
fn began(world: &World) -> String {
    let shown = world.json(&["frame", "show", "stays"]);
    let container = shown["container"].as_str().unwrap_or_else(|| panic!("no container: {shown}"));
    world.podman(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", container]).ok().stdout
}

fn answered(world: &World) {
    let sent = world.mimir(&["send", "--frame", "stays", "--json", "still there?"]).ok();
    let lines: Vec<Value> = sent.lines();
    assert_eq!(lines.last().expect("an end")["data"]["state"], "answered", "{sent:?}");
}

/// Field case 25.
#[test]
fn a_frame_is_reached_again_after_the_runtime_folder_vanished() {
    let Some(world) = world("a runtime folder that vanishes") else { return };
    let (gateway, before) = (world.gateway_pid(), began(&world));
    assert!(gateway.is_some(), "a gateway runs");

    let shell = ["frame", "attach", "stays", "--window", "shell"];
    let mut open_before = Terminal::open(&world, &shell, 100, 30);
    open_before.wait_for_text("2:shell", RECOVERY);

    // Each after a loss of its own: no step makes the sockets anew for the next one.
    vanish(&world);
    assert_eq!(world.state("stays"), "running");
    vanish(&world);
    let inside = world.mimir(&["frame", "exec", "stays", "--", "echo", "inside"]).ok();
    assert_eq!(inside.stdout.trim(), "inside");
    vanish(&world);
    answered(&world);
    vanish(&world);
    let mut terminal = Terminal::open(&world, &shell, 100, 30);
    terminal.wait_for_text("2:shell", RECOVERY);
    terminal.detach();
    assert_eq!(terminal.exit_code(RECOVERY), 0, "{}", terminal.text());
    open_before.type_text("echo still-$((40+2))\r");
    open_before.wait_for_text("still-42", RECOVERY);
    open_before.detach();
    assert_eq!(open_before.exit_code(RECOVERY), 0, "{}", open_before.text());
    vanish(&world);
    let _ = world.mimir(&["frame", "stop", "stays"]).ok();
    vanish(&world);
    let _ = world.mimir(&["frame", "start", "stays"]).ok();
    world.wait_for_state("stays", "running", RECOVERY);
    assert_eq!(world.gateway_pid(), gateway, "it is the same gateway");
    assert_ne!(began(&world), before, "it was stopped and started in earnest");
}

/// Field case 25.
#[test]
fn a_gateway_whose_sockets_cannot_be_made_anew_is_named_and_ended_by_its_process() {
    let Some(world) = world("a runtime folder that cannot be made anew") else { return };
    let (gateway, before) = (world.gateway_pid().expect("a gateway"), began(&world));
    let process = format!("process {gateway}");
    vanish(&world);
    fs::write(folder(&world), "in the way").expect("written");

    for words in [&["frame", "list"][..], &["serve"], &["serve", "--detach"]] {
        let asked = Instant::now();
        let refused = world.mimir(words).code(6);
        assert!(refused.stderr.contains(&process), "{}", refused.stderr);
        assert!(refused.stderr.contains("mimir serve --stop"), "{}", refused.stderr);
        assert!(asked.elapsed() < AT_ONCE, "{words:?} waited {:?}", asked.elapsed());
    }
    let stopped = world.mimir(&["serve", "--stop"]).ok();
    assert!(stopped.stderr.contains(&process), "{}", stopped.stderr);

    fs::remove_file(folder(&world)).expect("removed");
    world.wait_for_state("stays", "running", RECOVERY);
    assert_ne!(world.gateway_pid(), Some(gateway), "the next one begins");
    answered(&world);
    assert_eq!(began(&world), before, "the frame went on running");
}

//! Two gateways on one engine, and a container that belongs to neither.

use std::time::Duration;

use super::support::{Engine, World, eventually, skip};

#[test]
fn two_gateways_leave_each_other_and_strangers_alone() {
    let engine = Engine::usual();
    let world = match World::alone(engine) {
        Ok(world) => world,
        Err(why) => return skip("two gateways", &why),
    };
    let second = world.second_home();

    let stranger = format!("stranger-{}", std::process::id());
    let image = "localhost/mimir-frame:latest";
    let _ = world
        .podman(&[
            "run",
            "-d",
            "--name",
            &stranger,
            "--network",
            "none",
            "--entrypoint",
            "sleep",
            image,
            "600",
        ])
        .ok();

    let _ = world.mimir(&["frame", "create", "same-name", "--start"]).ok();
    let _ = second.mimir(&["frame", "create", "same-name", "--start"]).ok();
    let first = world.json(&["frame", "show", "same-name"]);
    let other = second.json(&["frame", "show", "same-name"]);
    assert_ne!(first["container"], other["container"]);
    assert_ne!(first["agent_port"], other["agent_port"], "a port in use is skipped");

    // Collecting garbage and destroying in one home does not reach the other, nor the stranger.
    let _ = second.mimir(&["frame", "gc"]);
    let _ = second.mimir(&["frame", "destroy", "same-name", "--yes"]).ok();
    let _ = second.mimir(&["serve", "--stop"]).ok();
    eventually("the first frame still answers", Duration::from_secs(10), || {
        let state = world.state("same-name");
        if state == "running" { Ok(()) } else { Err(state) }
    });
    let _ = world.mimir(&["send", "--frame", "same-name", "hello"]).ok();
    let running = world.podman(&["inspect", "--format", "{{.State.Running}}", &stranger]).ok().stdout;
    assert_eq!(running.trim(), "true", "the stranger's container runs on");
    let _ = world.podman(&["rm", "-f", "-t", "0", &stranger]).ok();
}

//! Commands inside a frame whose client has gone.

use std::time::Duration;

use super::support::{Engine, World, eventually, skip};

/// A trap of Podman (docs/traps.md): the engine leaves a command running whose stream was dropped.
#[test]
fn trap_an_exec_whose_process_stays_behind() {
    let engine = Engine::usual();
    let world = match World::new(engine) {
        Ok(world) => world,
        Err(why) => return skip("exec stays behind", &why),
    };
    let _ = world.mimir(&["frame", "create", "left", "--start"]).ok();
    let runs = |what: &str| world.mimir(&["frame", "exec", "left", "--", "pgrep", "-fx", what]).code == 0;

    // It ignores the polite ways, and so does what it started.
    let script = "trap '' HUP TERM; sleep 4711 & sleep 4711";
    let mut client = world.spawn(&["frame", "exec", "left", "--", "sh", "-c", script]);
    eventually("the command runs", Duration::from_secs(20), || {
        if runs("sleep 4711") { Ok(()) } else { Err("it does not".into()) }
    });
    client.kill().expect("killed");
    client.wait().expect("gone");
    eventually("the command has ended", Duration::from_secs(20), || {
        if runs("sleep 4711") { Err("it runs on".into()) } else { Ok(()) }
    });

    // What a command that ended left in the background is the user's business.
    let left = "sleep 4712 >/dev/null 2>&1 </dev/null &";
    let _ = world.mimir(&["frame", "exec", "left", "--", "sh", "-c", left]).ok();
    std::thread::sleep(Duration::from_secs(3));
    assert!(runs("sleep 4712"), "it was ended though its command had ended by itself");
}

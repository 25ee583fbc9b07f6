//! A disk that is really full under the home.

use std::cell::OnceCell;
use std::fs;
use std::time::Duration;

use super::support::{Engine, World, eventually, skip};
use crate::small_disk::{Disk, fill};

/// More than `frames.disk_free` may be at least, and enough for a frame.
const SIZE: &str = "900m";

#[test]
fn a_full_disk_refuses_new_frames_with_the_reason_and_nothing_is_lost() {
    let test = "a full disk";
    // Goes last: the world's gateway still writes to it.
    let disk = OnceCell::new();
    let mut world = match World::alone(Engine::Rootful) {
        Ok(world) => world,
        Err(why) => return skip(test, &why),
    };
    match Disk::mount(&world.home, SIZE) {
        Ok(mounted) => disk.get_or_init(|| mounted),
        Err(why) => return skip(test, &why),
    };
    world.set_env("MIMIR_FRAMES_DISK_FREE", "512m");
    let _ = world.mimir(&["frame", "create", "kept", "--start"]).ok();
    let _ = world.mimir(&["send", "--frame", "kept", "hello"]).ok();
    let before = world.json(&["sessions", "list"]);
    assert_eq!(before.as_array().map(Vec::len), Some(1), "{before}");

    let filler = world.home.join("somebody-elses");
    assert!(fill(&filler) > 64 << 20);
    for _ in 0..2 {
        let refused = world.mimir(&["frame", "create", "more", "--start"]);
        assert_ne!(refused.code, 0, "{refused:?}");
        let said = refused.stderr.to_lowercase();
        assert!(
            said.contains("frames.disk_free") || said.contains("full") || said.contains("space"),
            "{refused:?}"
        );
    }
    // What runs there is stopped, or as much of it is said as a full disk lets us write down.
    let refused = world.mimir(&["send", "--frame", "kept", "--timeout", "20s", "are you there?"]);
    assert!(refused.code != 0 || refused.stdout.contains("demo"), "{refused:?}");

    fs::remove_file(&filler).expect("room again");
    eventually("the frame answers again", Duration::from_secs(120), || {
        let sent = world.mimir(&["send", "--frame", "kept", "hello again"]);
        if sent.code == 0 { Ok(()) } else { Err(format!("{sent:?}")) }
    });
    let listed = world.json(&["frame", "list"]);
    let names: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["kept"], "nothing is left of what was refused");
    assert_eq!(world.containers().len(), 1);
    let after = world.json(&["sessions", "list"]);
    let first = &before[0]["id"];
    assert!(after.as_array().is_some_and(|all| all.iter().any(|one| &one["id"] == first)), "{after}");
    let _ = world.mimir(&["frame", "create", "more", "--no-start"]).ok();
    let verified = world.mimir(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{verified:?}");

    // A gateway that starts on what is there now finds all of it.
    let _ = world.mimir(&["serve", "--stop"]).ok();
    assert_eq!(world.json(&["frame", "list"]).as_array().map(Vec::len), Some(2));
    for name in ["kept", "more"] {
        let _ = world.mimir(&["frame", "destroy", name, "--yes"]).ok();
    }
    let _ = world.mimir(&["serve", "--stop"]).ok();
}

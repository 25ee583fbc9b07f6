//! What is there after many lives is what was there before.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::support::{Engine, World, eventually, kill, skip};

const CYCLES: usize = 30;

/// Everything that a frame could leave behind.
fn inventory(world: &World) -> BTreeMap<&'static str, Vec<String>> {
    let lines = |args: &[&str]| -> Vec<String> {
        let mut lines: Vec<String> = world.podman(args).ok().stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let entries = |folder: std::path::PathBuf| -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    BTreeMap::from([
        ("containers", world.containers()),
        ("volumes", lines(&["volume", "ls", "-q"])),
        ("networks", lines(&["network", "ls", "-q"])),
        ("frame folders", entries(world.home.join("frames"))),
        ("listeners", listeners()),
        ("processes", processes()),
        ("frames", vec![world.json(&["frame", "list"]).to_string()]),
        ("leftovers", vec![world.json(&["frame", "gc", "--dry-run"]).to_string()]),
    ])
}

/// Loopback listeners in the range of frames.
fn listeners() -> Vec<String> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let mut found: Vec<String> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok()?;
            (words.get(3) == Some(&"0A") && (33000..=34000).contains(&port)).then(|| port.to_string())
        })
        .collect();
    found.sort();
    found
}

/// Processes that only frames have.
fn processes() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| ["conmon", "opencode", "catatonit", "socat", "tmux: server"].contains(&name.as_str()))
        .collect();
    found.sort();
    found
}

#[test]
fn thirty_lives_five_of_them_broken_off_leave_nothing() {
    let engine = if rustix::process::getuid().is_root() { Engine::Rootful } else { Engine::Rootless };
    let world = match World::new(engine) {
        Ok(world) => world,
        Err(why) => return skip("zero residue", &why),
    };
    let _ = world.mimir(&["status"]).ok();
    let before = inventory(&world);

    for cycle in 0..CYCLES {
        let name = format!("life-{cycle}");
        if cycle % 6 == 5 {
            // Broken off: the gateway dies somewhere in the start.
            let _ = world.mimir(&["frame", "create", &name, "--no-start"]).ok();
            let mut start = world.spawn(&["frame", "start", &name]);
            std::thread::sleep(Duration::from_millis(150 * (cycle as u64 % 5 + 1)));
            if let Some(pid) = world.gateway_pid() {
                kill(pid, "KILL");
            }
            let _ = start.wait();
        } else {
            let _ = world.mimir(&["frame", "create", &name, "--start"]).ok();
        }
        let _ = world.mimir(&["frame", "destroy", &name, "--yes"]).ok();
    }

    for (what, expected) in &before {
        eventually(&format!("the {what} are as before"), Duration::from_secs(30), || {
            let now = inventory(&world).remove(what).unwrap_or_default();
            if &now == expected { Ok(()) } else { Err(format!("{now:?} instead of {expected:?}")) }
        });
    }
}

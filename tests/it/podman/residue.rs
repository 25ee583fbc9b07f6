//! What is there after many lives is what was there before.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::support::{Engine, World, eventually, kill, skip};

const CYCLES: usize = 30;

/// Everything that a frame could leave behind.
fn inventory(world: &World, lived: &[String]) -> BTreeMap<&'static str, Vec<String>> {
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
        ("listeners", listeners(world)),
        ("processes", processes(world, lived)),
        ("frames", vec![world.json(&["frame", "list"]).to_string()]),
        ("leftovers", leftovers(world)),
    ])
}

/// Ports that this home's gateway listens on.
fn listeners(world: &World) -> Vec<String> {
    let Some(gateway) = world.gateway_pid() else { return vec!["no gateway".into()] };
    let held: Vec<String> = fs::read_dir(format!("/proc/{gateway}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(target.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let mut found: Vec<String> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let listens =
                words.get(3) == Some(&"0A") && held.iter().any(|inode| words.get(9) == Some(&inode.as_str()));
            listens.then(|| words[1].to_owned())
        })
        .collect();
    found.sort();
    found
}

/// Programs of this home: those that name its folder, and the monitors of its frames' containers.
fn processes(world: &World, frames: &[String]) -> Vec<String> {
    let root = world.root.display().to_string();
    let own = std::process::id().to_string();
    let mut found: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy() != own)
        .filter_map(|entry| {
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            let ours = words.contains(&root) || frames.iter().any(|frame| words.contains(frame.as_str()));
            ours.then(|| fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim().to_owned())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn thirty_lives_five_of_them_broken_off_leave_nothing() {
    let engine = Engine::usual();
    let world = match World::alone(engine) {
        Ok(world) => world,
        Err(why) => return skip("zero residue", &why),
    };
    // One life first: the gateway, the engine's service and what they keep open are there from then on.
    let _ = world.mimir(&["frame", "create", "first", "--start"]).ok();
    let _ = world.mimir(&["frame", "destroy", "first", "--yes"]).ok();
    let before = inventory(&world, &[]);
    let mut lived = Vec::new();

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
        lived.push(world.json(&["frame", "show", &name])["id"].as_str().expect("an id").to_owned());
        let _ = world.mimir(&["frame", "destroy", &name, "--yes"]).ok();
    }

    for (what, expected) in &before {
        // Podman keeps a monitor for each command that ran inside, 300 s unless scripts/setup told it otherwise.
        eventually(&format!("the {what} are as before"), Duration::from_secs(360), || {
            let now = inventory(&world, &lived).remove(what).unwrap_or_default();
            if &now == expected { Ok(()) } else { Err(format!("{now:?} instead of {expected:?}")) }
        });
    }
}

/// What is left of frames. Images are the machine's, and older builds of them may well lie around.
pub(super) fn leftovers(world: &World) -> Vec<String> {
    let found = world.mimir(&["frame", "gc", "--dry-run", "--json"]).json();
    let found = found.as_array().expect("a list").iter();
    found.filter(|one| one["kind"] != "image").map(ToString::to_string).collect()
}

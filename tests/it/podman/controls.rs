//! What other tests assert of frames, asserted of what is looser on purpose: each of those checks has to notice it.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use super::escape::plant;
use super::isolation::{PROBE, without_nosuid};
use super::residue::leftovers;
use super::support::{Engine, Run, World, eventually, skip};

/// Attempts of tests/escape that a container without walls does not hold, by area.
const WITHOUT_WALLS: &[(&str, &[&str])] = &[
    (
        "kernel",
        &[
            "no capability is effective",
            "the bounding set is empty",
            "no new privileges",
            "a seccomp filter is in force",
            "unshare user and mount together",
            "a set-uid file in the workspace",
        ],
    ),
    ("files", &["the root file system is read-only"]),
    ("network", &["interfaces besides loopback"]),
    ("limits", &["memory has a limit", "processor time has a limit"]),
];

/// Makes some of the attempts and says how each went.
const SOME: &str = r"
import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, '/workspace/.escape')
import probe
for area, names in json.loads(sys.argv[1]):
    probe.PROBES.clear()
    __import__(area)
    for name, _, attempt in list(probe.PROBES):
        if name in names:
            try:
                attempt()
                print('held', name)
            except probe.Broken:
                print('broken', name)
            except Exception as error:
                print('failed', name, error)
";

fn world(test: &str) -> Option<World> {
    let engine = Engine::usual();
    World::alone(engine).map_err(|why| skip(test, &why)).ok()
}

fn image() -> String {
    std::env::var("MIMIR_TEST_IMAGE").unwrap_or_else(|_| "localhost/mimir-frame:latest".to_owned())
}

/// How attempts went, by name; all of them were made.
fn went(done: &Run, attempts: &[(&str, &[&str])], how: &str) {
    let names: Vec<&str> = attempts.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut expected: Vec<String> = names.iter().map(|name| format!("{how} {name}")).collect();
    let mut seen: Vec<String> = done.stdout.lines().map(str::to_owned).collect();
    expected.sort();
    seen.sort();
    assert_eq!(seen, expected, "{done:?}");
}

#[test]
fn attempts_that_frames_hold_get_through_where_the_walls_are_taken_away() {
    let Some(world) = world("attempts where nothing holds them") else { return };
    plant(&world);
    let here = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = here.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = here.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.0 200 OK\r\n\r\nescape-listener\r\n");
        }
    });
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|own| {
        own.connect("192.0.2.1:9")?;
        own.local_addr()
    });
    let addresses: Vec<String> = own.iter().map(|own| own.ip().to_string()).collect();
    let setting =
        format!("ESCAPE_CONTEXT={}", json!({"network": "allow", "open_port": port, "addresses": addresses}));
    let inside = |frame: &str, attempts: &[(&str, &[&str])]| {
        let attempts = serde_json::to_string(attempts).expect("JSON");
        world.mimir(&["frame", "exec", frame, "--", "env", &setting, "python3", "-c", SOME, &attempts]).ok()
    };

    // A frame holds them. (Where cgroups are of the first version nobody but root can set limits.)
    let is_ours = |area: &str| world.engine == Engine::Rootful || area != "limits";
    let all: Vec<(&str, &[&str])> = WITHOUT_WALLS.iter().filter(|(area, _)| is_ours(area)).copied().collect();
    let _ = world.mimir(&["frame", "create", "box", "--network", "sealed", "--start"]).ok();
    went(&inside("box", &all), &all, "held");
    let _ = world.mimir(&["frame", "destroy", "box", "--yes"]).ok();

    // One that was given a network reaches what others do not; the rest goes on holding.
    let _ = world.mimir(&["frame", "create", "wide", "--network", "open", "--start"]).ok();
    let mut reach = vec!["interfaces besides loopback"];
    let is_there = world.engine == Engine::Rootful && !addresses.is_empty();
    reach.extend(is_there.then_some("the host at its own addresses"));
    let network: &[(&str, &[&str])] = &[("network", &reach[..])];
    went(&inside("wide", network), network, "broken");
    let rest: Vec<(&str, &[&str])> = all.iter().filter(|(area, _)| *area != "network").copied().collect();
    went(&inside("wide", &rest), &rest, "held");
    let _ = world.mimir(&["frame", "destroy", "wide", "--yes"]).ok();

    // A container as anybody may make it, and without a filter of system calls.
    let volume = format!("{}:/workspace", world.project.display());
    let image = image();
    let plain = |command: &[&str]| {
        let mut words = vec!["run", "--rm", "--user", "0:0", "--security-opt", "seccomp=unconfined"];
        words.extend(["--tmpfs", "/home/agent:rw,suid,dev", "--volume", &volume, "--entrypoint", ""]);
        words.extend(["--env", &setting, &image]);
        words.extend(command);
        world.podman(&words)
    };
    if world.engine == Engine::Rootful {
        let attempts = serde_json::to_string(WITHOUT_WALLS).expect("JSON");
        went(&plain(&["python3", "-c", SOME, &attempts]).ok(), WITHOUT_WALLS, "broken");
    }
    let mounts = plain(&["grep", "-E", " /home/agent ", "/proc/self/mountinfo"]).ok().stdout;
    assert_eq!(without_nosuid(&mounts).len(), 1, "{mounts}");
    if cfg!(target_arch = "x86_64") {
        std::fs::write(world.project.join("refused.py"), PROBE).expect("written");
        // What is not refused takes away what the rest of it needs, so it does not come to its end by itself; and it stops
        // its parent, which must not be who ends it.
        let script = "cd /tmp; python3 -u /workspace/refused.py; true";
        let refused = plain(&["timeout", "-s", "KILL", "5", "sh", "-c", script]);
        let wrong = refused.stdout.lines().filter(|line| line.starts_with("BAD ")).count();
        assert!(wrong > 10, "{refused:?}");
    }
}

#[test]
fn a_container_and_a_folder_that_belong_to_no_frame_are_noticed() {
    let Some(world) = world("strays") else { return };
    let _ = world.mimir(&["frame", "create", "gone", "--no-start"]).ok();
    let frame = world.json(&["frame", "show", "gone"])["id"].as_str().expect("an id").to_owned();
    let _ = world.mimir(&["frame", "destroy", "gone", "--yes"]).ok();
    let folder = world.home.join("frames").join(&frame);
    eventually("nothing is left", Duration::from_secs(20), || match leftovers(&world) {
        left if left.is_empty() && world.containers().is_empty() && !folder.exists() => Ok(()),
        left => Err(format!("{left:?} {:?}", world.containers())),
    });

    // As a gateway would leave them that forgot its frame; and the container of somebody else.
    let (image, instance) = (image(), world.instance());
    let stray = |name: &str, instance: &str| {
        let labels = [format!("io.mimir.instance={instance}"), format!("io.mimir.frame={frame}")];
        let generation = "io.mimir.generation=1";
        let mut words = vec!["create", "--name", name, "--label", generation];
        labels.iter().for_each(|label| words.extend(["--label", label.as_str()]));
        words.push(&image);
        let _ = world.podman(&words).ok();
    };
    let (ours, theirs) = (format!("mimir-{frame}"), format!("other-{frame}"));
    stray(&ours, &instance);
    stray(&theirs, "another-home");
    std::fs::create_dir(&folder).expect("a folder");
    assert_eq!(world.containers(), std::slice::from_ref(&ours), "what thirty lives are compared by");
    let left = leftovers(&world);
    let kinds: Vec<Value> =
        left.iter().map(|one| serde_json::from_str::<Value>(one).expect("JSON")["kind"].clone()).collect();
    assert_eq!(kinds, ["container", "folder"], "{left:?}");

    let _ = world.mimir(&["frame", "gc", "--yes"]).ok();
    assert_eq!((leftovers(&world).len(), world.containers().len(), folder.exists()), (0, 0, false));
    let _ = world.podman(&["rm", &theirs]).ok();
}

//! A gateway that runs, and what changes around it: the environment of commands, its file, its folder, its life.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::real::{Gateway, home};
use super::world::{Ran, World, finish};

/// A home whose engine is in memory; its agent never answers.
fn pretended() -> World {
    let mut world = World::new();
    world.set("MIMIR_TEST_AGENT", "127.0.0.1:1").set("PATH", "/nonexistent");
    world.configure(&file(""));
    world
}

/// A configuration, with more lines.
fn file(more: &str) -> String {
    format!("server:\n  http_port: off\n{more}")
}

/// A command in an environment of its own.
fn run(world: &World, env: &[(&str, &str)], words: &[&str]) -> Ran {
    finish(world.command(words).envs(env.iter().copied()).spawn().expect("starts"))
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The process of the gateway.
pub fn pid(world: &World) -> Pid {
    let text = std::fs::read_to_string(world.paths().lock()).expect("a lock");
    let word = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Pid::from_raw(word.expect("a number")).expect("a process")
}

const CREATE: &[&str] = &["frame", "create", "--no-start", "--json"];

#[test]
fn what_shapes_a_frame_goes_along_with_the_request() {
    let world = pretended();
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    let here = [
        ("MIMIR_FRAMES_NETWORK", "allow"),
        ("MIMIR_FRAMES_ALLOW", "example.org,crates"),
        ("MIMIR_FRAMES_LIMITS_MEMORY", "1g"),
        ("MIMIR_FRAMES_LIMITS_CPUS", "1.5"),
        ("MIMIR_FRAMES_LIMITS_PIDS", "300"),
        ("MIMIR_FRAMES_THROWAWAY_TTL", "3h"),
    ];
    let made = run(&world, &here, &["frame", "create", "one", "--no-start", "--throwaway", "--json"]);
    assert_eq!((made.code, made.stderr.as_str()), (0, ""), "nothing is to be told");
    let summary = json(&made);
    let lives =
        summary["expires_at"].as_u64().expect("an end") - summary["created_at"].as_u64().expect("a begin");
    assert_eq!((lives + 1000) / 3_600_000, 3, "{lives} ms");
    let shown = json(&world.run(&["frame", "show", "one", "--json"]));
    assert_eq!(shown["allow"], serde_json::json!(["example.org", "crates"]));
    let limits = [&shown["limits"]["cpus_milli"], &shown["limits"]["memory_bytes"], &shown["limits"]["pids"]];
    assert_eq!(limits.map(Value::as_u64), [Some(1500), Some(1 << 30), Some(300)]);

    let sealed = [("MIMIR_FRAMES_NETWORK", "sealed")];
    assert_eq!(json(&run(&world, &sealed, &[CREATE, &["two"]].concat()))["network"], "sealed");
    // Without it, as it is configured; a flag wins.
    assert_eq!(json(&world.run(&[CREATE, &["three"]].concat()))["network"], "allow");
    let flag = run(&world, &sealed, &[CREATE, &["four", "--network", "allow"]].concat());
    assert_eq!(json(&flag)["network"], "allow");
    let image = run(&world, &[("MIMIR_FRAMES_IMAGE", "localhost/none:1")], &[CREATE, &["five"]].concat());
    assert_eq!(image.code, 3, "{}", image.stderr);
    assert!(image.stderr.contains("localhost/none:1"), "{}", image.stderr);

    let said = run(&world, &sealed, &["config", "show", "frames.network", "--origin", "--json"]);
    let row = &json(&said)[0];
    assert_eq!((row["value"].as_str(), row["applies"].as_str()), (Some("sealed"), Some("request")));
    assert_eq!(row["set_in"], "MIMIR_FRAMES_NETWORK");

    // What no gateway would start with is refused by one that runs, and makes nothing.
    for (name, text) in [("MIMIR_FRAMES_NETWORK", "closed"), ("MIMIR_FRAMES_NETWROK", "sealed")] {
        let refused = run(&world, &[(name, text)], &["frame", "create", "six", "--no-start"]);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains("MIMIR_FRAMES_NETW"), "{}", refused.stderr);
    }
    assert_eq!(world.run(&["frame", "show", "six"]).code, 3);
}

#[test]
fn what_only_the_gateway_can_obey_is_told_in_one_line() {
    let world = pretended();
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    let here =
        [("MIMIR_TURN_WORK", "1h"), ("MIMIR_SERVER_HTTP_PORT", "9"), ("ANTHROPIC_API_KEY", "sk-not-told")];
    let told = run(&world, &here, &["frame", "list", "--quiet"]);
    assert_eq!((told.code, told.stderr.lines().count()), (0, 1), "{}", told.stderr);
    for name in ["MIMIR_TURN_WORK", "MIMIR_SERVER_HTTP_PORT", "providers.anthropic.key", "mimir serve --stop"]
    {
        assert!(told.stderr.contains(name), "{name}: {}", told.stderr);
    }
    assert!(!told.stderr.contains("sk-not-told"), "{}", told.stderr);
    let program = run(&world, &here, &["frame", "list", "--json"]);
    let warning: Value = serde_json::from_str(&program.stderr).expect("one line of JSON");
    assert!(warning["warning"].as_str().is_some_and(|text| text.contains("MIMIR_TURN_WORK")), "{warning}");
    // Nothing is set here: that the gateway was started otherwise is its affair.
    assert_eq!(world.run(&["frame", "list", "--quiet"]).stderr, "");
}

#[test]
fn a_changed_file_is_obeyed_at_once_or_said_to_need_a_restart() {
    let world = pretended();
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    assert_eq!(json(&world.run(&[CREATE, &["one"]].concat()))["network"], "allow");

    // Of a request, and of the gateway: both at once.
    world.configure(&file("frames:\n  network: sealed\nqueue:\n  per_session: 1\n"));
    assert_eq!(json(&world.run(&[CREATE, &["two"]].concat()))["network"], "sealed");
    let send = ["send", "--frame", "two", "--no-wait", "hello"];
    let codes: Vec<i32> = (0..3).map(|_| world.run(&send).code).collect();
    assert_eq!((codes[0], codes[2]), (0, 6), "one may wait: {codes:?}");

    let now = world.run(&["config", "set", "turn.work", "3h"]);
    assert!(now.stderr.contains("the running gateway uses it now"), "{}", now.stderr);
    let later = world.run(&["config", "set", "server.connections_per_address", "7"]);
    assert!(later.stderr.contains("after a restart: `mimir serve --stop`"), "{}", later.stderr);

    let shown = world.run(&["config", "show", "server", "--json"]);
    let rows = json(&shown);
    let row =
        rows.as_array().expect("rows").iter().find(|row| row["key"] == "server.connections_per_address");
    let row = row.expect("the row");
    assert_eq!(
        (&row["value"], &row["pending"]["value"], &row["applies"]),
        (&128.into(), &7.into(), &"restart".into())
    );
    let shown = world.run(&["config", "show", "server", "--origin"]);
    assert!(shown.stderr.contains("changed since the gateway started"), "{}", shown.stderr);
    assert!(shown.stderr.contains("server.connections_per_address is 7 after a restart"), "{}", shown.stderr);
    assert_eq!(world.run(&["config", "get", "server.connections_per_address"]).stdout, "128\n");
    let told = world.run(&["frame", "list", "--quiet"]);
    assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    assert!(told.stderr.contains("server.connections_per_address"), "{}", told.stderr);

    // A mistake changes nothing and is told; mended, nothing is told any more.
    world.configure(&file("frames:\n  network: closed\n"));
    let told = world.run(&["frame", "list", "--quiet"]);
    assert_eq!((told.code, told.stderr.lines().count()), (0, 1), "{}", told.stderr);
    assert!(told.stderr.contains("config.yaml:4") && told.stderr.contains("closed"), "{}", told.stderr);
    assert_eq!(json(&world.run(&[CREATE, &["three"]].concat()))["network"], "sealed", "as it was");
    world.configure(&file(""));
    assert_eq!(world.run(&["frame", "list", "--quiet"]).stderr, "");
    assert_eq!(json(&world.run(&[CREATE, &["four"]].concat()))["network"], "allow");
}

#[test]
fn a_runtime_folder_that_vanishes_is_made_anew_and_nobody_waits_long() {
    let world = home();
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    let first = pid(&world);
    let folder = world.paths().runtime().to_owned();
    let parent = folder.parent().expect("a parent").to_owned();

    std::fs::remove_dir_all(&parent).expect("removed");
    let begun = Instant::now();
    let listed = world.run(&["frame", "list"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(pid(&world), first, "it is the same gateway");

    // Its socket cannot be found: said at once, by its process, and it can be ended.
    std::fs::remove_dir_all(&parent).expect("removed");
    std::fs::write(&parent, "in the way").expect("written");
    let begun = Instant::now();
    for words in [&["frame", "list"][..], &["serve"], &["serve", "--detach"]] {
        let refused = world.run(words);
        assert_eq!(refused.code, 6, "{words:?}: {}", refused.stderr);
        let (process, stop) = (format!("process {}", first.as_raw_nonzero()), "mimir serve --stop");
        assert!(refused.stderr.contains(&process) && refused.stderr.contains(stop), "{}", refused.stderr);
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let stopped = world.run(&["serve", "--stop"]);
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    assert!(stopped.stderr.contains(&format!("process {}", first.as_raw_nonzero())), "{}", stopped.stderr);
    std::fs::remove_file(&parent).expect("removed");
    assert_eq!(world.run(&["frame", "list"]).code, 0, "the next one begins");
    assert_ne!(pid(&world), first);
}

#[test]
fn a_gateway_that_hangs_is_named_by_its_process() {
    let world = home();
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    let process = pid(&world);
    kill_process(process, Signal::STOP).expect("stopped");
    let refused = world.run(&["frame", "list"]);
    kill_process(process, Signal::CONT).expect("goes on");
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("process {}", process.as_raw_nonzero())), "{}", refused.stderr);
}

#[test]
fn a_gateway_that_dies_while_it_is_asked_is_started_again() {
    let world = home();
    let _gateway = Gateway(&world);
    let socket = world.paths().gateway_socket();
    std::fs::create_dir_all(socket.parent().expect("a folder")).expect("made");
    let dying = UnixListener::bind(&socket).expect("binds");
    // Takes one question, and dies with it.
    let taken = std::thread::spawn(move || drop(dying.accept().expect("asked")));
    let listed = world.run(&["frame", "list"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    taken.join().expect("it was asked");
}

//! The executable: output, exit codes, errors. Against a gateway that plays answers.

/// All snapshots of the command line in one folder.
macro_rules! snapshot {
    ($name:literal, $text:expr) => {
        insta::with_settings!(
            { snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/snapshots"), omit_expression => true },
            { insta::assert_snapshot!($name, $text) }
        )
    };
}

mod corpus;
mod described;
mod flood;
mod gateway;
mod habits;
mod init;
mod live;
pub mod mcp;
mod pick;
mod printed;
mod prompts;
mod queue;
mod real;
mod running;
mod runs;
mod send;
pub mod terminal;
mod typed;
mod ui;
mod views;
pub mod world;

use std::time::Duration;

use serde_json::{Value, json};
use world::World;

/// Milliseconds ago, so that ages in tables are always the same.
fn ago(duration: Duration) -> u64 {
    let now = mimir::clock::Clock::system().now_ms();
    now - u64::try_from(duration.as_millis()).expect("small")
}

const HOUR: Duration = Duration::from_secs(3_600);

/// A frame as a list shows it. Ages are in the middle of their unit, so that a slow machine shows the same.
fn frame(name: &str, state: &str) -> Value {
    json!({
        "id": "frm_01k0000000000000000000000a", "name": name, "state": state, "desired": "running",
        "agent": if state == "running" { json!("idle") } else { Value::Null },
        "workspace": format!("/home/me/src/{name}"),
        "agent_port": 33000, "preview_port": 33001, "network": "allow",
        "created_at": ago(HOUR * 30 + HOUR / 2), "last_active_at": ago(HOUR * 3 + HOUR / 2),
        "cost_microusd": 1_234_567,
    })
}

/// Everything about it.
fn details(name: &str, state: &str) -> Value {
    let mut all = frame(name, state);
    let more = json!({
        "image": "localhost/mimir-frame:latest", "image_id": "sha256:0123456789abcdef0123",
        "container": "mimir-frm_01k0000000000000000000000a", "generation": 2,
        "limits": {"cpus_milli": 1500, "memory_bytes": 4_294_967_296_u64, "pids": 1024},
        "limits_enforced": true, "allow": ["npm", "example.org"], "env": ["RUST_LOG"], "owner": "1000:1000",
        "observed": if state == "running" { "running" } else { "halted" },
        "state_changed_at": ago(HOUR * 3 + HOUR / 2), "notes": [], "config_yaml": "",
    });
    let fields = all.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    all
}

#[test]
fn alone_it_says_what_it_is_and_how_to_start() {
    let world = World::new();
    let ran = world.run(&[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    snapshot!("welcome", ran.stdout);
    world.configure("frames:\n  network: sealed\n");
    let again = world.run(&[]);
    assert!(again.stdout.contains("mimir frame list"), "{}", again.stdout);
    assert!(!world.paths().gateway_socket().exists(), "it starts nothing");
}

#[test]
fn help_reads_well() {
    let world = World::new();
    let topics: &[&[&str]] = &[
        &[],
        &["init"],
        &["send"],
        &["open"],
        &["status"],
        &["doctor"],
        &["serve"],
        &["setup"],
        &["uninstall"],
        &["frame"],
        &["frame", "create"],
        &["frame", "start"],
        &["frame", "list"],
        &["frame", "attach"],
        &["frame", "logs"],
        &["frame", "exec"],
        &["frame", "destroy"],
        &["frame", "upgrade"],
        &["frame", "gc"],
        &["image", "build"],
        &["sessions"],
        &["projects"],
        &["token"],
        &["token", "create"],
        &["config"],
        &["config", "set"],
        &["exit-codes"],
    ];
    let mut all = String::new();
    for topic in topics {
        let ran = world.run(&[&["help"], *topic].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{topic:?}");
        for line in ran.stdout.lines() {
            assert!(line.chars().count() <= 110, "{topic:?}: {line}");
        }
        all.push_str(&format!("## mimir help {}\n{}\n", topic.join(" "), ran.stdout));
    }
    snapshot!("help", world.redacted(&all));
    let flag = world.run(&["frame", "create", "--help"]);
    assert_eq!(flag.code, 0);
    assert!(flag.stdout.contains("--throwaway"));
    assert_eq!(world.run(&["--version"]).stdout.trim(), concat!("mimir ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completion_asks_a_running_gateway_and_starts_none() {
    let mut world = World::new();
    world.set("COMPLETE", "bash").set("_CLAP_COMPLETE_INDEX", "3").set("_CLAP_IFS", "\n");
    let words = ["--", "mimir", "frame", "start", ""];
    let begun = std::time::Instant::now();
    let without = world.run(&words);
    assert_eq!(without.code, 0, "{}", without.stderr);
    assert!(!world.paths().home().exists(), "nothing was made");
    assert!(begun.elapsed() < Duration::from_secs(5));

    let gateway = world.gateway();
    gateway.on("GET /v1/frames", gateway::json(json!([frame("blog", "running"), frame("api", "stopped")])));
    let with = world.run(&words);
    assert!(with.stdout.contains("blog") && with.stdout.contains("api"), "{with:?}");

    // A gateway that hangs must not hang the shell.
    let slow = world.gateway();
    slow.on("GET /v1/frames", gateway::Answer::Hanging { pieces: vec!["[".to_owned()] });
    let hung = world.run(&words);
    assert_eq!(hung.code, 0, "{}", hung.stderr);
}

#[test]
fn completion_scripts_are_written_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = world.run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{shell}: {}", ran.stderr);
        assert!(ran.stdout.contains("mimir") && ran.stdout.contains("COMPLETE"), "{shell}: {}", ran.stdout);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    let gateway = world.gateway();
    let log = json!({"at": 0, "source": "frame", "text": "x".repeat(2_000)});
    gateway.on("GET /v1/frames/blog/logs", gateway::lines(&vec![log; 500]));
    let mut child = world.command(&["frame", "logs", "blog"]).spawn().expect("starts");
    drop(child.stdout.take());
    child.stdout = Some(
        std::process::Command::new("true")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("starts")
            .stdout
            .expect("a pipe"),
    );
    let ran = world::finish(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn the_configuration_is_shown_changed_and_checked() {
    let world = World::new();
    world.configure("# mine\nframes:\n  network: sealed   # on purpose\n");
    let get = world.run(&["config", "get", "frames.network"]);
    assert_eq!((get.code, get.stdout.as_str()), (0, "sealed\n"));
    let show = world.run(&["config", "show", "frames.network", "--origin"]);
    snapshot!("config_origin", world.redacted(&show.stdout));
    let set = world.run(&["config", "set", "frames.network", "open"]);
    assert_eq!((set.code, set.stdout.as_str()), (0, ""), "{}", set.stderr);
    let file = std::fs::read_to_string(world.paths().config_file()).expect("readable");
    assert_eq!(file, "# mine\nframes:\n  network: open   # on purpose\n");
    assert_eq!(world.run(&["config", "check"]).code, 0);
    world.configure("frames:\n  netwrk: open\n");
    let check = world.run(&["config", "check"]);
    assert_eq!(check.code, 8, "{check:?}");
    assert!(check.stdout.contains("frames.network"), "the nearest key: {}", check.stdout);
    let path = world.run(&["config", "path"]);
    assert_eq!(path.stdout.trim(), world.paths().config_file().display().to_string());
}

#[test]
fn a_secret_is_read_from_standard_input_and_never_shown() {
    let world = World::new();
    let set = world.run_with_input(&["config", "set", "providers.anthropic.key", "--stdin"], "sk-hidden\n");
    assert_eq!(set.code, 0, "{}", set.stderr);
    let file = std::fs::read_to_string(world.paths().config_file()).expect("written");
    assert!(file.contains("sk-hidden"), "{file}");
    for words in [
        &["config", "show"][..],
        &["config", "get", "providers.anthropic.key"],
        &["config", "show", "--json"],
    ] {
        let shown = world.run(words);
        assert!(shown.code == 0 && !shown.stdout.contains("sk-hidden"), "{words:?}: {shown:?}");
    }
}

#[test]
fn init_shows_writes_keeps_and_repeats() {
    let world = World::new();
    std::fs::write(world.work().join("go.mod"), "module x\n").expect("written");
    let dry = world.run(&["init", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(!world.paths().home().exists(), "a dry run writes nothing");
    assert!(dry.stdout.contains("+  allow: [npm, pypi, crates, debian, github, go]"), "{}", dry.stdout);

    let first = world.run(&["init", "--non-interactive"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(world.run(&["config", "check"]).code, 0);
    let written = std::fs::read_to_string(world.paths().config_file()).expect("written");
    let again = world.run(&["init", "--non-interactive"]);
    assert!(again.stderr.contains("nothing to write"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(world.paths().config_file()).expect("there"), written);

    std::fs::write(world.work().join("go.mod"), "module x\n").expect("written");
    world.configure("frames:\n  network: sealed # mine\n");
    let merged = world.run(&["init", "--non-interactive"]);
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    let file = std::fs::read_to_string(world.paths().config_file()).expect("there");
    assert!(file.contains("network: sealed # mine"), "{file}");
    let names: Vec<String> = std::fs::read_dir(world.paths().home())
        .expect("a home")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("config.yaml.before-")), "a copy was kept: {names:?}");
}

#[test]
fn serve_stop_waits_until_nobody_listens() {
    let world = World::new();
    let none = world.run(&["serve", "--stop"]);
    assert_eq!((none.code, none.stderr.as_str()), (0, "no gateway runs\n"));
}

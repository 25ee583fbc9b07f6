//! The engine's and the agent's traps, each by its name, on the real thing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{Engine, Run, World, eventually, kill, skip};

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

fn started(world: &World, name: &str, more: &[&str]) -> serde_json::Value {
    let mut args = vec!["frame", "create", name, "--start"];
    args.extend(more);
    let _ = world.mimir(&args).ok();
    world.json(&["frame", "show", name])
}

fn container(world: &World, name: &str) -> String {
    world.json(&["frame", "show", name])["container"].as_str().expect("a container's name").to_owned()
}

fn inspect(world: &World, container: &str, format: &str) -> String {
    world.podman(&["inspect", "--format", format, container]).ok().stdout.trim().to_owned()
}

fn demo_answers(world: &World, frame: &str) -> Run {
    let sent = world.mimir(&["send", "--frame", frame, "hello"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    sent
}

/// Trap 1 of docs/traps.md: what arrives between listen() and the handler is never answered.
#[test]
fn trap_requests_swallowed_in_the_first_second_after_listen() {
    let Some(world) = world("requests swallowed") else { return };
    let _ = started(&world, "early", &[]);
    for round in 0..3 {
        // Sent into the very start: delivery may only begin when the agent really answers.
        let _ = world.mimir(&["frame", "stop", "early"]).ok();
        let begun = Instant::now();
        let _ = demo_answers(&world, "early");
        assert!(begun.elapsed() < Duration::from_secs(60), "round {round} took {:?}", begun.elapsed());
    }
}

/// Trap 4 of docs/traps.md: as PID 1 the agent would ignore SIGTERM and be killed after the grace period.
#[test]
fn trap_sigterm_is_ignored_as_pid_1() {
    let Some(world) = world("SIGTERM as PID 1") else { return };
    let _ = started(&world, "polite", &[]);
    let name = container(&world, "polite");
    let _ = world.mimir(&["frame", "stop", "polite"]).ok();
    assert_eq!(inspect(&world, &name, "{{.State.ExitCode}}"), "0", "it ended by itself and was not killed");
}

/// Trap 6 of docs/traps.md: a plugin and no network hang the first request for 70 s; and
/// a home without the package stub is a fresh home.
#[test]
fn trap_70_s_hang_with_a_plugin_and_no_network_and_a_home_without_the_stub() {
    let Some(world) = world("70 s hang") else { return };
    let frame = started(&world, "plugged", &["--network", "sealed"]);
    let _ = world.mimir(&["frame", "stop", "plugged"]).ok();

    let home = world.home.join("frames").join(frame["id"].as_str().expect("an id")).join("home");
    fs::remove_dir_all(home.join(".config")).expect("the stub was there");
    let plugins = home.join(".config/opencode/plugin");
    fs::create_dir_all(&plugins).expect("a folder for plugins");
    fs::write(plugins.join("quiet.js"), "export const Quiet = async () => ({})\n").expect("a plugin");
    let uid = world.uid();
    for folder in
        [home.join(".config"), home.join(".config/opencode"), plugins.clone(), plugins.join("quiet.js")]
    {
        std::os::unix::fs::chown(&folder, Some(uid), None).expect("the frame's own files");
    }

    let begun = Instant::now();
    let _ = demo_answers(&world, "plugged");
    assert!(begun.elapsed() < Duration::from_secs(60), "the first answer took {:?}", begun.elapsed());
}

/// A trap of Podman (docs/traps.md): after its monitor died the engine says "running", then "stopping" for ever.
#[test]
fn trap_stopping_for_ever_after_the_monitor_died() {
    let Some(world) = world("stopping for ever") else { return };
    let _ = started(&world, "stuck", &[]);
    let name = container(&world, "stuck");
    let monitor =
        fs::read_to_string(inspect(&world, &name, "{{.ConmonPidFile}}")).expect("the monitor's pid file");
    kill(monitor.trim().parse().expect("a pid"), "KILL");

    let _ = world.mimir(&["frame", "stop", "stuck"]).ok();
    assert_eq!(world.state("stuck"), "stopped");
    let _ = demo_answers(&world, "stuck");
    let _ = world.mimir(&["frame", "destroy", "stuck", "--yes"]).ok();
    assert!(!world.containers().contains(&name));
}

/// A trap of Podman (docs/traps.md): monitor and first process dead, and the engine still says "running".
#[test]
fn trap_running_that_is_not_true() {
    let Some(world) = world("running that is not true") else { return };
    let _ = started(&world, "ghost", &[]);
    let name = container(&world, "ghost");
    let monitor =
        fs::read_to_string(inspect(&world, &name, "{{.ConmonPidFile}}")).expect("the monitor's pid file");
    let first: u32 = inspect(&world, &name, "{{.State.Pid}}").parse().expect("a pid");
    kill(monitor.trim().parse().expect("a pid"), "KILL");
    kill(first, "KILL");

    // Nobody asked for anything: the gateway notices by itself and brings the frame back.
    eventually("the frame answers again", Duration::from_secs(90), || {
        let pid = world.podman(&["inspect", "--format", "{{.State.Pid}}", &name]);
        let state = world.state("ghost");
        let is_new = pid.stdout.trim().parse::<u32>().is_ok_and(|pid| pid != first && pid != 0);
        if state == "running" && is_new { Ok(()) } else { Err(format!("{state}, {}", pid.stdout.trim())) }
    });
    let _ = demo_answers(&world, "ghost");
}

/// A trap of Podman (docs/traps.md): the engine would create a missing folder, as root, and start.
#[test]
fn trap_a_missing_bind_source_is_silently_created() {
    let Some(mut world) = world("missing bind source") else { return };
    let project = world.root.join("elsewhere");
    fs::create_dir(&project).expect("a project");
    let uid = world.uid();
    std::os::unix::fs::chown(&project, Some(uid), None).expect("the user's own folder");
    world.set_env("PWD", &world.project.display().to_string());
    let _ = world
        .mimir(&["frame", "create", "homeless", "--no-start", "--workspace", &project.display().to_string()])
        .ok();
    fs::remove_dir(&project).expect("an empty folder");

    let failed = world.mimir(&["frame", "start", "homeless"]);
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains(&project.display().to_string()), "the folder is named: {}", failed.stderr);
    assert!(!project.exists(), "it was created behind the user's back");

    // Error is no dead end.
    fs::create_dir(&project).expect("the project is back");
    std::os::unix::fs::chown(&project, Some(uid), None).expect("the user's own folder");
    let _ = world.mimir(&["frame", "start", "homeless"]).ok();
}

/// A trap of Podman (docs/traps.md): `OOMKilled` stays false and no event is sent.
#[test]
fn trap_out_of_memory_is_never_reported() {
    let Some(world) = world("out of memory") else { return };
    let frame = started(&world, "greedy", &["--memory", "700m"]);
    if frame["limits_enforced"] == false {
        skip("out of memory", "this engine enforces no limits here");
        return;
    }
    let eat = "x = bytearray(900 * 1024 * 1024); print(len(x))";
    let eaten =
        world.mimir(&["frame", "exec", "greedy", "--", "mimir-sh", "-c", &format!("python3 -c '{eat}'")]);
    assert_ne!(eaten.code, 0, "the memory was there after all: {}", eaten.stdout);
    eventually("out of memory is named", Duration::from_secs(60), || {
        let show = world.json(&["frame", "show", "greedy"]);
        let named = show["notes"]
            .as_array()
            .is_some_and(|notes| notes.iter().any(|note| note["code"] == "out_of_memory"));
        if named { Ok(()) } else { Err(show["notes"].to_string()) }
    });
    // The tool died; the agent did not.
    let _ = demo_answers(&world, "greedy");
}

/// A trap of Podman (docs/traps.md): a start that fails in the engine keeps the host port open in the engine's service.
#[test]
fn trap_a_failed_start_keeps_the_host_port_open() {
    let Some(world) = world("failed start keeps the port") else { return };
    let project = world.root.join("gone");
    fs::create_dir(&project).expect("a project");
    std::os::unix::fs::chown(&project, Some(world.uid()), None).expect("the user's own folder");
    let _ = world
        .mimir(&["frame", "create", "failing", "--no-start", "--workspace", &project.display().to_string()])
        .ok();
    let show = world.json(&["frame", "show", "failing"]);
    fs::remove_dir(&project).expect("an empty folder");
    assert_ne!(world.mimir(&["frame", "start", "failing"]).code, 0);

    for port in ["agent_port", "preview_port"] {
        let port = u16::try_from(show[port].as_u64().expect("a port")).expect("a port");
        std::net::TcpListener::bind(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("port {port} is still held after the failed start: {error}"));
    }
}

/// docs/traps.md: the agent dies and comes back, with the reason in the logs.
#[test]
fn an_agent_that_is_killed_comes_back_and_says_so() {
    let Some(world) = world("killed agent") else { return };
    let _ = started(&world, "phoenix", &[]);
    let _ = world.mimir(&["frame", "exec", "phoenix", "--", "pkill", "-KILL", "-f", "opencode serve"]).ok();
    let _ = demo_answers(&world, "phoenix");
    let logs = world.mimir(&["frame", "logs", "phoenix"]).ok();
    assert!(logs.stdout.contains("opencode exited"), "{}", logs.stdout);
}

/// A port that somebody else took meanwhile is exchanged, and the user is told.
#[test]
fn a_port_that_someone_else_holds_is_exchanged_and_reported() {
    let Some(world) = world("port exchange") else { return };
    let _ = world.mimir(&["frame", "create", "ported", "--no-start"]).ok();
    let before = world.json(&["frame", "show", "ported"]);
    let port = u16::try_from(before["agent_port"].as_u64().expect("a port")).expect("a port");
    let held = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a created frame holds no port yet");
    let _ = world.mimir(&["frame", "start", "ported"]).ok();
    let after = world.json(&["frame", "show", "ported"]);
    assert_ne!(after["agent_port"], before["agent_port"]);
    assert!(after["notes"].to_string().contains(&port.to_string()), "{}", after["notes"]);
    drop(held);
    let _ = demo_answers(&world, "ported");
}

/// The agent's API is behind a password that changes with each start.
#[test]
fn the_agent_port_wants_a_password_that_is_new_at_each_start() {
    let Some(world) = world("frame passwords") else { return };
    let show = started(&world, "locked", &[]);
    let port = show["agent_port"].as_u64().expect("a port");
    let status = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-m", "5", "-w", "%{http_code}"])
        .arg(format!("http://127.0.0.1:{port}/session"))
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&status.stdout), "401", "signal {:?}", status.status.signal());

    let file = world.home.join("frames").join(show["id"].as_str().expect("an id")).join("start/password");
    let first = fs::read_to_string(&file).expect("a password");
    assert!(first.trim().len() >= 22, "128 bits at least");
    let inspected = world.podman(&["inspect", &container(&world, "locked")]).ok().stdout;
    assert!(!inspected.contains(first.trim()), "the password shows in an inspect");
    let _ = world.mimir(&["frame", "restart", "locked"]).ok();
    assert_ne!(fs::read_to_string(&file).expect("a password"), first);
}

/// After a reboot that kept `/tmp`, or a `pkill -u`: Podman without root remembers processes that are gone and
/// refuses every call until it is told so.
#[test]
fn trap_an_engine_without_root_whose_processes_are_gone() {
    let test = "an engine whose processes are gone";
    if !rustix::process::getuid().is_root() {
        return skip(test, "only root can end all processes of a user and go on");
    }
    // Frames of other worlds would be ended with it.
    let world = match World::alone(Engine::Rootless) {
        Ok(world) => world,
        Err(why) => return skip(test, &why),
    };
    let _ = started(&world, "blog", &[]);
    eventually("all processes of the user are gone", Duration::from_secs(10), || {
        let left = processes_of(world.uid());
        for process in &left {
            kill(*process, "KILL");
        }
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let refused = world.podman(&["image", "exists", "localhost/mimir-frame:latest"]);
    assert!(refused.stderr.contains("system migrate"), "this is the trap: {refused:?}");

    let _ = world.mimir(&["frame", "start", "blog"]).ok();
    let _ = demo_answers(&world, "blog");
}

fn processes_of(uid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    entries
        .filter(|entry| entry.metadata().is_ok_and(|about| about.uid() == uid))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

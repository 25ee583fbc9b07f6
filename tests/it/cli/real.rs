//! The executable with itself as the gateway; no container engine is needed.

use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use mimir::clock::Clock;
use mimir::model::secret::Secret;
use mimir::model::webhook::WebhookState;
use mimir::store::webhooks::{self, Ending, NewWebhook};
use mimir::store::{OpenOptions, Store};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::running::pid;
use super::terminal::Screen;
use super::world::{World, finish};
use crate::versions::release::{PASSWORD, Release};

/// A home whose gateway finds no engine and opens no port.
pub fn home() -> World {
    let world = World::new();
    let socket = world.folder.path().join("no-engine.sock");
    world.configure(&format!("server:\n  http_port: off\nengine:\n  socket: {}\n", socket.display()));
    world
}

/// Ends the gateway of a test, also when the test fails.
pub struct Gateway<'a>(pub &'a World);

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        let ran = self.0.run(&["serve", "--stop"]);
        if !std::thread::panicking() {
            assert_eq!(ran.code, 0, "{}", ran.stderr);
        }
    }
}

#[test]
fn a_command_starts_the_gateway_and_the_next_one_finds_it() {
    let mut world = home();
    world.set("PATH", "/nonexistent");
    let _gateway = Gateway(&world);
    let first = world.run(&["frame", "list"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("started the gateway in the background"), "{}", first.stderr);
    let second = world.run(&["frame", "list", "--json"]);
    assert_eq!((second.code, second.stdout.trim(), second.stderr.as_str()), (0, "[]", ""));

    let status = world.run(&["status", "--json"]);
    let about: serde_json::Value = serde_json::from_str(&status.stdout).expect("json");
    assert_eq!(status.code, 5, "there is no engine: {about}");
    assert_eq!(about["engine_ok"], false);

    let another = world.run(&["serve"]);
    assert_eq!(another.code, 6, "{}", another.stderr);
    assert!(another.stderr.contains("mimir serve --stop"), "{}", another.stderr);
}

#[test]
fn a_gateway_that_was_stopped_leaves_its_home_to_the_next() {
    let mut world = home();
    world.set("PATH", "/nonexistent");
    for _ in 0..3 {
        let detached = world.run(&["serve", "--detach"]);
        assert_eq!(detached.code, 0, "{}", detached.stderr);
        let stopped = world.run(&["serve", "--stop"]);
        assert_eq!(stopped.code, 0, "{}", stopped.stderr);
        assert!(!world.paths().gateway_socket().exists());
    }
    assert_eq!(world.run(&["status"]).code, 5);
}

#[test]
fn a_wrong_key_is_told_by_the_command_that_wanted_a_gateway() {
    let mut world = home();
    world.set("PATH", "/nonexistent").set("MIMIR_DB_KEY", &"ab".repeat(32));
    {
        let _gateway = Gateway(&world);
        assert_eq!(world.run(&["frame", "list"]).code, 0);
    }
    world.set("MIMIR_DB_KEY", &"cd".repeat(32));
    let wrong = world.run(&["frame", "list"]);
    assert_eq!(wrong.code, 4, "{}", wrong.stderr);
    assert!(wrong.stderr.starts_with("error:") && wrong.stderr.contains("try:"), "{}", wrong.stderr);
    let json = world.run(&["frame", "list", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&json.stderr).expect("json");
    assert_eq!(error["error"]["code"], "store.wrong_key");
    world.set("MIMIR_DB_KEY", &"ab".repeat(32));
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["frame", "list"]).code, 0, "nothing was touched");
}

/// Opens the database as a later mimir would leave it.
fn make_newer(database: &std::path::Path, key: &str) {
    let newer = rusqlite::Connection::open(database).expect("opens");
    newer
        .execute_batch(&format!("PRAGMA key = \"x'{key}'\"; PRAGMA user_version = 99;"))
        .expect("the key fits");
}

#[test]
fn a_database_that_cannot_be_used_has_a_code_of_its_own_and_is_not_touched() {
    type Spoil = fn(&World);
    let cases: &[(&str, i32, Spoil)] = &[
        ("store.not_encrypted", 6, |world| {
            let mut plain = b"SQLite format 3\0".to_vec();
            plain.resize(4096, 0);
            std::fs::write(world.paths().home().join("mimir.db"), plain).expect("written");
        }),
        ("store.newer", 6, |world| make_newer(&world.paths().home().join("mimir.db"), &"ab".repeat(32))),
        ("store.unreadable", 1, |world| {
            let database = world.paths().home().join("mimir.db");
            std::fs::remove_file(&database).expect("removed");
            std::fs::create_dir(&database).expect("a folder in its place");
        }),
    ];
    for (expected, exit, spoil) in cases {
        let mut world = home();
        world.set("PATH", "/nonexistent").set("MIMIR_DB_KEY", &"ab".repeat(32));
        {
            let _gateway = Gateway(&world);
            assert_eq!(world.run(&["frame", "list"]).code, 0);
        }
        spoil(&world);
        let database = world.paths().home().join("mimir.db");
        let before = std::fs::read(&database).ok();
        let ran = world.run(&["frame", "list", "--json"]);
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).expect("json");
        assert_eq!((ran.code, error["error"]["code"].as_str()), (*exit, Some(*expected)), "{error}");
        assert!(error["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{error}");
        assert_eq!(std::fs::read(&database).ok(), before, "{expected}: the file was touched");
        let copies = std::fs::read_dir(world.paths().backups()).map_or(0, Iterator::count);
        assert_eq!(copies, 0, "{expected}: nothing was to be migrated");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_told_by_every_command() {
    let world = World::new();
    world.configure("frames:\n  netwrk: open\n");
    let ran = world.run(&["frame", "list"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("frames.network"), "the nearest key: {}", ran.stderr);
    assert_eq!(world.run(&["doctor"]).code, 8, "for doctor it is a finding");
}

#[test]
fn doctor_names_what_stands_still_with_what_lets_it_go_on() {
    let mut world = home();
    let key = "ab".repeat(32);
    world.set("PATH", "/nonexistent").set("MIMIR_DB_KEY", &key);
    {
        let _gateway = Gateway(&world);
        for name in ["nightly", "weekly"] {
            let added = world.run(&["cron", "add", name, "@daily", "--stop", "blog"]);
            assert_eq!(added.code, 0, "{}", added.stderr);
        }
        let paused = world.run(&["cron", "pause", "nightly", "--why", "the shop is closed"]);
        assert_eq!(paused.code, 0, "{}", paused.stderr);
        let shown = world.run(&["cron", "show", "nightly"]);
        assert!(shown.stdout.contains("  by you: the shop is closed\n"), "{shown:?}");
    }
    // Nothing but a mistake of ours makes a webhook fail, so its row is written here.
    let paths = world.paths();
    let options = OpenOptions { path: paths.database(), key: Secret::new(key), backups: paths.backups() };
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    threads.block_on(async {
        let store = Store::open(options, Clock::system()).expect("the database opens");
        let written = store.write(|tx| {
            let new = NewWebhook {
                id: "wh_1".into(),
                source: "errors".into(),
                event: String::new(),
                keys: Vec::new(),
                known_since: None,
                headers: Vec::new(),
                body: b"{}".to_vec(),
            };
            webhooks::insert_once(tx, &new)?;
            let reason = "it could not be decided".to_owned();
            let (state, event) = (WebhookState::Failed, "issue".to_owned());
            webhooks::settle(
                tx,
                "wh_1",
                &Ending { state, event, reason, matter: None, run: None, began_by: None, fits: None },
            )
        });
        assert!(written.await.expect("written"));
    });

    let _gateway = Gateway(&world);
    let ran = world.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 8, "there is no engine: {}", ran.stdout);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("json");
    let found = |id: &str| {
        let mut checks = report["checks"].as_array().into_iter().flatten();
        let check = checks.find(|check| check["id"] == id).unwrap_or_else(|| panic!("{id}: {report}"));
        let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
        (text("outcome"), text("found"), text("fix"))
    };
    let warning = |found: &str, fix: &str| ("warning".to_owned(), found.to_owned(), fix.to_owned());
    let by = format!("by owner:{}", rustix::process::getuid().as_raw());
    assert_eq!(
        found("schedules.paused"),
        warning(&format!("paused: nightly; nightly: {by}: the shop is closed"), "mimir cron resume nightly")
    );
    let replay = "mimir webhooks deliveries --state failed, then mimir webhooks replay ID";
    assert_eq!(found("webhooks.failed"), warning("1 failed", replay));
    assert_eq!(found("runs.held").0, "ok");
    let people = world.run(&["doctor"]);
    assert!(
        people.stdout.contains("mimir cron resume nightly") && people.stdout.contains("1 failed"),
        "{}",
        people.stdout
    );
    // Wrapped as the terminal is wide.
    let people: Vec<&str> = people.stdout.split_whitespace().collect();
    assert!(people.join(" ").contains("nightly: by you: the shop is closed"), "{people:?}");

    // What it says to type is right.
    assert_eq!(world.run(&["cron", "resume", "nightly"]).code, 0);
    let listed = world.run(&["webhooks", "deliveries", "--state", "failed"]);
    assert!(listed.code == 0 && listed.stdout.contains("wh_1"), "{listed:?}");
    assert!(!world.run(&["doctor"]).stdout.contains("paused: nightly"));
}

#[test]
fn projects_and_errors_come_from_the_real_gateway_as_well() {
    let mut world = home();
    world.set("PATH", "/nonexistent");
    let _gateway = Gateway(&world);
    let added = world.run(&["projects", "add"]);
    assert_eq!((added.code, added.stdout.as_str()), (0, "work\n"), "{}", added.stderr);
    assert_eq!(world.run(&["projects", "add"]).code, 6, "it is there already");
    assert!(world.run(&["projects", "list"]).stdout.contains("work"));
    assert_eq!(world.run(&["projects", "remove", "work", "--yes"]).code, 0);
    let cases: &[(&[&str], i32)] = &[
        (&["projects", "show", "work"], 3),
        (&["projects", "add", "nowhere"], 2),
        (&["frame", "show", "nope"], 3),
        (&["frame", "start", "nope"], 3),
        (&["frame", "logs", "nope"], 3),
        (&["frame", "events", "nope"], 3),
        (&["frame", "exec", "nope", "--", "ls"], 3),
        (&["frame", "destroy", "nope", "--yes"], 3),
        (&["frame", "create", "x", "--workspace", "/"], 2),
        (&["frame", "create", "x", "--workspace", "/nowhere/at/all"], 2),
        (&["frame", "create", "x"], 5),
        (&["send", "--frame", "nope", "hello"], 3),
        (&["send", "--follow", "msg_x"], 3),
        (&["sessions", "show", "ssn_x"], 3),
        (&["sessions", "show", "last"], 3),
    ];
    for (words, code) in cases {
        let ran = world.run(words);
        assert_eq!(ran.code, *code, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error:"), "{words:?}: {}", ran.stderr);
    }
}

/// What a service manager is told, and when; and who may knock meanwhile.
#[test]
fn a_service_manager_hears_of_the_start_and_of_the_stop() {
    let mut world = home();
    let socket = world.folder.path().join("notify.sock");
    let manager = UnixDatagram::bind(&socket).expect("binds");
    manager.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
    let hear = || {
        let mut words = [0_u8; 256];
        let length = manager.recv(&mut words).expect("word from the gateway in time");
        String::from_utf8_lossy(&words[..length]).into_owned()
    };
    world.set("PATH", "/nonexistent").set("NOTIFY_SOCKET", &socket.display().to_string());
    let gateway = world.command(&["serve"]).spawn().expect("starts");
    assert!(hear().contains("READY=1"));

    let socket = world.paths().gateway_socket();
    UnixStream::connect(&socket).expect("ready means that it answers");
    let mode = |path: &std::path::Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().expect("a folder")), 0o700);

    kill_process(Pid::from_child(&gateway), Signal::TERM).expect("signalled");
    assert!(hear().contains("STOPPING=1"));
    let ended = finish(gateway);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!socket.exists(), "nothing is left to knock at");
}

/// A gateway in the background outlives whoever started it, whatever becomes of that: its group is killed, its terminal
/// is closed, and both ends of its output are gone.
#[test]
fn a_gateway_outlives_its_parent_its_terminal_and_its_pipes() {
    let mut world = home();
    world.set("PATH", "/nonexistent");
    let answers = |what: &str, before: Pid| {
        let ran = world.run(&["frame", "list"]);
        assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains("started the gateway"), "{what}: {}", ran.stderr);
        assert_eq!(pid(&world), before, "{what}: it is the same");
    };
    {
        let _gateway = Gateway(&world);
        let script = format!("'{}' frame list >&2; echo; exec /bin/sleep 60", env!("CARGO_BIN_EXE_mimir"));
        let mut parent = Command::new("/bin/sh")
            .args(["-c", &script])
            .env_clear()
            .envs(world.env())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let said = parent.stdout.take().expect("a pipe");
        std::io::BufReader::new(said).read_line(&mut line).expect("it says that the gateway runs");
        let gateway = pid(&world);
        kill_process_group(Pid::from_child(&parent), Signal::KILL).expect("killed");
        parent.wait().expect("ended");
        answers("its parent was killed, with its whole group", gateway);
    }
    {
        let _gateway = Gateway(&world);
        let mut screen = Screen::open(&world, &["frame", "list"]);
        assert_eq!(screen.end(), 0, "{}", screen.text());
        let gateway = pid(&world);
        drop(screen);
        answers("the terminal that it was started from is closed", gateway);
        kill_process(gateway, Signal::HUP).expect("sent");
        answers("somebody hung up", gateway);
    }
    let _gateway = Gateway(&world);
    let mut child = world.command(&["serve", "--detached"]).spawn().expect("starts");
    let socket = world.paths().gateway_socket();
    drop((child.stdout.take(), child.stderr.take()));
    let begun = std::time::Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not answer: {:?}", child.try_wait());
        std::thread::sleep(Duration::from_millis(20));
    }
    answers("nobody reads what it says", Pid::from_child(&child));
    std::thread::spawn(move || child.wait());
}

/// What cannot be written is no reason to end, neither in the log nor beside it.
#[test]
fn a_gateway_whose_log_cannot_be_written_goes_on() {
    let mut world = home();
    world.set("PATH", "/nonexistent").set("MIMIR_LOG", "debug");
    std::fs::create_dir_all(world.paths().home()).expect("made");
    std::os::unix::fs::symlink("/dev/full", world.paths().log()).expect("linked");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("opens");
    // Whoever runs the tests below `nohup` ignores a hangup, and so would it.
    let mut gateway = Command::new("/usr/bin/env")
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_mimir"), "serve"])
        .env_clear()
        .envs(world.env())
        .current_dir(world.work())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(full)
        .spawn()
        .expect("starts");
    let _gateway = Gateway(&world);
    let socket = world.paths().gateway_socket();
    let begun = std::time::Instant::now();
    while UnixStream::connect(&socket).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..3 {
        assert_eq!(world.run(&["frame", "list"]).code, 0);
        assert_eq!(world.run(&["frame", "show", "nope"]).code, 3);
    }
    assert_eq!(pid(&world), Pid::from_child(&gateway));
    // A terminal that goes asks the one that runs in it.
    kill_process(pid(&world), Signal::HUP).expect("sent");
    let sent = std::time::Instant::now();
    let ended = loop {
        if let Some(ended) = gateway.try_wait().expect("it is ours") {
            break ended;
        }
        assert!(sent.elapsed() < Duration::from_secs(30), "it goes on after a hangup");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success(), "{ended}");
}

/// An error names its request, and the log has more under that name.
#[test]
fn the_id_of_a_refused_request_is_in_the_log() {
    let mut world = home();
    world.set("PATH", "/nonexistent");
    let _gateway = Gateway(&world);
    let refused = world.run(&["frame", "start", "nope", "--json"]);
    let line = refused.stderr.lines().find(|line| line.starts_with('{')).expect("an error as JSON");
    let error: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let id = error["error"]["request_id"].as_str().expect("an id").to_owned();

    let log = std::fs::read_to_string(world.paths().log()).expect("the log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    let ours: Vec<_> = lines.iter().filter(|line| line["span"]["request_id"] == *id).collect();
    assert!(ours.iter().any(|line| line["status"] == 404), "{id} in {log}");
    // Turned off on purpose is nothing to be warned of.
    assert!(!log.contains("no TCP"), "{log}");
}

/// A real opencode behind a real gateway, and a person at a terminal: what it does is seen, and what it asks is answered
/// with a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_agent_is_watched_and_answered_with_a_key() {
    let test = "a_real_agent_is_watched_and_answered_with_a_key";
    let Some(real) = Release::find(test, mimir::opencode::VERSION).await else { return };
    let port = real.start();
    real.meet().await.expect("it is healthy");
    real.client().warm_up().await.expect("it is awake");
    tokio::task::block_in_place(|| {
        let world = home();
        let _gateway = Gateway(&world);
        let url = format!("http://mimir@127.0.0.1:{port}");
        let connect = ["frame", "connect", "blog", "--url", &url, "--password-stdin"];
        let connected = world.run_with_input(&connect, PASSWORD);
        assert_eq!(connected.code, 0, "{}", connected.stderr);
        let ask = |words: &str| Screen::open(&world, &["send", "--frame", "blog", "--session", "new", words]);

        let mut thinks = ask("@@reasoning@@");
        assert_eq!(thinks.end(), 0, "{}", thinks.shown());
        let shown = thinks.shown();
        assert!(shown.contains("∴ Let me think about it step by step.  "), "{shown}");
        assert!(shown.contains("The answer is 42."), "{shown}");

        let mut asks = ask("@@ask@@");
        asks.until_shown("y once");
        assert!(asks.shown().contains("ls -d ."), "{}", asks.shown());
        asks.press("y");
        asks.until_shown("bash: ls -d . – allowed by you");
        assert_eq!(asks.end(), 0, "{}", asks.shown());
        assert!(asks.shown().contains("✓ bash  ls -d .  "), "{}", asks.shown());
        assert!(asks.shown().contains("The tool said: ."), "{}", asks.shown());

        let mut questions = ask("@@question@@");
        questions.until_shown("1-2 choose");
        questions.press("2");
        assert_eq!(questions.end(), 0, "{}", questions.shown());
        assert!(questions.shown().contains("Postgres"), "{}", questions.shown());

        let cut = world.run(&["send", "--frame", "blog", "--session", "new", "@@length@@"]);
        assert_eq!((cut.code, cut.stdout.as_str()), (0, "cut off in the mid\n"), "{}", cut.stderr);
        assert!(cut.stderr.contains("note: the answer was cut off: the model had"), "{}", cut.stderr);
        // To this release a filter is a failure; it says so, too.
        let filtered = world.run(&["send", "--frame", "blog", "--session", "new", "@@filter@@"]);
        assert_eq!(filtered.code, 1, "{}", filtered.stderr);
        assert!(filtered.stderr.contains("content filter stopped the answer"), "{}", filtered.stderr);
    });
}

#[test]
fn a_gateway_that_is_killed_between_the_key_of_its_audit_log_and_the_first_row_begins_that_log_anew() {
    let mut world = home();
    world.set("PATH", "/nonexistent").set("MIMIR_FAILPOINT", "audit.after_key");
    let killed = world.run(&["serve", "--detach"]);
    assert_ne!(killed.code, 0, "{killed:?}");
    let key = world.paths().home().join("audit.key");
    let first = std::fs::read_to_string(&key).expect("it died behind its key");
    world.set("MIMIR_FAILPOINT", "nowhere");
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    assert_eq!(world.run(&["budget", "set", "5"]).code, 0, "something to write down");
    let verified = world.run(&["audit", "verify", "--json"]);
    let verdict: serde_json::Value = serde_json::from_str(&verified.stdout).expect("json");
    assert_eq!((&verdict["ok"], &verdict["recomputed"]), (&true.into(), &true.into()), "{verdict}");
    assert!(verdict["entries"].as_u64().is_some_and(|count| count > 0), "{verdict}");
    // A key that nothing was signed with, which is kept all the same: nobody knows that for sure.
    assert_ne!(std::fs::read_to_string(&key).expect("a key"), first);
    assert_eq!(std::fs::read_to_string(key.with_extension("key.old")).expect("the first one"), first);
}

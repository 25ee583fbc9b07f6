//! Copies of the database: made under load, looked at, put back; and a home whose database was lost.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use mimir::backups::{Backups, Settings};
use mimir::clock::Clock;
use mimir::model::event::{EventKind, Subject};
use mimir::model::ids::{FrameId, MessageId, SessionId};
use mimir::model::names::FrameName;
use mimir::model::origin::Origin;
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use mimir::store::events::{self, Filter};
use mimir::store::messages::{self, NewMessage};
use mimir::store::sessions::{self, NewSession};
use mimir::store::{CheckedPart, OpenOptions, Store, StoreError, Tx, audit, backup};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cli::world::World;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn options(folder: &Path) -> OpenOptions {
    OpenOptions { path: folder.join("mimir.db"), key: Secret::new(KEY), backups: folder.join("backups") }
}

fn service(store: &Store, clock: &Clock, every: Option<Duration>) -> Backups {
    Backups::new(store.clone(), clock.clone(), Settings { every, keep: 3, age: 30 * DAY })
}

async fn rows(store: &Store) -> Vec<(u64, String)> {
    let read = store.read(|db| events::after(db, 0, &Filter::default(), usize::MAX)).await.expect("events");
    read.into_iter().map(|event| (event.id, serde_json::to_string(&event).expect("json"))).collect()
}

/// Every row of every table, as it is stored.
fn contents(database: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(database).expect("opens");
    connection.pragma_update(None, "key", format!("x'{KEY}'")).expect("the key fits");
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut tables = connection.prepare(tables).expect("a question");
    let names = tables.query_map((), |row| row.get::<_, String>(0)).expect("names");
    let names = names.map(|name| name.expect("a name"));
    names.map(|name| (name.clone(), table(&connection, &name))).collect()
}

fn table(connection: &Connection, name: &str) -> Vec<String> {
    let mut question = connection.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a question");
    let columns = question.column_count();
    let mut rows = question.query(()).expect("rows");
    let mut all = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at).expect("a value"));
        all.push(format!("{:?}", values.collect::<Vec<_>>()));
    }
    all
}

/// One change in several tables: a copy has all of it, or nothing.
fn change(tx: &mut Tx<'_>, number: u64) -> Result<(), StoreError> {
    let frame = FrameId::from_parts(number, 1);
    let frame_name = FrameName::parse("blog").expect("a name");
    let talk = NewSession {
        id: SessionId::from_parts(number, 1),
        frame: frame.clone(),
        frame_name: frame_name.clone(),
        title: format!("talk {number}"),
    };
    sessions::insert(tx, &talk)?;
    let message = NewMessage {
        id: MessageId::from_parts(number, 1),
        idempotency_key: None,
        frame,
        frame_name,
        session: talk.id.clone(),
        origin: Origin::Person,
        run: None,
        text: format!("{number} {}", "y".repeat(200)),
        model: None,
        agent: None,
        urgent: false,
    };
    messages::insert_once(tx, &message)?;
    tx.audit(&Principal::GATEWAY, "message.send", message.id.as_str(), &json!({"number": number}))?;
    let text = EventKind::Text { delta: format!("{number} {}", "x".repeat(500)), part: "p".into() };
    tx.emit(&Subject::default(), &text)?;
    Ok(())
}

#[tokio::test]
async fn a_copy_made_under_load_holds_what_was_there_row_by_row_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(options(folder.path()), Clock::system()).expect("a database");
    let copies = service(&store, &Clock::system(), None);
    let writing = async {
        for number in 1..=400 {
            store.write_soon(move |tx| change(tx, number)).await.expect("written");
        }
    };
    let copying = async {
        let mut made = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            made.push(copies.create(&Principal::GATEWAY).await.expect("a copy"));
        }
        made
    };
    let ((), made) = tokio::join!(writing, copying);
    let last = store.back_up(Clock::system().now_ms() + 1000).await.expect("a copy at the end");
    let all = contents(&folder.path().join("mimir.db"));
    assert_eq!((all["sessions"].len(), all["messages"].len(), all["events"].len()), (400, 400, 1200));
    assert!(all["audit"].len() == 403 && all.len() > 20, "{:?}", all.keys());
    let restored = |copy: &Path| {
        let there = tempfile::tempdir().expect("an empty home");
        let aside = backup::restore(&options(there.path()), copy, 1).expect("restored");
        assert_eq!(aside, None, "nothing was there");
        let kept = contents(&there.path().join("mimir.db"));
        (there, kept)
    };

    // Nothing was written since: every table is what it is there.
    let (_there, kept) = restored(&last);
    assert_eq!(kept.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
    for (name, rows) in &all {
        assert!(kept[name] == *rows, "{name}: {} rows, and {} in the copy", rows.len(), kept[name].len());
    }

    let events = rows(&store).await;
    for copy in made {
        let (there, kept) = restored(&store.backups().join(&copy.name));
        for name in ["audit", "events", "messages", "sessions"] {
            let (rows, kept) = (&all[name], &kept[name]);
            assert!(rows.starts_with(kept), "{name}: {} rows, and others among {}", rows.len(), kept.len());
        }
        let whole = kept["sessions"].len();
        assert_eq!((kept["messages"].len(), kept["events"].len()), (whole, 3 * whole), "no change is cut");
        let opened = Store::open(options(there.path()), Clock::system()).expect("opens");
        let kept = rows(&opened).await;
        assert_eq!((kept.len(), &kept[..]), (3 * whole, &events[..kept.len()]), "each event as it was");
    }
}

#[tokio::test]
async fn copies_are_made_when_they_are_due_and_as_many_are_kept_as_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(1_700_000_000_000);
    let store = Store::open(options(folder.path()), clock.clone()).expect("a database");
    let copies = service(&store, &clock, Some(DAY));
    for day in 1..=5_usize {
        copies.keep_up().await.expect("kept up");
        copies.keep_up().await.expect("nothing is due");
        assert_eq!(copies.list().len(), day.min(3));
        clock.advance_ms(24 * 60 * 60 * 1000);
    }
    let off = service(&store, &clock, None);
    off.keep_up().await.expect("nothing to do");
    assert_eq!(off.list().len(), 3);
    let made = off.create(&Principal::GATEWAY).await.expect("somebody asked");
    assert_eq!(off.list().last(), Some(&made));
    let audited = store.read(|db| audit::list(db, None, 10)).await.expect("audit rows");
    assert!(audited.iter().any(|row| row.action == "backup.create"), "{audited:?}");
}

/// A page in the middle that no query of the usual ones reads.
fn damage(file: &Path) {
    let bytes = fs::metadata(file).expect("a file").len();
    let file = fs::OpenOptions::new().read(true).write(true).open(file).expect("opens");
    let at = bytes / 4096 / 2 * 4096 + 100;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
}

async fn filled(folder: &Path) -> Store {
    let store = Store::open(options(folder), Clock::system()).expect("a database");
    for _ in 0..200 {
        let text = EventKind::Text { delta: "x".repeat(4_000), part: "p".into() };
        store.write_soon(move |tx| tx.emit(&Subject::default(), &text)).await.expect("written");
    }
    store
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_is_found_and_such_a_copy_is_neither_made_nor_put_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = filled(folder.path()).await;
    assert_eq!(store.check(Duration::from_secs(60)).await.expect("whole"), CheckedPart::Whole);
    let copies = service(&store, &Clock::system(), None);
    let good = copies.create(&Principal::GATEWAY).await.expect("a copy");
    drop((store, copies));

    damage(&folder.path().join("mimir.db"));
    let store = Store::open(options(folder.path()), Clock::system()).expect("it opens");
    let found = store.check(Duration::from_secs(60)).await;
    assert!(matches!(found, Err(StoreError::Damaged(_))), "{found:?}");
    let copies = service(&store, &Clock::system(), None);
    let refused = copies.create(&Principal::GATEWAY).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(copies.list(), std::slice::from_ref(&good), "the good one is still there, and no other");
    drop((store, copies));

    let copy = folder.path().join("backups").join(&good.name);
    let bad = folder.path().join("bad.db");
    fs::copy(&copy, &bad).expect("copied");
    damage(&bad);
    let before = fs::read(folder.path().join("mimir.db")).expect("bytes");
    let refused = backup::restore(&options(folder.path()), &bad, 1);
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    assert_eq!(fs::read(folder.path().join("mimir.db")).expect("bytes"), before, "nothing was touched");

    let aside = backup::restore(&options(folder.path()), &copy, 7).expect("restored").expect("one was there");
    assert_eq!(fs::read(aside).expect("bytes"), before, "what was there is kept");
    let store = Store::open(options(folder.path()), Clock::system()).expect("opens");
    store.check(Duration::from_secs(60)).await.expect("whole");
}

/// A home whose gateway finds no engine and opens no port.
fn home() -> World {
    let mut world = World::new();
    let socket = world.folder.path().join("no-engine.sock");
    world.configure(&format!("server:\n  http_port: off\nengine:\n  socket: {}\n", socket.display()));
    world.set("PATH", "/nonexistent");
    world
}

#[test]
fn a_lost_database_is_not_taken_for_a_new_home_and_comes_back_from_its_copy() {
    let world = home();
    let database = world.paths().home().join("mimir.db");
    let folder = world.work();
    let added = world.run(&["projects", "add", &folder.display().to_string(), "--name", "kept"]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let made = world.run(&["backup", "create"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let runs = world.run(&["backup", "restore", "--yes"]);
    assert_eq!(runs.code, 6, "{}", runs.stderr);
    assert!(runs.stderr.contains("mimir serve --stop"), "{}", runs.stderr);
    assert_eq!(world.run(&["serve", "--stop"]).code, 0);

    // A file system that a crash left cuts files to nothing.
    fs::write(&database, "").expect("cut");
    let lost = world.run(&["projects", "list", "--json"]);
    let error: Value = serde_json::from_str(&lost.stderr).expect("json");
    assert_eq!((lost.code, &error["error"]["code"]), (6, &json!("store.lost")), "{}", lost.stderr);
    assert!(lost.stderr.contains("mimir backup restore"), "{}", lost.stderr);
    assert_eq!(fs::metadata(&database).expect("there").len(), 0, "nothing was begun over it");

    let listed = world.run(&["backup", "list"]);
    assert!(listed.stdout.contains(made.stdout.trim()), "{}", listed.stdout);
    let verified = world.run(&["backup", "verify"]);
    assert!(
        verified.code == 0 && verified.stdout.contains("is whole"),
        "{} {}",
        verified.stdout,
        verified.stderr
    );
    let restored = world.run(&["backup", "restore", "--yes"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let back = world.run(&["projects", "list"]);
    assert!(back.code == 0 && back.stdout.contains("kept"), "{} {}", back.stdout, back.stderr);
    assert_eq!(world.run(&["serve", "--stop"]).code, 0);

    let missing = world.run(&["backup", "verify", "no-such-copy"]);
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    fs::remove_file(world.paths().home().join("db.key")).expect("removed");
    let keyless = world.run(&["backup", "verify"]);
    assert_eq!(keyless.code, 4, "{}", keyless.stderr);
    assert!(!world.paths().home().join("db.key").exists(), "no new key is made for an old copy");
}

/// Ends the gateway of a test, also when the test fails.
struct Gateway<'a>(&'a World);

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&["serve", "--stop"]);
    }
}

/// What `mimir status` says once it is so.
fn status_once(world: &World, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let ran = world.run(&["status", "--json"]);
        // Of a gateway that is dying nothing may be said.
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        if is_so(&status) {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {ran:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What `mimir doctor` finds of the database's pages.
fn examined(world: &World) -> Value {
    let ran = world.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["id"] == "store.whole").expect("it is looked at").clone()
}

#[tokio::test]
async fn a_database_that_a_crash_damaged_is_named_until_a_copy_is_put_back() {
    let mut world = home();
    world.set("MIMIR_DB_KEY", KEY);
    let _gateway = Gateway(&world);
    let starts = || {
        let ran = world.run(&["serve", "--detach"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    let ends = || {
        let ran = world.run(&["serve", "--stop"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    starts();
    let copied = world.run(&["backup", "create"]);
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    ends();
    drop(filled(world.paths().home()).await);

    starts();
    let well = status_once(&world, "it runs", |status| status["running"] == true);
    assert_eq!(well["database_damage"], Value::Null);
    let pid = well["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::KILL).expect("killed");
    status_once(&world, "it is dead", |status| status["running"] == false);
    damage(&world.paths().home().join("mimir.db"));

    let is_damaged = |status: &Value| status["database_damage"].is_string();
    starts();
    status_once(&world, "the damage is found", is_damaged);
    let shown = world.run(&["status"]);
    assert!(shown.stdout.contains("; damaged: "), "{shown:?}");
    assert!(shown.stderr.contains("`mimir backup restore`"), "{shown:?}");
    let found = examined(&world);
    assert_eq!(found["outcome"], json!("failed"), "{found}");
    assert!(found["found"].as_str().is_some_and(|text| text.contains("is damaged")), "{found}");
    assert!(found["fix"].as_str().is_some_and(|text| text.contains("mimir backup restore")), "{found}");

    // A gateway that is stopped well makes nothing whole.
    ends();
    starts();
    status_once(&world, "the damage is remembered", is_damaged);

    ends();
    let restored = world.run(&["backup", "restore", "--yes"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    starts();
    let found = examined(&world);
    assert_eq!(found["outcome"], json!("ok"), "{found}");
    let status = status_once(&world, "it runs", |status| status["running"] == true);
    assert_eq!(status["database_damage"], Value::Null);
}

//! The audit log's chain: whatever is changed past mimir is found.

use std::path::Path;

use mimir::audit::{self, Audit};
use mimir::clock::Clock;
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use mimir::store::audit_chain::KEY_FILE;
use mimir::store::{OpenOptions, Store, Tx, backup};
use mimir::supervisor::failpoint::Failpoints;
use serde_json::json;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const ENTRIES: u64 = 150;

struct Log {
    folder: tempfile::TempDir,
    store: Store,
    audit: Audit,
    clock: Clock,
}

impl Log {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(1_000_000);
        let store = open(folder.path(), &clock);
        audit::begin(&store, folder.path(), &Failpoints::default()).await.expect("begun");
        let audit = Audit::new(store.clone(), clock.clone(), folder.path(), folder.path().join("heads"));
        Self { folder, store, audit, clock }
    }

    async fn write(&self, entries: std::ops::Range<u64>) {
        for number in entries {
            self.clock.advance_ms(1000 + number % 7 * 1500);
            let write = move |tx: &mut Tx<'_>| {
                let who = Principal::Owner { uid: u32::try_from(1000 + number % 3).expect("small") };
                tx.audit(&who, "frame.start", &format!("frame-{number}"), &json!({ "number": number }))
            };
            self.store.write(write).await.expect("written");
        }
    }

    /// What is found with the key in the home.
    async fn findings(&self) -> Vec<String> {
        self.audit.verify(None).await.expect("read").findings
    }

    /// A hand on the database, with everything that is in it.
    async fn tamper(&self, sql: &str) {
        let sql = sql.to_owned();
        self.store.write(move |tx| tx.change(&sql, ()).map(drop)).await.expect("changed");
    }

    async fn number(&self, sql: &str) -> i64 {
        let sql = sql.to_owned();
        let found = self.store.read(move |db| {
            use mimir::store::Queryable as _;
            db.maybe_row(&sql, (), |row| Ok(row.get(0)?))
        });
        found.await.expect("read").expect("a number")
    }
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions { path: folder.join("mimir.db"), key: Secret::new(KEY), backups: folder.join("backups") }
}

fn open(folder: &Path, clock: &Clock) -> Store {
    Store::open(options(folder), clock.clone()).expect("a database")
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_as_it_was_written_with_the_key_and_without() {
    let log = Log::new().await;
    log.write(0..ENTRIES).await;
    assert!(log.audit.note_head().await.expect("noted"));
    let found = log.audit.verify(None).await.expect("read");
    assert_eq!(
        (found.ok, found.entries, found.before, found.recomputed, found.heads),
        (true, ENTRIES, 0, true, 1)
    );
    assert!(log.number("SELECT epoch FROM audit_chain").await >= 2, "keys of earlier epochs are gone");

    // Moved away, as it should be, and given back for a check.
    let path = log.folder.path().join(KEY_FILE);
    let key = std::fs::read_to_string(&path).expect("a key");
    std::fs::remove_file(&path).expect("moved");
    let found = log.audit.verify(None).await.expect("read");
    assert!(found.ok && !found.recomputed, "{found:?}");
    assert!(log.audit.verify(Some(key.trim())).await.expect("read").recomputed);
    assert!(log.audit.verify(Some("none")).await.is_err());
    // A second start neither begins anew nor makes another key.
    audit::begin(&log.store, log.folder.path(), &Failpoints::default()).await.expect("there is one");
    assert!(!path.exists());
    assert!(
        !log.audit.verify(Some(&KEY.replace('0', "1"))).await.expect("read").ok,
        "another key fits nothing"
    );
}

#[tokio::test]
async fn a_cut_end_and_an_older_copy_are_found_by_what_was_noted_outside() {
    let log = Log::new().await;
    log.write(0..50).await;
    let copy = log.store.back_up(1).await.expect("a copy");
    log.write(50..80).await;
    log.audit.note_head().await.expect("noted");

    // Cut so that the chain itself fits again: the same epoch's key, one entry less.
    log.tamper("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)").await;
    assert!(!log.findings().await.is_empty());
    log.tamper("UPDATE audit_chain SET count = count - 1, entries = entries - 1, head = (SELECT mac FROM audit ORDER BY id DESC LIMIT 1)").await;
    let found = log.findings().await;
    assert!(found.len() == 1 && found[0].contains("once had 80 entries"), "{found:?}");

    // The database as it was.
    let there = tempfile::tempdir().expect("a folder");
    std::fs::copy(copy, there.path().join("mimir.db")).expect("copied");
    let old = open(there.path(), &log.clock);
    std::fs::copy(log.folder.path().join(KEY_FILE), there.path().join(KEY_FILE)).expect("copied");
    let audit = Audit::new(old, log.clock.clone(), there.path(), log.folder.path().join("heads"));
    let found = audit.verify(None).await.expect("read").findings;
    assert!(found.len() == 1 && found[0].contains("older copy"), "{found:?}");
}

impl Log {
    /// Puts a copy back as `mimir backup restore` does, and opens what is there then.
    async fn put_back(self, copy: &Path) -> Self {
        let Self { folder, store, audit, clock } = self;
        // The database is used by nobody meanwhile.
        drop((store, audit));
        let (options, heads) = (options(folder.path()), folder.path().join("heads"));
        clock.advance_ms(1000);
        let at = clock.now_ms();
        let mut noted = Ok(());
        let note = || noted = audit::note_restore(&options, copy, &heads, at);
        backup::restore_after(&options, copy, at, note).expect("put back");
        noted.expect("noted");
        let store = open(folder.path(), &clock);
        let audit = Audit::new(store.clone(), clock.clone(), folder.path(), heads);
        audit.write_restore().await.expect("written");
        audit.write_restore().await.expect("once");
        Self { folder, store, audit, clock }
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("heads")).expect("lines");
        text.lines().map(str::to_owned).collect()
    }

    fn set_lines(&self, lines: &[String]) {
        std::fs::write(self.folder.path().join("heads"), lines.join("\n") + "\n").expect("written");
    }
}

#[tokio::test]
async fn a_copy_that_was_put_back_is_a_known_cut_and_explains_nothing_that_came_later() {
    let log = Log::new().await;
    log.write(0..50).await;
    let copy = log.store.back_up(1).await.expect("a copy");
    log.write(50..180).await;
    log.audit.note_head().await.expect("noted");
    let log = log.put_back(&copy).await;
    let found = log.audit.verify(None).await.expect("read");
    assert!(found.ok, "{found:?}");
    let restored: Vec<_> = found.restored.iter().map(|one| (one.had_entries, one.copied_entries)).collect();
    assert_eq!(restored, [(Some(180), 50)]);
    let written = log.audit.list(None, 10).await.expect("read");
    let of_it = written.iter().filter(|entry| entry.action == "backup.restore").count();
    assert_eq!(of_it, 1, "once: {written:?}");

    // It goes on from there, and what is noted from now on must be found.
    log.write(50..300).await;
    assert!(log.audit.note_head().await.expect("noted"));
    assert!(log.audit.verify(None).await.expect("read").ok);
    let copy_of_now = log.store.back_up(2).await.expect("a copy");
    log.write(300..420).await;
    log.audit.note_head().await.expect("noted");

    // Back and forth, as people do who look for something: the first copy, then the newest.
    let log = log.put_back(&copy).await;
    log.write(50..70).await;
    log.audit.note_head().await.expect("noted");
    let log = log.put_back(&copy_of_now).await;
    let found = log.audit.verify(None).await.expect("read");
    assert!(found.ok && found.restored.len() == 3, "{found:?}");

    // Without the first key nobody can tell a note of ours from another.
    let path = log.folder.path().join(KEY_FILE);
    let key = std::fs::read_to_string(&path).expect("a key");
    std::fs::remove_file(&path).expect("moved");
    let found = log.audit.verify(None).await.expect("read");
    assert!(!found.ok && found.findings.iter().any(|one| one.contains("the first key")), "{found:?}");
    assert!(log.audit.verify(Some(key.trim())).await.expect("read").ok);
}

#[tokio::test]
async fn a_copy_put_back_past_mimir_is_found_whatever_is_written_about_it() {
    let log = Log::new().await;
    log.write(0..50).await;
    let copy = log.store.back_up(1).await.expect("a copy");
    log.write(50..180).await;
    log.audit.note_head().await.expect("noted");
    let log = log.put_back(&copy).await;
    log.write(50..200).await;
    log.audit.note_head().await.expect("noted");
    assert!(log.findings().await.is_empty());
    let lines = log.lines();
    let ours = lines.iter().find(|line| line.contains("restored")).expect("a note").clone();

    // Who has the database alone puts the same copy back once more: the note of then does not explain it.
    let Log { folder, store, audit, clock } = log;
    drop((store, audit));
    backup::restore(&options(folder.path()), &copy, 9).expect("put back");
    let store = open(folder.path(), &clock);
    let audit = Audit::new(store.clone(), clock.clone(), folder.path(), folder.path().join("heads"));
    let log = Log { folder, store, audit, clock };
    let found = log.findings().await;
    assert!(found.iter().any(|one| one.contains("older copy")), "{found:?}");

    // Who has the file alone cannot write one that does: not the old one again, not one that is changed.
    log.set_lines(&[lines.clone(), vec![ours.clone()]].concat());
    assert!(!log.findings().await.is_empty(), "the same note once more");
    let end = lines.iter().rfind(|line| !line.contains("restored")).expect("a head");
    let end: serde_json::Value = serde_json::from_str(end).expect("json");
    let mut forged: serde_json::Value = serde_json::from_str(&ours).expect("json");
    forged["restored"]["from"] = json!({ "count": end["count"], "mac": end["mac"] });
    log.set_lines(&[lines.clone(), vec![forged.to_string()]].concat());
    let found = log.findings().await;
    assert!(found.iter().any(|one| one.contains("not written by this mimir")), "{found:?}");
    assert!(found.iter().any(|one| one.contains("older copy")), "{found:?}");
}

#[tokio::test]
async fn heads_are_noted_when_there_is_news_and_a_torn_line_spoils_nothing() {
    let log = Log::new().await;
    assert!(!log.audit.note_head().await.expect("nothing to note"));
    log.write(0..3).await;
    assert!(log.audit.note_head().await.expect("noted"));
    assert!(!log.audit.note_head().await.expect("no news"));
    log.write(3..5).await;
    assert!(!log.audit.note_head().await.expect("not yet"));
    log.clock.advance_ms(5 * 60 * 1000);
    assert!(log.audit.note_head().await.expect("noted"));
    let heads = log.folder.path().join("heads");
    let text = std::fs::read_to_string(&heads).expect("lines");
    std::fs::write(&heads, format!("{text}{{\"at\":1,\"cou")).expect("torn");
    assert!(log.audit.verify(None).await.expect("read").ok, "it was being written when we died");
    log.write(5..120).await;
    assert!(log.audit.note_head().await.expect("noted"));
    let found = log.audit.verify(None).await.expect("read");
    assert_eq!((found.heads, found.ok), (3, true), "{found:?}");
    std::fs::write(&heads, format!("{text}no line of ours\n")).expect("written");
    let found = log.audit.verify(None).await.expect("read");
    assert!(found.findings.iter().any(|one| one.contains("1 lines of")), "{found:?}");
}

/// 1,000 random changes by somebody who has the open database and knows how all of this works, but not the past keys.
#[tokio::test]
async fn a_thousand_random_changes_are_all_found() {
    let log = Log::new().await;
    log.write(0..ENTRIES).await;
    log.audit.note_head().await.expect("noted");
    assert!(log.findings().await.is_empty());
    for table in ["audit", "audit_chain"] {
        log.tamper(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    // Marsaglia's xorshift, so that a round that was not found can be seen again.
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = move |most: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % most
    };
    for round in 0..1000 {
        let (some, other) = (1 + random(ENTRIES), 1 + random(ENTRIES));
        let changes: Vec<String> = match random(12) {
            0 => vec![format!("UPDATE audit SET principal = principal || 'x' WHERE id = {some}")],
            1 => vec![format!("UPDATE audit SET action = 'frame.stop' WHERE id = {some}")],
            2 => vec![format!("UPDATE audit SET subject = subject || ' ' WHERE id = {some}")],
            3 => vec![format!("UPDATE audit SET detail = '{{}}' WHERE id = {some}")],
            4 => vec![format!("UPDATE audit SET at = at + 1 WHERE id = {some}")],
            5 => vec![format!("DELETE FROM audit WHERE id = {some}")],
            // With everything that a careful hand would mend.
            6 => vec![
                format!("DELETE FROM audit WHERE id = {some}"),
                "UPDATE audit_chain SET count = count - 1, entries = max(entries - 1, 0)".into(),
            ],
            7 if some != other => vec![
                format!("UPDATE audit SET id = -1 WHERE id = {some}"),
                format!("UPDATE audit SET id = {some} WHERE id = {other}"),
                format!("UPDATE audit SET id = {other} WHERE id = -1"),
            ],
            8 => vec![format!(
                "INSERT INTO audit (at, principal, action, subject, detail, epoch, mac)
                 SELECT at, principal, action, subject, detail, epoch, mac FROM audit WHERE id = {some}"
            )],
            9 => vec![
                "INSERT INTO audit (at, principal, action, subject, detail) VALUES (1, 'owner:0', 'a.b', 'c', '{}')".into(),
            ],
            10 => vec![
                format!("DELETE FROM audit WHERE id >= {}", some.max(2)),
                "UPDATE audit_chain SET count = (SELECT count(*) FROM audit), head = (SELECT mac FROM audit ORDER BY id DESC LIMIT 1),
                 epoch = (SELECT epoch FROM audit ORDER BY id DESC LIMIT 1)".into(),
            ],
            _ => vec![format!("UPDATE audit SET mac = NULL, epoch = NULL WHERE id >= {some}")],
        };
        for change in &changes {
            log.tamper(change).await;
        }
        assert!(!log.findings().await.is_empty(), "round {round} was not found: {changes:?}");
        for table in ["audit", "audit_chain"] {
            log.tamper(&format!("DELETE FROM {table}")).await;
            log.tamper(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
        }
    }
    assert!(log.findings().await.is_empty(), "and as it was, it is whole");
}

//! What a power cut leaves: the database, and of its log what was synced, plus some of the rest.

use std::fs;
use std::path::Path;

use super::*;
use crate::model::event::{EventKind, Subject};

/// A quarter of what is reserved at once.
const MANY: u64 = 16_384;

fn open(folder: &Path) -> Store {
    let key = Secret::new("00".repeat(32));
    let options = OpenOptions { path: folder.join("mimir.db"), key, backups: folder.join("backups") };
    Store::open(options, Clock::manual(1_000)).expect("opens")
}

fn emit(tx: &mut Tx<'_>, count: u64) -> Result<u64, StoreError> {
    let delta = EventKind::Text { delta: "a".into(), part: "p".into() };
    (0..count).try_fold(0, |_, _| tx.emit(&Subject::default(), &delta))
}

/// The newest event, as somebody who follows has it.
fn sent(store: &Store) -> u64 {
    *store.last_event().borrow()
}

/// A copy of what is on the disk, with that much of the log.
fn cut(from: &Path, log: usize) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    fs::copy(from.join("mimir.db"), to.path().join("mimir.db")).expect("the database");
    let whole = fs::read(from.join("mimir.db-wal")).expect("the log");
    fs::write(to.path().join("mimir.db-wal"), &whole[..log.min(whole.len())]).expect("a shorter log");
    to
}

async fn kept(store: &Store) -> u64 {
    let newest = "SELECT coalesce(max(id), 0) AS id FROM events";
    let row = store.read(move |db| db.maybe_row(newest, (), |row| values::unsigned(row, "id"))).await;
    row.expect("a row").expect("a number")
}

#[tokio::test]
async fn ids_that_a_power_cut_took_are_not_given_out_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store.write(|tx| emit(tx, 3)).await.expect("saved");
    let before = store.inner.writer.synced();
    // Few commits, so that the log is not folded in meanwhile. More is reserved after the second.
    for round in 0..4 {
        store.write_soon(|tx| emit(tx, MANY)).await.expect("saved");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while round == 1 && store.inner.writer.synced() == before {
            assert!(std::time::Instant::now() < until, "nothing more was reserved");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let sent = sent(&store);
    assert_eq!(sent, 3 + 4 * MANY);
    let synced = usize::try_from(store.inner.writer.synced()).expect("a length");
    let whole = fs::metadata(folder.path().join("mimir.db-wal")).expect("the log").len();
    let whole = usize::try_from(whole).expect("a length");
    assert!(synced < whole, "something was not synced yet: {synced} of {whole}");

    for log in [synced, (synced + whole) / 2, whole - 1] {
        let left = cut(folder.path(), log);
        let again = open(left.path());
        let kept = kept(&again).await;
        assert!(kept < sent, "with {log} of {whole} nothing was lost");
        let next = again.write(|tx| emit(tx, 1)).await.expect("saved");
        assert!(next > sent, "with {log} of {whole}: {next} is not above {sent}");
        for (position, is_too_old) in [(kept, false), (kept + 1, true), (sent, true), (next - 1, false)] {
            let says = again.read(move |db| events::is_too_old(db, position)).await.expect("an answer");
            assert_eq!(says, is_too_old, "{position}, {kept} kept, {sent} sent, {next} next");
        }
    }
}

#[tokio::test]
async fn a_database_that_was_closed_goes_on_with_the_next_id_and_one_that_was_not_leaves_a_hole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store.write(|tx| emit(tx, 3)).await.expect("saved");
    drop(store);
    let store = open(folder.path());
    assert_eq!(sent(&store), 3);
    assert_eq!(store.write(|tx| emit(tx, 1)).await.expect("saved"), 4);

    let log = fs::metadata(folder.path().join("mimir.db-wal")).expect("the log").len();
    let left = cut(folder.path(), usize::try_from(log).expect("a length"));
    let killed = open(left.path());
    let (first, count) = (sent(&killed), 100);
    assert!(first > 4, "{first}");
    assert_eq!(killed.write(move |tx| emit(tx, count)).await.expect("saved"), first + count);
    // Whoever had everything misses nothing, and reads on behind the hole.
    assert!(!killed.read(|db| events::is_too_old(db, 4)).await.expect("an answer"));
    let next = killed.read(|db| events::after(db, 4, &events::Filter::default(), 1)).await.expect("events");
    assert_eq!(next.first().map(|event| event.id), Some(first + 1));
}

/// Two that have it open at once, as a gateway that is about to go and its successor may.
#[tokio::test]
async fn two_writers_do_not_give_out_each_others_ids() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (open(folder.path()), open(folder.path()));
    let mut ids = Vec::new();
    for store in [&first, &second, &first] {
        ids.push(store.write(|tx| emit(tx, 1)).await.expect("saved"));
    }
    drop(second);
    ids.push(first.write(|tx| emit(tx, 1)).await.expect("saved"));
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let log = fs::metadata(folder.path().join("mimir.db-wal")).expect("the log").len();
    let left = cut(folder.path(), usize::try_from(log).expect("a length"));
    assert!(sent(&open(left.path())) > ids[3]);
}

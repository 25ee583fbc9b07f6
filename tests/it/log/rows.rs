//! Events from memory and events from rows are the same events.

use futures_util::StreamExt;
use mimir::events::{Events, Filter, Followed};
use mimir::model::event::{EventKind, Subject};
use mimir::store::Store;

use super::Dice;
use super::retention::open;

/// Whoever starts anywhere, with any filter, gets the same as a reader of the table.
#[tokio::test]
async fn a_reader_gets_what_the_table_has_wherever_it_comes_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let events = Events::new(store.clone());
    let mut dice = Dice::new();
    let seed = dice.0;
    let filters = [
        Filter::default(),
        Filter { kinds: vec!["message.*".into()], ..Filter::default() },
        Filter { kinds: vec!["message.text".into(), "frame.removed".into()], ..Filter::default() },
    ];
    let mut readers = Vec::new();
    for round in 0..40 {
        some(&store, &mut dice).await;
        if round % 4 == 0 {
            let filter = filters[dice.throw(3) as usize].clone();
            let position = dice.throw(events.newest() + 1);
            readers.push((position, filter.clone(), Box::pin(events.follow(position, filter)), Vec::new()));
        }
        // Some keep up, some do not.
        for (_, _, reader, seen) in &mut readers {
            for _ in 0..dice.throw(20) {
                let next =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(reader.poll_next_unpin(cx))).await;
                let std::task::Poll::Ready(Some(Ok(Followed::Event(event)))) = next else { break };
                seen.push(event.event().clone());
            }
        }
    }
    assert!(store.ring().floor() > 0, "all of it fitted into memory");
    for (position, filter, mut reader, mut seen) in readers {
        let wanted = filter.clone();
        let rows = store.read(move |db| mimir::store::events::after(db, position, &wanted, usize::MAX));
        let rows = rows.await.expect("rows");
        while seen.len() < rows.len() {
            let next = tokio::time::timeout(super::reader::PATIENCE, reader.next()).await.expect("in time");
            let Some(Ok(Followed::Event(event))) = next else { panic!("seed {seed}: {next:?}") };
            seen.push(event.event().clone());
        }
        assert!(seen == rows, "seed {seed}: after {position} with {filter:?}");
    }
}

/// Large enough that memory holds a few dozen.
async fn some(store: &Store, dice: &mut Dice) {
    let told: Vec<EventKind> = (0..1 + dice.throw(12))
        .map(|_| match dice.throw(4) {
            0 => EventKind::FrameRemoved {},
            1 => EventKind::MessageQueued {},
            _ => EventKind::Text { delta: "x".repeat(dice.throw(90_000) as usize), part: "p".into() },
        })
        .collect();
    let write = store.write_soon(move |tx| {
        for what in &told {
            tx.emit(&Subject::default(), what)?;
        }
        Ok(())
    });
    write.await.expect("stored");
}

//! The log of events and those who read it: cut off, slow, late, behind a proxy, and many at once.
#![cfg(feature = "test-support")]

mod crowd;
mod cuts;
mod proxy;
mod reader;
mod resets;
mod retention;
mod rows;
mod stalls;

use mimir::model::event::{EventKind, Subject};
use mimir::store::Store;

/// Stores events whose text is what `text` makes of their number, many in one transaction.
async fn emit(
    store: &Store,
    numbers: std::ops::Range<u64>,
    text: impl Fn(u64) -> String + Send + 'static,
) -> u64 {
    let told = store.write_soon(move |tx| {
        let mut last = 0;
        for number in numbers {
            let what = EventKind::Text { delta: text(number), part: "prt_1".into() };
            last = tx.emit(&Subject::default(), &what)?;
        }
        Ok(last)
    });
    told.await.expect("stored")
}

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(u64::from_le_bytes(mimir::clock::entropy::<8>()) | 1)
    }

    /// From 0 to `below`, not included.
    fn throw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below.max(1)
    }
}

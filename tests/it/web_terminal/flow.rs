//! Neither side is given more than it takes.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::client::Came;
use super::world::Terminals;

/// As `authenticated` says it.
const WINDOW: usize = 256 * 1024;
/// What may be on its way beside it: one piece of the frame's output.
const PIECE: usize = 32 * 1024;

/// Whoever stops reading makes the gateway stop as well; nothing is kept for them, and nothing is lost.
#[tokio::test]
async fn output_without_end_waits_in_the_frame_for_whoever_does_not_take_it() {
    let all = Terminals::new().await;
    let mut terminal = all.attached().await;
    let before = terminal.shown.len();
    assert!(terminal.type_text("yes\r").await);
    while terminal.shown.len() - before < WINDOW {
        assert!(!matches!(terminal.next().await, Came::Closed), "closed after {}", terminal.shown.len());
    }
    // The gateway still hears; only the frame waits.
    terminal.say(json!({"type": "resize", "columns": 100, "rows": 30})).await;
    all.until("the size", |seen| *seen.sizes.lock() == [(100, 30)]).await;
    let printed = || usize::try_from(all.seen.printed.load(Ordering::SeqCst)).expect("small");
    assert!(printed() <= before + WINDOW + PIECE, "{} bytes were taken from the frame", printed());

    // It goes on as soon as what came is taken.
    let first = terminal.shown.len();
    terminal.acknowledge().await;
    while terminal.shown.len() - first < WINDOW {
        assert!(!matches!(terminal.next().await, Came::Closed), "closed after {}", terminal.shown.len());
    }
    assert!(printed() <= first + WINDOW + PIECE, "{} bytes were taken from the frame", printed());
    drop(terminal);
    all.until_open(0).await;
    assert!(all.world.end().await, "it ends in time");
}

#[tokio::test]
async fn a_reader_who_keeps_up_gets_every_byte() {
    const BYTES: usize = 8 << 20;
    let all = Terminals::new().await;
    let mut terminal = all.attached().await;
    let before = terminal.shown.len();
    assert!(terminal.type_text(format!("print {BYTES}\r")).await);
    // Its own line comes first.
    let echo = format!("print {BYTES}\r").len();
    while terminal.shown.len() - before < BYTES + echo {
        match terminal.next().await {
            Came::Output => terminal.acknowledge().await,
            Came::Said(said) => assert_ne!(said["type"], "error", "{said}"),
            Came::Closed => panic!("closed after {}", terminal.shown.len()),
        }
    }
    assert!(terminal.type_text("end\r").await);
    terminal.until_shown("end").await;
    let drawn = terminal.shown.iter().filter(|byte| **byte == b'y').count();
    assert_eq!(drawn, BYTES);
}

#[tokio::test]
async fn input_that_nobody_reads_is_not_kept_without_end() {
    let all = Terminals::new().await;
    let mut terminal = all.attached().await;
    assert!(terminal.type_text("deaf\r").await);
    // One more than fits: nothing is taken as long as the first piece does not fit into the frame.
    for _ in 0..=WINDOW / PIECE {
        assert!(terminal.type_text(vec![b'x'; PIECE]).await);
    }
    assert_eq!(terminal.until_closed().await.as_deref(), Some("terminal.too_fast"));
    all.until_open(0).await;
}

#[tokio::test]
async fn nobody_acknowledges_what_did_not_come() {
    let all = Terminals::new().await;
    let mut terminal = all.attached().await;
    terminal.say(json!({"type": "ack", "bytes": 1_u64 << 40})).await;
    assert_eq!(terminal.until_closed().await.as_deref(), Some("request.invalid"));
}

//! Ports for the frames of a test.
//!
//! Below the ports that outgoing connections get, where a whole run of tests leaves thousands behind; each test
//! and each run beside this one has its own corner.

use std::sync::atomic::{AtomicU16, Ordering};

use mimir::model::port::PortRange;

const FIRST: u16 = 10_000;
/// How many one process has.
const CORNER: u16 = 3_000;

/// So many ports that no other test of this process was given lately.
pub fn own(count: u16) -> PortRange {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let corner = u16::try_from(std::process::id() % 7).expect("below 7") * CORNER;
    let next = NEXT
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |next| {
            let next = if next + 2 * count > CORNER { 0 } else { next + count };
            Some(next)
        })
        .expect("always some");
    let next = if next + count > CORNER { 0 } else { next };
    let first = FIRST + corner + next;
    PortRange { first, last: first + count - 1 }
}

//! How much may be on its way to a client, and from it: bytes that were sent and not yet acknowledged.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// So much output is sent before the client says that it has taken it. What is in the frame then waits there: tmux draws
/// the newest screen when there is room again.
pub const OUTPUT_WINDOW: u64 = 256 * 1024;
/// So much input may wait here until the frame takes it.
pub const INPUT_WINDOW: u64 = 256 * 1024;

/// Output on its way. Counts over a whole connection.
#[derive(Default)]
pub struct OutputFlow {
    counts: Mutex<Counts>,
    acknowledged: Notify,
}

/// Of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: u64,
    taken: u64,
}

impl OutputFlow {
    /// Waits until something may be sent. One caller at a time.
    pub async fn room(&self) {
        while self.on_its_way() >= OUTPUT_WINDOW {
            self.acknowledged.notified().await;
        }
    }

    /// Something is sent.
    pub fn sent(&self, bytes: usize) {
        let mut counts = self.counts.lock();
        counts.sent = counts.sent.saturating_add(bytes as u64);
    }

    /// The client has taken everything up to there; false when that cannot be.
    #[must_use]
    pub fn acknowledge(&self, total: u64) -> bool {
        let mut counts = self.counts.lock();
        if total < counts.taken || total > counts.sent {
            return false;
        }
        counts.taken = total;
        self.acknowledged.notify_one();
        true
    }

    fn on_its_way(&self) -> u64 {
        let counts = self.counts.lock();
        counts.sent - counts.taken
    }
}

/// Input that was received and that the frame has not taken.
#[derive(Default)]
pub struct InputFlow {
    counts: Mutex<Counts>,
}

impl InputFlow {
    /// Something came; false when that is more than may wait.
    #[must_use]
    pub fn received(&self, bytes: usize) -> bool {
        let mut counts = self.counts.lock();
        counts.sent = counts.sent.saturating_add(bytes as u64);
        counts.sent - counts.taken <= INPUT_WINDOW
    }

    /// The frame took that, or nobody will; all that was taken so far.
    pub fn taken(&self, bytes: usize) -> u64 {
        let mut counts = self.counts.lock();
        counts.taken = counts.taken.saturating_add(bytes as u64).min(counts.sent);
        counts.taken
    }

    /// What still waits is not wanted any more; all that was taken so far.
    pub fn forget(&self) -> u64 {
        let mut counts = self.counts.lock();
        counts.taken = counts.sent;
        counts.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WINDOW: usize = OUTPUT_WINDOW as usize;

    #[tokio::test]
    async fn output_waits_for_whoever_does_not_take_it_and_goes_on_when_they_do() {
        let flow = OutputFlow::default();
        flow.room().await;
        flow.sent(WINDOW - 1);
        flow.room().await;
        flow.sent(1);
        tokio::select! {
            biased;
            () = flow.room() => panic!("there is none"),
            () = std::future::ready(()) => {}
        }
        let acknowledges = async { flow.acknowledge(1) };
        let (_, is_fine) =
            tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(flow.room(), acknowledges) })
                .await
                .expect("it goes on");
        assert!(is_fine);
    }

    #[test]
    fn nobody_takes_what_was_not_sent_or_gives_it_back() {
        let flow = OutputFlow::default();
        flow.sent(10);
        assert!(!flow.acknowledge(11));
        assert!(flow.acknowledge(7) && flow.acknowledge(7) && !flow.acknowledge(6) && flow.acknowledge(10));
    }

    #[test]
    fn input_may_wait_as_far_as_its_window() {
        let flow = InputFlow::default();
        assert!(flow.received(INPUT_WINDOW as usize));
        assert!(!flow.received(1));
        assert_eq!(flow.taken(INPUT_WINDOW as usize), INPUT_WINDOW);
        assert!(flow.received(5));
        assert_eq!((flow.forget(), flow.forget()), (INPUT_WINDOW + 6, INPUT_WINDOW + 6));
    }
}

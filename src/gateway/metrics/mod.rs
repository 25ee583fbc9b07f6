//! What is counted, and the text that Prometheus reads.

mod gather;
mod page;
mod used;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub use gather::gather;
pub use page::{MEDIA_TYPE, Page};

/// What the gateway counts about itself. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    by_class: Arc<[AtomicU64; 6]>,
    streams: Arc<AtomicU64>,
    used: Arc<Mutex<used::Used>>,
}

impl Counters {
    /// A request was answered with that status.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
    }

    /// Answered requests by class of status: `1xx` to `5xx`.
    fn by_class(&self) -> impl Iterator<Item = (String, u64)> {
        (1..=5).map(|class| (format!("{class}xx"), self.by_class[class].load(Ordering::Relaxed)))
    }

    /// Streams that are open.
    fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// A long answer begins; it ends when the guard goes.
    #[must_use]
    pub fn stream_opened(&self) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.streams.clone())
    }
}

/// Counts an open stream for as long as it lives.
#[derive(Debug)]
pub struct OpenStream(Arc<AtomicU64>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Resident memory of this process in bytes; 0 where the system does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}

/// How many files this process has open; 0 where the system does not tell.
#[must_use]
pub fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_open_files_of_this_process_can_be_read() {
        assert!(resident_bytes() > 1024 * 1024);
        assert!(open_files() > 2);
    }
}

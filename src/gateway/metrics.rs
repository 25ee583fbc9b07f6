//! Counters, and the text that Prometheus reads.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the gateway counts about itself. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    by_class: Arc<[AtomicU64; 6]>,
    streams: Arc<AtomicU64>,
}

impl Counters {
    /// A request was answered with that status.
    pub fn answered(&self, status: u16) {
        let class = usize::from(status / 100).min(5);
        self.by_class[class].fetch_add(1, Ordering::Relaxed);
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

/// Everything that is shown, read at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Of mimir.
    pub version: &'static str,
    /// How many frames are in which state.
    pub frames: Vec<(&'static str, u64)>,
    /// Messages that wait or run.
    pub messages_open: u64,
    /// The newest event's id.
    pub last_event: u64,
    /// Spent today.
    pub cost_today_microusd: u64,
    /// Whether the engine answers.
    pub engine_up: bool,
    /// Since the start.
    pub uptime_seconds: u64,
    /// Of the gateway.
    pub memory_bytes: u64,
    /// Open files of the gateway.
    pub open_files: u64,
}

/// The text of `GET /metrics`.
#[must_use]
pub fn render(now: &Snapshot, counters: &Counters) -> String {
    let mut text = String::with_capacity(2048);
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let plain = |value: u64| [(String::new(), value)];

    let build = [(format!("{{version=\"{}\"}}", now.version), 1)];
    family("mimir_build_info", "gauge", "The running version.", &build);
    let frames: Vec<_> =
        now.frames.iter().map(|(state, count)| (format!("{{state=\"{state}\"}}"), *count)).collect();
    family("mimir_frames", "gauge", "Frames by state.", &frames);
    family("mimir_messages_open", "gauge", "Messages that wait or run.", &plain(now.messages_open));
    family("mimir_last_event_id", "counter", "Id of the newest event.", &plain(now.last_event));
    family(
        "mimir_cost_today_microusd",
        "gauge",
        "Spent on models today, millionths of a US dollar.",
        &plain(now.cost_today_microusd),
    );
    family("mimir_engine_up", "gauge", "1 when the container engine answers.", &plain(now.engine_up.into()));
    let classes: Vec<_> = (1..=5)
        .map(|class| (format!("{{class=\"{class}xx\"}}"), counters.by_class[class].load(Ordering::Relaxed)))
        .collect();
    family("mimir_http_requests_total", "counter", "Answered requests by class of status.", &classes);
    let streams = counters.streams.load(Ordering::Relaxed);
    family("mimir_http_streams", "gauge", "Open event streams, logs and terminals.", &plain(streams));
    family("process_uptime_seconds", "gauge", "Since the gateway started.", &plain(now.uptime_seconds));
    family("process_resident_memory_bytes", "gauge", "Resident memory.", &plain(now.memory_bytes));
    family("process_open_fds", "gauge", "Open files.", &plain(now.open_files));
    text
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
    fn every_family_has_help_a_type_and_samples_that_prometheus_reads() {
        let counters = Counters::default();
        counters.answered(200);
        counters.answered(404);
        counters.answered(404);
        let stream = counters.stream_opened();
        let now = Snapshot {
            version: "1.2.3",
            frames: vec![("running", 2)],
            engine_up: true,
            ..Snapshot::default()
        };
        let text = render(&now, &counters);
        for line in [
            "mimir_build_info{version=\"1.2.3\"} 1",
            "mimir_frames{state=\"running\"} 2",
            "mimir_http_requests_total{class=\"4xx\"} 2",
            "mimir_engine_up 1",
            "mimir_http_streams 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        drop(stream);
        assert!(render(&now, &counters).contains("mimir_http_streams 0"));
    }

    #[test]
    fn memory_and_open_files_of_this_process_can_be_read() {
        assert!(resident_bytes() > 1024 * 1024);
        assert!(open_files() > 2);
    }
}

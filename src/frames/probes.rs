//! What two probes have found out about the agent of a frame: readiness while it starts, liveness while it runs.

use std::time::{Duration, Instant};

use super::processes::Process;

/// Between two looks at the terminal when the agent is there, and between two tries at the agent.
pub(super) const PROBE_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at the terminal, while the agent is not there either.
const TERMINAL_PAUSE: Duration = Duration::from_secs(1);

/// What has shown itself of a starting frame.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadinessProbe {
    pub(super) agent: bool,
    pub(super) terminal: bool,
    /// When the terminal was asked for last.
    pub(super) asked_at: Option<Instant>,
    /// What the last try said.
    pub(super) last: Option<String>,
}

impl ReadinessProbe {
    /// A command inside costs more than a request, and slows the start that it waits for: so one at
    /// the beginning, one when the agent is there, and few in between.
    pub(super) fn is_time_for_the_terminal(&self) -> bool {
        let pause = if self.agent { PROBE_PAUSE } else { TERMINAL_PAUSE };
        self.asked_at.is_none_or(|asked| asked.elapsed() >= pause)
    }
}

/// What was found out about an agent since it stopped answering.
#[derive(Clone, Debug, Default)]
pub(super) struct Unresponsive {
    /// How many probes in a row had no answer.
    pub(super) failures: u32,
    /// The agent's process when it was looked at last.
    pub(super) process: Option<(Instant, Process)>,
}

//! What runs inside a frame of the engine in memory, and what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mimir::model::ids::FrameId;
use mimir::runtime::ExecOutput;
use mimir::runtime::fake::FakeEngine;
use parking_lot::Mutex;

/// What runs inside a frame, as its kernel would list it.
#[derive(Default)]
pub struct Inside {
    pub agent_pid: AtomicU64,
    pub agent_pages: AtomicU64,
    pub is_stopped: AtomicBool,
    pub more: Mutex<Vec<String>>,
    killed: Mutex<Vec<String>>,
}

pub fn line(pid: u64, name: &str, state: &str, parent: u64, ticks: u64, pages: u64) -> String {
    format!("{pid} ({name}) {state} {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 99 1000 {pages} 1")
}

impl Inside {
    /// Answers what upkeep and drivers run inside. A kill ends the agent, and its supervisor starts another at once:
    /// `begins` is told of it.
    pub fn of(engine: &FakeEngine, begins: impl Fn(&FrameId) + Send + Sync + 'static) -> Arc<Self> {
        let inside = Arc::new(Self { agent_pid: 7.into(), agent_pages: 90_000.into(), ..Self::default() });
        let answers = inside.clone();
        engine.on_exec(move |frame, command| {
            let script = command.argv.get(2)?;
            if script.contains("/proc/") && script.contains("stat") && script.starts_with("echo $$") {
                return Some(ExecOutput { stdout: answers.list(), ..ExecOutput::default() });
            }
            if script.starts_with("kill -s ") {
                answers.killed.lock().push(script.clone());
                answers.agent_pid.fetch_add(100, Ordering::SeqCst);
                answers.is_stopped.store(false, Ordering::SeqCst);
                answers.agent_pages.store(90_000, Ordering::SeqCst);
                begins(frame);
                return Some(ExecOutput::default());
            }
            None
        });
        inside
    }

    fn list(&self) -> String {
        let state = if self.is_stopped.load(Ordering::SeqCst) { "T" } else { "S" };
        let (pid, pages) = (self.agent_pid.load(Ordering::SeqCst), self.agent_pages.load(Ordering::SeqCst));
        let mut lines = vec![
            "90".to_owned(),
            line(1, "catatonit", "S", 0, 1, 10),
            line(2, "mimir-superviso", "S", 1, 50, 900),
            line(pid, "opencode", state, 2, 400, pages),
            line(9, "tmux: server", "S", 2, 3, 900),
            line(20, "mimir-agent-win", "S", 9, 3, 900),
            line(22, "bash", "S", 9, 3, 900),
        ];
        lines.extend(self.more.lock().iter().cloned());
        lines.join("\n")
    }

    pub fn kills(&self) -> usize {
        self.killed.lock().len()
    }
}

//! An agent that runs and does not answer, or has grown too large, is ended and begins again.
//!
//! Only the agent's own process is ended: the supervisor inside starts it anew with the same password, and its
//! sessions, the workspace and everything in the terminal stay.
//!
//! Not here: who finds that an agent does not answer (see `liveness`) or is too large (see `upkeep`), and what becomes
//! of a turn that ended with its agent (see `delivery`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::driver::{Driver, millis};
use super::error::FrameError;
use super::probes::Unresponsive;
use super::processes::{Processes, list_command};
use super::{Frames, Inner};
use crate::model::frame::{Frame, FrameState};
use crate::model::ids::FrameId;
use crate::model::status::AgentHealth;
use crate::runtime::ExecSpec;
use crate::store::{frames, messages};
use crate::supervisor::keyed::Next;

/// The notes on an agent that did not answer.
pub const WEDGED: &str = "agent_wedged";
/// The notes on an agent that was too large.
pub const TOO_LARGE: &str = "agent_recycled";

/// Between two probes of an agent that begins again.
pub(super) const RESTART_PROBE: Duration = Duration::from_millis(250);
/// The time in which recycles are counted.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How often agents were recycled since the gateway began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    wedged: AtomicU64,
    memory: AtomicU64,
}

/// How often agents were recycled since the gateway began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycled {
    /// Because they did not answer.
    pub wedged: u64,
    /// Because they were too large.
    pub memory: u64,
}

impl Frames {
    /// Has the frame's agent ended as soon as nothing is on its way to it; it begins again with its sessions.
    pub fn recycle(&self, id: &FrameId, why: &str) {
        self.inner.wake_driver_with(id, |handle| *handle.recycle.lock() = Some(why.to_owned()));
    }

    /// How often agents were recycled since the gateway began.
    #[must_use]
    pub fn recycled(&self) -> Recycled {
        let counts = &self.inner.recycled;
        Recycled {
            wedged: counts.wedged.load(Ordering::Relaxed),
            memory: counts.memory.load(Ordering::Relaxed),
        }
    }

    /// How often the frame's agent was recycled within the last hour.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn recycled_lately(&self, id: &FrameId) -> Result<u32, FrameError> {
        self.inner.recycled_lately(id).await
    }

    /// What runs inside the frame.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs; the engine's.
    pub async fn processes(&self, frame: &Frame) -> Result<Processes, FrameError> {
        if frame.state != FrameState::Running {
            let (name, state) = (frame.name.to_string(), frame.state);
            return Err(FrameError::WrongState { name, state, action: "looked into" });
        }
        let listed = self.inner.deps.runtime.exec(&frame.id, list_command()).await?;
        Ok(Processes::parse(&listed.stdout))
    }
}

impl Inner {
    async fn recycled_lately(&self, id: &FrameId) -> Result<u32, FrameError> {
        let since = self.deps.clock.now_ms().saturating_sub(millis(HOUR));
        let id = id.clone();
        let count = self.deps.store.read(move |db| {
            let wedged = frames::notes_since(db, &id, WEDGED, since)?;
            Ok(wedged + frames::notes_since(db, &id, TOO_LARGE, since)?)
        });
        Ok(count.await?)
    }
}

impl Driver {
    /// Ends an agent that does not answer, unless that has not helped too often.
    pub(super) async fn end_wedged(
        &mut self,
        frame: &Frame,
        pid: u32,
        silent: Duration,
    ) -> Result<Next, FrameError> {
        let seconds = silent.as_secs();
        if frame.warm.is_some() {
            // Nothing counts how often that helped: another one is made.
            return self.let_warm_go(frame, format!("its agent did not answer for {seconds} s")).await;
        }
        let often = self.inner.recycled_lately(&self.id).await?;
        if often >= self.inner.config.now().recycle_limit {
            let reason = format!(
                "its agent did not answer for {seconds} s and was restarted {} within the last hour; \
                 it is not tried again by itself",
                if often == 1 { "once".to_owned() } else { format!("{often} times") }
            );
            self.inner.deps.runtime.ensure_stopped(&self.id, self.inner.config.now().stop_grace).await?;
            self.forget_unresponsive();
            return self.fail(reason).await;
        }
        tracing::warn!(frame.id = %self.id, "the agent of frame {} does not answer; it is restarted", frame.name);
        // First: a gateway that dies behind it has counted one too many, and never one too few.
        self.note(WEDGED, format!("its agent did not answer for {seconds} s; it was restarted")).await?;
        self.inner.failpoints.hit("wedged.after_note").await;
        self.inner.recycled.wedged.fetch_add(1, Ordering::Relaxed);
        self.end_agent(pid, "KILL").await
    }

    /// Ends the agent's process; the supervisor inside starts another.
    async fn end_agent(&mut self, pid: u32, signal: &str) -> Result<Next, FrameError> {
        let script = format!(
            "kill -s {signal} {pid}; for n in 1 2 3 4 5 6 7 8; do kill -0 {pid} 2>/dev/null || exit 0; sleep 0.25; done; kill -s KILL {pid}"
        );
        let command =
            ExecSpec { deadline: Some(Duration::from_secs(5)), ..ExecSpec::new(["sh", "-c", &script]) };
        // Whether it ended is seen by whether it answers.
        let _ = self.inner.deps.runtime.exec(&self.id, command).await;
        self.memory.restarting_since = Some(Instant::now());
        self.memory.unresponsive = Unresponsive::default();
        self.set_health(AgentHealth::Restarting);
        self.show("its agent begins again");
        Ok(Next::after(RESTART_PROBE))
    }

    /// Somebody found it too large. Not while anything is on its way to it.
    pub(super) async fn recycle_if_asked(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let wanted = self.handle.recycle.lock().take();
        let Some(why) = wanted else { return Ok(()) };
        let id = self.id.clone();
        let is_free = {
            let open = self.inner.deps.store.read(move |db| messages::list_open(db, Some(&id))).await?;
            open.is_empty() && self.health() == AgentHealth::Answers
        };
        let often = self.inner.recycled_lately(&self.id).await?;
        if !is_free || often >= self.inner.config.now().recycle_limit {
            return Ok(());
        }
        let listed = self.inner.deps.runtime.exec(&self.id, list_command()).await?;
        let Some(agent) = Processes::parse(&listed.stdout).agent().map(|agent| agent.pid) else {
            return Ok(());
        };
        tracing::info!(frame.id = %self.id, "the agent of frame {} is restarted: {why}", frame.name);
        self.note(TOO_LARGE, why).await?;
        self.inner.failpoints.hit("recycle.after_note").await;
        self.inner.recycled.memory.fetch_add(1, Ordering::Relaxed);
        self.end_agent(agent, "TERM").await.map(drop)
    }
}

//! An agent that runs and does not answer, or has grown too large, is ended and begins again.
//!
//! Only the agent's own process is ended: the supervisor inside starts it anew with the same password, and its
//! sessions, the workspace and everything in the terminal stay. The container is doubted only when that
//! does not help, or when not even a list of processes can be had.
//!
//! Not here: what becomes of a turn that ended with its agent (see `router`), and who decides that an agent is too
//! large (see `upkeep`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::driver::{Driver, Next, millis};
use super::error::FrameError;
use super::processes::{Process, Processes, list_command};
use super::{Frames, Inner};
use crate::model::frame::{Frame, FrameState};
use crate::model::ids::FrameId;
use crate::model::status::AgentHealth;
use crate::opencode::OpencodeClient;
use crate::runtime::ExecSpec;
use crate::store::{frames, messages};

/// The notes on an agent that did not answer.
pub const WEDGED: &str = "agent_wedged";
/// The notes on an agent that was too large.
pub const TOO_LARGE: &str = "agent_recycled";

/// A running agent may be busy; it is given more time than a starting one.
const RUNNING_TRY: Duration = Duration::from_secs(3);
/// Between two tries while it is silent.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Between two tries while it begins again.
const BREATH: Duration = Duration::from_millis(250);
/// So many tries in a row without an answer, and it is called silent.
const TRIES: u32 = 2;
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

/// What a driver found while an agent is silent.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    tries: u32,
    /// The agent's process when it was looked at last.
    process: Option<(Instant, Process)>,
}

/// What is to be done about an agent that has been silent for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It works hard, or it is being started already: more patience.
    Wait,
    /// End it.
    End(u32),
    /// Its container is not to be trusted.
    Doubt,
}

impl Frames {
    /// Has the frame's agent ended as soon as nothing is on its way to it; it begins again with its sessions.
    pub fn recycle(&self, id: &FrameId, why: &str) {
        let handle = self.inner.wake_driver(id);
        if let Ok(mut wanted) = handle.recycle.lock() {
            *wanted = Some(why.to_owned());
        }
        handle.nudge.notify_one();
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
    /// Asks the agent of a running frame. `None` when it answers, or nothing can be said yet; otherwise when to
    /// look again.
    pub(super) async fn look_after_agent(&mut self, frame: &Frame) -> Result<Option<Next>, FrameError> {
        let pause = match (self.memory.restarting_since, self.memory.silent_since) {
            (Some(_), _) => BREATH,
            (None, Some(_)) => ASK_AGAIN.min(self.inner.deps.settings.silence / 4),
            (None, None) => self.inner.deps.settings.tick / 2,
        };
        if let Some(asked) = self.memory.asked_at.filter(|asked| asked.elapsed() < pause) {
            let is_well = self.memory.silent_since.is_none() && self.memory.restarting_since.is_none();
            return Ok((!is_well).then(|| Next::After(pause.saturating_sub(asked.elapsed()))));
        }
        let began = Instant::now();
        let answers = self.agent_answers().await?;
        self.memory.asked_at = Some(Instant::now());
        if answers {
            self.is_back(frame).await?;
            return Ok(None);
        }
        self.memory.silence.tries += 1;
        let silent = self.memory.silent_since.get_or_insert(began).elapsed();
        if let Some(since) = self.memory.restarting_since {
            self.show("its agent begins again");
            if since.elapsed() < self.inner.deps.settings.start_timeout {
                return Ok(Some(Next::After(BREATH)));
            }
            return self.doubt(silent).await.map(Some);
        }
        if self.memory.silence.tries < TRIES {
            return Ok(Some(Next::After(pause)));
        }
        self.show(format!("its agent has not answered for {} s", silent.as_secs()));
        let now_ms = self.inner.deps.clock.now_ms();
        if self.health() == AgentHealth::Answers {
            self.set_health(AgentHealth::Silent { since: now_ms.saturating_sub(millis(silent)) });
        }
        match self.judge_silence(silent).await {
            Verdict::Wait => Ok(Some(Next::After(ASK_AGAIN.min(self.inner.deps.settings.silence / 4)))),
            Verdict::End(pid) => self.end_wedged(frame, pid, silent).await.map(Some),
            Verdict::Doubt => self.doubt(silent).await.map(Some),
        }
    }

    async fn agent_answers(&self) -> Result<bool, FrameError> {
        let Some(password) = self.folders.password()? else { return Ok(false) };
        let client = OpencodeClient::new(self.inner.agent_connector(&self.id), &password);
        let patience = if self.memory.restarting_since.is_some() { RUNNING_TRY / 6 } else { RUNNING_TRY };
        Ok(client.health(patience).await.is_ok())
    }

    /// It answered: whatever was the matter is over.
    async fn is_back(&mut self, frame: &Frame) -> Result<(), FrameError> {
        if let Some(since) = self.memory.restarting_since {
            let text = format!("its agent answers again after {} s", since.elapsed().as_secs());
            self.note("agent_back", text).await?;
            self.inner.show_last_session(&self.id).await?;
            self.warm_up(frame);
        }
        self.forget_silence();
        Ok(())
    }

    /// Nothing is known against its agent.
    pub(super) fn forget_silence(&mut self) {
        self.memory.silent_since = None;
        self.memory.restarting_since = None;
        self.memory.silence = Silence::default();
        self.set_health(AgentHealth::Answers);
    }

    fn health(&self) -> AgentHealth {
        self.handle.seen.borrow().health
    }

    fn set_health(&self, health: AgentHealth) {
        let changed = self.handle.seen.send_if_modified(|seen| {
            let is_new = seen.health != health;
            seen.health = health;
            is_new
        });
        if changed {
            self.inner.health.send_modify(|count| *count += 1);
        }
    }

    /// One that is stopped or does nothing is wedged; one that works hard may only be slow.
    async fn judge_silence(&mut self, silent: Duration) -> Verdict {
        let settings = &self.inner.deps.settings;
        let (patience, doubt) = (settings.silence, settings.doubt.max(settings.silence));
        let last_chance = if silent >= doubt { Verdict::Doubt } else { Verdict::Wait };
        let Ok(listed) = self.inner.deps.runtime.exec(&self.id, list_command()).await else {
            return last_chance;
        };
        let now = Instant::now();
        let Some(agent) = Processes::parse(&listed.stdout).agent().cloned() else {
            // The supervisor inside is about to start it.
            self.memory.silence.process = None;
            return last_chance;
        };
        let works = match &self.memory.silence.process {
            Some((at, before)) if before.pid == agent.pid => {
                let used = agent.cpu_ms.saturating_sub(before.cpu_ms);
                used * 4 > millis(now.duration_since(*at))
            }
            _ => true,
        };
        let pid = agent.pid;
        let is_wedged = agent.is_stopped || !works || silent >= doubt;
        self.memory.silence.process = Some((now, agent));
        if silent >= patience && is_wedged { Verdict::End(pid) } else { Verdict::Wait }
    }

    /// Ends an agent that does not answer, unless that has not helped too often.
    async fn end_wedged(&mut self, frame: &Frame, pid: u32, silent: Duration) -> Result<Next, FrameError> {
        let seconds = silent.as_secs();
        let often = self.inner.recycled_lately(&self.id).await?;
        if often >= self.inner.deps.settings.recycle_limit {
            let reason = format!(
                "its agent did not answer for {seconds} s and was restarted {often} times within the last hour; \
                 it is not tried again by itself"
            );
            self.inner.deps.runtime.ensure_stopped(&self.id, self.inner.deps.settings.stop_grace).await?;
            self.forget_silence();
            return self.fail(reason).await;
        }
        tracing::warn!(frame.id = %self.id, "the agent of frame {} does not answer; it is restarted", frame.name);
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
        self.memory.silence = Silence::default();
        self.set_health(AgentHealth::Restarting);
        self.show("its agent begins again");
        Ok(Next::After(BREATH))
    }

    /// Somebody found it too large. Not while anything is on its way to it.
    pub(super) async fn recycle_if_asked(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let wanted = self.handle.recycle.lock().ok().and_then(|mut wanted| wanted.take());
        let Some(why) = wanted else { return Ok(()) };
        let id = self.id.clone();
        let is_free = {
            let open = self.inner.deps.store.read(move |db| messages::list_open(db, Some(&id))).await?;
            open.is_empty() && self.health() == AgentHealth::Answers
        };
        let often = self.inner.recycled_lately(&self.id).await?;
        if !is_free || often >= self.inner.deps.settings.recycle_limit {
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

    /// The container is taken at nobody's word any more: it is stopped, or removed if not even a command runs in it.
    async fn doubt(&mut self, silent: Duration) -> Result<Next, FrameError> {
        let runtime = self.inner.deps.runtime.clone();
        let probe = ExecSpec { deadline: Some(Duration::from_secs(5)), ..ExecSpec::new(["true"]) };
        let seconds = silent.as_secs();
        self.forget_silence();
        if runtime.exec(&self.id, probe).await.is_ok_and(|done| done.exit_code == 0) {
            self.note("agent_silent", format!("its agent did not answer for {seconds} s; it is restarted"))
                .await?;
            runtime.ensure_stopped(&self.id, self.inner.deps.settings.stop_grace).await?;
        } else {
            let text = format!(
                "the engine calls it running, but nothing answered for {seconds} s; it gets a new container"
            );
            self.note("not_running", text).await?;
            runtime.ensure_removed(&self.id).await?;
        }
        self.inner.failpoints.hit("silence.after_engine").await;
        Ok(Next::Immediately)
    }
}

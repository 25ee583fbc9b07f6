//! The agent of a running frame is asked from time to time, and found out when it is silent.
//!
//! What it says unasked over its event stream is as good as an answer: on a machine with far too much to do, one that
//! writes a long answer has no time for questions. Heartbeats are not: they go on when nothing else does.
//!
//! One that is stopped or does nothing is ended (see `recycle`); one that works hard gets more time. The container is
//! doubted only when that does not help, or when not even a list of processes can be had.

use std::time::{Duration, Instant};

use super::driver::{Driver, Next, millis};
use super::error::FrameError;
use super::processes::{Process, Processes, list_command};
use crate::model::frame::Frame;
use crate::model::status::AgentHealth;
use crate::opencode::OpencodeClient;
use crate::runtime::ExecSpec;

/// A running agent may be busy; it is given more time than a starting one.
const RUNNING_TRY: Duration = Duration::from_secs(3);
/// Between two tries while it is silent.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Between two tries while it begins again.
pub(super) const BREATH: Duration = Duration::from_millis(250);
/// So many tries in a row without an answer, and it is called silent.
const TRIES: u32 = 2;

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

impl Driver {
    /// Asks the agent of a running frame. `None` when it answers, or nothing can be said yet; otherwise when to
    /// look again.
    pub(super) async fn look_after_agent(&mut self, frame: &Frame) -> Result<Option<Next>, FrameError> {
        let pause = match (self.memory.restarting_since, self.memory.silent_since) {
            (Some(_), _) => BREATH,
            (None, Some(_)) => self.ask_again(),
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
        let since = *self.memory.silent_since.get_or_insert(began);
        if self.memory.restarting_since.is_none()
            && let Some(heard) = self.handle.heard_after(since)
        {
            return Ok(Some(self.speaks(frame, heard)));
        }
        self.memory.silence.tries += 1;
        let silent = since.elapsed();
        if let Some(since) = self.memory.restarting_since {
            self.show("its agent begins again");
            if since.elapsed() < self.inner.deps.settings.config.start_timeout {
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
            Verdict::Wait => Ok(Some(Next::After(self.ask_again()))),
            Verdict::End(pid) => self.end_wedged(frame, pid, silent).await.map(Some),
            Verdict::Doubt => self.doubt(silent).await.map(Some),
        }
    }

    fn ask_again(&self) -> Duration {
        ASK_AGAIN.min(self.inner.deps.settings.silence / 4)
    }

    /// It did not answer, and said something meanwhile: its silence begins with its last word.
    fn speaks(&mut self, frame: &Frame, heard: Instant) -> Next {
        self.forget_silence();
        self.memory.silent_since = Some(heard);
        self.settled(frame);
        Next::After(self.ask_again())
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

    pub(super) fn health(&self) -> AgentHealth {
        self.handle.seen.borrow().health
    }

    pub(super) fn set_health(&self, health: AgentHealth) {
        let changed = self.handle.seen.send_if_modified(|seen| {
            let is_new = seen.health != health;
            seen.health = health;
            is_new
        });
        if changed {
            self.inner.health.send_modify(|count| *count += 1);
        }
    }

    /// One that is stopped or does nothing is wedged; one that works hard, or would if it were let, may only be slow.
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
        let works = works || agent.is_at_work;
        let pid = agent.pid;
        let is_wedged = agent.is_stopped || !works || silent >= doubt;
        self.memory.silence.process = Some((now, agent));
        if silent >= patience && is_wedged { Verdict::End(pid) } else { Verdict::Wait }
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
            runtime.ensure_stopped(&self.id, self.inner.deps.settings.config.stop_grace).await?;
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

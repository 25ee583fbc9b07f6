//! Liveness: the agent of a running frame is asked from time to time whether it still answers.
//!
//! ```text
//!            no answer                 twice, and it says nothing
//!  answers ───────────► unanswered ───────────────────────────────► unresponsive
//!     ▲                  │   ▲                                         │ stopped or idle for `liveness_timeout`,
//!     │  any answer      │   │ it says something                       │ or busy for `container_timeout`
//!     ├──────────────────┘   └─────────────────────────────────────────┤
//!     │                                                                ▼
//!     └─────────────────────────────────────────────────────────── restarting (see `recycle`)
//!                              container stopped or removed  ◄──── not back in time, or no command runs inside
//! ```
//!
//! What it says unasked over its event stream counts as an answer: on a machine with far too much to do, one that
//! writes a long answer has no time for questions. Heartbeats do not count: they go on when nothing else does. But one that
//! beats and has nothing to do is asked less often: each question makes it collect its garbage, which is a quarter of what
//! an idle frame uses of the processor (docs/benchmarks.md).

use std::time::{Duration, Instant};

use super::driver::{Driver, millis};
use super::error::FrameError;
use super::processes::{Processes, list_command};
use super::recycle::RESTART_PROBE;
use crate::model::frame::Frame;
use crate::model::status::AgentHealth;
use crate::runtime::ExecSpec;
use crate::store::messages;
use crate::supervisor::keyed::Next;

/// A running agent may be busy; it is given more time than a starting one.
const RUNNING_TRY: Duration = Duration::from_secs(3);
/// Between two probes while it does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// One that is quiet is asked once in so many looks.
const QUIET_TICKS: u32 = 6;
/// So many probes in a row without an answer, and it is called unresponsive.
const FAILURE_THRESHOLD: u32 = 2;

/// What is to be done about an agent that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It works hard, or it is being started already: more patience.
    Wait,
    /// End it.
    End(u32),
    /// Its container is not to be trusted.
    DistrustContainer,
}

impl Driver {
    /// Probes the agent of a running frame. `None` when it answers, or nothing can be said yet; otherwise when to
    /// look again.
    pub(super) async fn look_after_agent(&mut self, frame: &Frame) -> Result<Option<Next>, FrameError> {
        let pause = match (self.memory.restarting_since, self.memory.unresponsive_since) {
            (Some(_), _) => RESTART_PROBE,
            (None, Some(_)) => self.ask_again(),
            (None, None) => self.inner.deps.settings.tick / 2,
        };
        if let Some(asked) = self.memory.asked_at.filter(|asked| asked.elapsed() < pause) {
            let is_well = self.memory.unresponsive_since.is_none() && self.memory.restarting_since.is_none();
            return Ok((!is_well).then(|| Next::after(pause.saturating_sub(asked.elapsed()))));
        }
        if let Some(asked) = self.memory.asked_at
            && asked.elapsed() < self.inner.deps.settings.tick * QUIET_TICKS
            && self.is_quiet(frame).await?
        {
            return Ok(None);
        }
        let began = Instant::now();
        let answers = self.agent_answers().await?;
        self.memory.asked_at = Some(Instant::now());
        if answers {
            self.is_back(frame).await?;
            return Ok(None);
        }
        let since = *self.memory.unresponsive_since.get_or_insert(began);
        if self.memory.restarting_since.is_none()
            && let Some(said_at) = self.handle.output_after(since)
        {
            return Ok(Some(self.speaks(frame, said_at)));
        }
        self.memory.unresponsive.failures += 1;
        let silent = since.elapsed();
        if let Some(since) = self.memory.restarting_since {
            self.show("its agent begins again");
            if since.elapsed() < self.inner.config.now().start_timeout {
                return Ok(Some(Next::after(RESTART_PROBE)));
            }
            return self.distrust_container(silent).await.map(Some);
        }
        if self.memory.unresponsive.failures < FAILURE_THRESHOLD {
            return Ok(Some(Next::after(pause)));
        }
        self.show(format!("its agent has not answered for {} s", silent.as_secs()));
        let now_ms = self.inner.deps.clock.now_ms();
        if self.health() == AgentHealth::Answers {
            self.set_health(AgentHealth::Silent { since: now_ms.saturating_sub(millis(silent)) });
        }
        match self.judge_unresponsive(silent).await {
            Verdict::Wait => Ok(Some(Next::after(self.ask_again()))),
            Verdict::End(pid) => self.end_wedged(frame, pid, silent).await.map(Some),
            Verdict::DistrustContainer => self.distrust_container(silent).await.map(Some),
        }
    }

    /// Whether its heart beats and nothing is expected of it: nobody is in its frame, no message is open, and it has said
    /// nothing for a while.
    async fn is_quiet(&self, frame: &Frame) -> Result<bool, FrameError> {
        let tick = self.inner.deps.settings.tick;
        let is_well = self.memory.unresponsive_since.is_none() && self.memory.restarting_since.is_none();
        let said_lately =
            |ago| Instant::now().checked_sub(ago).and_then(|since| self.handle.output_after(since));
        let has_visitors = self.inner.visitors_of(&frame.id) > 0;
        if !is_well
            || has_visitors
            || !self.handle.beats_within(tick * 5 / 2)
            || said_lately(tick * QUIET_TICKS).is_some()
        {
            return Ok(false);
        }
        let id = frame.id.clone();
        Ok(self.inner.deps.store.read(move |db| messages::list_open(db, Some(&id))).await?.is_empty())
    }

    fn ask_again(&self) -> Duration {
        ASK_AGAIN.min(self.inner.deps.settings.liveness_timeout / 4)
    }

    /// It did not answer, and said something meanwhile: its silence begins with its last word.
    fn speaks(&mut self, frame: &Frame, said_at: Instant) -> Next {
        self.forget_unresponsive();
        self.memory.unresponsive_since = Some(said_at);
        self.settled(frame);
        Next::after(self.ask_again())
    }

    async fn agent_answers(&self) -> Result<bool, FrameError> {
        let Some(client) = self.inner.client(&self.id).await? else { return Ok(false) };
        let patience = if self.memory.restarting_since.is_some() { RUNNING_TRY / 6 } else { RUNNING_TRY };
        Ok(client.health(patience).await.is_ok())
    }

    /// It answered: whatever was the matter is over.
    async fn is_back(&mut self, frame: &Frame) -> Result<(), FrameError> {
        if let Some(since) = self.memory.restarting_since {
            let text = format!("its agent answers again after {} s", since.elapsed().as_secs());
            self.note("agent_back", text).await?;
            self.handle.note_stream();
            self.tell_of_changes(frame).await?;
            self.inner.show_last_session(&self.id).await?;
            self.warm_up(frame);
        }
        self.forget_unresponsive();
        Ok(())
    }

    /// One that is stopped or does nothing is wedged; one that works hard, or would if it were let, may only be slow.
    async fn judge_unresponsive(&mut self, silent: Duration) -> Verdict {
        let settings = &self.inner.deps.settings;
        let (patience, limit) =
            (settings.liveness_timeout, settings.container_timeout.max(settings.liveness_timeout));
        let last_chance = if silent >= limit { Verdict::DistrustContainer } else { Verdict::Wait };
        let Ok(listed) = self.inner.deps.runtime.exec(&self.id, list_command()).await else {
            return last_chance;
        };
        let now = Instant::now();
        let Some(agent) = Processes::parse(&listed.stdout).agent().cloned() else {
            // The supervisor inside is about to start it.
            self.memory.unresponsive.process = None;
            return last_chance;
        };
        let works = match &self.memory.unresponsive.process {
            Some((at, before)) if before.pid == agent.pid => {
                let used = agent.cpu_ms.saturating_sub(before.cpu_ms);
                used * 4 > millis(now.duration_since(*at))
            }
            _ => true,
        };
        let works = works || agent.is_at_work;
        let pid = agent.pid;
        let is_wedged = agent.is_stopped || !works || silent >= limit;
        self.memory.unresponsive.process = Some((now, agent));
        if silent >= patience && is_wedged { Verdict::End(pid) } else { Verdict::Wait }
    }

    /// Restarting the agent did not help, or nothing inside can be asked: the container is stopped, and removed when
    /// not even a command runs in it, because the engine may call one running that is not.
    async fn distrust_container(&mut self, silent: Duration) -> Result<Next, FrameError> {
        let runtime = self.inner.deps.runtime.clone();
        let probe = ExecSpec { deadline: Some(Duration::from_secs(5)), ..ExecSpec::new(["true"]) };
        let seconds = silent.as_secs();
        self.forget_unresponsive();
        if runtime.exec(&self.id, probe).await.is_ok_and(|done| done.exit_code == 0) {
            self.note("agent_silent", format!("its agent did not answer for {seconds} s; it is restarted"))
                .await?;
            runtime.ensure_stopped(&self.id, self.inner.config.now().stop_grace).await?;
        } else {
            let text = format!(
                "the engine calls it running, but nothing answered for {seconds} s; it gets a new container"
            );
            self.note("not_running", text).await?;
            runtime.ensure_removed(&self.id).await?;
        }
        self.inner.failpoints.hit("silence.after_engine").await;
        Ok(Next::Again)
    }
}

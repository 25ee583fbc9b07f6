//! When a frame counts as there: its agent answers and its terminal stands.
//!
//! "The engine says running" is neither. A server that has just begun to listen
//! takes requests and never answers them, so each try is short and uses a new
//! connection; and a frame that runs is asked again from time to time, because an
//! engine can be wrong about that for ever.

use std::time::{Duration, Instant};

use super::driver::{Driver, Next, millis};
use super::error::FrameError;
use super::plan;
use crate::model::container::Observation;
use crate::model::frame::{Desired, Frame, FrameEvent, FrameState, Observed};
use crate::opencode::{OpencodeClient, OpencodeError};
use crate::supervisor::OnExit;
use crate::tmux;

/// One try. Longer is worse: a swallowed request is never answered.
const TRY: Duration = Duration::from_millis(300);
/// To find out whether it is an agent to work with: milliseconds for a release that we know.
const AGREEMENT: Duration = Duration::from_secs(10);
/// Between two tries.
const BREATH: Duration = Duration::from_millis(50);
/// How long one pass tries before the row and the engine are looked at again.
const SLICE: Duration = Duration::from_secs(1);
/// Between two looks at the terminal, while the agent is not there either.
const TERMINAL_PAUSE: Duration = Duration::from_secs(1);

/// What has shown itself of a starting frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Signs {
    agent: bool,
    terminal: bool,
    /// When the terminal was asked for last.
    asked_at: Option<Instant>,
    /// What the last try said.
    last: Option<String>,
}

impl Signs {
    /// A command inside costs more than a request, and slows the start that it waits for: so one at
    /// the beginning, one when the agent is there, and few in between.
    fn is_time_for_the_terminal(&self) -> bool {
        let pause = if self.agent { BREATH } else { TERMINAL_PAUSE };
        self.asked_at.is_none_or(|asked| asked.elapsed() >= pause)
    }
}

/// One try at an agent: it answers, and is one that we work with.
async fn meet(client: &OpencodeClient) -> Result<(), OpencodeError> {
    let health = client.health(TRY).await?;
    client.agree(&health, AGREEMENT).await
}

impl Driver {
    /// The world looks like the wish: records what the row still lacks.
    pub(super) async fn confirm(
        &mut self,
        frame: &Frame,
        wish: Desired,
        seen: &Observation,
    ) -> Result<Next, FrameError> {
        // The driver never tidies an error up: only a new request takes the reason away.
        let kept_error =
            frame.state == FrameState::Error && frame.reason.is_some() && wish == Desired::Stopped;
        let event = if kept_error { None } else { plan::confirmation(wish, frame.state) };
        match event {
            Some(FrameEvent::BecameReady) => self.become_ready(frame).await,
            Some(FrameEvent::StartRequested) => {
                self.record(FrameEvent::StartRequested, None).await?;
                self.note("adopted", "its container was running already".into()).await?;
                Ok(Next::Immediately)
            }
            Some(event) => {
                self.inner.failpoints.hit("confirm.before_record").await;
                self.record(event, None).await?;
                self.inner.failpoints.hit("confirm.after_record").await;
                Ok(Next::Immediately)
            }
            None => self.keep(frame, seen).await,
        }
    }

    /// Nothing is left to do: keeps what runs running and closes what does not.
    async fn keep(&mut self, frame: &Frame, seen: &Observation) -> Result<Next, FrameError> {
        match seen.observed {
            Observed::Running => {
                let adopted = !self.memory.attended;
                self.attend(frame).await?;
                if adopted {
                    // Viewers of a gateway that is no more: their clients inside do not know it.
                    tmux::reap_views(self.inner.deps.runtime.as_ref(), &self.id).await;
                }
                self.tell_of_memory(frame, seen).await?;
                self.recycle_if_asked(frame).await?;
                match self.look_after_agent(frame).await? {
                    None => {
                        self.settled(frame);
                        Ok(Next::WhenSomethingChanges)
                    }
                    Some(next) => Ok(next),
                }
            }
            Observed::Paused => {
                self.forget_silence();
                self.attend(frame).await?;
                self.settled(frame);
                Ok(Next::WhenSomethingChanges)
            }
            Observed::Missing | Observed::Halted => {
                self.inner.deps.attendant.close(&self.id).await;
                self.memory.attended = false;
                self.forget_silence();
                self.settled(frame);
                Ok(Next::After(self.inner.deps.settings.tick * 6))
            }
        }
    }

    /// Asks the agent and the terminal for a while, and records it when both are there.
    async fn become_ready(&mut self, frame: &Frame) -> Result<Next, FrameError> {
        if self.folders.password()?.is_none() {
            // Somebody started it past us, with nothing to read at its start: begin properly.
            self.inner
                .deps
                .runtime
                .ensure_stopped(&self.id, self.inner.deps.settings.config.stop_grace)
                .await?;
            return Ok(Next::Immediately);
        }
        self.attend(frame).await?;
        let nudge = self.handle.nudge.clone();
        let woken = nudge.notified();
        tokio::pin!(woken);
        let end = Instant::now() + SLICE;
        while Instant::now() < end {
            if let Err(wrong) = self.look_for_signs().await? {
                return self.fail(wrong.to_string()).await;
            }
            if self.memory.signs.agent && self.memory.signs.terminal {
                return self.is_ready(frame).await;
            }
            if self.is_overdue(frame) {
                return self.give_up_waiting().await;
            }
            self.show(self.last_sign());
            // A new wish, or the container's end, is worth more than the next try.
            tokio::select! {
                () = &mut woken => return Ok(Next::Immediately),
                () = tokio::time::sleep(BREATH) => {}
            }
        }
        Ok(Next::Immediately)
    }

    async fn look_for_signs(&mut self) -> Result<Result<(), OpencodeError>, FrameError> {
        let Some(password) = self.folders.password()? else { return Ok(Ok(())) };
        let client = OpencodeClient::new(self.inner.agent_connector(&self.id), &password);
        let agent = async { if self.memory.signs.agent { None } else { Some(meet(&client).await) } };
        let ask_terminal = !self.memory.signs.terminal && self.memory.signs.is_time_for_the_terminal();
        let terminal = async {
            if ask_terminal {
                tmux::is_there(self.inner.deps.runtime.as_ref(), &self.id).await
            } else {
                self.memory.signs.terminal
            }
        };
        let (agent, terminal) = tokio::join!(agent, terminal);
        if ask_terminal {
            self.memory.signs.asked_at = Some(Instant::now());
        }
        self.memory.signs.terminal = terminal;
        match agent {
            Some(Err(wrong @ OpencodeError::WrongVersion { .. })) => return Ok(Err(wrong)),
            Some(Err(error)) => self.memory.signs.last = Some(error.to_string()),
            Some(Ok(())) => self.memory.signs.agent = true,
            None => {}
        }
        if self.memory.signs.agent && !terminal {
            self.memory.signs.last = Some("its terminal is not there yet".into());
        }
        Ok(Ok(()))
    }

    async fn is_ready(&mut self, frame: &Frame) -> Result<Next, FrameError> {
        // Before anybody can look: the agent window reads it when it opens.
        self.inner.show_last_session(&self.id).await?;
        self.inner.failpoints.hit("start.before_ready").await;
        self.record(FrameEvent::BecameReady, None).await?;
        self.inner.failpoints.hit("start.after_ready").await;
        self.memory.start_permit = None;
        self.forget_silence();
        self.memory.asked_at = Some(Instant::now());
        tracing::info!(frame.id = %self.id, "frame {} is running", frame.name);
        self.warm_up(frame);
        Ok(Next::Immediately)
    }

    /// Lets the agent load what its first prompt needs, beside everything else.
    pub(super) fn warm_up(&self, frame: &Frame) {
        let Ok(Some(password)) = self.folders.password() else { return };
        let client = OpencodeClient::new(self.inner.agent_connector(&self.id), &password);
        self.inner.deps.tasks.spawn(format!("warm up {}", frame.name), OnExit::Report, move |stop| {
            let client = client.clone();
            async move {
                tokio::select! {
                    // Nothing depends on it; the first prompt is slower without.
                    _ = client.warm_up() => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }

    fn last_sign(&self) -> String {
        self.memory.signs.last.clone().unwrap_or_else(|| "nothing was heard of it".into())
    }

    async fn give_up_waiting(&mut self) -> Result<Next, FrameError> {
        let seconds = self.inner.deps.settings.config.start_timeout.as_secs();
        self.fail(format!("its agent was not there within {seconds} s: {}", self.last_sign())).await
    }

    /// Whether the start has taken longer than it may.
    pub(super) fn is_overdue(&self, frame: &Frame) -> bool {
        let began_at = frame.state_changed_at.max(self.memory.run_began_at);
        let waited = self.inner.deps.clock.now_ms().saturating_sub(began_at);
        waited >= millis(self.inner.deps.settings.config.start_timeout)
    }

    /// Out of memory is never reported by itself; the kernel's counter is.
    async fn tell_of_memory(&mut self, frame: &Frame, seen: &Observation) -> Result<(), FrameError> {
        let Some(kills) = seen.details.as_ref().and_then(|details| details.oom_kills) else { return Ok(()) };
        // What happened before we looked for the first time was told by whoever looked then.
        let told = self.memory.oom_kills.replace(kills).unwrap_or(kills);
        if kills > told {
            let text = format!(
                "the kernel killed {} of its processes for want of memory (the limit is {} MiB)",
                kills - told,
                frame.limits.memory_bytes >> 20
            );
            self.note("out_of_memory", text).await?;
        }
        Ok(())
    }
}

//! When a frame counts as there: its agent answers and its terminal stands.
//!
//! "The engine says running" is neither. A server that has just begun to listen
//! takes requests and never answers them, so each try is short and uses a new
//! connection; and a frame that runs is asked again from time to time, because an
//! engine can be wrong about that for ever.

use std::time::{Duration, Instant};

use super::driver::{Driver, millis};
use super::error::FrameError;
use super::probes::PROBE_PAUSE;
use crate::model::frame::{Frame, FrameEvent};
use crate::opencode::{OpencodeClient, OpencodeError};
use crate::supervisor::keyed::Next;
use crate::tmux;

/// One try. Longer is worse: a swallowed request is never answered.
const TRY: Duration = Duration::from_millis(300);
/// To find out whether it is an agent to work with: milliseconds for a release that we know.
const AGREEMENT: Duration = Duration::from_secs(10);
/// How long one pass tries before the row and the engine are looked at again.
const SLICE: Duration = Duration::from_secs(1);

/// One try at an agent: it answers, and is one that we work with.
async fn meet(client: &OpencodeClient) -> Result<(), OpencodeError> {
    let health = client.health(TRY).await?;
    client.agree(&health, AGREEMENT).await
}

impl Driver {
    /// Asks the agent and the terminal for a while, and records it when both are there.
    pub(super) async fn become_ready(&mut self, frame: &Frame) -> Result<Next, FrameError> {
        if self.inner.access(&self.id).await?.is_none() {
            // Somebody started it past us, with nothing to read at its start: begin properly.
            self.inner.deps.runtime.ensure_stopped(&self.id, self.inner.config.now().stop_grace).await?;
            return Ok(Next::Again);
        }
        let is_taken_over = self.is_taken_over(frame);
        self.check_isolation(frame).await?;
        self.attend(frame).await?;
        if is_taken_over {
            self.inner.failpoints.hit("warm.after_attend").await;
        }
        let end = Instant::now() + SLICE;
        while Instant::now() < end {
            if let Err(wrong) = self.probe_readiness().await? {
                return self.fail(wrong.to_string()).await;
            }
            if self.memory.readiness.agent && self.memory.readiness.terminal {
                return self.is_ready(frame).await;
            }
            if self.is_overdue(frame) {
                return self.give_up_waiting().await;
            }
            self.show(self.last_sign());
            // A new wish, or the container's end, is worth more than the next try.
            tokio::select! {
                () = self.wakes.next() => return Ok(Next::Again),
                () = tokio::time::sleep(PROBE_PAUSE) => {}
            }
        }
        Ok(Next::Again)
    }

    async fn probe_readiness(&mut self) -> Result<Result<(), OpencodeError>, FrameError> {
        let Some(client) = self.inner.client(&self.id).await? else { return Ok(Ok(())) };
        let agent = async { if self.memory.readiness.agent { None } else { Some(meet(&client).await) } };
        let ask_terminal =
            !self.memory.readiness.terminal && self.memory.readiness.is_time_for_the_terminal();
        let terminal = async {
            if ask_terminal {
                tmux::is_there(self.inner.deps.runtime.as_ref(), &self.id).await
            } else {
                self.memory.readiness.terminal
            }
        };
        let (agent, terminal) = tokio::join!(agent, terminal);
        if ask_terminal {
            self.memory.readiness.asked_at = Some(Instant::now());
        }
        self.memory.readiness.terminal = terminal;
        match agent {
            Some(Err(wrong @ OpencodeError::WrongVersion { .. })) => return Ok(Err(wrong)),
            Some(Err(error)) => self.memory.readiness.last = Some(error.to_string()),
            Some(Ok(())) => self.memory.readiness.agent = true,
            None => {}
        }
        if self.memory.readiness.agent && !terminal {
            self.memory.readiness.last = Some("its terminal is not there yet".into());
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
        self.forget_unresponsive();
        self.memory.asked_at = Some(Instant::now());
        tracing::info!(frame.id = %self.id, "frame {} is running", frame.name);
        self.warm_up(frame);
        Ok(Next::Again)
    }

    /// Lets the agent load what its first prompt needs, beside everything else.
    pub(super) fn warm_up(&self, frame: &Frame) {
        if frame.warm.is_some() {
            // Its agent is asked about a workspace when it is somebody's. Another one may be missing.
            return self.inner.look_after_warm();
        }
        let (inner, id) = (self.inner.clone(), self.id.clone());
        self.inner.deps.tasks.spawn_once(format!("warm up {}", frame.name), move |stop| async move {
            let Ok(Some(client)) = inner.client(&id).await else { return };
            tokio::select! {
                // Nothing depends on it; the first prompt is slower without.
                _ = client.warm_up() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn last_sign(&self) -> String {
        self.memory.readiness.last.clone().unwrap_or_else(|| "nothing was heard of it".into())
    }

    async fn give_up_waiting(&mut self) -> Result<Next, FrameError> {
        let seconds = self.inner.config.now().start_timeout.as_secs();
        self.fail(format!("its agent was not there within {seconds} s: {}", self.last_sign())).await
    }

    /// Whether the start has taken longer than it may.
    pub(super) fn is_overdue(&self, frame: &Frame) -> bool {
        let began_at = frame.state_changed_at.max(self.memory.run_began_at);
        let waited = self.inner.deps.clock.now_ms().saturating_sub(began_at);
        waited >= millis(self.inner.config.now().start_timeout)
    }
}

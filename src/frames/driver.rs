//! The one task of a frame: what it is given, what it remembers, and what it records.
//!
//! Only this task writes the frame's state. Losing it, or what it remembers, costs time and nothing else: the wish
//! was saved before it was woken.
//!
//! Not here: what it does in a pass (see `advance`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Inner;
use super::error::FrameError;
use super::folders::Folders;
use super::plan::Step;
use super::probes::{ReadinessProbe, Unresponsive};
use crate::model::container::{FolderIdentity, MountDifference, Observation};
use crate::model::frame::{Desired, Frame, FrameEvent};
use crate::model::ids::FrameId;
use crate::model::status::AgentHealth;
use crate::store::frames;
use crate::supervisor::keyed::{Next, Wakes};

/// What a driver shows to those who wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The wish, and the container's number, for which the world was found as desired.
    pub(super) settled: Option<(Desired, u32)>,
    /// What is in the way right now.
    pub(super) problem: Option<String>,
    /// Since when the engine cannot be reached.
    pub(super) engine_away: Option<Instant>,
    /// How its agent is.
    pub(super) health: AgentHealth,
    /// Which folder its container works in, while it runs.
    pub(super) workspace: Option<FolderIdentity>,
}

/// What a driver shares with everybody else.
#[derive(Default)]
pub(super) struct Handle {
    pub(super) seen: watch::Sender<Seen>,
    /// Why the agent is to be recycled as soon as it is free, if it is.
    pub(super) recycle: Mutex<Option<String>>,
    /// When the agent said something last without having been asked.
    last_output: Mutex<Option<Instant>>,
    /// When its event stream brought a heartbeat last.
    last_beat: Mutex<Option<Instant>>,
    /// Whether that stream began since somebody looked: its agent may have begun anew.
    has_new_stream: AtomicBool,
    /// Kept between two passes.
    memory: Mutex<Option<Memory>>,
}

impl Handle {
    /// The agent says something.
    pub(super) fn note_output(&self) {
        *self.last_output.lock() = Some(Instant::now());
    }

    /// Its heart beats.
    pub(super) fn note_beat(&self) {
        *self.last_beat.lock() = Some(Instant::now());
    }

    /// Its event stream stands anew.
    pub(super) fn note_stream(&self) {
        self.has_new_stream.store(true, Ordering::Relaxed);
    }

    /// Whether it does since this was asked last.
    pub(super) fn takes_new_stream(&self) -> bool {
        self.has_new_stream.swap(false, Ordering::Relaxed)
    }

    /// Whether it beat within that time.
    pub(super) fn beats_within(&self, within: Duration) -> bool {
        self.last_beat.lock().is_some_and(|at| at.elapsed() <= within)
    }

    /// When it said something last, if that was after `since`.
    pub(super) fn output_after(&self, since: Instant) -> Option<Instant> {
        self.last_output.lock().filter(|at| *at > since)
    }
}

/// A frame's task during one pass.
pub(super) struct Driver {
    pub(super) inner: Arc<Inner>,
    pub(super) id: FrameId,
    pub(super) handle: Arc<Handle>,
    pub(super) folders: Folders,
    pub(super) memory: Memory,
    /// New wishes, and what the engine announces.
    pub(super) wakes: Wakes,
}

/// What a driver remembers between passes.
pub(super) struct Memory {
    /// Since when the frame has had its chance: this driver began, or it was started last (UTC ms).
    pub(super) run_began_at: u64,
    /// The right to be starting; there are only so many.
    pub(super) start_permit: Option<OwnedSemaphorePermit>,
    /// Whether the host's side is open.
    pub(super) attended: bool,
    /// Whether this run was looked at, and is kept apart as it must be.
    pub(super) kept_apart: bool,
    /// Whether it was nobody's when it was looked at last.
    pub(super) was_warm: bool,
    /// What was noted about whose its users are.
    pub(super) told_of_users: Option<String>,
    /// When its project was last compared with the one that somebody trusted, while it runs.
    pub(super) compared_at: Option<Instant>,
    /// What has shown itself of a starting frame.
    pub(super) readiness: ReadinessProbe,
    /// The end that was counted last: container and when its run began.
    pub(super) counted_end: Option<(String, u64)>,
    /// Not to be started before that.
    pub(super) not_before: Option<Instant>,
    /// How often in a row the engine refused a step for no reason we know.
    pub(super) refusals: u32,
    /// Since when the agent of a running frame neither answers nor says anything.
    pub(super) unresponsive_since: Option<Instant>,
    /// What was found out about it since then.
    pub(super) unresponsive: Unresponsive,
    /// Since when its agent begins again after we ended it.
    pub(super) restarting_since: Option<Instant>,
    /// When its agent was last asked.
    pub(super) asked_at: Option<Instant>,
    /// How many kills for want of memory were told already.
    pub(super) oom_kills: Option<u64>,
    pub(super) last_step: Option<(Step, u32)>,
}

impl Memory {
    fn new(now_ms: u64) -> Self {
        Self {
            run_began_at: now_ms,
            start_permit: None,
            attended: false,
            kept_apart: false,
            was_warm: false,
            told_of_users: None,
            compared_at: None,
            readiness: ReadinessProbe::default(),
            counted_end: None,
            not_before: None,
            refusals: 0,
            unresponsive_since: None,
            unresponsive: Unresponsive::default(),
            restarting_since: None,
            asked_at: None,
            oom_kills: None,
            last_step: None,
        }
    }
}

impl Driver {
    pub(super) fn new(inner: Arc<Inner>, id: FrameId, handle: Arc<Handle>, wakes: Wakes) -> Self {
        let folders = inner.folders(&id);
        let memory = handle.memory.lock().take().unwrap_or_else(|| Memory::new(inner.deps.clock.now_ms()));
        Self { inner, id, handle, folders, memory, wakes }
    }

    /// Keeps what the next pass is to remember.
    pub(super) fn rest(self) {
        *self.handle.memory.lock() = Some(self.memory);
    }

    /// Moves the frame, with nothing else in the transaction.
    pub(super) async fn record(&self, event: FrameEvent, reason: Option<String>) -> Result<(), FrameError> {
        let id = self.id.clone();
        self.inner.deps.store.write(move |tx| frames::apply(tx, &id, event, reason.as_deref())).await?;
        Ok(())
    }

    /// It cannot go on without a new request: `error`, the reason, and nothing left to try.
    pub(super) async fn fail(&mut self, reason: String) -> Result<Next, FrameError> {
        let id = self.id.clone();
        tracing::warn!(frame.id = %self.id, "frame {} failed: {reason}", self.id);
        self.inner
            .deps
            .store
            .write_as(move |tx| {
                frames::apply(tx, &id, FrameEvent::Failed, Some(&reason))?;
                give_up(tx, &id)?;
                Ok::<_, FrameError>(())
            })
            .await?;
        self.inner.failpoints.hit("fail.after_record").await;
        Ok(Next::Again)
    }

    /// Keeps a note on the frame's life.
    pub(super) async fn note(&self, code: &'static str, text: String) -> Result<(), FrameError> {
        let id = self.id.clone();
        Ok(self.inner.deps.store.write(move |tx| frames::note(tx, &id, code, &text)).await?)
    }

    /// Tells those who wait that the world is as desired.
    pub(super) fn settled(&mut self, frame: &Frame) {
        self.memory.start_permit = None;
        self.memory.not_before = None;
        self.memory.refusals = 0;
        self.memory.last_step = None;
        // One that is nobody's is not ready for anybody: whoever takes it waits for the look after that.
        let settled = frame.warm.is_none().then_some((frame.desired, frame.generation));
        self.handle.seen.send_modify(|seen| {
            *seen = Seen { settled, problem: None, engine_away: None, ..seen.clone() };
        });
    }

    /// Tells those who wait what is in the way.
    pub(super) fn show(&self, problem: impl Into<String>) {
        let problem = Some(problem.into());
        self.handle.seen.send_if_modified(|seen| {
            let news = seen.settled.is_some() || seen.problem != problem;
            seen.settled = None;
            seen.problem = problem;
            news
        });
    }

    pub(super) fn engine_answered(&self, answer: &Observation) {
        let workspace = answer.details.as_ref().and_then(|details| details.workspace);
        self.handle.seen.send_if_modified(|seen| {
            seen.workspace = workspace;
            seen.engine_away.take().is_some()
        });
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

    /// Nothing is known against its agent.
    pub(super) fn forget_unresponsive(&mut self) {
        self.memory.unresponsive_since = None;
        self.memory.restarting_since = None;
        self.memory.unresponsive = Unresponsive::default();
        self.set_health(AgentHealth::Answers);
    }
}

/// A container that cannot be worked with, whatever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContainerMismatch {
    /// It belongs to an earlier run, or to a database that was restored.
    OtherGeneration,
    /// It is not as locked up as containers are now.
    LessIsolated,
    /// The engine cannot move it any more.
    Stuck,
    /// The folder at its path is another one than it works in, or gone.
    OtherFolder,
    /// It shows other folders of this machine than it is to show.
    OtherMounts(MountDifference),
}

impl ContainerMismatch {
    /// What is said of it; nothing of what follows from a wish.
    pub(super) fn words(&self, frame: &Frame) -> Option<String> {
        Some(match self {
            Self::OtherGeneration => return None,
            Self::LessIsolated => {
                "its container was made by an older mimir, or for another `frames.runtime`, and is \
                                   not as locked up as they are now"
                    .to_owned()
            }
            Self::Stuck => "the engine could not move its container any more".to_owned(),
            Self::OtherFolder => {
                format!("its folder {} was moved, or deleted and made anew", frame.workspace)
            }
            Self::OtherMounts(MountDifference { wanted, mounted }) => {
                format!("its container had {mounted} instead of {wanted}")
            }
        })
    }
}

/// A frame that failed is not tried again unasked. One that is to be removed stays so.
pub(super) fn give_up(tx: &mut crate::store::Tx<'_>, id: &FrameId) -> Result<(), FrameError> {
    if frames::get(tx, id)?.desired != Desired::Removed {
        frames::set_desired(tx, id, Desired::Stopped)?;
    }
    Ok(())
}

/// Which run of which container an observation is about.
pub(super) fn run_of(seen: &Observation) -> Option<(String, u64)> {
    let details = seen.details.as_ref()?;
    Some((details.container_id.clone(), details.started_at?))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

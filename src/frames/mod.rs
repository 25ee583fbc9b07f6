//! The heart: make reality match the wish.
//!
//! A request writes what is desired and wakes the frame's driver; the driver is
//! the only one that moves the frame's state. Readers read rows and never wait.
//!
//! Not here: what an agent is told (see `router`), who may ask (see `gateway`),
//! and the two things called back: the host's side of a frame and the agent's
//! configuration (see [`settings`]).

pub mod error;
pub mod plan;
pub mod settings;
pub mod workspace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::container::{Observation, Stats};
use crate::model::frame::{Desired, Frame};
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::outbound::Connector;
use crate::runtime::{ExecOutput, ExecSpec, ExecStream, LogLine, LogRequest, RuntimeError};
use crate::tmux::TerminalRequest;
use crate::wire::frames::{CreateFrame, Leftover};

pub use error::FrameError;
pub use settings::{AttendError, Attendant, CrashSettings, FramesDeps, Settings, StartFiles};

/// All frames of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Frames {
    inner: Arc<Inner>,
}

struct Inner {
    deps: FramesDeps,
    ready: watch::Sender<bool>,
}

/// How the agent of a frame is reached.
#[derive(Clone, Debug)]
pub struct AgentAccess {
    /// Where.
    pub connector: Connector,
    /// The password of this run of the frame.
    pub password: Secret,
}

/// A viewer's place in a frame's terminal; dropping it ends the viewer's session inside.
pub struct Viewer {
    #[expect(dead_code, reason = "filled with the terminal")]
    session: String,
}

impl Frames {
    /// Makes the service. Nothing happens until [`Frames::run`].
    #[must_use]
    pub fn new(deps: FramesDeps) -> Self {
        Self { inner: Arc::new(Inner { deps, ready: watch::Sender::new(false) }) }
    }

    /// Makes a frame: row, ports, folders and container, or nothing at all. Starts it when asked to.
    ///
    /// # Errors
    /// See [`FrameError`]; nothing is left behind then.
    pub async fn create(&self, _principal: &Principal, _request: CreateFrame) -> Result<Frame, FrameError> {
        todo!()
    }

    /// Writes what is desired and wakes the driver. Answers at once.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::WrongState`] (only what runs can be paused, only what is paused
    /// or runs can be resumed), [`FrameError::BeingDestroyed`].
    pub async fn ask(
        &self,
        _principal: &Principal,
        _name: &FrameName,
        _desired: Desired,
    ) -> Result<Frame, FrameError> {
        todo!()
    }

    /// Asks for a new run: stops what runs and starts it again.
    ///
    /// # Errors
    /// [`FrameError::NotFound`], [`FrameError::BeingDestroyed`].
    pub async fn restart(&self, _principal: &Principal, _name: &FrameName) -> Result<Frame, FrameError> {
        todo!()
    }

    /// Asks for the frame's end, with everything that belongs to it. Answers at once.
    ///
    /// # Errors
    /// [`FrameError::NotFound`].
    pub async fn destroy(&self, _principal: &Principal, _name: &FrameName) -> Result<Frame, FrameError> {
        todo!()
    }

    /// Waits until the frame is as desired; for [`Desired::Removed`] until it is gone (then the frame as it last was).
    ///
    /// # Errors
    /// [`FrameError::Failed`], [`FrameError::TooSlow`], [`FrameError::WishChanged`].
    pub async fn wait_for(
        &self,
        _id: &FrameId,
        _desired: Desired,
        _deadline: Duration,
    ) -> Result<Frame, FrameError> {
        todo!()
    }

    /// Starts (or thaws) the frame unless it runs, and waits until its agent answers.
    ///
    /// # Errors
    /// As [`Frames::ask`] and [`Frames::wait_for`].
    pub async fn wake(&self, _id: &FrameId, _deadline: Duration) -> Result<Frame, FrameError> {
        todo!()
    }

    /// All frames, by name.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn list(&self) -> Result<Vec<Frame>, FrameError> {
        todo!()
    }

    /// The frame of that name.
    ///
    /// # Errors
    /// [`FrameError::NotFound`].
    pub async fn get(&self, _name: &FrameName) -> Result<Frame, FrameError> {
        todo!()
    }

    /// The frame with that id.
    ///
    /// # Errors
    /// [`FrameError::NotFound`].
    pub async fn get_by_id(&self, _id: &FrameId) -> Result<Frame, FrameError> {
        todo!()
    }

    /// What the engine says right now.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn observation(&self, _id: &FrameId) -> Result<Observation, FrameError> {
        todo!()
    }

    /// Where the frame's sockets are.
    #[must_use]
    pub fn link_folder(&self, _id: &FrameId) -> PathBuf {
        todo!()
    }

    /// Where the agent's home is on the host.
    #[must_use]
    pub fn home_folder(&self, _id: &FrameId) -> PathBuf {
        todo!()
    }

    /// How the frame's agent is reached, whether it runs or not.
    ///
    /// # Errors
    /// [`FrameError::AgentUnreachable`] when the frame was never started.
    pub async fn agent_access(&self, _frame: &Frame) -> Result<AgentAccess, FrameError> {
        todo!()
    }

    /// Notes that the frame had something to do.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn touch(&self, _id: &FrameId) -> Result<(), FrameError> {
        todo!()
    }

    /// Runs a command inside and collects what it prints.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs.
    pub async fn exec(&self, _frame: &Frame, _command: ExecSpec) -> Result<ExecOutput, FrameError> {
        todo!()
    }

    /// Runs a command inside with streams both ways.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs.
    pub async fn exec_stream(&self, _frame: &Frame, _command: ExecSpec) -> Result<ExecStream, FrameError> {
        todo!()
    }

    /// Opens the frame's terminal. The viewer's session inside ends when the [`Viewer`] is dropped.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs; [`FrameError::Terminal`].
    pub async fn terminal(
        &self,
        _frame: &Frame,
        _request: TerminalRequest,
    ) -> Result<(ExecStream, Viewer), FrameError> {
        todo!()
    }

    /// What the frame printed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn logs(
        &self,
        _frame: &Frame,
        _request: LogRequest,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, FrameError> {
        todo!()
    }

    /// What the frame uses right now.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs.
    pub async fn stats(&self, _frame: &Frame) -> Result<Stats, FrameError> {
        todo!()
    }

    /// What is left over from frames that are no more. Removes it unless `dry_run`.
    ///
    /// # Errors
    /// When the rows or the containers cannot be listed.
    pub async fn gc(&self, _dry_run: bool) -> Result<Vec<Leftover>, FrameError> {
        todo!()
    }

    /// Compares all rows with all containers once: wakes drivers, destroys what has expired, reports strays.
    ///
    /// # Errors
    /// When the rows or the containers cannot be listed.
    pub async fn reconcile_once(&self) -> Result<(), FrameError> {
        todo!()
    }

    /// Reconciles at once, whenever the engine announces something, and on a tick, until it is stopped.
    pub async fn run(&self, _stop: CancellationToken) {
        todo!()
    }

    /// Whether everything has been looked at since the start.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.inner.ready.subscribe()
    }
}

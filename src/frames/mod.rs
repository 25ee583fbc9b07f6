//! The heart: make reality match the wish.
//!
//! A request writes what is desired and wakes the frame's driver; the driver is
//! the only one that moves the frame's state. Readers read rows and never wait.
//!
//! Not here: what an agent is told (see `delivery`), who may ask (see `gateway`),
//! and the two things called back: the host's side of a frame and the agent's
//! configuration (see [`settings`]).

mod crash;
mod create;
mod driver;
pub mod error;
mod folders;
mod gc;
mod guest;
mod idle;
mod inside;
pub mod locator;
pub mod plan;
mod ports;
mod processes;
mod provision;
mod readiness;
mod reconcile;
mod recycle;
mod request;
mod requests;
pub mod settings;
mod silence;
mod steps;
mod wait;
pub mod workspace;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::model::container::Observation;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::secret::Secret;
use crate::model::status::AgentHealth;
use crate::opencode::OpencodeClient;
use crate::outbound::Connector;
use crate::store::{StoreError, frames};
use crate::supervisor::OnExit;
use crate::supervisor::failpoint::Failpoints;

use driver::{Driver, Handle};
use folders::Folders;

pub use error::FrameError;
pub use guest::Guest;
pub use idle::Visit;
pub use inside::Viewer;
pub use locator::{AgentLocator, PlaceError};
pub use processes::{Process, Processes};
pub use recycle::Recycled;
pub use request::{FrameRequest, Lifetime, Place, WantedLimits};
pub use settings::{AttendError, CrashSettings, FramesDeps, HostNetworking, Settings, StartFiles};

/// All frames of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Frames {
    inner: Arc<Inner>,
}

struct Inner {
    deps: FramesDeps,
    failpoints: Failpoints,
    /// How many frames may be starting at once.
    starts: Arc<Semaphore>,
    drivers: Mutex<Drivers>,
    ready: watch::Sender<bool>,
    /// Counts changes of how agents are.
    health: watch::Sender<u64>,
    recycled: recycle::Counts,
    visitors: idle::Visitors,
}

/// Who looks after which frame.
#[derive(Default)]
struct Drivers {
    by_frame: HashMap<FrameId, Handle>,
    /// Frames that are being made; they get their driver when that is done.
    creating: HashSet<FrameId>,
}

/// How the agent of a frame is reached.
#[derive(Clone, Debug)]
pub struct AgentAccess {
    /// Where.
    pub connector: Connector,
    /// The password of this run of the frame.
    pub password: Secret,
}

impl Frames {
    /// Makes the service. Nothing happens until [`Frames::run`], or until somebody asks for something.
    #[must_use]
    pub fn new(deps: FramesDeps) -> Self {
        let starts = Arc::new(Semaphore::new(deps.settings.config.parallel_starts.max(1)));
        let failpoints = deps.tasks.failpoints();
        let ready = watch::Sender::new(false);
        let health = watch::Sender::new(0);
        let inner = Inner {
            deps,
            failpoints,
            starts,
            drivers: Mutex::default(),
            ready,
            health,
            recycled: recycle::Counts::default(),
            visitors: idle::Visitors::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// All frames, by name.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn list(&self) -> Result<Vec<Frame>, FrameError> {
        Ok(self.inner.deps.store.read(|db| frames::list(db)).await?)
    }

    /// The frame of that name.
    ///
    /// # Errors
    /// [`FrameError::NotFound`].
    pub async fn get(&self, name: &FrameName) -> Result<Frame, FrameError> {
        let wanted = name.clone();
        let found = self.inner.deps.store.read(move |db| frames::find_by_name(db, &wanted)).await?;
        found.ok_or_else(|| FrameError::NotFound(name.to_string()))
    }

    /// The frame with that id.
    ///
    /// # Errors
    /// [`FrameError::NotFound`].
    pub async fn get_by_id(&self, id: &FrameId) -> Result<Frame, FrameError> {
        self.inner.row(id).await?.ok_or_else(|| FrameError::NotFound(id.to_string()))
    }

    /// The newest notes on a frame's life, newest last.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn notes(&self, id: &FrameId, limit: u32) -> Result<Vec<frames::Note>, FrameError> {
        let id = id.clone();
        Ok(self.inner.deps.store.read(move |db| frames::notes(db, &id, limit)).await?)
    }

    /// What the engine says right now.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn observation(&self, id: &FrameId) -> Result<Observation, FrameError> {
        Ok(self.inner.deps.runtime.observe(id).await?)
    }

    /// What is in the way of the frame's wish right now, if something is.
    #[must_use]
    pub fn problem(&self, id: &FrameId) -> Option<String> {
        let handle = self.inner.drivers().by_frame.get(id).cloned()?;
        handle.seen.borrow().problem.clone()
    }

    /// How the frame's agent is, as its driver found it last.
    #[must_use]
    pub fn health(&self, id: &FrameId) -> AgentHealth {
        let handle = self.inner.drivers().by_frame.get(id).cloned();
        handle.map(|handle| handle.seen.borrow().health).unwrap_or_default()
    }

    /// Changes whenever some agent's health does.
    #[must_use]
    pub fn health_changes(&self) -> watch::Receiver<u64> {
        self.inner.health.subscribe()
    }

    /// Where the frame's sockets are.
    #[must_use]
    pub fn link_folder(&self, id: &FrameId) -> PathBuf {
        self.inner.folders(id).link()
    }

    /// Where the agent's home is on the host.
    #[must_use]
    pub fn home_folder(&self, id: &FrameId) -> PathBuf {
        self.inner.folders(id).home()
    }

    /// How the frame's agent is reached, whether it runs or not.
    ///
    /// # Errors
    /// [`FrameError::AgentUnreachable`] when the frame was never started.
    pub async fn agent_access(&self, frame: &Frame) -> Result<AgentAccess, FrameError> {
        match self.inner.folders(&frame.id).password()? {
            Some(password) => Ok(AgentAccess { connector: self.inner.agent_connector(&frame.id), password }),
            None => Err(FrameError::AgentUnreachable {
                name: frame.name.to_string(),
                why: "it was never started".into(),
            }),
        }
    }

    /// A client for the frame's agent, with the password of this run of the frame.
    ///
    /// # Errors
    /// As [`Frames::agent_access`].
    pub async fn agent(&self, frame: &Frame) -> Result<OpencodeClient, FrameError> {
        let access = self.agent_access(frame).await?;
        Ok(OpencodeClient::new(access.connector, &access.password))
    }

    /// Notes that the frame had something to do.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn touch(&self, id: &FrameId) -> Result<(), FrameError> {
        let id = id.clone();
        self.inner.deps.store.write(move |tx| frames::touch(tx, &id)).await.map_err(store_error)
    }

    /// Whether everything has been looked at since the start.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.inner.ready.subscribe()
    }
}

impl Inner {
    fn folders(&self, id: &FrameId) -> Folders {
        Folders::of(&self.deps.settings.frames_folder, id)
    }

    fn agent_connector(&self, id: &FrameId) -> Connector {
        (self.deps.agent_connector)(&self.folders(id).link())
    }

    async fn row(&self, id: &FrameId) -> Result<Option<Frame>, FrameError> {
        let id = id.clone();
        Ok(self.deps.store.read(move |db| frames::find(db, &id)).await?)
    }

    /// The map is only ever changed whole, so a panic elsewhere leaves it as it was.
    fn drivers(&self) -> MutexGuard<'_, Drivers> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the frame's driver, and gives it one if it has none.
    fn wake_driver(self: &Arc<Self>, id: &FrameId) -> Handle {
        let (handle, is_new) = {
            let mut drivers = self.drivers();
            if drivers.creating.contains(id) {
                // It looks at the row when the frame is made; until then there is nothing to drive.
                return Handle::new();
            }
            match drivers.by_frame.get(id) {
                Some(handle) => (handle.clone(), false),
                None => {
                    let handle = Handle::new();
                    drivers.by_frame.insert(id.clone(), handle.clone());
                    (handle, true)
                }
            }
        };
        if is_new {
            self.start_driver(id, &handle);
        } else {
            handle.nudge.notify_one();
        }
        handle
    }

    fn start_driver(self: &Arc<Self>, id: &FrameId, handle: &Handle) {
        let (inner, id, handle) = (self.clone(), id.clone(), handle.clone());
        self.deps.tasks.spawn(format!("frame {id}"), OnExit::Report, move |stop| {
            let leave = Leave { inner: inner.clone(), id: id.clone() };
            let driver = Driver::new(inner.clone(), id.clone(), handle.clone());
            async move {
                let _leave = leave;
                driver.drive(stop).await;
            }
        });
    }
}

/// Takes a driver off the list however it ends; the next pass of `reconcile` starts another if one is needed.
struct Leave {
    inner: Arc<Inner>,
    id: FrameId,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.inner.drivers().by_frame.remove(&self.id);
    }
}

/// Tells the compiler which error a write ends with.
fn store_error(error: StoreError) -> FrameError {
    error.into()
}

//! Frames: one container for each project, kept as people and programs want it.
//!
//! ```text
//!                        ┌──────────────────────── Failed ────────────────────────┐
//!                        │                │                 │                     ▼
//!  created ──StartRequested──► starting ──BecameReady──► running ◄──Resume──   [error]
//!     ▲                        ▲   │                      │   │ └──Pause──► paused │
//!     │ `frame create`         │   │ StopConfirmed        │   │               │    │ a new request
//!                              │   ▼                      ▼   │               ▼    ▼
//!                              └─ stopped ◄──────── StopConfirmed ─────────────────┘
//!
//!  any state ── desired = removed ──► container removed ──► row, ports and folders gone
//! ```
//!
//! The arrows are [`FrameState::next`](crate::model::frame::FrameState::next); `[error]` keeps its reason until
//! somebody asks for something else. A request writes the desired state and wakes the frame's task; only that task
//! moves the state, by what the engine and the agent confirm. Readers read rows and never wait.
//!
//! Not here: what an agent is told (see `delivery`), who may ask (see `gateway`), and the two things called back:
//! the host's side of a frame and the agent's configuration (see [`settings`]).

mod advance;
mod comparisons;
pub mod connect;
mod crash;
mod create;
mod driver;
mod ends;
pub mod error;
mod folders;
mod forge;
mod gc;
pub mod git_config;
pub mod git_folder;
mod grants;
mod guest;
mod host;
mod idle;
mod inside;
mod isolation;
mod kinds;
mod learned;
mod liveness;
pub mod locator;
mod memory;
pub mod plan;
mod ports;
mod probes;
mod processes;
pub mod project;
pub mod project_bound;
pub mod project_trust;
mod provision;
mod readiness;
mod reconcile;
mod recycle;
mod relocate;
mod request;
mod requests;
pub mod settings;
pub mod space;
mod steps;
mod trust;
mod upgrade;
mod wait;
mod warm;
mod warm_pool;
pub mod workspace;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::config::{Live, schema as config};
use crate::model::container::Observation;
use crate::model::frame::Frame;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::port::PortPurpose;
use crate::model::secret::Secret;
use crate::model::status::AgentHealth;
use crate::opencode::{self, OpencodeClient};
use crate::outbound::Connector;
use crate::redact::Known;
use crate::runtime::{Capabilities, Credentials};
use crate::store::frames;
use crate::supervisor::backoff::Backoff;
use crate::supervisor::failpoint::Failpoints;
use crate::supervisor::keyed::Keyed;

use comparisons::Comparisons;
use driver::Handle;
use folders::Folders;

pub use connect::NewServer;
pub use error::{FRAME_FILE, FrameError};
pub use folders::{remove_tree, size_of};
pub use grants::{Grant, Term, allow_host};
pub use guest::Guest;
pub use idle::{Visit, VisitorKind};
pub use inside::Viewer;
pub use isolation::Apart;
pub use locator::{AgentLocator, PlaceError};
pub use processes::{Process, Processes};
pub use recycle::Recycled;
pub use request::{FrameRequest, Lifetime, Place, WantedLimits};
pub use settings::{
    AttendError, CrashSettings, FramesDeps, HostNetworking, SecretsGiven, Settings, StartFiles,
};
pub use trust::Standing;
pub use upgrade::{ImageNews, Upgrade};

/// All frames of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Frames {
    inner: Arc<Inner>,
}

struct Inner {
    deps: FramesDeps,
    /// As it is configured now; what `deps.settings` says is how it began.
    config: Live<config::Frames>,
    crashes: Live<CrashSettings>,
    failpoints: Failpoints,
    /// How many frames may be starting at once.
    starts: Arc<Semaphore>,
    /// Projects that are compared while their frames run.
    comparisons: Comparisons,
    /// The task of each frame.
    drivers: Keyed<FrameId, Handle>,
    /// Frames that are being made; they get their task when that is done.
    creating: Mutex<HashSet<FrameId>>,
    ready: watch::Sender<bool>,
    /// Counts changes of how agents are.
    health: watch::Sender<u64>,
    recycled: recycle::Counts,
    visitors: idle::Visitors,
    images: upgrade::Images,
    warm: kinds::Pool,
}

/// How the agent of a frame is reached.
#[derive(Clone, Debug)]
pub struct AgentAccess {
    /// Where.
    pub connector: Connector,
    /// What we say in `Authorization`: the password of this run of the frame. None when the agent asks for none.
    pub authorization: Option<Secret>,
    /// Whether it knows models of its own, and chooses when a message names none.
    chooses_model: bool,
    /// What it may have been given, and is not to say.
    known: Known,
}

impl AgentAccess {
    fn new(connector: Connector, credentials: Credentials, known: Known) -> Self {
        let Credentials { user, password } = credentials;
        let authorization = password.map(|password| opencode::basic(&user, &password));
        Self { connector, authorization, chooses_model: false, known }
    }

    fn client(self) -> OpencodeClient {
        OpencodeClient::authorized(self.connector, self.authorization)
            .choosing_models(self.chooses_model)
            .without(self.known)
    }
}

impl Frames {
    /// Makes the service. Nothing happens until [`Frames::run`], or until somebody asks for something.
    #[must_use]
    pub fn new(deps: FramesDeps) -> Self {
        let starts = Arc::new(Semaphore::new(deps.settings.config.parallel_starts.max(1)));
        let failpoints = deps.tasks.failpoints();
        let ready = watch::Sender::new(false);
        let health = watch::Sender::new(0);
        let drivers = Keyed::new(&deps.tasks, "frame", |_| Handle::default())
            .with_backoff(Backoff::new(Duration::from_millis(200), Duration::from_secs(10)));
        let warm = kinds::Pool::new(&deps.tasks, deps.settings.warm_lifetime);
        let inner = Inner {
            config: Live::new(deps.settings.config.clone()),
            crashes: Live::new(deps.settings.crashes),
            deps,
            failpoints,
            starts,
            comparisons: Comparisons::default(),
            drivers,
            creating: Mutex::default(),
            ready,
            health,
            recycled: recycle::Counts::default(),
            visitors: idle::Visitors::default(),
            images: upgrade::Images::default(),
            warm,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Another configuration from now on; how many may start at the same time stays.
    pub fn configure(&self, config: config::Frames) {
        let (window, limit) = (config.crash_window, config.crash_limit);
        self.inner.crashes.set(CrashSettings { window, limit, ..*self.inner.crashes.now() });
        let before = self.inner.config.now();
        let are_others_asked_for = (&before.image, before.limits, &before.providers)
            != (&config.image, config.limits, &config.providers);
        let is_other = are_others_asked_for || before.warm != config.warm || before.ports != config.ports;
        self.inner.config.set(config);
        if are_others_asked_for {
            self.inner.warm.forget_kinds();
        }
        if is_other {
            self.inner.look_after_warm();
        }
    }

    /// What is configured for frames of which nothing else is said.
    #[must_use]
    pub fn defaults(&self) -> Arc<config::Frames> {
        self.inner.config.now()
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

    /// What can be done with the frame.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn capabilities(&self, id: &FrameId) -> Result<Capabilities, FrameError> {
        Ok(self.inner.deps.runtime.capabilities(id).await?)
    }

    /// What is in the way of the frame's wish right now, if something is.
    #[must_use]
    pub fn problem(&self, id: &FrameId) -> Option<String> {
        let handle = self.inner.drivers.get(id)?;
        handle.seen.borrow().problem.clone()
    }

    /// How the frame's agent is, as its driver found it last.
    #[must_use]
    pub fn health(&self, id: &FrameId) -> AgentHealth {
        let handle = self.inner.drivers.get(id);
        handle.map(|handle| handle.seen.borrow().health).unwrap_or_default()
    }

    /// Changes whenever some agent's health does.
    #[must_use]
    pub fn health_changes(&self) -> watch::Receiver<u64> {
        self.inner.health.subscribe()
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
        self.inner.access(&frame.id).await?.ok_or_else(|| FrameError::AgentUnreachable {
            name: frame.name.to_string(),
            why: "it was never started".into(),
        })
    }

    /// A client for the frame's agent, with the password of this run of the frame.
    ///
    /// # Errors
    /// As [`Frames::agent_access`].
    pub async fn agent(&self, frame: &Frame) -> Result<OpencodeClient, FrameError> {
        Ok(self.agent_access(frame).await?.client())
    }

    /// Notes that the frame had something to do.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn touch(&self, id: &FrameId) -> Result<(), FrameError> {
        let id = id.clone();
        Ok(self.inner.deps.store.write(move |tx| frames::touch(tx, &id)).await?)
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

    /// How the frame's agent is reached; none when it was never started.
    async fn access(&self, id: &FrameId) -> Result<Option<AgentAccess>, FrameError> {
        let credentials = self.deps.runtime.credentials(id).await?;
        let connector = self.deps.runtime.connector(id, PortPurpose::Agent);
        let known = self.deps.start_files.known();
        let access = credentials.map(|credentials| AgentAccess::new(connector, credentials, known));
        Ok(access.map(|access| AgentAccess { chooses_model: self.deps.external.has(id), ..access }))
    }

    /// A client for the frame's agent; none when it was never started.
    async fn client(&self, id: &FrameId) -> Result<Option<OpencodeClient>, FrameError> {
        Ok(self.access(id).await?.map(|access| access.client()))
    }

    /// Every row, those that are nobody's yet as well.
    async fn all_rows(&self) -> Result<Vec<Frame>, FrameError> {
        let read = self.deps.store.read(|db| {
            let (mut all, warm) = (frames::list(db)?, frames::list_warm(db)?);
            all.extend(warm);
            Ok(all)
        });
        Ok(read.await?)
    }

    async fn row(&self, id: &FrameId) -> Result<Option<Frame>, FrameError> {
        let id = id.clone();
        Ok(self.deps.store.read(move |db| frames::find(db, &id)).await?)
    }

    /// Wakes the frame's task, and gives it one if it has none.
    fn wake_driver(self: &Arc<Self>, id: &FrameId) {
        self.wake_driver_with(id, |_| {});
    }

    /// The same, with something for the task to find.
    fn wake_driver_with(self: &Arc<Self>, id: &FrameId, change: impl FnOnce(&Handle)) {
        // It is woken when the frame is made; until then there is nothing to drive.
        if !self.creating.lock().contains(id) {
            let inner = self.clone();
            self.drivers.wake_with(id, change, move |pass| advance::pass(inner.clone(), pass));
        }
    }
}

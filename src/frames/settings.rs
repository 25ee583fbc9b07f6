//! What frames need to be told, and whom they call back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::config::schema as config;
use crate::model::container::ContainerSpec;
use crate::model::frame::Frame;
use crate::model::git::ForgeHost;
use crate::model::ids::{FrameId, InstanceId};
use crate::model::network::LentHost;
use crate::model::port::PortPurpose;
use crate::model::secret::Secret;
use crate::redact::Known;
use crate::runtime::Runtime;
use crate::runtime::external::External;
use crate::store::Store;
use crate::supervisor::Tasks;

/// Everything that [`super::Frames`] is made of.
pub struct FramesDeps {
    /// The database.
    pub store: Store,
    /// The engines.
    pub runtime: Arc<dyn Runtime>,
    /// The servers elsewhere that frames stand for; one of the engines.
    pub external: External,
    /// The time.
    pub clock: Clock,
    /// Owner of the drivers.
    pub tasks: Tasks,
    /// From the configuration.
    pub settings: Settings,
    /// Who keeps the host's side of a frame open: its broker and its host ports.
    pub attendant: Arc<dyn HostNetworking>,
    /// Who knows what the agent is to be told at its start.
    pub start_files: Arc<dyn StartFiles>,
}

/// What the configuration says about frames.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This home's id.
    pub instance: InstanceId,
    /// mimir's own folder; no workspace may be in it or around it.
    pub home: PathBuf,
    /// The user's home; not a workspace either.
    pub user_home: Option<PathBuf>,
    /// Where each frame has a folder of its own.
    pub frames_folder: PathBuf,
    /// What is configured.
    pub config: config::Frames,
    /// How unexpected ends are damped.
    pub crashes: CrashSettings,
    /// How often everything is looked at without a reason.
    pub tick: Duration,
    /// How long the agent of a running frame may neither answer nor say anything before it is ended and begins again.
    pub liveness_timeout: Duration,
    /// The same for an agent that works hard, and for a container in which nothing can be asked; that is stopped then.
    pub container_timeout: Duration,
    /// How old a container without a row must be before it is removed unasked.
    pub stray_age: Duration,
    /// How long a frame that nobody takes is kept ready.
    pub warm_lifetime: Duration,
    /// The least time between two comparisons of a project that somebody trusted, however often its agent begins anew: it could
    /// have the disk read without end.
    pub compared_again: Duration,
    /// Where the kernel says how much memory there is.
    pub meminfo: PathBuf,
    /// The certificates that frames trust; what this machine trusts when absent.
    pub certificates: Option<PathBuf>,
    /// The program that knows who commits.
    pub git: PathBuf,
}

/// How unexpected ends of a frame's container are damped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashSettings {
    /// Ends older than this do not count.
    pub window: Duration,
    /// That many ends within the window and the frame goes to `error`.
    pub limit: u32,
    /// The pause before the second restart; it doubles with each further one. The first is at once.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for CrashSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(15 * 60),
            limit: 5,
            first_pause: Duration::from_secs(10),
            longest_pause: Duration::from_secs(300),
        }
    }
}

impl Settings {
    /// The settings of a fresh install, for a home.
    #[must_use]
    pub fn of_home(home: &Path, instance: InstanceId) -> Self {
        Self {
            instance,
            home: home.to_owned(),
            user_home: std::env::home_dir(),
            frames_folder: home.join("frames"),
            config: config::Frames::default(),
            crashes: CrashSettings::default(),
            tick: Duration::from_secs(10),
            liveness_timeout: Duration::from_secs(12),
            container_timeout: Duration::from_secs(60),
            stray_age: Duration::from_secs(60 * 60),
            warm_lifetime: Duration::from_secs(24 * 60 * 60),
            compared_again: Duration::from_secs(5),
            meminfo: PathBuf::from("/proc/meminfo"),
            certificates: None,
            git: PathBuf::from("git"),
        }
    }
}

/// Keeps the host's side of frames open. Implemented where the broker and the host ports are known.
#[async_trait]
pub trait HostNetworking: Send + Sync {
    /// Listens for what the frame asks its broker, and on the frame's host ports.
    /// Called before each start and when a running frame is adopted; what is open already stays so.
    ///
    /// # Errors
    /// [`AttendError::PortBusy`] when somebody else holds a port; it is exchanged, and this is called again.
    async fn open(&self, frame: &Frame) -> Result<(), AttendError>;

    /// Listens for what a container without a row asks for, as far as `allow` permits: for doctor.
    ///
    /// # Errors
    /// Whatever the operating system says.
    async fn open_broker(&self, spec: &ContainerSpec, allow: &[String]) -> Result<(), AttendError> {
        let _ = (spec, allow);
        Err(AttendError::Other("nothing listens here".to_owned()))
    }

    /// The frame's row says something else about what it may reach; that holds at once where it is open.
    fn rules_changed(&self, _frame: &Frame) {}

    /// Lets a frame reach a host for a while. Says whether it is open, because it is nowhere else kept.
    ///
    /// # Errors
    /// When the loan names no host and no group.
    fn lend(&self, _frame: &FrameId, _loan: &LentHost) -> Result<bool, AttendError> {
        Ok(false)
    }

    /// Takes back what a frame was lent.
    fn take_back(&self, _frame: &FrameId) {}

    /// What a frame is lent now.
    fn lent(&self, _frame: &FrameId) -> Vec<LentHost> {
        Vec::new()
    }

    /// Closes all of it. Nothing happens when nothing is open.
    async fn close(&self, frame: &FrameId);

    /// How many connections come in through the frame's host ports right now.
    fn connections(&self, _frame: &FrameId) -> usize {
        0
    }
}

/// Why the host's side of a frame cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AttendError {
    /// Somebody else listens there.
    #[error("the {} port is taken", .0.as_str())]
    PortBusy(PortPurpose),
    /// We have no better idea than to show it.
    #[error("{0}")]
    Other(String),
}

/// What a frame sees of secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretsGiven {
    /// Variables.
    pub env: Vec<(String, Secret)>,
    /// Files, by name.
    pub files: Vec<(String, Secret)>,
    /// What could not be had, in sentences.
    pub missing: Vec<String>,
}

/// Knows what an agent is told at its start. Implemented where the model providers are known.
#[async_trait]
pub trait StartFiles: Send + Sync {
    /// opencode's configuration for this frame. Holds no real key.
    async fn agent_config(&self, frame: &Frame) -> serde_json::Value;

    /// What the frame sees of secrets from this start on.
    async fn secrets(&self, _frame: &Frame) -> SecretsGiven {
        SecretsGiven::default()
    }

    /// What agents may have been given, and are not to say.
    fn known(&self) -> Known {
        Known::default()
    }

    /// The forges that git inside comes to through its broker.
    fn forges(&self) -> Vec<ForgeHost> {
        ForgeHost::known().collect()
    }

    /// Whether the owner keeps something that opens that forge.
    fn opens(&self, _forge: &ForgeHost) -> bool {
        false
    }

    /// Branches that every frame may push.
    fn branches(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of all model providers; none where nobody knows.
    fn providers(&self) -> Vec<String> {
        Vec::new()
    }
}

//! What a frame needs from an engine, in our words.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::frame::{Limits, Observed};
use super::ids::{FrameId, InstanceId};
use super::names::FrameName;
use super::network::NetworkMode;

/// The label that holds the gateway's instance id. Nothing without it is ever touched.
pub const LABEL_INSTANCE: &str = "io.mimir.instance";
/// The label that holds the frame id.
pub const LABEL_FRAME: &str = "io.mimir.frame";
/// The label that holds the frame's name, for people who look with the engine's own tools.
pub const LABEL_NAME: &str = "io.mimir.name";
/// The label that holds the generation.
pub const LABEL_GENERATION: &str = "io.mimir.generation";

/// Where things are inside a frame. The image's entrypoint knows the same paths.
pub mod inside {
    /// The project.
    pub const WORKSPACE: &str = "/workspace";
    /// The agent's home: opencode's database, shell history.
    pub const HOME: &str = "/home/agent";
    /// The folder of sockets.
    pub const LINK: &str = "/run/mimir/link";
    /// Written by the gateway before each start, read-only inside: `password`, `opencode.json`, `env`.
    pub const START: &str = "/run/mimir/start";
    /// Private to the container.
    pub const PRIVATE: &str = "/run/frame";
    /// The terminal's socket; never on the host.
    pub const TMUX_SOCKET: &str = "/run/frame/tmux.sock";
    /// The session id that the agent window shows.
    pub const SHOWN_SESSION: &str = "/run/frame/session";
    /// Where opencode listens.
    pub const AGENT_PORT: u16 = 4096;
    /// Where the broker is reached.
    pub const BROKER_PORT: u16 = 8118;
    /// opencode's user name for basic authentication.
    pub const AGENT_USER: &str = "mimir";
}

/// A container to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "test-support", derive(serde::Serialize, serde::Deserialize))]
pub struct ContainerSpec {
    /// The gateway that owns it.
    pub instance: InstanceId,
    /// The frame it is for.
    pub frame: FrameId,
    /// The frame's name.
    pub name: FrameName,
    /// Which container of that frame this is.
    pub generation: u32,
    /// The image's id; never a tag.
    pub image_id: String,
    /// The host folder for /workspace. Must exist: the engine would make a missing one, as root.
    pub workspace: PathBuf,
    /// The host folder for /home/agent. Must exist and belong to the owner.
    pub home: PathBuf,
    /// The host folder for the sockets. Must exist and belong to the owner.
    pub link: PathBuf,
    /// The host folder for what is read at start. Must exist.
    pub start: PathBuf,
    /// Host user id that owns what the agent writes.
    pub owner_uid: u32,
    /// Host group id that owns what the agent writes.
    pub owner_gid: u32,
    /// What it may reach.
    pub network: NetworkMode,
    /// What it may use.
    pub limits: Limits,
    /// Environment; no secrets, they would show in every inspect.
    pub env: BTreeMap<String, String>,
}

/// The container's name in the engine; one per frame, so a second create is refused by the engine itself.
#[must_use]
pub fn container_name(frame: &FrameId) -> String {
    format!("mimir-{frame}")
}

/// What the engine says about a frame's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// In one of four words.
    pub observed: Observed,
    /// The rest; absent when the container is missing.
    pub details: Option<ContainerDetails>,
}

impl Observation {
    /// There is no container.
    #[must_use]
    pub fn missing() -> Self {
        Self { observed: Observed::Missing, details: None }
    }
}

/// More about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerDetails {
    /// The engine's id.
    pub container_id: String,
    /// From its label.
    pub generation: u32,
    /// The image it was made from.
    pub image_id: String,
    /// How the last run of its first process ended; 137 is SIGKILL. Absent while it runs or before it ran.
    pub exit_code: Option<i64>,
    /// When it last started (UTC ms), if ever.
    pub started_at: Option<u64>,
    /// Host process id of its first process, while it runs.
    pub pid: Option<u32>,
    /// How often the kernel killed something in it for want of memory, as far as this can be told.
    pub oom_kills: Option<u64>,
    /// The engine's own word for a state that it cannot leave by itself
    /// (docs/traps.md: `stopping` after its monitor died). Only removing helps.
    pub stuck: Option<String>,
}

/// A container with our instance's label, found by listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundContainer {
    /// From its label.
    pub frame: FrameId,
    /// From its label.
    pub name: String,
    /// From its label.
    pub generation: u32,
    /// In one of four words.
    pub observed: Observed,
    /// When it was made (UTC ms).
    pub created_at: u64,
    /// The engine's id.
    pub container_id: String,
}

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// The engine's id (`sha256:` left off).
    pub id: String,
    /// Names.
    pub tags: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Bytes.
    pub size_bytes: u64,
    /// UTC ms.
    pub created_at: u64,
}

/// What a frame uses right now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Processor time used since start, in milliseconds.
    pub cpu_ms: u64,
    /// Cores in use over the last sample; 1.0 is one core.
    pub cpu_cores: f64,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
    /// Its limit; 0 when there is none that the engine can enforce.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// Something that the engine announced about a container of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// Whose.
    pub frame: FrameId,
    /// The engine's word: `start`, `die`, `remove`, `pause`, `unpause`, …
    pub action: String,
    /// UTC ms.
    pub at: u64,
}

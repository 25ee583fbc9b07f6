//! What a frame needs from an engine, in our words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// The label that says how locked up it was made.
pub const LABEL_ISOLATION: &str = "io.mimir.isolation";
/// The label that says which users of this machine a container's are, where it has users of its own.
pub const LABEL_USERS: &str = "io.mimir.users";
/// The label that says why a container's users are this machine's, where the engine could give it others.
pub const LABEL_MACHINES_USERS: &str = "io.mimir.machines-users";

/// All graphics cards, as files of the Container Device Interface (CDI) name them.
pub const GPUS: &str = "nvidia.com/gpu";

/// Where things are inside a frame. The image's entrypoint knows the same paths.
pub mod inside {
    /// The project.
    pub const WORKSPACE: &str = "/workspace";
    /// The agent's home: opencode's database, shell history.
    pub const HOME: &str = "/home/agent";
    /// The folder of sockets.
    pub const LINK: &str = "/run/mimir/link";
    /// Written by the gateway before each start, read-only inside: `password`, `opencode.json`, `env`, `certificates.crt`.
    pub const START: &str = "/run/mimir/start";
    /// What git reads below every configuration of the frame's own: the user's identity and the way to forges.
    pub const GIT_CONFIG: &str = "/run/mimir/start/gitconfig";
    /// The git folder of a workspace that has none of its own.
    pub const GIT: &str = "/run/mimir/git";
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
    /// The folder of secrets that are files; in [`START`].
    pub const SECRETS: &str = "/run/mimir/start/secrets";

    /// Names of variables that belong to mimir or to what the frame stands on; its supervisor refuses them too.
    #[must_use]
    pub fn is_reserved(variable: &str) -> bool {
        matches!(variable, "HOME" | "SHELL" | "XDG_STATE_HOME")
            || ["MIMIR_", "OPENCODE_SERVER_", "OPENCODE_CONFIG"]
                .iter()
                .any(|start| variable.starts_with(start))
    }
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
    /// What /workspace is.
    pub workspace: Storage,
    /// What /home/agent is.
    pub home: Storage,
    /// Other folders and files of this machine that it sees, deeper places after those around them.
    pub more: Vec<Mount>,
    /// What it may reach.
    pub network: NetworkMode,
    /// What it may use.
    pub limits: Limits,
    /// Whether it sees the machine's graphics cards.
    pub gpu: bool,
    /// Environment; no secrets, they would show in every inspect.
    pub env: BTreeMap<String, String>,
}

/// Where files are that outlive containers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "test-support", derive(serde::Serialize, serde::Deserialize))]
pub enum Storage {
    /// A folder of this machine. Must exist: an engine would make a missing one, as root.
    HostFolder {
        /// Which.
        path: PathBuf,
        /// Host user id that owns what the frame writes in it.
        uid: u32,
        /// Host group id that owns it.
        gid: u32,
    },
    /// A volume of the engine, by its name.
    Volume(String),
}

impl Storage {
    /// The folder, when it is one of this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::HostFolder { path, .. } => Some(path),
            Self::Volume(_) => None,
        }
    }
}

impl ContainerSpec {
    /// The host folders that the container is to see besides those of the engine itself.
    #[must_use]
    pub fn mounts(&self) -> Vec<Mount> {
        let both = [(&self.workspace, inside::WORKSPACE), (&self.home, inside::HOME)];
        let mount = |(storage, target): (&Storage, &str)| Some(Mount::new(storage.folder()?, target, false));
        both.into_iter().filter_map(mount).chain(self.more.iter().cloned()).collect()
    }
}

/// A host folder as a container sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Mount {
    /// The host folder.
    pub source: String,
    /// Where it is inside.
    pub target: String,
    /// Whether the container can only read it.
    pub read_only: bool,
}

impl Mount {
    /// A host folder at a place inside.
    #[must_use]
    pub fn new(source: &Path, target: &str, read_only: bool) -> Self {
        Self { source: source.display().to_string(), target: target.to_owned(), read_only }
    }

    /// Whether both are the same folder at the same place with the same rights.
    fn is(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| Path::new(one) == Path::new(other);
        same(&self.source, &other.source)
            && same(&self.target, &other.target)
            && self.read_only == other.read_only
    }
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rights = if self.read_only { " (read-only)" } else { "" };
        write!(f, "{:?} at {}{rights}", self.source, self.target)
    }
}

/// How the mounts of a container differ from those that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountDifference {
    /// What was asked for and is not there.
    pub wanted: String,
    /// What is there and was not asked for.
    pub mounted: String,
}

/// Compares what an engine says it mounted with what was asked for.
#[must_use]
pub fn mount_difference(wanted: &[Mount], mounted: &[Mount]) -> Option<MountDifference> {
    let lacking = |these: &[Mount], those: &[Mount]| -> Vec<String> {
        let absent = these.iter().filter(|one| !those.iter().any(|other| one.is(other)));
        absent.map(ToString::to_string).collect()
    };
    let (missing, extra) = (lacking(wanted, mounted), lacking(mounted, wanted));
    let text = |list: Vec<String>| if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
    (!missing.is_empty() || !extra.is_empty())
        .then(|| MountDifference { wanted: text(missing), mounted: text(extra) })
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
    /// The engine's own word for a state that it cannot leave by itself, such as Podman's `stopping` after the
    /// container's monitor died. Only removing helps.
    pub stuck: Option<String>,
    /// Whether it was made when containers were not as locked up as they are now, or by another runtime.
    pub less_isolated: bool,
    /// The host folders that it really sees, besides those of the engine itself.
    pub mounts: Vec<Mount>,
    /// Which folder it really works in, while it runs and as far as this can be told.
    pub workspace: Option<FolderIdentity>,
}

/// What stays the same of a folder that is renamed, and is another for one that was made anew: device and inode.
pub type FolderIdentity = (u64, u64);

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

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(source: &str, target: &str, read_only: bool) -> Mount {
        Mount { source: source.to_owned(), target: target.to_owned(), read_only }
    }

    #[test]
    fn every_difference_between_wanted_and_mounted_folders_is_named() {
        let wanted = [mount("/w/x,src=/etc", "/workspace", false), mount("/s", "/run/start", true)];
        let order_and_spelling =
            [mount("/s", "/run/start/", true), mount("/w//x,src=/etc", "/workspace", false)];
        assert_eq!(mount_difference(&wanted, &order_and_spelling), None);

        let told = |mounted: &[Mount]| mount_difference(&wanted, mounted).expect("a difference");
        let other_folder = told(&[mount("/etc", "/workspace", false), wanted[1].clone()]);
        assert_eq!(other_folder.wanted, r#""/w/x,src=/etc" at /workspace"#);
        assert_eq!(other_folder.mounted, r#""/etc" at /workspace"#);
        let writable = told(&[wanted[0].clone(), mount("/s", "/run/start", false)]);
        assert_eq!(
            (writable.wanted.as_str(), writable.mounted.as_str()),
            (r#""/s" at /run/start (read-only)"#, r#""/s" at /run/start"#)
        );
        assert_eq!(told(&wanted[..1]).mounted, "nothing");
        let one_more = [wanted[0].clone(), wanted[1].clone(), mount("/etc", "/etc", true)];
        assert_eq!(told(&one_more).wanted, "nothing");
    }
}

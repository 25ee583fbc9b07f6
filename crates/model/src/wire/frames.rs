//! Frames, as clients see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::budgets::BudgetView;
use super::secrets::SecretGrantView;
use crate::container::Mount;
pub use crate::frame::Leftover;
use crate::frame::{Desired, EngineKind, FrameState, Limits};
use crate::git::GitMode;
use crate::isolation::Isolation;
use crate::network::{HostTraffic, LentHost, NetworkMode};
use crate::origin::Origin;
use crate::policy::Rule;
use crate::status::FrameStatus;
use crate::trust::Trust;

/// `POST /v1/frames`
///
/// Whoever asks counts as a person: no field claims another origin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateFrame {
    /// 1 to 40 of a-z, 0-9 and inner -.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub name: String,
    /// Absolute host folder. Either this or `project`.
    #[schema(pattern = "^/")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The name of a registered project.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Image name or id; the configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it may reach; the configured mode when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// Hosts and groups for mode `allow`, in addition to the configured ones.
    #[schema(schema_with = super::schemas::hosts)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Model providers that it may use, in addition to the configured ones and that of the default model.
    #[schema(schema_with = super::schemas::providers)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// Give it this machine's graphics cards (CDI: `nvidia.com/gpu=all`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gpu: bool,
    /// What becomes of what it pushes; the configured mode when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitMode>,
    /// Its repository at a forge, such as `github.com/me/blog`; the origin of its folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Cores, such as 1.5.
    #[schema(minimum = 0.1, maximum = 1024)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Bytes: from 512 MiB to a PiB.
    #[schema(minimum = 536870912u64, maximum = 1125899906842624u64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    #[schema(minimum = 64, maximum = 4194304)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Extra environment inside; each value is one line.
    #[schema(schema_with = super::schemas::environment)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Destroyed by itself after `ttl_seconds`.
    #[serde(default)]
    pub throwaway: bool,
    /// How long a throwaway frame lives: up to 30 days; the default is 2 hours.
    #[schema(minimum = 1, maximum = 2592000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Start it at once.
    #[serde(default)]
    pub start: bool,
    /// Settings of `config.yaml` that shape frames (`frames.network`, a list with commas), as the environment of whoever
    /// asks has them: they stand in for the configured ones.
    #[schema(schema_with = super::schemas::settings)]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// A frame file (YAML), word for word; the fields above win over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_yaml: Option<String>,
    /// What its agent may do without asking, behind the configured rules and those of the frame file; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// `POST /v1/frames/{name}/connect`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectFrame {
    /// `http://` or `https://`, a host, perhaps a port and a user name; nothing behind it.
    #[schema(schema_with = super::schemas::server)]
    pub url: String,
    /// The server's password; absent for one that asks for none. Kept encrypted and never told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The project's folder on this machine, by which `mimir send` finds the frame.
    #[schema(pattern = "^/")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// `POST /v1/frames/{name}/move`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveFrame {
    /// Where its folder is now: absolute, on the gateway's machine.
    #[schema(pattern = "^/")]
    pub workspace: String,
}

/// `POST /v1/frames/{name}/allow`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowFrame {
    /// Hosts and groups that it may reach.
    #[schema(schema_with = super::schemas::hosts)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Model providers that it may use; its agent hears of them at its next start.
    #[schema(schema_with = super::schemas::providers)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// Branches that it may push to its repository; with `+` before one, it may be rewritten and deleted too.
    #[schema(schema_with = super::schemas::branches)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// One connection to each of the hosts, within ten minutes.
    #[serde(default)]
    pub once: bool,
    /// For so long. Without this and `once`: until it is denied.
    #[schema(minimum = 1, maximum = 2592000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
}

/// `POST /v1/frames/{name}/deny`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DenyFrame {
    /// Hosts and groups that it may not reach any more, whatever else is allowed.
    #[schema(schema_with = super::schemas::hosts)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Model providers that it may not use any more.
    #[schema(schema_with = super::schemas::providers)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// Branches that it may not push any more; those that every frame may push stay (`git.branches`).
    #[schema(schema_with = super::schemas::branches)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
}

/// `GET /v1/frames/{name}/network`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameNetwork {
    /// The frame's name.
    pub frame: String,
    /// What it may reach.
    pub network: NetworkMode,
    /// Hosts and groups, for mode `allow`.
    pub allow: Vec<String>,
    /// Hosts and groups that it may not reach, whatever `allow` says.
    pub deny: Vec<String>,
    /// What it may reach for a while.
    pub lent: Vec<LentHost>,
    /// Model providers that it may use.
    pub providers: Vec<String>,
    /// How much it may send to one host a day; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_limit_bytes: Option<u64>,
    /// How many connections it may make to one host a day; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit_count: Option<u64>,
    /// Hosts that connections wait for while you are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<AskedHost>,
    /// Its repository at a forge, which it reads and pushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What becomes of what it pushes there.
    #[serde(default)]
    pub git: GitMode,
    /// Branches that it may push there.
    #[serde(default)]
    pub branches: Vec<String>,
    /// What its connections came to, up to a second ago; last used first. Nothing is known of those in mode `open`.
    pub hosts: Vec<HostTraffic>,
}

/// A host that a connection waits for while people are asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AskedHost {
    /// For `mimir approvals`.
    pub approval: String,
    /// What is asked, in one line.
    pub text: String,
    /// Until when the connection waits (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// `POST /v1/frames/{name}/upgrade`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeFrame {
    /// Also when its agent works, or somebody is attached to it.
    #[serde(default)]
    pub force: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradedFrame {
    /// Whether there was anything to do.
    pub upgraded: bool,
    /// The image it was made from.
    pub from: String,
    /// The image it is made from now.
    pub to: String,
    /// The frame.
    #[serde(flatten)]
    pub frame: FrameSummary,
}

fn is_nothing(number: &u64) -> bool {
    *number == 0
}

/// A frame in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameSummary {
    /// For its whole life.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What was last confirmed.
    pub state: FrameState,
    /// What was asked for.
    pub desired: Desired,
    /// Why it is in `error`, or another note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `status` for people: `idle`, `busy, queued (1)`, `waiting (permission)`; absent when `state` says it already.
    #[serde(rename = "doing", alias = "agent", default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What the agent does, true at the moment of asking.
    #[serde(default)]
    pub status: FrameStatus,
    /// `podman` when absent; `external` is a server that runs elsewhere.
    #[serde(default, skip_serializing_if = "EngineKind::is_local")]
    pub engine: EngineKind,
    /// Where a server elsewhere is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Host folder; empty for a server elsewhere of which none was named.
    pub workspace: String,
    /// 127.0.0.1 port of the agent; 0 when it has none.
    pub agent_port: u16,
    /// 127.0.0.1 port of what the project serves on 3000; 0 when it has none.
    pub preview_port: u16,
    /// What it may reach; absent for a server elsewhere, of which nobody here knows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkMode>,
    /// UTC ms.
    pub created_at: u64,
    /// UTC ms.
    pub last_active_at: u64,
    /// Only throwaway frames have one (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
    /// How many model calls have no known price, and count nothing there.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub unpriced_count: u64,
    /// Of the budgets that it is held to, the one that is nearest to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetView>,
    /// The project's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What it was made by.
    #[serde(default)]
    pub origin: Origin,
    /// For which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its image was built anew since: `POST /v1/frames/{name}/upgrade` moves it. As of a minute ago at most.
    #[serde(default)]
    pub behind: bool,
    /// The command that makes its project's image anew, when that was built on an older frame image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<String>,
}

/// `GET /v1/frames/{name}`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: FrameSummary,
    /// What cannot be done with it: `stop`, `pause`, `limits`, `usage`, `open network`, `terminal`, `logs`, `isolation`,
    /// `ports`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot: Vec<String>,
    /// The image reference that was asked for.
    pub image: String,
    /// What it runs on.
    pub image_id: String,
    /// The engine's name for the container; empty for a server elsewhere.
    pub container: String,
    /// Which container of this frame it is.
    pub generation: u32,
    /// What it may use; 0 where nothing is known.
    pub limits: Limits,
    /// Whether the engine enforces them here.
    pub limits_enforced: bool,
    /// Hosts and groups for mode `allow`.
    pub allow: Vec<String>,
    /// Model providers that it may use; empty for a server elsewhere, which has its own.
    #[serde(default)]
    pub providers: Vec<String>,
    /// Its repository at a forge, which it reads and pushes; absent when its folder has no origin there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// What becomes of what it pushes there.
    #[serde(default)]
    pub git: GitMode,
    /// Branches that it may push there.
    #[serde(default)]
    pub branches: Vec<String>,
    /// Names of the extra environment; values are not shown.
    pub env: Vec<String>,
    /// What it was given of secrets; never themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretGrantView>,
    /// Who owns what the agent writes.
    pub owner: String,
    /// What the engine says right now: missing, halted, running, paused; or why it cannot be asked.
    pub observed: String,
    /// The host folders that its container really sees; empty while it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// How it is kept apart, as the kernel says it; absent while it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Whether it obeys what its project brings; absent where no folder of this machine is worked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// What was loosened, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loosened: Vec<String>,
    /// How the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// How often the kernel killed something in it for want of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Resident memory of its agent when it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_memory_bytes: Option<u64>,
    /// What to do about an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// UTC ms.
    pub state_changed_at: u64,
    /// The newest notes, newest last.
    pub notes: Vec<FrameNote>,
    /// The frame file as given; empty when none was.
    pub config_yaml: String,
}

/// A note on a frame's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameNote {
    /// UTC ms.
    pub at: u64,
    /// A stable word.
    pub code: String,
    /// A sentence.
    pub text: String,
}

/// `GET /v1/frames/{name}/stats`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameStats {
    /// The frame's name.
    #[serde(alias = "name")]
    pub frame: String,
    /// Cores in use.
    pub cpu_cores: f64,
    /// Processor time since start in milliseconds.
    pub cpu_ms: u64,
    /// Bytes in use.
    pub memory_bytes: u64,
    /// 0 when no limit is enforced.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes in the frame's home folder on the host.
    pub home_bytes: u64,
}

/// A line of `GET /v1/frames/{name}/logs` (one JSON object a line).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FrameLogLine {
    /// UTC ms.
    pub at: u64,
    /// `frame` (lifecycle lines), `opencode`, `forwarder`.
    pub source: String,
    /// The line.
    pub text: String,
}

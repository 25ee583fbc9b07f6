//! What somebody wants of a new frame, parsed: whoever asks, from HTTP or from a schedule, says it like this.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::schema as config;
use crate::model::git::{GitMode, Repository};
use crate::model::ids::RunId;
use crate::model::names::{FrameName, ProjectName};
use crate::model::network::NetworkMode;
use crate::model::origin::Origin;
use crate::model::policy::Rule;

/// A frame that somebody wants. What is absent is the configuration's to say.
#[derive(Clone, Debug)]
pub struct FrameRequest {
    /// Must not be taken.
    pub name: FrameName,
    /// Where its agent works.
    pub place: Place,
    /// Image name or id.
    pub image: Option<String>,
    /// What it may reach.
    pub network: Option<NetworkMode>,
    /// Hosts and groups for mode `allow`, besides the configured ones.
    pub allow: Vec<String>,
    /// Providers that it may use besides those that every frame may, and the configured ones.
    pub providers: Vec<String>,
    /// Whether it uses the machine's graphics cards.
    pub gpu: bool,
    /// What it may use.
    pub limits: WantedLimits,
    /// What becomes of what it pushes.
    pub git: Option<GitMode>,
    /// Its repository, when its folder's origin does not say it.
    pub repository: Option<Repository>,
    /// Extra environment inside.
    pub env: BTreeMap<String, String>,
    /// Whether it ends by itself.
    pub lifetime: Lifetime,
    /// What is absent, as the environment of whoever asks has it; as it is configured when nothing was said.
    pub defaults: Option<Box<config::Frames>>,
    /// Whether it is started at once.
    pub start: bool,
    /// What its agent may do without asking, behind the configured rules; later ones win.
    pub rules: Vec<Rule>,
    /// The frame file that was given, word for word; empty without one. Kept, not read.
    pub given: String,
    /// What it is made by.
    pub origin: Origin,
    /// For which run.
    pub run: Option<RunId>,
}

/// What a frame may use; the configured amount of what is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedLimits {
    /// Thousandths of a core.
    pub cpus_milli: Option<u32>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// Where the agent of a frame works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a host folder.
    Folder(PathBuf),
    /// In that of a registered project.
    Project(ProjectName),
    /// In an empty one that is made for it, among its own files, and goes with it.
    Own,
}

/// Whether a frame ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It does not.
    Stays,
    /// It is destroyed after so long; after the configured time when nothing is said.
    Throwaway(Option<Duration>),
}

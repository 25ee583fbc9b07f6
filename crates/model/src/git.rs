//! Repositories at forges: which one is a frame's, what it may push there, and what waits for a look.

mod push;
mod refs;
mod repository;

use serde::{Deserialize, Serialize};

pub use push::{Push, PushContents, PushFinding, PushState};
pub use refs::{BranchRule, RefUpdate, is_protected, is_ref_name};
pub use repository::{ForgeHost, ForgeKind, InvalidRepository, KNOWN_FORGES, Repository};

/// What becomes of what a frame pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownGitMode, parse_err_fn = unknown)]
pub enum GitMode {
    /// It goes on to the forge, unless there is something in it to look at.
    #[default]
    Direct,
    /// It waits until somebody has looked at it; what the frame fetches comes from a copy on this machine.
    Gate,
}

impl GitMode {
    /// The word in configuration, database and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A word that is no such mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mode of git: use direct or gate")]
pub struct UnknownGitMode(pub String);

fn unknown(text: &str) -> UnknownGitMode {
    UnknownGitMode(text.to_owned())
}

/// A frame's repository, and what it may push there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameForge {
    /// Which; none when its folder has no origin at a known forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// What becomes of a push.
    #[serde(default)]
    pub mode: GitMode,
    /// Branches that it may push besides the configured ones, as [`BranchRule`] reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
}

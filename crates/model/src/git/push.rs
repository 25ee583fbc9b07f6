//! What a frame pushed, and how far it is.

use serde::{Deserialize, Serialize};

use super::refs::RefUpdate;
use super::repository::Repository;
use crate::ids::{FrameId, MessageId};
use crate::names::FrameName;

/// How far a push is.
///
/// ```text
///            approve               the forge has it
///  waiting ──────────► approved ───────────────────► pushed
///     │  ▲                 │ the forge says no
///     │  └── approve ── failed ◄─┘
///     ├── reject ──► rejected
///     └── another push of the same branch ──► replaced
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum PushState {
    /// Somebody is to look at it.
    Waiting,
    /// It is on its way to the forge.
    Approved,
    /// The forge has it.
    Pushed,
    /// Somebody said no.
    Rejected,
    /// The forge did not take it; it may be approved once more, or rejected.
    Failed,
    /// The frame pushed something else in its place.
    Replaced,
}

impl PushState {
    /// The word in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether somebody can still decide about it.
    #[must_use]
    pub fn can_be_decided(self) -> bool {
        matches!(self, Self::Waiting | Self::Failed)
    }

    /// Whether it is at its end, and what came along with it is not needed any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Pushed | Self::Rejected | Self::Replaced)
    }
}

/// Something in a push that looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushFinding {
    /// What it looks like.
    pub rule: String,
    /// In which line of the patches.
    pub line: u64,
    /// The text around it, with the secret itself left out.
    pub text: String,
}

/// What a look at a push found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushContents {
    /// How many commits are new.
    pub commits: u64,
    /// How many bytes came along.
    pub bytes: u64,
    /// How many files they change.
    pub files: u64,
    /// Changed paths that are protected.
    pub protected: Vec<String>,
    /// What looks like a secret.
    pub findings: Vec<PushFinding>,
    /// What else is worth a look.
    pub remarks: Vec<String>,
}

/// Something that a frame pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Counted from 1.
    pub id: u64,
    /// By which frame.
    pub frame: FrameId,
    /// Its name, which outlives it.
    pub frame_name: FrameName,
    /// The message whose turn ran at that time, if one did.
    pub message: Option<MessageId>,
    /// Where to.
    pub repository: Repository,
    /// How far it is.
    pub state: PushState,
    /// What is to be moved.
    pub updates: Vec<RefUpdate>,
    /// What was found in it.
    pub contents: PushContents,
    /// Why it did not go on by itself; empty when it did.
    pub held_because: Vec<String>,
    /// The folder with its objects, below those of all pushes.
    pub folder: String,
    /// Who decided: a principal, or `policy`.
    pub decided_by: Option<String>,
    /// Why it was rejected, or what the forge said.
    pub reason: Option<String>,
    /// UTC ms.
    pub asked_at: u64,
    /// UTC ms.
    pub decided_at: Option<u64>,
    /// UTC ms.
    pub ended_at: Option<u64>,
}

impl Push {
    /// The branches and tags, in one line.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.updates.iter().map(RefUpdate::short).collect();
        names.join(", ")
    }
}

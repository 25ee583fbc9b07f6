//! What frames push, as clients see it.

use serde::{Deserialize, Serialize};

use crate::git::{PushFinding, PushState, RefUpdate};

/// Something that a frame pushed to its repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushView {
    /// Counted from 1.
    pub id: u64,
    /// The frame's name, also of a frame that is gone.
    pub frame: String,
    /// The message whose turn ran at that time, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where to: `github.com/owner/name`.
    pub repository: String,
    /// How far it is.
    pub state: PushState,
    /// The branches and tags that are to be moved.
    pub updates: Vec<RefUpdate>,
    /// Why it did not go on by itself, in sentences; empty when it did.
    pub held_because: Vec<String>,
    /// How many commits are new.
    pub commit_count: u64,
    /// How many files they change.
    pub file_count: u64,
    /// How many bytes came along.
    pub size_bytes: u64,
    /// Changed paths that are protected (`git.protected`).
    pub protected: Vec<String>,
    /// What looks like a secret.
    pub findings: Vec<PushFinding>,
    /// What else is worth a look.
    pub remarks: Vec<String>,
    /// Who decided: a principal, or `policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was rejected, or what the forge said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// UTC ms.
    pub asked_at: u64,
    /// UTC ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<u64>,
    /// UTC ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<u64>,
}

/// `GET /v1/pushes/{id}`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushDetails {
    /// What the list shows.
    #[serde(flatten)]
    pub push: PushView,
    /// The commits with their patches, as git prints them: a stranger's words. Empty once it is over.
    pub patches: String,
    /// Whether there is more of them than is shown.
    pub is_cut: bool,
}

/// `POST /v1/pushes/{id}/reject`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectPush {
    /// Why, for the agent: its git is told at its next fetch or push.
    #[schema(max_length = 2000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

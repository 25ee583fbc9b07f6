//! How the gateway talks to forges about what they have besides git: pull requests, what is said about them, checks,
//! issues, and who may do what. GitHub and its API, and Gitea with Forgejo.
//!
//! Asking twice is safe: what would make something looks first whether it is there, and looks again when the forge says
//! that it cannot be made. So a caller that never heard the answer asks again, and there is one pull request, one
//! comment, one merge.
//!
//! A credential goes to its own host and nowhere else: redirects are followed within that host alone. What forges say
//! is a stranger's word: every field may be missing, sizes are limited, and what opens the forge is taken out of every
//! text.
//!
//! Not here: git itself (see `git`), who may be heard and what is said to them (`workflows`), and the search for secrets
//! in what is sent out, which is the caller's.

mod error;

use std::sync::Arc;

use crate::model::forge::{
    Check, Checks, Comment, Commit, HookDelivery, Issue, MergeMethod, NewPull, Permission, Preflight, PullRequest,
    RepositoryInfo, Review,
};
use crate::model::git::Repository;

pub use error::ForgeError;

/// The forges, as the configuration has them. Cheap to clone.
#[derive(Clone)]
pub struct Forges {}

/// One repository at its forge, with what opens it. Cheap to clone.
#[derive(Clone)]
pub struct Forge {
    inner: Arc<()>,
}

/// What came of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It is merged, by this call or before it; the commit that it became.
    Merged {
        /// Its id.
        sha: String,
    },
    /// The branch is not what was approved any more: look again.
    HeadMoved,
    /// It cannot be merged as it is: a conflict, a draft, a check that is missing.
    NotMergeable(String),
    /// The forge will not let this credential do it, or not that way.
    Refused(String),
}

// The signatures as they will be; bodies follow.
impl Forges {
    /// The client for a repository, with what opens it now. Asks the forge of what kind it is, if nobody knows.
    pub async fn of(&self, repository: &Repository) -> Result<Forge, ForgeError> { unfinished() }
}

impl Forge {
    pub fn repository_name(&self) -> &Repository { unfinished() }
    pub async fn repository(&self) -> Result<RepositoryInfo, ForgeError> { unfinished() }
    /// Of a user, by the name that comments and reviews have as `author`.
    pub async fn permission(&self, user: &str) -> Result<Permission, ForgeError> { unfinished() }
    /// Whether the credential may push, open pull requests and read checks.
    pub async fn preflight(&self) -> Result<Preflight, ForgeError> { unfinished() }

    /// The open pull request from a branch of this repository; of none that is open, the newest.
    pub async fn find_pull(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> { unfinished() }
    /// Idempotent: the open one from that branch, if there is one.
    pub async fn open_pull(&self, new: &NewPull) -> Result<PullRequest, ForgeError> { unfinished() }
    pub async fn pull(&self, number: u64) -> Result<PullRequest, ForgeError> { unfinished() }
    pub async fn edit_pull(&self, number: u64, title: Option<&str>, body: Option<&str>) -> Result<PullRequest, ForgeError> { unfinished() }
    /// Not a draft any more. Idempotent.
    pub async fn ready(&self, number: u64) -> Result<(), ForgeError> { unfinished() }
    pub async fn request_review(&self, number: u64, users: &[String]) -> Result<(), ForgeError> { unfinished() }
    pub async fn reviews(&self, number: u64) -> Result<Vec<Review>, ForgeError> { unfinished() }
    pub async fn close_pull(&self, number: u64) -> Result<(), ForgeError> { unfinished() }
    /// Idempotent; bound to the head that was approved.
    pub async fn merge(&self, number: u64, sha: &str, method: MergeMethod) -> Result<Merged, ForgeError> { unfinished() }
    /// Idempotent.
    pub async fn delete_branch(&self, branch: &str) -> Result<(), ForgeError> { unfinished() }

    /// Issue comments, inline comments and review bodies, oldest first.
    pub async fn comments(&self, number: u64) -> Result<Vec<Comment>, ForgeError> { unfinished() }
    /// Below a pull request or an issue; once for each marker (`model::forge::marker(name)` is appended).
    pub async fn comment(&self, number: u64, body: &str, marker: &str) -> Result<Comment, ForgeError> { unfinished() }
    /// Answers a comment where it stands (inline: in its thread), once for each marker.
    pub async fn reply(&self, number: u64, to: &Comment, body: &str, marker: &str) -> Result<Comment, ForgeError> { unfinished() }

    pub async fn checks(&self, sha: &str) -> Result<Checks, ForgeError> { unfinished() }
    /// What the failing step says, a few thousand letters at most.
    pub async fn check_log_excerpt(&self, check: &Check) -> Result<String, ForgeError> { unfinished() }

    pub async fn issue(&self, number: u64) -> Result<Issue, ForgeError> { unfinished() }
    pub async fn comment_issue(&self, number: u64, body: &str, marker: &str) -> Result<Comment, ForgeError> { unfinished() }
    /// Commits of a branch since a time (UTC milliseconds), newest first.
    pub async fn commits_since(&self, branch: &str, since_ms: u64) -> Result<Vec<Commit>, ForgeError> { unfinished() }

    /// Attempts of the repository's hook since a time, newest first. Gitea: `Refused`, it has no such list.
    pub async fn deliveries(&self, hook: u64, since_ms: u64) -> Result<Vec<HookDelivery>, ForgeError> { unfinished() }
    pub async fn redeliver(&self, hook: u64, delivery: u64) -> Result<(), ForgeError> { unfinished() }
}

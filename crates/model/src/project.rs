//! A project: a folder with a name.

use serde::{Deserialize, Serialize};

use super::git::Repository;
use super::ids::ProjectId;
use super::names::ProjectName;

/// A registered project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// For its whole life.
    pub id: ProjectId,
    /// Unique.
    pub name: ProjectName,
    /// Absolute path on the host.
    pub path: String,
    /// UTC milliseconds.
    pub created_at: u64,
}

/// What is known of a project: found in its folder when it was registered, or said by its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProjectSettings {
    /// Where it is at a forge.
    #[schema(value_type = Option<String>)]
    pub repository: Option<Repository>,
    /// The branch that changes are made for.
    pub default_branch: Option<String>,
    /// What most of it is written in, such as `rust`, `javascript`, `python`, `go`.
    pub language: Option<String>,
    /// Shell lines that say whether it works, run in the project's folder inside a frame, in order; tests for the most part.
    pub checks: Vec<String>,
    /// Where its errors are told.
    pub sentry: Option<SentryProject>,
    /// Files and folders whose change needs a person, besides those of `git.protected`.
    pub protected: Vec<String>,
}

/// A project of an error tracker's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SentryProject {
    /// The organization's slug.
    pub organization: String,
    /// The project's slug.
    pub project: String,
}

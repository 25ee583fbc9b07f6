//! A project: a folder with a name.

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

//! Projects, as clients see them.

use serde::{Deserialize, Serialize};

/// `POST /v1/projects`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddProject {
    /// The folder's name when absent.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Absolute host folder.
    #[schema(pattern = "^/")]
    pub path: String,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProjectView {
    /// For its whole life.
    pub id: String,
    /// Unique.
    pub name: String,
    /// Absolute host folder.
    pub path: String,
    /// Names of its frames.
    pub frames: Vec<String>,
    /// UTC ms.
    pub created_at: u64,
}

//! Projects, as clients see them.

use serde::{Deserialize, Serialize};

use crate::project::ProjectSettings;
use crate::trust::{Trust, TrustItem};

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
    /// Where its errors are told, `organization/project` of Sentry's; what its files say when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentry: Option<String>,
}

/// `PUT /v1/projects/{name}/settings`: all of what is known of it; what is absent is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProject {
    /// Where it is at a forge, such as `github.com/me/shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The branch that changes are made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// What most of it is written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Shell lines that say whether it works, run inside a frame.
    #[serde(default)]
    pub checks: Vec<String>,
    /// Where its errors are told: `organization/project` of Sentry's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentry: Option<String>,
    /// Files and folders whose change needs a person.
    #[serde(default)]
    pub protected: Vec<String>,
}

impl From<ProjectSettings> for SetProject {
    fn from(known: ProjectSettings) -> Self {
        Self {
            repository: known.repository.map(|repository| repository.to_string()),
            default_branch: known.default_branch,
            language: known.language,
            checks: known.checks,
            sentry: known.sentry.map(|sentry| sentry.to_string()),
            protected: known.protected,
        }
    }
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
    /// Whether frames obey what it brings; a gateway of before that does not say.
    #[serde(default)]
    pub trust: Trust,
    /// What is known of it; a gateway of before that does not say.
    #[serde(default)]
    pub settings: ProjectSettings,
    /// UTC ms.
    pub created_at: u64,
}

/// `POST /v1/trust`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustFolder {
    /// Absolute host folder.
    #[schema(pattern = "^/")]
    pub path: String,
    /// Of what was shown to the person who says yes.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub hash: String,
}

/// What a project brings for its agent to obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrustView {
    /// Absolute host folder, links resolved.
    pub path: String,
    /// Whether frames obey it.
    pub trust: Trust,
    /// Of all of it; a yes is bound to it.
    pub hash: String,
    /// What would be obeyed.
    pub items: Vec<TrustItem>,
    /// Files that are not as they were when somebody said yes.
    pub changed_files: Vec<String>,
    /// Why nobody can say yes to it, if so.
    pub obstacles: Vec<String>,
    /// When somebody said yes (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_at: Option<u64>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_by: Option<String>,
    /// Frames that run in it: what they loaded at their start stays until the next.
    pub running_frames: Vec<String>,
}

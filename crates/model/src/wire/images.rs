//! Frame images, as clients see them.

use serde::{Deserialize, Serialize};

/// `POST /v1/images/build`; the answer is a stream of [`BuildLine`], one JSON object a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BuildImage {
    /// A base image; found by itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Build even if the inputs have not changed.
    #[serde(default)]
    pub force: bool,
    /// An image for one project, on top of the frame image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectImage>,
}

/// What a project's image has besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectImage {
    /// Its tag: `localhost/mimir-project:NAME`.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub name: String,
    /// Tools by name, such as `rust`.
    #[schema(value_type = Vec<crate::kit::Kit>)]
    #[serde(default)]
    pub with: Vec<String>,
    /// The project's own Containerfile; it begins with `FROM mimir-frame`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containerfile: Option<String>,
}

/// A line of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BuildLine {
    /// A step began.
    Step {
        /// Which, from 1.
        number: u32,
        /// Of how many; 0 when that is not known yet.
        of: u32,
        /// What it does.
        text: String,
    },
    /// What a step prints.
    Output {
        /// One line.
        text: String,
    },
    /// It is done.
    Done {
        /// The image.
        #[serde(rename = "made", alias = "image")]
        image: ImageView,
        /// Whether anything had to be built.
        built: bool,
        /// Whether it came from an archive that was installed with mimir.
        #[serde(default)]
        loaded: bool,
        /// Which base was used and why; from which archive it came.
        base: String,
    },
    /// It failed; the stream ends.
    Failed {
        /// Why and what to do.
        problem: super::problem::Problem,
    },
}

/// A frame image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImageView {
    /// The engine's id.
    pub id: String,
    /// Names.
    pub tags: Vec<String>,
    /// The hash of what it was built from.
    pub inputs: String,
    /// The version of opencode in it.
    pub opencode: String,
    /// Bytes.
    pub size_bytes: u64,
    /// UTC ms.
    pub created_at: u64,
    /// Whether its inputs are those of this mimir.
    pub current: bool,
    /// Names of the frames that run on it.
    pub frames: Vec<String>,
}

//! What doctor tries, and what came of it.

use serde::{Deserialize, Serialize};

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It works.
    Ok,
    /// It works with a limitation.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be tried; the reason is in `found`.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// Stable, for programs: `engine.run`.
    pub id: String,
    /// What was tried.
    pub title: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// The exact command that mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// How long the try took.
    pub took_ms: u64,
}

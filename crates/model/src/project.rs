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

impl SentryProject {
    /// Whether both are slugs, as an address holds them.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let is_slug = |text: &str| {
            (1..=100).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        is_slug(&self.organization) && is_slug(&self.project)
    }

    /// `organization/project`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (organization, project) = text.split_once('/')?;
        Some(Self { organization: organization.to_owned(), project: project.to_owned() })
            .filter(Self::is_valid)
    }
}

impl std::fmt::Display for SentryProject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.organization, self.project)
    }
}

/// The longest shell line of a check, and the longest path.
const LONGEST_LINE: usize = 2_000;
/// How many checks and paths there may be.
const MOST_LINES: usize = 20;

impl ProjectSettings {
    /// Looks whether they can be.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_line = |line: &String| {
            !line.trim().is_empty() && line.len() <= LONGEST_LINE && !line.chars().any(char::is_control)
        };
        let is_branch = |branch: &String| super::git::is_ref_name(&format!("refs/heads/{branch}"));
        if !self.default_branch.as_ref().is_none_or(is_branch) {
            return Err("the default branch is no name of a branch");
        }
        if !self.language.as_ref().is_none_or(|language| is_line(language) && language.len() <= 40) {
            return Err("the language is a word, such as rust");
        }
        if self.checks.len() > MOST_LINES || !self.checks.iter().all(is_line) {
            return Err("checks are up to 20 shell lines of up to 2000 bytes");
        }
        if self.protected.len() > MOST_LINES || !self.protected.iter().all(is_line) {
            return Err("protected paths are up to 20 lines of up to 2000 bytes");
        }
        match self.sentry.as_ref().is_none_or(SentryProject::is_valid) {
            true => Ok(()),
            false => Err("an organization and a project of Sentry's are slugs, such as acme/shop"),
        }
    }
}

//! What can be wrong with a configuration; all of it at once, each with its place.

use std::fmt;
use std::path::PathBuf;

use super::tree::Origin;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    /// Make the file readable.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Mend the YAML.
    #[error("{at}: {why}")]
    Syntax {
        /// Where.
        at: Origin,
        /// What the parser says.
        why: String,
    },
    /// Write the key that was meant.
    #[error("{at}: there is no key `{key}`{}", nearest.as_ref().map(|it| format!("; did you mean `{it}`?")).unwrap_or_default())]
    UnknownKey {
        /// Where.
        at: Origin,
        /// The whole key.
        key: String,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// Write a value that fits.
    #[error("{at}: `{key}` {why}")]
    Invalid {
        /// Where.
        at: Origin,
        /// The whole key.
        key: String,
        /// What is expected.
        why: String,
    },
    /// Set the variable, or write the value itself.
    #[error("{at}: `{key}` needs the environment variable {name}, which is not set")]
    MissingVariable {
        /// Where.
        at: Origin,
        /// The whole key.
        key: String,
        /// The variable.
        name: String,
    },
    /// The change cannot be made without risking the rest of the file: edit it by hand.
    #[error("{path}: cannot change `{key}` without touching more of the file; edit it by hand")]
    NotEditable {
        /// Which file.
        path: PathBuf,
        /// The whole key.
        key: String,
    },
    /// Set `MIMIR_HOME`.
    #[error("neither MIMIR_HOME nor HOME says where mimir's folder is")]
    NoHome,
    /// Somebody else could read or replace what is in it.
    #[error("the folder {path} is not safe to use: {why}")]
    UnsafeFolder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Everything that is wrong with the configuration, in the order of the file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigProblem> for ConfigError {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// `Ok` when nothing is wrong.
pub(super) fn none_of(problems: Vec<ConfigProblem>) -> Result<(), ConfigError> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}

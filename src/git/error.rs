//! What can go wrong with git.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Install it.
    #[error("git is not installed on the gateway's machine")]
    Missing,
    /// Try again later.
    #[error("{what} took longer than {seconds} s")]
    TooSlow {
        /// What git was to do.
        what: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// Less of it, or another limit.
    #[error("{what} is larger than {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit, with the key that sets it.
        limit: String,
    },
    /// git's own words say why.
    #[error("{what} was refused: {why}")]
    Refused {
        /// What git was to do.
        what: &'static str,
        /// Its last words.
        why: String,
    },
    /// The disk, mostly.
    #[error("cannot use {path}: {source}")]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program could not be run or spoken with.
    #[error("{what} broke off: {source}")]
    Broken {
        /// What git was to do.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl GitError {
    pub(super) fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), source }
    }
}

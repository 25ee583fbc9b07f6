//! What can go wrong when we ask an engine for something, sorted by what the caller can do next.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::ids::FrameId;

/// The engine library's own error: visible in logs, invisible to types.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong when we ask a container engine for something.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Try again later; nothing is known to have changed.
    #[error("cannot reach the container engine at {socket}")]
    Unreachable {
        /// Where it was looked for.
        socket: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Install it, then try again.
    #[error("there is no container engine on this machine: {why}")]
    NotInstalled {
        /// What was looked for.
        why: String,
    },
    /// The engine took the call and did not answer in time. Look again before acting.
    #[error("the container engine did not {action} within {seconds} s")]
    TooSlow {
        /// What it was to do.
        action: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// Build it, then try again.
    #[error("image {image} is not on this machine")]
    ImageMissing {
        /// Name or id.
        image: String,
    },
    /// A host folder that is to be mounted is not there.
    #[error("the folder {path} does not exist")]
    FolderMissing {
        /// Which.
        path: String,
    },
    /// A container that is not ours has the name. It is left alone.
    #[error("a container named {name} exists and does not belong to this gateway")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Somebody removed it behind our back; plan again.
    #[error("frame {frame} has no container")]
    Gone {
        /// Whose.
        frame: FrameId,
    },
    /// It is not in a state for that; observe and plan again.
    #[error("the container of frame {frame} is not in a state to {action}")]
    WrongState {
        /// Whose.
        frame: FrameId,
        /// What it was to do.
        action: &'static str,
    },
    /// This engine, on this machine, cannot do it at all.
    #[error("{engine} cannot {action} here: {why}")]
    Unsupported {
        /// Which engine.
        engine: &'static str,
        /// What it was to do.
        action: &'static str,
        /// Why.
        why: String,
    },
    /// A folder of ours cannot be made, written or read.
    #[error("{}", of_folder(path, source))]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("the container engine has no disk space left to {action}")]
    DiskFull {
        /// What it was to do.
        action: &'static str,
    },
    /// The container would have shown other folders of this machine than it was to show; it was removed.
    #[error("the engine mounted {mounted} where {wanted} was asked for; the container was removed")]
    MountsDiffer {
        /// What was asked for and not mounted.
        wanted: String,
        /// What was mounted instead.
        mounted: String,
    },
    /// We have no better idea than to show it.
    #[error("the engine refused to {action}: {message}")]
    Refused {
        /// What it was to do.
        action: &'static str,
        /// What it said.
        message: String,
    },
}

impl RuntimeError {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::TooSlow { .. } | Self::Gone { .. } | Self::WrongState { .. }
        )
    }
}

fn of_folder(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("the disk is full: cannot write {}", path.display())
        }
        _ => format!("cannot prepare {}: {source}", path.display()),
    }
}

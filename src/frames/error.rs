//! What can go wrong with a frame, as its callers must tell it apart.

use std::path::PathBuf;

use crate::model::frame::{Desired, FrameState};
use crate::model::names::InvalidName;
use crate::model::port::PortRange;
use crate::model::quantity::size;
use crate::runtime::RuntimeError;
use crate::store::StoreError;
use crate::tmux::TerminalError;

use super::workspace::WorkspaceError;

/// The `field` of [`FrameError::Invalid`] when a frame file says something wrong.
pub const FRAME_FILE: &str = "config";

/// What can go wrong with a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// There is no frame of that name or id.
    #[error("there is no frame {0}")]
    NotFound(String),
    /// Choose another name.
    #[error("there is a frame {0} already")]
    NameTaken(String),
    /// Choose another name.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Choose another folder.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// Make room in it, then start it.
    #[error("no message wakes frame {name}: {why}")]
    StoppedFor {
        /// Which frame.
        name: String,
        /// Why, and what to do.
        why: String,
    },
    /// Say where it is now.
    #[error(
        "its folder {path} does not exist any more; if it was moved, say where: `mimir frame move {name} PATH`"
    )]
    FolderGone {
        /// Which frame.
        name: String,
        /// Where it was.
        path: String,
    },
    /// Mend the worktree, or say again where the folder is.
    #[error("the git folder of frame {name} is not where it was: {why}")]
    GitMoved {
        /// Which frame.
        name: String,
        /// What is there instead.
        why: String,
    },
    /// Name another repository, or list its forge.
    #[error("{0}")]
    Repository(String),
    /// Choose another image.
    #[error("{0} is no frame image of mimir")]
    ForeignImage(String),
    /// Move it to the current image, or trust the project.
    #[error("the image of frame {name} runs what the project {path} brings, and nobody has trusted that")]
    WouldObey {
        /// Which frame.
        name: String,
        /// Its folder.
        path: String,
    },
    /// Look again, or change what is there.
    #[error("{path} cannot be trusted: {why}")]
    CannotTrust {
        /// Which folder.
        path: String,
        /// What is in the way.
        why: String,
    },
    /// Look at what this machine's engine does; `doctor` knows more.
    #[error("frame {name} is not kept apart as it must be, so it does not run: {why}")]
    NotIsolated {
        /// Which frame.
        name: String,
        /// What does not hold.
        why: String,
    },
    /// There is no project of that name.
    #[error("there is no project {0}")]
    NoProject(String),
    /// Correct the request, or the frame file ([`FRAME_FILE`]).
    #[error("{field}: {why}")]
    Invalid {
        /// Which part of the request.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Destroy a frame, or widen the range.
    #[error("no two ports are free in {0}")]
    NoFreePort(PortRange),
    /// It cannot be done to a frame in that state.
    #[error("frame {name} is {state}, so it cannot be {action}")]
    WrongState {
        /// Which frame.
        name: String,
        /// Where it stands.
        state: FrameState,
        /// `paused`, `resumed`, …
        action: &'static str,
    },
    /// Wait, or say that it may be interrupted.
    #[error("frame {name} is busy: {why}")]
    Busy {
        /// Which frame.
        name: String,
        /// What would be interrupted.
        why: String,
    },
    /// It is on its way out; nothing else can be asked of it.
    #[error("frame {0} is being destroyed")]
    BeingDestroyed(String),
    /// It went to `error`; `start` tries again.
    #[error("frame {name} failed: {reason}")]
    Failed {
        /// Which frame.
        name: String,
        /// Why.
        reason: String,
    },
    /// Somebody asked for something else while we waited.
    #[error("frame {name} was meanwhile asked to be {}", desired.as_str())]
    WishChanged {
        /// Which frame.
        name: String,
        /// What it is to be now.
        desired: Desired,
    },
    /// It goes on; ask again later.
    #[error("frame {name} is still {state} after {seconds} s{}", because(last))]
    TooSlow {
        /// Which frame.
        name: String,
        /// Where it stands.
        state: FrameState,
        /// How long we waited.
        seconds: u64,
        /// What is in the way, if that is known.
        last: Option<String>,
    },
    /// A folder of ours cannot be made, written or removed.
    #[error("cannot prepare {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("the disk is full: cannot write {0}")]
    DiskFull(PathBuf),
    /// The disk is nearly full, and an agent would take the rest.
    #[error("only {} are free at {}, and frames need {} (`frames.disk_free`)", size(*free), path.display(), size(*keep))]
    NoRoom {
        /// A path on that disk.
        path: PathBuf,
        /// Bytes.
        free: u64,
        /// Bytes.
        keep: u64,
    },
    /// The same of files, however much space is free.
    #[error("only {left} files more can be made on the disk of {}, and an agent would take them", path.display())]
    NoFiles {
        /// A path on that disk.
        path: PathBuf,
        /// How many.
        left: u64,
    },
    /// The agent inside cannot be reached.
    #[error("the agent of frame {name} cannot be reached: {why}")]
    AgentUnreachable {
        /// Which frame.
        name: String,
        /// Why.
        why: String,
    },
    /// The engine cannot be reached; the frame goes on when it can.
    #[error("frame {name} has to wait: {why}")]
    EngineAway {
        /// Which frame.
        name: String,
        /// What the engine's side says.
        why: String,
    },
    /// The host's side of a frame (its broker, its ports) cannot be opened.
    #[error("the host's side of frame {name} cannot be opened: {why}")]
    HostSide {
        /// Which frame.
        name: String,
        /// Why.
        why: String,
    },
    /// Correct the address or the password, or look after the server.
    #[error("the server at {url} cannot be connected: {why}")]
    Server {
        /// Where it should be; without a password.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// It has a container here: destroy it instead.
    #[error("frame {0} has a container here; it is not connected to a server elsewhere")]
    NotConnected(String),
    /// Whoever runs its server has to do that.
    #[error("frame {name} stands for a server that runs elsewhere, so it cannot be {action}")]
    External {
        /// Which frame.
        name: String,
        /// `stopped`, `attached to`, …
        action: &'static str,
    },
    /// Its terminal cannot be opened.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// The engine could not do it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gateway stops, or a bug ended the work.
    #[error("the gateway stopped before it was done")]
    Interrupted,
}

impl FrameError {
    /// Whether trying again may help without anybody doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Runtime(error) => error.is_transient() || self.is_engine_away(),
            Self::HostSide { .. } | Self::Store(_) | Self::EngineAway { .. } => true,
            _ => false,
        }
    }

    /// Whether the engine cannot be reached at all.
    #[must_use]
    pub fn is_engine_away(&self) -> bool {
        matches!(self, Self::Runtime(RuntimeError::Unreachable { .. } | RuntimeError::NotInstalled { .. }))
    }
}

fn because(last: &Option<String>) -> String {
    last.as_ref().map(|last| format!(": {last}")).unwrap_or_default()
}

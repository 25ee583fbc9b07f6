//! tmux inside a frame.
//!
//! The tmux server lives in the container and its socket never appears on the
//! host: a client obeys its server, so a host client would obey a stranger. All
//! that is done here is to run tmux inside, through the engine's exec.

use crate::runtime::RuntimeError;

/// How somebody wants to look at a frame's terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalRequest {
    /// Columns of the viewer's terminal.
    pub columns: u16,
    /// Rows of it.
    pub rows: u16,
    /// `agent`, `shell` or a number; the one last looked at when absent.
    pub window: Option<String>,
    /// Look, do not touch.
    pub read_only: bool,
    /// The viewer's `TERM`.
    pub term: Option<String>,
}

/// What can go wrong with a frame's terminal.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// Its tmux is not up (yet); the supervisor inside brings it back.
    #[error("the terminal of the frame is not there: {0}")]
    NotThere(String),
    /// There is no window of that name.
    #[error("there is no window {0} in this frame: use agent, shell or a number")]
    NoSuchWindow(String),
    /// The engine could not do it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

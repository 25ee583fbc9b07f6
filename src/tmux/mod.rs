//! tmux inside a frame.
//!
//! The tmux server lives in the container and its socket never appears on the
//! host: a client obeys its server, so a host client would obey a stranger. All
//! that is done here is to run tmux inside, through the engine's exec.

mod command;

use std::time::Duration;

use crate::model::ids::FrameId;
use crate::runtime::{ExecOutput, ExecSpec, ExecStream, Runtime, RuntimeError};

/// tmux answers in milliseconds or not at all.
const DEADLINE: Duration = Duration::from_secs(5);

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

/// The session of one viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    name: String,
}

impl View {
    /// A view of its own; `entropy` keeps it apart from the others.
    #[must_use]
    pub fn new(entropy: [u8; 4]) -> Self {
        Self { name: format!("{}{}", command::VIEW_PREFIX, hex::encode(entropy)) }
    }

    /// Its tmux session.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Whether the frame's terminal stands. An engine that cannot say it counts as no.
pub async fn is_there(runtime: &dyn Runtime, frame: &FrameId) -> bool {
    run(runtime, frame, command::has_main()).await.is_ok_and(|done| done.exit_code == 0)
}

/// Starts a client on a session of its own.
///
/// # Errors
/// See [`TerminalError`].
pub async fn open_view(
    runtime: &dyn Runtime,
    frame: &FrameId,
    view: &View,
    request: &TerminalRequest,
) -> Result<ExecStream, TerminalError> {
    // An exec costs as much as the whole attach, and the supervisor keeps the two windows of its own there.
    if let Some(window) = request.window.as_ref().filter(|window| !command::is_kept(window)) {
        let listed = run(runtime, frame, command::list_windows()).await?;
        if listed.exit_code != 0 {
            return Err(TerminalError::NotThere(listed.stderr.trim().to_owned()));
        }
        if !command::is_listed(&listed.stdout, window) {
            return Err(TerminalError::NoSuchWindow(window.clone()));
        }
    }
    let client = ExecSpec {
        env: vec![
            ("TERM".into(), command::known_term(request.term.as_deref()).into()),
            ("COLORTERM".into(), "truecolor".into()),
        ],
        tty: Some((request.columns.max(1), request.rows.max(1))),
        stdin: true,
        ..ExecSpec::new(command::view(view, request))
    };
    Ok(runtime.exec_stream(frame, client).await?)
}

/// Ends a viewer's session. The engine leaves a client running whose stream was dropped, so this is how
/// it goes away; a frame that is gone has nothing to end.
pub async fn close_view(runtime: &dyn Runtime, frame: &FrameId, view: &View) {
    if let Err(error) = run(runtime, frame, command::kill_session(view.name())).await {
        tracing::debug!(frame.id = %frame, %error, "cannot end {} in frame {frame}: {error}", view.name());
    }
}

/// Ends the sessions of all viewers. For frames that are adopted: their viewers went with the last gateway.
pub async fn reap_views(runtime: &dyn Runtime, frame: &FrameId) {
    let Ok(listed) = run(runtime, frame, command::list_sessions()).await else { return };
    for name in listed.stdout.lines().filter(|name| name.starts_with(command::VIEW_PREFIX)) {
        let _ = run(runtime, frame, command::kill_session(name)).await;
    }
}

async fn run(runtime: &dyn Runtime, frame: &FrameId, argv: Vec<String>) -> Result<ExecOutput, RuntimeError> {
    runtime.exec(frame, ExecSpec { deadline: Some(DEADLINE), ..ExecSpec::new(argv) }).await
}

//! Doing things inside a running frame: commands, the terminal, logs, figures.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::error::FrameError;
use super::{Frames, Guest, Inner, Visit, VisitorKind};
use crate::model::agent::AgentSessionId;
use crate::model::container::{Stats, inside};
use crate::model::frame::{EngineKind, Frame, FrameState};
use crate::model::ids::FrameId;
use crate::runtime::{ExecOutput, ExecSpec, ExecStream, LogLine, LogRequest, RuntimeError};
use crate::store::{StoreError, sessions};
use crate::tmux::{self, TerminalRequest, View};

/// A viewer's place in a frame's terminal. Dropping it ends the viewer's session inside: the engine leaves
/// a command running whose stream was dropped, and a tmux client with it.
pub struct Viewer {
    inner: Arc<Inner>,
    frame: FrameId,
    view: View,
    _visit: Visit,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let (inner, frame, view) = (self.inner.clone(), self.frame.clone(), self.view.clone());
        self.inner.deps.tasks.spawn_once(format!("leave {frame}"), move |_| async move {
            tmux::close_view(inner.deps.runtime.as_ref(), &frame, &view).await
        });
    }
}

/// Writes the conversation that the agent window opens on; whole or not at all.
const WRITE_SHOWN: &str = r#"printf '%s\n' "$1" >"$2.new" && mv -f "$2.new" "$2""#;

/// A file in a memory of the container's own.
const SHOW_WITHIN: Duration = Duration::from_secs(5);

impl Inner {
    /// Tells the agent window which conversation to open on. The note is inside the container and goes with
    /// each of its runs.
    pub(super) async fn show_session(&self, frame: &FrameId, session: &AgentSessionId) {
        if self.deps.external.has(frame) {
            return;
        }
        let argv = ["sh", "-c", WRITE_SHOWN, "show", session.as_str(), inside::SHOWN_SESSION];
        let command = ExecSpec { deadline: Some(SHOW_WITHIN), ..ExecSpec::new(argv) };
        let why = match self.deps.runtime.exec(frame, command).await {
            Ok(done) if done.exit_code == 0 => return,
            Ok(done) => done.stderr,
            Err(error) => error.to_string(),
        };
        tracing::debug!(frame.id = %frame, "frame {frame} cannot be told which session to show: {why}");
    }

    /// The same after a start, for the conversation that was last used.
    pub(super) async fn show_last_session(&self, frame: &FrameId) -> Result<(), StoreError> {
        let id = frame.clone();
        let last = self.deps.store.read(move |db| sessions::last_of(db, &id)).await?;
        if let Some(session) = last.and_then(|session| session.agent_session) {
            self.show_session(frame, &session).await;
        }
        Ok(())
    }
}

impl Frames {
    /// Sees to it that the agent window of a frame, when it opens, opens on that conversation.
    pub async fn show_session(&self, frame: &FrameId, session: &AgentSessionId) {
        self.inner.show_session(frame, session).await;
    }

    /// Runs a command inside and collects what it prints.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs.
    pub async fn exec(&self, frame: &Frame, command: ExecSpec) -> Result<ExecOutput, FrameError> {
        must_run(frame, "given a command")?;
        self.settle_folder(frame).await?;
        Ok(self.inner.deps.runtime.exec(&frame.id, with_environment(command)).await?)
    }

    /// Runs a command inside with streams both ways. It ends at the latest when the [`Guest`] is dropped.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs.
    pub async fn exec_stream(
        &self,
        frame: &Frame,
        mut command: ExecSpec,
        kind: VisitorKind,
    ) -> Result<(ExecStream, Guest), FrameError> {
        must_run(frame, "given a command")?;
        self.settle_folder(frame).await?;
        let guest = Guest::mark(&self.inner, &frame.id, &mut command, kind);
        let stream = self.inner.deps.runtime.exec_stream(&frame.id, with_environment(command)).await?;
        Ok((stream, guest))
    }

    /// Opens the frame's terminal. The viewer's session inside ends when the [`Viewer`] is dropped.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs; [`FrameError::Terminal`].
    pub async fn terminal(
        &self,
        frame: &Frame,
        request: TerminalRequest,
    ) -> Result<(ExecStream, Viewer), FrameError> {
        must_run(frame, "attached to")?;
        self.settle_folder(frame).await?;
        let runtime = self.inner.deps.runtime.as_ref();
        runtime.announce_viewer(&frame.id);
        let view = View::new(crate::clock::entropy());
        // Made before the client runs, so that it is closed even if we are dropped in between.
        let visit = self.visit(&frame.id);
        let viewer = Viewer { inner: self.inner.clone(), frame: frame.id.clone(), view, _visit: visit };
        let stream = tmux::open_view(runtime, &frame.id, &viewer.view, &request).await?;
        Ok((stream, viewer))
    }

    /// What the frame printed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn logs(
        &self,
        frame: &Frame,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, FrameError> {
        must_be_here(frame, "asked for its log")?;
        let (lines, known) =
            (self.inner.deps.runtime.logs(&frame.id, request).await?, self.inner.deps.start_files.known());
        let clean = move |line: LogLine| {
            let secrets = known.now();
            let is_clean = secrets.is_empty() || !secrets.are_in(line.text.as_bytes());
            if is_clean { line } else { LogLine { text: secrets.out_of(&line.text), ..line } }
        };
        Ok(lines.map(move |line| line.map(&clean)).boxed())
    }

    /// What the frame uses right now.
    ///
    /// # Errors
    /// [`FrameError::WrongState`] unless it runs.
    pub async fn stats(&self, frame: &Frame) -> Result<Stats, FrameError> {
        must_run(frame, "measured")?;
        Ok(self.inner.deps.runtime.stats(&frame.id).await?)
    }
}

/// The engine's exec knows only the container's environment; `mimir-run` adds what the agent's tools have.
fn with_environment(mut command: ExecSpec) -> ExecSpec {
    command.argv.insert(0, "mimir-run".into());
    command
}

/// Nothing can be done inside a server that runs elsewhere but talk to it.
fn must_be_here(frame: &Frame, action: &'static str) -> Result<(), FrameError> {
    match frame.engine {
        EngineKind::Podman => Ok(()),
        EngineKind::External => Err(FrameError::External { name: frame.name.to_string(), action }),
    }
}

/// A frame that starts already has a container in which things can be done.
fn must_run(frame: &Frame, action: &'static str) -> Result<(), FrameError> {
    must_be_here(frame, action)?;
    match frame.state {
        FrameState::Running | FrameState::Starting => Ok(()),
        state => Err(FrameError::WrongState { name: frame.name.to_string(), state, action }),
    }
}

//! Container engines behind one seam.
//!
//! Podman today, memory in tests. Everything above speaks of frames; words like
//! container, exec session or engine socket stay in this folder.

pub mod build;
pub mod engine;
pub mod engines;
pub mod error;
pub mod external;
#[cfg(feature = "test-support")]
pub mod fake;
mod files;
pub mod link;
pub mod podman;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::io::AsyncWrite;

use crate::model::container::{
    ContainerSpec, EngineEvent, FoundContainer, ImageInfo, Observation, Stats, Storage, inside,
};
use crate::model::ids::FrameId;
use crate::model::isolation::Isolation;
use crate::model::port::PortPurpose;
use crate::model::secret::Secret;
use crate::outbound::Connector;

pub use error::RuntimeError;
pub use files::folder_identity;
pub use link::FrameListener;

/// Something that can run frames: Podman, a server that runs elsewhere, memory in tests.
///
/// What an engine cannot do, its [`Capabilities`] say and its methods answer with [`RuntimeError::Unsupported`].
///
/// Every method may be called again after an interruption and must then succeed
/// without doing the work twice. Every call ends: an engine that does not answer
/// within the call's deadline is [`RuntimeError::Unreachable`].
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Who the engine is and what it lacks. Cheap after the first call.
    async fn info(&self) -> Result<EngineInfo, RuntimeError>;

    /// A word for how the containers are locked up that are made now; another one for each change of that.
    fn hardening(&self) -> String {
        String::new()
    }

    /// What can be done with this frame.
    async fn capabilities(&self, _frame: &FrameId) -> Result<Capabilities, RuntimeError> {
        Ok(self.info().await?.capabilities)
    }

    /// How the frame's agent, or the server of its project, is reached. Opens nothing yet.
    fn connector(&self, frame: &FrameId, purpose: PortPurpose) -> Connector;

    /// Listens for what the frame asks its broker. What listened before is replaced.
    ///
    /// # Errors
    /// Whatever the operating system says; `Unsupported` when this engine's frames have no broker.
    fn listen(&self, frame: &FrameId) -> io::Result<FrameListener>;

    /// Puts what the frame reads at a start. Nothing changes when it was put for that start already.
    async fn put_start_files(&self, spec: &ContainerSpec, files: &StartContents) -> Result<(), RuntimeError>;

    /// Who we are to the frame's agent; none when it was never started.
    async fn credentials(&self, frame: &FrameId) -> Result<Option<Credentials>, RuntimeError>;

    /// What is there for this frame right now.
    async fn observe(&self, frame: &FrameId) -> Result<Observation, RuntimeError>;

    /// All containers with our instance's label, whatever their state.
    async fn list(&self) -> Result<Vec<FoundContainer>, RuntimeError>;

    /// Makes the container unless it is there already. One of an older generation is replaced.
    ///
    /// # Errors
    /// [`RuntimeError::ImageMissing`], [`RuntimeError::FolderMissing`], [`RuntimeError::NameTaken`] when a
    /// foreign container has our name, [`RuntimeError::MountsDiffer`] when it would show other folders than were
    /// asked for.
    async fn ensure_created(&self, spec: &ContainerSpec) -> Result<(), RuntimeError>;

    /// Starts the container unless it runs.
    async fn ensure_started(&self, frame: &FrameId) -> Result<(), RuntimeError>;

    /// Why users of a frame that works there would be users of this machine; none when they would be others.
    async fn why_machines_users(&self, _storage: &Storage) -> Option<String> {
        None
    }

    /// How what runs in it is kept apart, as the kernel says it; none when nothing runs, or where we may not look.
    async fn isolation(&self, _frame: &FrameId) -> Result<Option<Isolation>, RuntimeError> {
        Ok(None)
    }

    /// Stops the container unless nothing runs in it; kills it after `grace`.
    /// Believes only what an inspection afterwards shows, and removes a container that is stuck.
    async fn ensure_stopped(&self, frame: &FrameId, grace: Duration) -> Result<(), RuntimeError>;

    /// Freezes the container unless it is frozen.
    async fn ensure_paused(&self, frame: &FrameId) -> Result<(), RuntimeError>;

    /// Thaws the container unless it runs.
    async fn ensure_resumed(&self, frame: &FrameId) -> Result<(), RuntimeError>;

    /// Removes the container in whatever state it is, unless it is gone.
    async fn ensure_removed(&self, frame: &FrameId) -> Result<(), RuntimeError>;

    /// Removes one container by the engine's id, if it still carries our instance's label.
    /// For strays: containers of ours without a row, or of an older generation.
    async fn remove_stray(&self, container_id: &str) -> Result<(), RuntimeError>;

    /// Runs a command inside and collects what it prints.
    async fn exec(&self, frame: &FrameId, command: ExecSpec) -> Result<ExecOutput, RuntimeError>;

    /// Runs a command inside with streams both ways.
    async fn exec_stream(&self, frame: &FrameId, command: ExecSpec) -> Result<ExecStream, RuntimeError>;

    /// Somebody is about to look at the frame's terminal: a word in advance, on which nothing depends.
    fn announce_viewer(&self, _frame: &FrameId) {}

    /// What the container printed. Ends when the container does, or at once without `follow`.
    async fn logs(
        &self,
        frame: &FrameId,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError>;

    /// What it uses right now.
    async fn stats(&self, frame: &FrameId) -> Result<Stats, RuntimeError>;

    /// Announcements about our containers from now on. Ends when the engine goes away;
    /// the caller asks again and lists once, because something may have been missed.
    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent, RuntimeError>>, RuntimeError>;

    /// An image by name or id, if it is on this machine. Never pulls.
    async fn find_image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError>;

    /// The images that carry the frame image's label.
    async fn list_images(&self) -> Result<Vec<ImageInfo>, RuntimeError>;

    /// Removes a frame image that has no name any more, by its id, unless it is gone.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`] when it has a name, does not carry the frame image's label, or a container,
    /// anybody's, is made from it.
    async fn remove_image(&self, id: &str) -> Result<(), RuntimeError>;
}

/// Who the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// `podman`, `external` or `memory`.
    pub kind: &'static str,
    /// Its version.
    pub version: String,
    /// Where it is reached.
    pub socket: String,
    /// Whether it runs without root.
    pub rootless: bool,
    /// What it lacks on this machine.
    pub capabilities: Capabilities,
    /// Sentences about special settings that were chosen for this machine, for doctor.
    pub notes: Vec<String>,
}

/// What an engine can do here, so that no command offers what it cannot.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Starting and stopping.
    pub stop: bool,
    /// Freezing and thawing.
    pub pause: bool,
    /// Enforcing cpu, memory and process limits.
    pub limits: bool,
    /// Reading what a frame uses.
    pub stats: bool,
    /// An ordinary network (mode `open`).
    pub network: bool,
    /// Commands inside, and the terminal.
    pub exec: bool,
    /// Reading what it printed.
    pub logs: bool,
    /// Keeping the agent away from everything but its project, and its requests with the broker.
    pub isolation: bool,
    /// Ports of this machine that lead inside.
    pub ports: bool,
    /// Storage in volumes.
    pub volumes: bool,
    /// Graphics cards.
    pub gpu: bool,
}

impl Capabilities {
    /// Everything but volumes and graphics cards: what a container on this machine can do.
    pub const CONTAINER: Self = Self {
        stop: true,
        pause: true,
        limits: true,
        stats: true,
        network: true,
        exec: true,
        logs: true,
        isolation: true,
        ports: true,
        volumes: false,
        gpu: false,
    };
    /// Nothing but talking to its agent.
    pub const NONE: Self = Self {
        stop: false,
        pause: false,
        limits: false,
        stats: false,
        network: false,
        exec: false,
        logs: false,
        isolation: false,
        ports: false,
        volumes: false,
        gpu: false,
    };

    /// The names of those that are lacking.
    #[must_use]
    pub fn lacking(&self) -> Vec<&'static str> {
        let all = [
            (self.stop, "stop"),
            (self.pause, "pause"),
            (self.limits, "limits"),
            (self.stats, "usage"),
            (self.network, "open network"),
            (self.exec, "terminal"),
            (self.logs, "logs"),
            (self.isolation, "isolation"),
            (self.ports, "ports"),
        ];
        all.into_iter().filter(|(can, _)| !can).map(|(_, name)| name).collect()
    }
}

/// Who we are to an agent (HTTP Basic).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password; none for a server that asks for none.
    pub password: Option<Secret>,
}

impl Credentials {
    /// Of an agent that reads its password from its start files.
    fn of_frame(password: Secret) -> Self {
        Self { user: inside::AGENT_USER.to_owned(), password: Some(password) }
    }
}

/// What a frame reads at its start.
#[derive(Clone, Debug)]
pub struct StartContents {
    /// Which start of the frame it is for.
    pub start: u64,
    /// The agent's password.
    pub password: Secret,
    /// opencode's configuration.
    pub agent_config: String,
    /// `KEY=VALUE` lines.
    pub env: String,
    /// What git reads below the frame's own configuration.
    pub git_config: String,
    /// Secrets that it sees as files, by name.
    pub secrets: Vec<(String, Secret)>,
    /// The certificates that it trusts; none leaves it those of its image.
    pub certificates: Option<String>,
    /// What of its project it obeys; none where it obeys nothing, or whatever is there.
    pub trusted: Option<TrustedProject>,
}

/// A project that is obeyed as long as it is the one that somebody said yes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProject {
    /// By what the frame compares it before its agent begins again.
    pub list: String,
    /// opencode's configuration when it is another one by then.
    pub left_out_config: String,
}

/// A command to run inside a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment on top of the container's.
    pub env: Vec<(String, String)>,
    /// Folder; the container's own when absent.
    pub cwd: Option<String>,
    /// Whether it gets a terminal of that size (columns, rows).
    pub tty: Option<(u16, u16)>,
    /// Whether its standard input is connected (exec_stream only).
    pub stdin: bool,
    /// How long it may take (exec only); 10 s when absent. The process may go on inside after that.
    pub deadline: Option<Duration>,
}

impl ExecSpec {
    /// A command without terminal or input.
    pub fn new<I, S>(argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// What a finished command left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// 0 is success; 127 also means that the program is not there.
    pub exit_code: i64,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A running command.
pub struct ExecStream {
    /// What it prints; ends when it does.
    pub output: BoxStream<'static, Result<ExecChunk, RuntimeError>>,
    /// Where to type.
    pub input: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
    /// Resizing and the exit code.
    pub control: Box<dyn ExecControl>,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecChunk {
    /// Standard output, or everything when there is a terminal.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
}

/// What else can be done with a running command.
#[async_trait]
pub trait ExecControl: Send + Sync {
    /// Tells the terminal its size.
    async fn resize(&self, columns: u16, rows: u16) -> Result<(), RuntimeError>;
    /// The exit code, once the output has ended. `None` while it runs.
    async fn exit_code(&self) -> Result<Option<i64>, RuntimeError>;
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Go on with new lines.
    pub follow: bool,
    /// Not older than this (UTC ms).
    pub since_ms: Option<u64>,
    /// At most that many old lines.
    pub tail: Option<u32>,
}

/// One line of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// UTC ms.
    pub at: u64,
    /// Without the line end.
    pub text: String,
    /// Whether it came from standard error.
    pub stderr: bool,
}

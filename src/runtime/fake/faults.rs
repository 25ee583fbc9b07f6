//! What can be made to go wrong.

use std::time::Duration;

use crate::model::frame::Observed;
use crate::model::ids::FrameId;
use crate::runtime::RuntimeError;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named like the methods of `Runtime`")]
pub enum Op {
    Info,
    Observe,
    List,
    Create,
    Start,
    Stop,
    Pause,
    Resume,
    Remove,
    RemoveStray,
    Exec,
    ExecStream,
    Logs,
    Stats,
    Events,
    FindImage,
    ListImages,
    RemoveImage,
}

impl Op {
    /// The calls that change something.
    pub const CHANGES: [Self; 7] =
        [Self::Create, Self::Start, Self::Stop, Self::Pause, Self::Resume, Self::Remove, Self::RemoveStray];

    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Info => "say who it is",
            Self::Observe => "inspect",
            Self::List | Self::ListImages => "list",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Remove | Self::RemoveStray => "remove",
            Self::Exec | Self::ExecStream => "run a command",
            Self::Logs => "show the log",
            Self::Stats => "measure",
            Self::Events => "follow events",
            Self::FindImage => "find an image",
            Self::RemoveImage => "remove an image",
        }
    }
}

/// How a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing has changed.
    Before(Failure),
    /// It works and an error is answered all the same.
    After(Failure),
    /// Nothing happens until the deadline, then it is given up.
    HangBefore,
    /// It works, the answer never comes.
    HangAfter,
    /// It works, later.
    Late(Duration),
    /// It is given up at once and takes effect later all the same.
    LateEffect(Duration),
    /// `observe` only: it says something that is not true.
    Lie(Observed),
}

/// Which error is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the variants of `RuntimeError`")]
pub enum Failure {
    Unreachable,
    TooSlow,
    ImageMissing,
    FolderMissing(String),
    NameTaken,
    Gone,
    WrongState,
    Unsupported(String),
    DiskFull,
    Refused(String),
}

impl Failure {
    pub(super) fn error(&self, op: Op, frame: Option<&FrameId>) -> RuntimeError {
        let action = op.verb();
        match (self, frame.cloned()) {
            (Self::Unreachable, _) => unreachable(),
            (Self::TooSlow, _) => RuntimeError::TooSlow { action, seconds: 1 },
            (Self::ImageMissing, _) => {
                RuntimeError::ImageMissing { image: "localhost/gone:latest".to_owned() }
            }
            (Self::FolderMissing(path), _) => RuntimeError::FolderMissing { path: path.clone() },
            (Self::NameTaken, _) => RuntimeError::NameTaken { name: "mimir-taken".to_owned() },
            (Self::Gone, Some(frame)) => RuntimeError::Gone { frame },
            (Self::WrongState, Some(frame)) => RuntimeError::WrongState { frame, action },
            (Self::Gone | Self::WrongState, None) => {
                RuntimeError::Refused { action, message: "no frame in this call".to_owned() }
            }
            (Self::Unsupported(why), _) => {
                RuntimeError::Unsupported { engine: "memory", action, why: why.clone() }
            }
            (Self::DiskFull, _) => RuntimeError::DiskFull { action },
            (Self::Refused(message), _) => RuntimeError::Refused { action, message: message.clone() },
        }
    }
}

pub(super) fn unreachable() -> RuntimeError {
    RuntimeError::Unreachable { socket: "memory".to_owned(), source: "connection refused".into() }
}

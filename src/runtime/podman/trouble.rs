//! The engine's complaints, sorted.
//!
//! Podman 4.3 answers most of them with 500, so the text has to be read as well.

use bollard::errors::Error as ClientError;

use crate::model::container::MountDifference;
use crate::model::ids::FrameId;
use crate::runtime::RuntimeError;
use crate::runtime::error::Cause;

/// What the engine complains about.
#[derive(Debug)]
pub(super) enum Trouble {
    Unreachable(Cause),
    TooSlow,
    NoImage(String),
    NoContainer(String),
    NameTaken(String),
    /// The runtime below has a container of that id which the engine does not know of: it was switched off hard.
    LeftBehind(String),
    WrongState(String),
    FolderMissing(String),
    DiskFull,
    MountsDiffer(MountDifference),
    Unsupported(String),
    Other(String),
}

/// What was being done, to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a> {
    pub(super) action: &'static str,
    pub(super) frame: Option<&'a FrameId>,
    pub(super) socket: &'a str,
    pub(super) seconds: u64,
}

impl Trouble {
    pub(super) fn unreachable(cause: impl Into<Cause>) -> Self {
        Self::Unreachable(cause.into())
    }

    /// An answer of Podman's own endpoints.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Self {
        let message = serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|answer| answer.get("message").and_then(|text| text.as_str().map(str::to_owned)))
            .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
        Self::of_message(status, &message)
    }

    /// An error of the client library.
    pub(super) fn of_client(error: ClientError) -> Self {
        match error {
            ClientError::DockerResponseServerError { status_code, message } => {
                Self::of_message(status_code, &message)
            }
            ClientError::RequestTimeoutError => Self::TooSlow,
            ClientError::HyperLegacyError { .. }
            | ClientError::SocketNotFoundError(_)
            | ClientError::IOError { .. }
            | ClientError::HyperResponseError { .. } => Self::unreachable(error),
            other => Self::Other(other.to_string()),
        }
    }

    fn of_message(status: u16, message: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let text = || message.to_owned();
        // An id that no image has is looked at as a name, and then the name is not liked.
        if says(&["image not known", "No such image", "no such image", "64-byte hexadecimal"]) {
            Self::NoImage(text())
        } else if says(&["no space left on device"]) {
            Self::DiskFull
        } else if says(&[
            "name is already in use",
            "already in use by",
            "already in use, cannot rename",
            "container already exists",
        ]) {
            Self::NameTaken(text())
        } else if says(&["container with given ID already exists", "container with id exists"]) {
            Self::LeftBehind(text())
        } else if says(&["no container with name or ID", "no such container", "no such exec session"]) {
            Self::NoContainer(text())
        } else if says(&["requested OCI runtime"]) {
            Self::Other(text())
        } else if says(&["to rootfs at", "statfs "]) {
            Self::FolderMissing(text())
        } else if says(&["only supported in", "not supported", "cgroups V1 rootless", "requires cgroup"]) {
            Self::Unsupported(text())
        } else if status == 409 || says(STATE_WORDS) {
            Self::WrongState(text())
        } else if status == 404 {
            Self::NoContainer(text())
        } else {
            Self::Other(format!("{message} (status {status})"))
        }
    }

    pub(super) fn into_error(self, doing: Doing<'_>) -> RuntimeError {
        let Doing { action, frame, socket, seconds } = doing;
        let refused = |message| RuntimeError::Refused { action, message };
        match self {
            Self::Unreachable(source) => RuntimeError::Unreachable { socket: socket.to_owned(), source },
            Self::TooSlow => RuntimeError::TooSlow { action, seconds },
            Self::NoImage(message) => RuntimeError::ImageMissing { image: message },
            Self::NameTaken(message) => RuntimeError::NameTaken { name: message },
            Self::FolderMissing(message) => RuntimeError::FolderMissing { path: path_in(&message) },
            Self::MountsDiffer(MountDifference { wanted, mounted }) => {
                RuntimeError::MountsDiffer { wanted, mounted }
            }
            Self::DiskFull => RuntimeError::DiskFull { action },
            Self::Unsupported(why) => RuntimeError::Unsupported { engine: "podman", action, why },
            Self::NoContainer(message) | Self::LeftBehind(message) => match frame {
                Some(frame) => RuntimeError::Gone { frame: frame.clone() },
                None => refused(message),
            },
            Self::WrongState(message) => match frame {
                Some(frame) => RuntimeError::WrongState { frame: frame.clone(), action },
                None => refused(message),
            },
            Self::Other(message) => refused(message),
        }
    }
}

const STATE_WORDS: &[&str] = &[
    "state improper",
    "is not running",
    "must be in Created or Stopped state",
    "running or paused, refusing",
    "is not paused",
    "is already paused",
];

/// The host folder in `error mounting "/x" to rootfs at "/workspace": …` or `statfs /x: no such file or directory`.
fn path_in(message: &str) -> String {
    let quoted = message.split_once("mounting \"").and_then(|(_, rest)| rest.split_once('"'));
    let bare = message.split_once("statfs ").and_then(|(_, rest)| rest.split_once(':'));
    quoted.or(bare).map_or_else(|| message.to_owned(), |(path, _)| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, message: &str) -> RuntimeError {
        let frame = FrameId::from_parts(1, 1);
        let doing = Doing { action: "start", frame: Some(&frame), socket: "/s", seconds: 5 };
        Trouble::of_message(status, message).into_error(doing)
    }

    /// The texts are Podman 4.3.1's own.
    #[test]
    fn state_errors_come_as_500_and_are_told_apart_by_their_text() {
        let frame = FrameId::from_parts(1, 1);
        type Check = fn(&RuntimeError) -> bool;
        let cases: &[(u16, &str, Check)] = &[
            (404, "no such image: localhost/x: image not known", |e| {
                matches!(e, RuntimeError::ImageMissing { .. })
            }),
            (
                500,
                "creating container storage: the container name \"mimir-x\" is already in use by \"12\"",
                |e| matches!(e, RuntimeError::NameTaken { .. }),
            ),
            (
                500,
                "normalizing image: invalid repository name (77), cannot specify 64-byte hexadecimal strings",
                |e| matches!(e, RuntimeError::ImageMissing { .. }),
            ),
            (404, "no container with name or ID \"mimir-x\" found: no such container", |e| {
                matches!(e, RuntimeError::Gone { .. })
            }),
            (
                500,
                "container 12 must be in Created or Stopped state to be started: container state improper",
                |e| matches!(e, RuntimeError::WrongState { .. }),
            ),
            (
                500,
                "runc: error mounting \"/home/me/x\" to rootfs at \"/workspace\": no such file",
                |e| matches!(e, RuntimeError::FolderMissing { path } if path == "/home/me/x"),
            ),
            (
                500,
                "statfs /home/me/x: no such file or directory",
                |e| matches!(e, RuntimeError::FolderMissing { path } if path == "/home/me/x"),
            ),
            (500, "mkdir /var/lib/containers/x: no space left on device", |e| {
                matches!(e, RuntimeError::DiskFull { .. })
            }),
            (500, "runc: container with given ID already exists: OCI runtime error", |e| {
                matches!(e, RuntimeError::Gone { .. })
            }),
            (500, "container create: name \"mimir-x\" is in use: container already exists", |e| {
                matches!(e, RuntimeError::NameTaken { .. })
            }),
            (500, "something new", |e| matches!(e, RuntimeError::Refused { .. })),
        ];
        for (status, text, is_right) in cases {
            let error = sorted(*status, text);
            assert!(is_right(&error), "{status} {text}: {error:?} for {frame}");
        }
    }

    #[test]
    fn an_answer_without_json_is_still_shown() {
        let trouble = Trouble::of_answer(502, b"bad gateway\n");
        assert!(matches!(trouble, Trouble::Other(text) if text == "bad gateway (status 502)"));
    }
}

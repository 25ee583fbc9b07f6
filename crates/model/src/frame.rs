//! A frame: what was asked for, what is confirmed, what the engine shows.
//!
//! Three facts that are never mixed. [`Desired`] is the wish and is written first;
//! [`FrameState`] is what the gateway last confirmed; [`Observed`] is what the
//! engine says right now and is never stored.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::git::FrameForge;
use super::ids::{FrameId, ProjectId, RunId};
use super::names::FrameName;
use super::network::NetworkMode;
use super::origin::Origin;
use super::port::Port;

/// What somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Desired {
    /// The agent answers.
    Running,
    /// In memory, using no processor time.
    Paused,
    /// Nothing runs; files and history are kept.
    Stopped,
    /// Gone, with everything that belongs to it.
    Removed,
}

/// What the gateway last confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum FrameState {
    /// The row exists; it was never started.
    Created,
    /// On its way to answering.
    Starting,
    /// The agent and its terminal answered.
    Running,
    /// Frozen by the engine.
    Paused,
    /// Nothing runs.
    Stopped,
    /// Something went wrong; the reason is in the row. `start` leaves it.
    Error,
}

/// What the engine says right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(strum::EnumIter)]
pub enum Observed {
    /// There is no container.
    Missing,
    /// The container is there; nothing runs in it.
    Halted,
    /// Its first process runs. Says nothing about the agent.
    Running,
    /// Frozen.
    Paused,
}

/// Something that happened to a frame and moves its state.
///
/// Apart from the two `…Requested`-like beginnings, events are named for things
/// that have been confirmed, so no resting state is entered on hope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameEvent {
    /// The driver is about to create or start the container.
    StartRequested,
    /// The agent and the terminal answered.
    BecameReady,
    /// The engine says paused.
    PauseConfirmed,
    /// The engine says running again.
    ResumeConfirmed,
    /// Nothing runs any more.
    StopConfirmed,
    /// It cannot go on without a new request.
    Failed,
}

/// A move that the lifecycle does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is {state} cannot take {event:?}")]
pub struct IllegalMove {
    /// Where the frame stands.
    pub state: FrameState,
    /// What was to happen.
    pub event: FrameEvent,
}

impl FrameState {
    /// Every move a frame can make. Nothing else in the program decides this.
    ///
    /// # Errors
    /// [`IllegalMove`] when the table has no such row.
    pub fn next(self, event: FrameEvent) -> Result<Self, IllegalMove> {
        use FrameState::{Created, Error, Paused, Running, Starting, Stopped};
        let (from, to): (&[Self], Self) = match event {
            FrameEvent::StartRequested => (&[Created, Stopped, Error], Starting),
            FrameEvent::BecameReady => (&[Starting], Running),
            FrameEvent::PauseConfirmed => (&[Running], Paused),
            FrameEvent::ResumeConfirmed => (&[Paused], Running),
            FrameEvent::StopConfirmed => (&[Starting, Running, Paused, Error], Stopped),
            FrameEvent::Failed => (&[Created, Starting, Running, Paused], Error),
        };
        if from.contains(&self) { Ok(to) } else { Err(IllegalMove { state: self, event }) }
    }

    /// The word in the database, on the wire and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Desired {
    /// The word in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a frame is made of.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum EngineKind {
    /// A container of this machine.
    #[default]
    Podman,
    /// An opencode server that runs elsewhere. Somebody else starts, stops and guards it.
    External,
}

impl EngineKind {
    /// The word in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether frames of it have containers here.
    #[must_use]
    pub fn is_local(&self) -> bool {
        *self == Self::Podman
    }
}

/// Where git keeps what belongs to a workspace whose `.git` is a file that names another folder. Links resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GitFolder {
    /// The workspace is a worktree of a repository elsewhere.
    Worktree {
        /// The repository's git folder, which all its worktrees share.
        common: PathBuf,
        /// The worktree's name among them.
        name: String,
    },
    /// The workspace is a submodule; its git folder is in that of the repository around it.
    Submodule {
        /// The submodule's own git folder.
        folder: PathBuf,
    },
}

/// What a frame may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Limits {
    /// Thousandths of a processor core.
    pub cpus_milli: u32,
    /// Bytes of memory, swap included.
    pub memory_bytes: u64,
    /// Processes and threads together.
    pub pids: u32,
}

/// One frame, as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// For its whole life.
    pub id: FrameId,
    /// What people call it; unique among the frames that exist.
    pub name: FrameName,
    /// The project it was made for.
    pub project: Option<ProjectId>,
    /// What it was made by.
    pub origin: Origin,
    /// For which run.
    pub run: Option<RunId>,
    /// What it is made of.
    pub engine: EngineKind,
    /// The host folder that is /workspace inside. Absolute; may be empty for a server elsewhere.
    pub workspace: String,
    /// Where its git folder is, when the workspace has none of its own.
    pub git: Option<GitFolder>,
    /// Its repository at a forge, and what it may push there.
    pub forge: FrameForge,
    /// The image reference that was asked for.
    pub image: String,
    /// The image id it runs on; never a tag, which can move.
    pub image_id: String,
    /// What it may reach.
    pub network: NetworkMode,
    /// Hosts and groups it may reach in mode `allow`, as given.
    pub allow: Vec<String>,
    /// Hosts and groups that it may not reach, whatever `allow` says.
    pub deny: Vec<String>,
    /// Providers that it may use besides those that every frame may.
    pub providers: Vec<String>,
    /// Extra environment, as given.
    pub env: Vec<(String, String)>,
    /// Whether it uses this machine's graphics cards.
    pub gpu: bool,
    /// What it may use.
    pub limits: Limits,
    /// Who owns the files the agent writes (host user id).
    pub owner_uid: u32,
    /// … and host group id.
    pub owner_gid: u32,
    /// What was asked for.
    pub desired: Desired,
    /// What was last confirmed.
    pub state: FrameState,
    /// Why it is in `error` (a sentence), or a note about the last stop.
    pub reason: Option<String>,
    /// Counts containers: a container of an older generation is not this frame's any more.
    pub generation: u32,
    /// The host port of the agent; 0 for a server elsewhere, which has none.
    pub agent_port: Port,
    /// The host port of whatever the project serves on 3000.
    pub preview_port: Port,
    /// When it is destroyed by itself (UTC ms); only throwaway frames have one.
    pub expires_at: Option<u64>,
    /// UTC milliseconds.
    pub created_at: u64,
    /// UTC milliseconds.
    pub state_changed_at: u64,
    /// When it last had something to do (UTC ms).
    pub last_active_at: u64,
    /// For which kind of throwaway frame it is kept ready; none once it is somebody's.
    pub warm: Option<String>,
}

impl Frame {
    /// Whether it was made to be thrown away.
    #[must_use]
    pub fn is_throwaway(&self) -> bool {
        self.expires_at.is_some()
    }
}

/// Something that is left over from a frame that is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Leftover {
    /// `container`, `folder`, `image`, `expired_frame`.
    pub kind: String,
    /// Which.
    pub what: String,
    /// Why it is left over.
    pub why: String,
    /// Bytes, if known.
    pub size_bytes: u64,
    /// What became of it: `found` or `removed`, or why it could not be removed.
    pub outcome: String,
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn error_is_left_only_by_a_new_start_or_a_confirmed_stop() {
        assert_eq!(FrameState::Error.next(FrameEvent::StartRequested), Ok(FrameState::Starting));
        assert_eq!(FrameState::Error.next(FrameEvent::StopConfirmed), Ok(FrameState::Stopped));
        assert!(FrameState::Error.next(FrameEvent::BecameReady).is_err());
    }

    #[test]
    fn running_is_entered_only_from_starting_or_paused() {
        for state in FrameState::iter() {
            let ready = state.next(FrameEvent::BecameReady).is_ok();
            assert_eq!(ready, state == FrameState::Starting, "{state}");
        }
    }
}

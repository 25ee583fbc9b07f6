//! What goes, and where it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::clock::Clock;
use crate::runtime::engine::EngineCommand;
use crate::store::key::Keyring;

/// The machine, as far as mimir has something on it.
#[derive(Clone)]
pub struct Place {
    /// mimir's home, without links.
    pub home: PathBuf,
    /// The folder of the gateway's socket.
    pub runtime: PathBuf,
    /// The database; usually in the home.
    pub database: PathBuf,
    /// The user's home.
    pub user_home: Option<PathBuf>,
    /// Settings of the system: `/etc`.
    pub etc: PathBuf,
    /// The kernel's list of ports that are kept from outgoing connections.
    pub reserved_ports: PathBuf,
    /// Where systemd notes whose programs go on after logout: `/var/lib/systemd/linger`.
    pub linger: PathBuf,
    /// Where builds leave their temporary files: `/var/tmp`.
    pub scratch: PathBuf,
    /// What the repository's scripts keep between runs: `~/.cache/mimir`.
    pub cache: Option<PathBuf>,
    /// The engine's program; none when it is not installed.
    pub engine: Option<EngineCommand>,
    /// The desktop's keyring; none without a session.
    pub keyring: Option<Arc<dyn Keyring>>,
    /// The program that runs.
    pub program: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
    /// Whether the user's systemd is told.
    pub systemd: bool,
    /// Our user id.
    pub uid: u32,
    /// Home, database, backups and key stay.
    pub keep_data: bool,
}

impl Place {
    /// Whether we may change what is the system's.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// A path below the user's home.
    pub(super) fn of_user(&self, path: &str) -> Option<PathBuf> {
        self.user_home.as_deref().map(|home: &Path| home.join(path))
    }
}

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// A container of a frame.
    Container,
    /// What a build that was killed holds on to.
    Build,
    /// A frame image, a project's image, the base.
    Image,
    /// An image without a name that a build left.
    Stage,
    /// A unit of systemd.
    Unit,
    /// The folder of one frame: the agent's home, its start files.
    Frame,
    /// Temporary files of a build that was killed.
    Scratch,
    /// The folder of sockets.
    Runtime,
    /// The key in the desktop's keyring.
    Keyring,
    /// A configuration file outside of the home.
    Config,
    /// The program in the user's own folder.
    Program,
    /// Conversations, database, backups, key, settings.
    Home,
}

/// Something that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub what: String,
    /// Bytes on the disk; 0 when nothing is known.
    pub size_bytes: u64,
    #[serde(skip)]
    pub(super) action: Action,
}

/// How it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Container(String),
    Image { id: String, names: Vec<String> },
    Tree(PathBuf),
    File(PathBuf),
    Unit { file: Option<PathBuf>, link: PathBuf },
    Ports { file: PathBuf },
    Keyring,
    Home,
}

impl Item {
    pub(super) fn new(kind: Kind, what: impl Into<String>, size_bytes: u64, action: Action) -> Self {
        Self { kind, what: what.into(), size_bytes, action }
    }

    /// A file or a link.
    pub(super) fn file(kind: Kind, path: PathBuf) -> Self {
        let size = std::fs::symlink_metadata(&path).map_or(0, |found| found.len());
        Self::new(kind, path.display().to_string(), size, Action::File(path))
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// What goes, in the order in which it does.
    pub items: Vec<Item>,
    /// What stays, and why.
    pub stays: Vec<String>,
    /// Commands for a person: what needs root, or another program.
    pub by_hand: Vec<String>,
}

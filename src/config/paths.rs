//! Everything that has a place on the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::ConfigProblem;
use crate::model::ids::FrameId;

/// A Unix socket's path must fit into 108 bytes; the longest name of ours needs this many of them.
const LONGEST_SOCKET_NAME: usize = "/gateway.sock".len();

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    home: PathBuf,
    runtime: PathBuf,
}

impl Paths {
    /// Decides by `MIMIR_HOME`, `HOME` and `XDG_RUNTIME_DIR`. Makes nothing.
    ///
    /// # Errors
    /// [`ConfigProblem::NoHome`].
    pub fn find(env: &BTreeMap<String, String>) -> Result<Self, ConfigProblem> {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let home = match (set("MIMIR_HOME"), set("HOME")) {
            (Some(own), home) => match (own.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => Path::new(home).join(rest),
                _ => PathBuf::from(own),
            },
            (None, Some(home)) => Path::new(home).join(".mimir"),
            (None, None) => return Err(ConfigProblem::NoHome),
        };
        let home = canonical(&std::path::absolute(&home).unwrap_or(home));
        let runtime = runtime_folder(&home, set("XDG_RUNTIME_DIR").map(Path::new));
        Ok(Self { home, runtime })
    }

    /// For a given home, with everything that belongs into the runtime folder below `runtime`.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>, runtime: impl Into<PathBuf>) -> Self {
        Self { home: home.into(), runtime: runtime.into() }
    }

    /// mimir's own folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The user's configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.home.join("config.yaml")
    }

    /// The database, unless the configuration names another one.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.home.join("mimir.db")
    }

    /// The database's key, where no keyring is.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.home.join("db.key")
    }

    /// Held by the gateway that owns this home.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.home.join("gateway.lock")
    }

    /// What opens the HTTP port.
    #[must_use]
    pub fn token(&self) -> PathBuf {
        self.home.join("gateway.token")
    }

    /// The certificate that mimir made, and its key.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.home.join("tls")
    }

    /// Gateways elsewhere whose certificates were accepted, one a line.
    #[must_use]
    pub fn known_gateways(&self) -> PathBuf {
        self.home.join("known_gateways")
    }

    /// What a gateway in the background says.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("gateway.log")
    }

    /// Copies of the database from before each migration.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.home.join("backups")
    }

    /// Folders of all frames.
    #[must_use]
    pub fn frames(&self) -> PathBuf {
        self.home.join("frames")
    }

    /// Everything of one frame on the host.
    #[must_use]
    pub fn frame(&self, frame: &FrameId) -> PathBuf {
        self.frames().join(frame.as_str())
    }

    /// The folder for what lives as long as the gateway.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Where clients connect.
    #[must_use]
    pub fn gateway_socket(&self) -> PathBuf {
        self.runtime.join("gateway.sock")
    }

    /// Where Podman's service listens when mimir starts it.
    #[must_use]
    pub fn engine_socket(&self) -> PathBuf {
        self.runtime.join("engine.sock")
    }

    /// Makes the home folder, open to nobody else.
    ///
    /// # Errors
    /// [`ConfigProblem::UnsafeFolder`] when it cannot be made, or somebody else could write to it.
    pub fn ensure_home(&self) -> Result<(), ConfigProblem> {
        ensure_private(&self.home)
    }

    /// Makes the runtime folder, open to nobody else. In /tmp somebody may have been there first.
    ///
    /// # Errors
    /// [`ConfigProblem::UnsafeFolder`].
    pub fn ensure_runtime(&self) -> Result<(), ConfigProblem> {
        if let Some(parent) = self.runtime.parent() {
            ensure_private(parent)?;
        }
        ensure_private(&self.runtime)
    }
}

/// `$XDG_RUNTIME_DIR/mimir/<hash>` when that folder is ours and short enough, else below /tmp.
fn runtime_folder(home: &Path, session: Option<&Path>) -> PathBuf {
    let digest = Sha256::digest(home.as_os_str().as_encoded_bytes());
    let hash = hex::encode(&digest[..6]);
    let uid = rustix::process::getuid().as_raw();
    let is_ours = |folder: &Path| {
        folder.is_absolute() && fs::metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == uid)
    };
    if let Some(session) = session.filter(|folder| is_ours(folder)) {
        let folder = session.join("mimir").join(&hash);
        if folder.as_os_str().len() + LONGEST_SOCKET_NAME < 108 {
            return folder;
        }
    }
    Path::new("/tmp").join(format!("mimir-{uid}")).join(hash)
}

/// The path without links, as far as it exists: the same home must have the same name for everybody.
fn canonical(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(found) = fs::canonicalize(existing) {
            return missing.iter().rev().fold(found, |path, name| path.join(name));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                existing = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

/// Makes a folder that only we can enter, or makes sure that an existing one is.
///
/// # Errors
/// [`ConfigProblem::UnsafeFolder`] when it is a link, a file, or somebody else's.
pub fn ensure_private(folder: &Path) -> Result<(), ConfigProblem> {
    let refuse = |why: String| ConfigProblem::UnsafeFolder { path: folder.to_owned(), why };
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refuse(error.to_string())),
    }
    let found = fs::symlink_metadata(folder).map_err(|error| refuse(error.to_string()))?;
    let uid = rustix::process::getuid().as_raw();
    if !found.is_dir() {
        return Err(refuse("it is not a folder".into()));
    }
    if found.uid() != uid {
        return Err(refuse(format!("it belongs to user {}, and we are {uid}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|error| refuse(error.to_string()))?;
    }
    Ok(())
}

//! The servers elsewhere that frames stand for.

use rusqlite::Row;

use super::frames::{self, Resolved, subject};
use super::values::to_json;
use super::{Queryable, StoreError, Tx};
use crate::model::event::EventKind;
use crate::model::frame::{Frame, Limits};
use crate::model::git::FrameForge;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::secret::Secret;

/// A server and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalServer {
    /// The frame that stands for it.
    pub frame: FrameId,
    /// Where it is, without user and password.
    pub url: String,
    /// Who we are to it.
    pub user: String,
    /// None for a server that asks for none.
    pub password: Option<Secret>,
    /// Of opencode, when it was connected.
    pub version: String,
}

/// A container has these; a row needs values.
const NO_LIMITS: Limits = Limits { cpus_milli: 1, memory_bytes: 1, pids: 1 };

/// Makes a frame that stands for a server, and tells of it. It has no ports, and is to be running for as long as it
/// is there. `workspace` is the project's folder on this machine, if it has one.
///
/// # Errors
/// [`StoreError::Taken`] for the name.
pub fn insert(
    tx: &mut Tx<'_>,
    name: &FrameName,
    workspace: &str,
    server: &ExternalServer,
) -> Result<Frame, StoreError> {
    frames::must_be_free(tx, name)?;
    let (id, network) = (&server.frame, NetworkMode::Open);
    tx.change(
        "INSERT INTO frames (id, name, workspace, image, image_id, network, cpus_milli, memory_bytes, pids,
                             owner_uid, owner_gid, desired, state, engine,
                             created_at, state_changed_at, last_active_at)
         VALUES (?1, ?2, ?3, '', '', ?4, 1, 1, 1, 0, 0, 'running', 'created', 'external', ?5, ?5, ?5)",
        (id, name, workspace, network, tx.now()),
    )?;
    let resolved = Resolved {
        allow: Vec::new(),
        deny: Vec::new(),
        providers: Vec::new(),
        env: Vec::new(),
        image: String::new(),
        network,
        gpu: false,
        limits: NO_LIMITS,
        git: None,
        forge: FrameForge::default(),
    };
    tx.change(
        "INSERT INTO frame_configs (frame_id, given, resolved) VALUES (?1, '', ?2)",
        (id, to_json(&resolved, "a frame's configuration")?),
    )?;
    tx.change(
        "INSERT INTO external_servers (frame_id, url, user, password, version) VALUES (?1, ?2, ?3, ?4, ?5)",
        (id, &server.url, &server.user, server.password.as_ref().map(Secret::reveal), &server.version),
    )?;
    tx.emit(&subject(id, name), &EventKind::FrameCreated {})?;
    frames::get(tx, id)
}

/// Of one frame.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, frame: &FrameId) -> Result<Option<ExternalServer>, StoreError> {
    ask.maybe_row("SELECT * FROM external_servers WHERE frame_id = ?1", (frame,), server)
}

/// All of them.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<ExternalServer>, StoreError> {
    ask.rows("SELECT * FROM external_servers ORDER BY frame_id", (), server)
}

fn server(row: &Row<'_>) -> Result<ExternalServer, StoreError> {
    Ok(ExternalServer {
        frame: row.get("frame_id")?,
        url: row.get("url")?,
        user: row.get("user")?,
        password: row.get::<_, Option<String>>("password")?.map(Secret::new),
        version: row.get("version")?,
    })
}

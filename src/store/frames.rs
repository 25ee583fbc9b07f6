//! Frames: their rows, configurations and notes.

use std::collections::BTreeSet;

use rusqlite::Row;
use serde::{Deserialize, Serialize};

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, messages, ports};
use crate::model::event::{EventKind, Subject};
use crate::model::frame::{Desired, Frame, FrameEvent, FrameState, GitFolder, Limits};
use crate::model::git::FrameForge;
use crate::model::ids::{FrameId, ProjectId, RunId};
use crate::model::message::DeliveryState;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::origin::Origin;
use crate::model::port::{Port, PortPurpose, PortRange};

/// A frame to be; its two ports are chosen when the row is written.
#[derive(Clone, Debug)]
pub struct NewFrame {
    /// Chosen by the caller.
    pub id: FrameId,
    /// Must not be taken.
    pub name: FrameName,
    /// The project it is made for.
    pub project: Option<ProjectId>,
    /// What it is made by.
    pub origin: Origin,
    /// For which run.
    pub run: Option<RunId>,
    /// Absolute host folder.
    pub workspace: String,
    /// Where its git folder is, when that is not in it.
    pub git: Option<GitFolder>,
    /// Its repository at a forge, and what it may push there.
    pub forge: FrameForge,
    /// The image reference that was asked for.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// What it may reach.
    pub network: NetworkMode,
    /// Hosts and groups for mode `allow`.
    pub allow: Vec<String>,
    /// Providers that it may use besides those that every frame may.
    pub providers: Vec<String>,
    /// Extra environment.
    pub env: Vec<(String, String)>,
    /// Whether it uses the machine's graphics cards.
    pub gpu: bool,
    /// What it may use.
    pub limits: Limits,
    /// Host user id that owns what the agent writes.
    pub owner_uid: u32,
    /// Host group id that owns what the agent writes.
    pub owner_gid: u32,
    /// The first wish.
    pub desired: Desired,
    /// When it is destroyed by itself (UTC ms).
    pub expires_at: Option<u64>,
    /// Where its ports come from.
    pub ports: PortRange,
    /// Ports that somebody else on this host holds.
    pub avoid: BTreeSet<Port>,
    /// The frame file, word for word; empty when none was given.
    pub given: String,
}

/// What was settled when the frame was made; in `frame_configs.resolved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// Hosts and groups for mode `allow`.
    pub allow: Vec<String>,
    /// Hosts and groups that it may not reach, whatever `allow` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Providers that it may use besides those that every frame may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// Extra environment.
    pub env: Vec<(String, String)>,
    /// The image reference.
    pub image: String,
    /// What it may reach.
    pub network: NetworkMode,
    /// Whether it uses the machine's graphics cards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gpu: bool,
    /// What it may use.
    pub limits: Limits,
    /// Where its git folder is, when the workspace has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitFolder>,
    /// Its repository at a forge, and what it may push there.
    #[serde(default)]
    pub forge: FrameForge,
}

/// A frame's configuration, as it was given and as it was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameConfig {
    /// The frame file, word for word; empty when none was given.
    pub given: String,
    /// What was made of it.
    pub resolved: Resolved,
}

/// A note on a frame's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// UTC ms.
    pub at: u64,
    /// A stable word.
    pub code: String,
    /// A sentence.
    pub text: String,
}

/// How many notes are kept of one frame; a frame that crashes for weeks must not fill the disk.
const NOTES_KEPT: u32 = 500;

/// Makes the row, leases both ports, keeps the configuration, and tells of it.
///
/// # Errors
/// [`StoreError::Taken`] for the name, [`StoreError::NoFreePort`]; then nothing was written.
pub fn insert(tx: &mut Tx<'_>, new: &NewFrame) -> Result<Frame, StoreError> {
    write_row(tx, new)?;
    tx.emit(&subject(&new.id, &new.name), &EventKind::FrameCreated {})?;
    get(tx, &new.id)
}

/// The row, its ports and its configuration.
pub(super) fn write_row(tx: &mut Tx<'_>, new: &NewFrame) -> Result<(), StoreError> {
    must_be_free(tx, &new.name)?;
    tx.change(
        "INSERT INTO frames (id, name, project_id, workspace, image, image_id, network,
                             cpus_milli, memory_bytes, pids, owner_uid, owner_gid, desired, state,
                             expires_at, created_at, state_changed_at, last_active_at, origin, run_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'created', ?14, ?15, ?15, ?15, ?16, ?17)",
        rusqlite::params![
            new.id,
            new.name,
            new.project,
            new.workspace,
            new.image,
            new.image_id,
            new.network,
            new.limits.cpus_milli,
            to_sql_int(new.limits.memory_bytes),
            new.limits.pids,
            new.owner_uid,
            new.owner_gid,
            new.desired,
            new.expires_at.map(to_sql_int),
            tx.now(),
            new.origin,
            new.run,
        ],
    )?;
    tx.change(
        "INSERT INTO frame_configs (frame_id, given, resolved) VALUES (?1, ?2, ?3)",
        (&new.id, &new.given, to_json(&resolved_of(new), "a frame's configuration")?),
    )?;
    ports::lease(tx, &new.id, PortPurpose::Agent, new.ports, &new.avoid)?;
    ports::lease(tx, &new.id, PortPurpose::Preview, new.ports, &new.avoid)?;
    Ok(())
}

/// No frame has that name, not even one that is nobody's.
pub(super) fn must_be_free(tx: &Tx<'_>, name: &FrameName) -> Result<(), StoreError> {
    let found: Option<FrameId> =
        tx.maybe_row("SELECT id FROM frames WHERE name = ?1", (name,), |row| Ok(row.get(0)?))?;
    match found {
        Some(_) => Err(StoreError::Taken { what: "frame", value: name.to_string() }),
        None => Ok(()),
    }
}

pub(super) fn resolved_of(new: &NewFrame) -> Resolved {
    Resolved {
        allow: new.allow.clone(),
        deny: Vec::new(),
        providers: new.providers.clone(),
        env: new.env.clone(),
        image: new.image.clone(),
        network: new.network,
        gpu: new.gpu,
        limits: new.limits,
        git: new.git.clone(),
        forge: new.forge.clone(),
    }
}

/// Columns and joins of a whole frame.
macro_rules! select_frames {
    ($rest:literal) => {
        concat!(
            "SELECT frames.*, frame_configs.resolved,
                    coalesce(agent.port, 0) AS agent_port, coalesce(preview.port, 0) AS preview_port
               FROM frames
               JOIN frame_configs ON frame_configs.frame_id = frames.id
               LEFT JOIN ports AS agent ON agent.frame_id = frames.id AND agent.purpose = 'agent'
               LEFT JOIN ports AS preview ON preview.frame_id = frames.id AND preview.purpose = 'preview' ",
            $rest
        )
    };
}

fn frame(row: &Row<'_>) -> Result<Frame, StoreError> {
    let resolved: Resolved = json(row, "resolved", "a frame's configuration")?;
    Ok(Frame {
        id: row.get("id")?,
        name: row.get("name")?,
        project: row.get("project_id")?,
        origin: row.get("origin")?,
        run: row.get("run_id")?,
        engine: row.get("engine")?,
        workspace: row.get("workspace")?,
        git: resolved.git,
        forge: resolved.forge,
        image: row.get("image")?,
        image_id: row.get("image_id")?,
        network: row.get("network")?,
        allow: resolved.allow,
        deny: resolved.deny,
        providers: resolved.providers,
        env: resolved.env,
        gpu: resolved.gpu,
        limits: Limits {
            cpus_milli: row.get("cpus_milli")?,
            memory_bytes: unsigned(row, "memory_bytes")?,
            pids: row.get("pids")?,
        },
        owner_uid: row.get("owner_uid")?,
        owner_gid: row.get("owner_gid")?,
        desired: row.get("desired")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        generation: row.get("generation")?,
        agent_port: row.get("agent_port")?,
        preview_port: row.get("preview_port")?,
        expires_at: maybe_unsigned(row, "expires_at")?,
        created_at: unsigned(row, "created_at")?,
        state_changed_at: unsigned(row, "state_changed_at")?,
        last_active_at: unsigned(row, "last_active_at")?,
        warm: row.get("warm")?,
    })
}

/// The frame of that id, if it exists.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, id: &FrameId) -> Result<Option<Frame>, StoreError> {
    ask.maybe_row(select_frames!("WHERE frames.id = ?1"), (id,), frame)
}

/// The frame of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &FrameId) -> Result<Frame, StoreError> {
    find(ask, id)?.ok_or_else(|| StoreError::NotFound { what: "frame", key: id.to_string() })
}

/// The frame of that name, if it exists.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_name(ask: &impl Queryable, name: &FrameName) -> Result<Option<Frame>, StoreError> {
    ask.maybe_row(select_frames!("WHERE frames.name = ?1 AND frames.warm IS NULL"), (name,), frame)
}

/// All frames, by name; without those that are nobody's yet.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<Frame>, StoreError> {
    ask.rows(select_frames!("WHERE frames.warm IS NULL ORDER BY frames.name"), (), frame)
}

/// Frames that are kept ready and are nobody's yet, the oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn list_warm(ask: &impl Queryable) -> Result<Vec<Frame>, StoreError> {
    ask.rows(select_frames!("WHERE frames.warm IS NOT NULL ORDER BY frames.created_at, frames.id"), (), frame)
}

/// How many frames are kept ready, or will be soon.
///
/// # Errors
/// Whatever the database says.
pub fn count_warm(ask: &impl Queryable) -> Result<u32, StoreError> {
    let kept = list_warm(ask)?.into_iter().filter(|frame| frame.desired == Desired::Running);
    Ok(u32::try_from(kept.count()).unwrap_or(u32::MAX))
}

/// The frames that were made for a run, the newest first.
///
/// # Errors
/// Whatever the database says.
pub fn of_run(ask: &impl Queryable, run: &RunId) -> Result<Vec<Frame>, StoreError> {
    ask.rows(
        select_frames!("WHERE frames.run_id = ?1 ORDER BY frames.created_at DESC, frames.id DESC"),
        (run,),
        frame,
    )
}

/// Throwaway frames whose time is up and that nobody asked to remove yet.
///
/// # Errors
/// Whatever the database says.
pub fn expired(ask: &impl Queryable, now_ms: u64) -> Result<Vec<Frame>, StoreError> {
    ask.rows(
        select_frames!(
            "WHERE frames.expires_at IS NOT NULL AND frames.expires_at <= ?1 AND frames.desired <> 'removed'
               AND frames.warm IS NULL
             ORDER BY frames.expires_at"
        ),
        (to_sql_int(now_ms),),
        frame,
    )
}

/// Moves a frame along its lifecycle, or reports that somebody else moved it first.
///
/// `reason` replaces the row's: a move without one clears it.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when the lifecycle has no such move.
pub fn apply(
    tx: &mut Tx<'_>,
    id: &FrameId,
    event: FrameEvent,
    reason: Option<&str>,
) -> Result<FrameState, StoreError> {
    let (name, from, is_warm) = name_and_state(tx, id)?;
    let to = from.next(event).map_err(|illegal| StoreError::Conflict { what: illegal.to_string() })?;
    tx.change_exactly_one(
        "the frame's state",
        "UPDATE frames
            SET state = ?3, reason = ?4, state_changed_at = ?5
          WHERE id = ?1
            AND state = ?2",
        (id, from, to, reason, tx.now()),
    )?;
    if !is_warm {
        let moved = EventKind::FrameMoved { from, to, reason: reason.map(str::to_owned) };
        tx.emit(&subject(id, &name), &moved)?;
    }
    Ok(to)
}

/// Writes down what somebody wants. A frame that is to be removed takes no other wish any more.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it is being removed.
pub fn set_desired(tx: &mut Tx<'_>, id: &FrameId, desired: Desired) -> Result<(), StoreError> {
    name_and_state(tx, id)?;
    tx.change_exactly_one(
        "the frame is being destroyed and takes no other wish; its row",
        "UPDATE frames SET desired_at = CASE WHEN desired = ?2 THEN desired_at ELSE ?3 END, desired = ?2
          WHERE id = ?1 AND (desired <> 'removed' OR ?2 = 'removed')",
        (id, desired, tx.now()),
    )
}

/// Writes a reason or a note into the row without moving the frame.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no such frame.
pub fn set_reason(tx: &mut Tx<'_>, id: &FrameId, reason: Option<&str>) -> Result<(), StoreError> {
    tx.change_exactly_one("the frame", "UPDATE frames SET reason = ?2 WHERE id = ?1", (id, reason))
}

/// Notes why a frame was stopped so that no message wakes it; none: messages may wake it.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no such frame.
pub fn set_stopped_for(tx: &mut Tx<'_>, id: &FrameId, why: Option<&str>) -> Result<(), StoreError> {
    tx.change_exactly_one("the frame", "UPDATE frames SET stopped_for = ?2 WHERE id = ?1", (id, why))
}

/// Why no message may wake a frame, if that is so.
///
/// # Errors
/// Whatever the database says.
pub fn stopped_for(ask: &impl Queryable, id: &FrameId) -> Result<Option<String>, StoreError> {
    let found = ask.maybe_row("SELECT stopped_for FROM frames WHERE id = ?1", (id,), |row| {
        Ok(row.get::<_, Option<String>>("stopped_for")?)
    })?;
    Ok(found.flatten())
}

/// Starts a new generation: a container of an older one is not this frame's any more.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn bump_generation(tx: &mut Tx<'_>, id: &FrameId) -> Result<u32, StoreError> {
    tx.maybe_row(
        "UPDATE frames SET generation = generation + 1 WHERE id = ?1 RETURNING generation",
        (id,),
        |row| Ok(row.get(0)?),
    )?
    .ok_or_else(|| StoreError::NotFound { what: "frame", key: id.to_string() })
}

/// From now on it is made from this image.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no such frame.
pub fn set_image(tx: &mut Tx<'_>, id: &FrameId, image: &str, image_id: &str) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the frame",
        "UPDATE frames SET image = ?2, image_id = ?3 WHERE id = ?1",
        (id, image, image_id),
    )
}

/// From now on it works in this folder.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_workspace(
    tx: &mut Tx<'_>,
    id: &FrameId,
    workspace: &str,
    git: Option<GitFolder>,
) -> Result<(), StoreError> {
    let resolved = to_json(&Resolved { git, ..config_of(tx, id)?.resolved }, "a frame's configuration")?;
    tx.change("UPDATE frame_configs SET resolved = ?2 WHERE frame_id = ?1", (id, resolved))?;
    tx.change_exactly_one("the frame", "UPDATE frames SET workspace = ?2 WHERE id = ?1", (id, workspace))
}

/// From now on it may reach those hosts and use those providers.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_grants(
    tx: &mut Tx<'_>,
    id: &FrameId,
    allow: Vec<String>,
    deny: Vec<String>,
    providers: Vec<String>,
) -> Result<(), StoreError> {
    let resolved = Resolved { allow, deny, providers, ..config_of(tx, id)?.resolved };
    let resolved = to_json(&resolved, "a frame's configuration")?;
    tx.change("UPDATE frame_configs SET resolved = ?2 WHERE frame_id = ?1", (id, resolved))?;
    Ok(())
}

/// From now on it may push those branches as well.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn set_branches(tx: &mut Tx<'_>, id: &FrameId, branches: Vec<String>) -> Result<(), StoreError> {
    let before = config_of(tx, id)?.resolved;
    let resolved = Resolved { forge: FrameForge { branches, ..before.forge }, ..before };
    let resolved = to_json(&resolved, "a frame's configuration")?;
    tx.change("UPDATE frame_configs SET resolved = ?2 WHERE frame_id = ?1", (id, resolved))?;
    Ok(())
}

/// It had something to do just now. Does nothing for a frame that is gone.
///
/// # Errors
/// Whatever the database says.
pub fn touch(tx: &mut Tx<'_>, id: &FrameId) -> Result<(), StoreError> {
    tx.change("UPDATE frames SET last_active_at = ?2 WHERE id = ?1", (id, tx.now()))?;
    Ok(())
}

/// When it is destroyed by itself (UTC ms), or never.
///
/// # Errors
/// [`StoreError::Conflict`] when there is no such frame.
pub fn set_expiry(tx: &mut Tx<'_>, id: &FrameId, expires_at: Option<u64>) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the frame",
        "UPDATE frames SET expires_at = ?2 WHERE id = ?1",
        (id, expires_at.map(to_sql_int)),
    )
}

/// Forgets a frame: its row, ports, configuration and notes. Conversations stay; what was still
/// to be delivered fails, so that nothing waits for a frame that never comes.
///
/// Does nothing for a frame that is already forgotten, and says so by `false`.
///
/// # Errors
/// Whatever the database says.
pub fn forget(tx: &mut Tx<'_>, id: &FrameId) -> Result<bool, StoreError> {
    let Some(frame) = find(tx, id)? else { return Ok(false) };
    for message in messages::list_open(tx, Some(id))? {
        messages::move_to(tx, &message.id, DeliveryState::Failed, Some("the frame was destroyed"))?;
    }
    tx.change("DELETE FROM frames WHERE id = ?1", (id,))?;
    if frame.warm.is_none() {
        tx.emit(&subject(id, &frame.name), &EventKind::FrameRemoved {})?;
    }
    Ok(true)
}

/// The configuration, as it was given and as it was settled.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn config_of(ask: &impl Queryable, id: &FrameId) -> Result<FrameConfig, StoreError> {
    ask.maybe_row("SELECT given, resolved FROM frame_configs WHERE frame_id = ?1", (id,), |row| {
        Ok(FrameConfig {
            given: row.get("given")?,
            resolved: json(row, "resolved", "a frame's configuration")?,
        })
    })?
    .ok_or_else(|| StoreError::NotFound { what: "frame", key: id.to_string() })
}

/// Keeps a note on the frame's life, and tells of it. Does nothing for a frame that is gone.
///
/// # Errors
/// Whatever the database says.
pub fn note(tx: &mut Tx<'_>, id: &FrameId, code: &str, text: &str) -> Result<(), StoreError> {
    let name: Option<FrameName> =
        tx.maybe_row("SELECT name FROM frames WHERE id = ?1 AND warm IS NULL", (id,), |row| Ok(row.get(0)?))?;
    let Some(name) = name else { return Ok(()) };
    tx.change(
        "INSERT INTO frame_events (frame_id, at, code, text) VALUES (?1, ?2, ?3, ?4)",
        (id, tx.now(), code, text),
    )?;
    tx.change(
        "DELETE FROM frame_events
          WHERE frame_id = ?1
            AND id <= (SELECT id FROM frame_events WHERE frame_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (id, NOTES_KEPT),
    )?;
    let told = EventKind::FrameNote { code: code.to_owned(), text: text.to_owned() };
    tx.emit(&subject(id, &name), &told)?;
    Ok(())
}

/// Tells of something that is no change of the row. Does nothing for a frame that is gone.
///
/// # Errors
/// Whatever the database says.
pub fn tell(tx: &mut Tx<'_>, id: &FrameId, what: &EventKind) -> Result<(), StoreError> {
    let name: Option<FrameName> =
        tx.maybe_row("SELECT name FROM frames WHERE id = ?1 AND warm IS NULL", (id,), |row| Ok(row.get(0)?))?;
    if let Some(name) = name {
        tx.emit(&subject(id, &name), what)?;
    }
    Ok(())
}

/// What was told last of what the frame's agent does: the word and its details.
///
/// # Errors
/// Whatever the database says.
pub fn last_status_told(
    ask: &impl Queryable,
    id: &FrameId,
) -> Result<Option<(String, Option<String>)>, StoreError> {
    ask.maybe_row(
        "SELECT json_extract(data, '$.status') AS status, json_extract(data, '$.detail') AS detail
           FROM events
          WHERE frame_id = ?1 AND kind = 'frame.status'
          ORDER BY id DESC
          LIMIT 1",
        (id,),
        |row| Ok((row.get("status")?, row.get("detail")?)),
    )
}

/// The newest notes, oldest of them first.
///
/// # Errors
/// Whatever the database says.
pub fn notes(ask: &impl Queryable, id: &FrameId, limit: u32) -> Result<Vec<Note>, StoreError> {
    let mut found = ask.rows(
        "SELECT at, code, text FROM frame_events WHERE frame_id = ?1 ORDER BY id DESC LIMIT ?2",
        (id, limit),
        |row| Ok(Note { at: unsigned(row, "at")?, code: row.get("code")?, text: row.get("text")? }),
    )?;
    found.reverse();
    Ok(found)
}

/// How many notes of that code there are since then (UTC ms, inclusive).
///
/// # Errors
/// Whatever the database says.
pub fn notes_since(ask: &impl Queryable, id: &FrameId, code: &str, since_ms: u64) -> Result<u32, StoreError> {
    let count = ask.maybe_row(
        "SELECT count(*) FROM frame_events WHERE frame_id = ?1 AND code = ?2 AND at >= ?3",
        (id, code, to_sql_int(since_ms)),
        |row| Ok(row.get(0)?),
    )?;
    Ok(count.unwrap_or(0))
}

/// Its name, its state, and whether it is nobody's yet: nobody is told of such a one.
fn name_and_state(tx: &Tx<'_>, id: &FrameId) -> Result<(FrameName, FrameState, bool), StoreError> {
    tx.maybe_row("SELECT name, state, warm IS NOT NULL AS is_warm FROM frames WHERE id = ?1", (id,), |row| {
        Ok((row.get("name")?, row.get("state")?, row.get("is_warm")?))
    })?
    .ok_or_else(|| StoreError::NotFound { what: "frame", key: id.to_string() })
}

/// What a frame's events are about.
pub(super) fn subject(id: &FrameId, name: &FrameName) -> Subject {
    Subject { frame: Some(id.clone()), frame_name: Some(name.clone()), ..Subject::default() }
}

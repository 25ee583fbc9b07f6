//! What frames pushed, and what became of it.

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::git::{Push, PushContents, PushState, RefUpdate, Repository};
use crate::model::ids::{FrameId, MessageId};
use crate::model::names::FrameName;

/// A push that has just come.
#[derive(Clone, Debug)]
pub struct NewPush {
    /// By which frame.
    pub frame: FrameId,
    /// Its name.
    pub frame_name: FrameName,
    /// The message whose turn runs, if one does.
    pub message: Option<MessageId>,
    /// Where to.
    pub repository: Repository,
    /// What is to be moved.
    pub updates: Vec<RefUpdate>,
    /// What was found in it.
    pub contents: PushContents,
    /// Why it waits; nothing: it goes on by itself.
    pub held_because: Vec<String>,
    /// The folder with its objects.
    pub folder: String,
}

fn push(row: &Row<'_>) -> Result<Push, StoreError> {
    Ok(Push {
        id: unsigned(row, "id")?,
        frame: row.get("frame_id")?,
        frame_name: row.get("frame_name")?,
        message: row.get("message_id")?,
        repository: row.get("repository")?,
        state: row.get("state")?,
        updates: json(row, "updates", "what is to be moved")?,
        contents: json(row, "contents", "what is in a push")?,
        held_because: json(row, "held_because", "why a push waits")?,
        folder: row.get("folder")?,
        decided_by: row.get("decided_by")?,
        reason: row.get("reason")?,
        asked_at: unsigned(row, "asked_at")?,
        decided_at: maybe_unsigned(row, "decided_at")?,
        ended_at: maybe_unsigned(row, "ended_at")?,
    })
}

/// Keeps a push: waiting when there is a reason for it, else approved by policy.
///
/// # Errors
/// Whatever the database says.
pub fn insert(tx: &mut Tx<'_>, new: &NewPush) -> Result<Push, StoreError> {
    let waits = !new.held_because.is_empty();
    let (state, by) = if waits { (PushState::Waiting, None) } else { (PushState::Approved, Some("policy")) };
    let id = tx.maybe_row(
        "INSERT INTO pushes (frame_id, frame_name, message_id, repository, state, updates, contents, held_because,
                             folder, decided_by, asked_at, decided_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         RETURNING id",
        rusqlite::params![
            new.frame,
            new.frame_name,
            new.message,
            new.repository,
            state,
            to_json(&new.updates, "what is to be moved")?,
            to_json(&new.contents, "what is in a push")?,
            to_json(&new.held_because, "why a push waits")?,
            new.folder,
            by,
            tx.now(),
            (!waits).then(|| tx.now()),
        ],
        |row| unsigned(row, "id"),
    )?;
    get(tx, id.unwrap_or(0))
}

/// The push of that number, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, id: u64) -> Result<Option<Push>, StoreError> {
    ask.maybe_row("SELECT * FROM pushes WHERE id = ?1", (to_sql_int(id),), push)
}

/// The push of that number.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: u64) -> Result<Push, StoreError> {
    find(ask, id)?.ok_or_else(|| StoreError::NotFound { what: "push", key: id.to_string() })
}

/// The newest pushes, newest first; of a frame (by name, so also of one that is gone) or of all.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable, frame: Option<&FrameName>, limit: u32) -> Result<Vec<Push>, StoreError> {
    ask.rows(
        "SELECT * FROM pushes WHERE ?1 IS NULL OR frame_name = ?1 ORDER BY id DESC LIMIT ?2",
        (frame, limit),
        push,
    )
}

/// Those that are not over, oldest first; of a frame (by name) or of all.
///
/// # Errors
/// Whatever the database says.
pub fn open(ask: &impl Queryable, frame: Option<&FrameName>) -> Result<Vec<Push>, StoreError> {
    ask.rows(
        "SELECT * FROM pushes
          WHERE state IN ('waiting', 'approved', 'failed') AND (?1 IS NULL OR frame_name = ?1)
          ORDER BY id",
        (frame,),
        push,
    )
}

/// Those of a frame that somebody can still decide about, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn undecided(ask: &impl Queryable, frame: &FrameId) -> Result<Vec<Push>, StoreError> {
    ask.rows(
        "SELECT * FROM pushes WHERE frame_id = ?1 AND state IN ('waiting', 'failed') ORDER BY id",
        (frame,),
        push,
    )
}

/// Somebody says that it may go on to the forge.
///
/// # Errors
/// [`StoreError::Conflict`] when it cannot be decided any more.
pub fn approve(tx: &mut Tx<'_>, id: u64, by: &str) -> Result<Push, StoreError> {
    tx.change_exactly_one(
        "the push",
        "UPDATE pushes SET state = 'approved', decided_by = ?2, decided_at = ?3, reason = NULL, ended_at = NULL, told = 0
          WHERE id = ?1 AND state IN ('waiting', 'failed')",
        (to_sql_int(id), by, tx.now()),
    )?;
    get(tx, id)
}

/// Ends it, or notes that the forge did not take it. `by` stands where somebody decided that.
///
/// # Errors
/// [`StoreError::Conflict`] when it was not in one of those states.
pub fn end(
    tx: &mut Tx<'_>,
    id: u64,
    from: &[PushState],
    to: PushState,
    by: Option<&str>,
    reason: Option<&str>,
) -> Result<Push, StoreError> {
    let before = get(tx, id)?;
    if !from.contains(&before.state) {
        return Err(StoreError::Conflict { what: format!("push {id} is {}", before.state) });
    }
    tx.change_exactly_one(
        "the push",
        "UPDATE pushes
            SET state = ?3, reason = ?4, ended_at = ?5, told = 0,
                decided_by = coalesce(?6, decided_by), decided_at = coalesce(decided_at, ?5)
          WHERE id = ?1 AND state = ?2",
        (to_sql_int(id), before.state, to, reason, tx.now(), by),
    )?;
    get(tx, id)
}

/// Ends of a frame's pushes that its git was not told of, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn untold(ask: &impl Queryable, frame: &FrameId) -> Result<Vec<Push>, StoreError> {
    ask.rows(
        "SELECT * FROM pushes
          WHERE frame_id = ?1 AND told = 0 AND held_because <> '[]' AND state IN ('pushed', 'rejected', 'failed')
          ORDER BY id",
        (frame,),
        push,
    )
}

/// The frame's git was told of them.
///
/// # Errors
/// Whatever the database says.
pub fn set_told(tx: &mut Tx<'_>, ids: &[u64]) -> Result<(), StoreError> {
    for id in ids {
        tx.change("UPDATE pushes SET told = 1 WHERE id = ?1", (to_sql_int(*id),))?;
    }
    Ok(())
}

/// The name under which a run that waits for a push is told of it.
#[must_use]
pub fn run_name(id: u64) -> String {
    format!("push:{id}")
}

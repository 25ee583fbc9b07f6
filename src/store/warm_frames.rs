//! Rows of warm frames. A claim is one compare-and-set and is never undone.

use super::frames::{NewFrame, get, must_be_free, resolved_of, subject, write_row};
use super::values::{to_json, to_sql_int};
use super::{StoreError, Tx};
use crate::model::event::EventKind;
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::FrameId;

/// Makes the row of a warm frame, without an event.
///
/// # Errors
/// As [`super::frames::insert`].
pub fn insert(tx: &mut Tx<'_>, new: &NewFrame, kind: &str) -> Result<Frame, StoreError> {
    write_row(tx, new)?;
    tx.change_exactly_one("the frame", "UPDATE frames SET warm = ?2 WHERE id = ?1", (&new.id, kind))?;
    get(tx, &new.id)
}

/// Notes what it is about to read at that start. When the gateway died between this and the files, and they would be others
/// now, nobody knows which it reads: then it is noted that nothing equals it.
///
/// # Errors
/// Whatever the database says.
pub fn set_files(tx: &mut Tx<'_>, id: &FrameId, start: u64, digest: &str) -> Result<(), StoreError> {
    tx.change(
        "UPDATE frames
            SET warm_files = CASE WHEN warm_files <> ?3 AND substr(warm_files, 1, length(?2)) = ?2 THEN ?2 ELSE ?3 END
          WHERE id = ?1 AND warm IS NOT NULL",
        (id, format!("{start}:"), format!("{start}:{digest}")),
    )?;
    Ok(())
}

/// The digest of what it read at its last start.
///
/// # Errors
/// Whatever the database says.
pub fn files(ask: &impl super::Queryable, id: &FrameId) -> Result<Option<String>, StoreError> {
    let found = ask.maybe_row("SELECT warm_files FROM frames WHERE id = ?1", (id,), |row| {
        Ok(row.get::<_, Option<String>>("warm_files")?)
    })?;
    Ok(found.flatten().and_then(|text| Some(text.split_once(':')?.1.to_owned())))
}

/// Gives a warm frame up. Returns whether it was still unclaimed.
///
/// # Errors
/// Whatever the database says.
pub fn give_up(tx: &mut Tx<'_>, id: &FrameId) -> Result<bool, StoreError> {
    let changed = tx.change(
        "UPDATE frames SET desired = 'removed', desired_at = ?2
          WHERE id = ?1 AND warm IS NOT NULL AND desired <> 'removed'",
        (id, tx.now()),
    )?;
    Ok(changed > 0)
}

/// Makes it somebody's: the one that `new` describes, but for its id, its ports and its workspace. It is starting again for
/// whoever has it now: until it was looked at, and can be reached. None when it does not run, is not of that kind or is
/// somebody's already; nothing was written then.
///
/// # Errors
/// [`StoreError::Taken`] for the name.
pub fn claim(tx: &mut Tx<'_>, id: &FrameId, kind: &str, new: &NewFrame) -> Result<Option<Frame>, StoreError> {
    must_be_free(tx, &new.name)?;
    let changed = tx.change(
        "UPDATE frames SET name = ?3, project_id = ?4, origin = ?5, run_id = ?6, expires_at = ?7, image = ?8,
                           created_at = ?9, last_active_at = ?9, state = 'starting', state_changed_at = ?9,
                           warm = NULL, warm_files = NULL
          WHERE id = ?1 AND warm = ?2 AND image_id = ?10 AND state = 'running' AND desired = 'running'",
        rusqlite::params![
            id,
            kind,
            new.name,
            new.project,
            new.origin,
            new.run,
            new.expires_at.map(to_sql_int),
            new.image,
            tx.now(),
            new.image_id,
        ],
    )?;
    if changed == 0 {
        return Ok(None);
    }
    debug_assert_eq!(new.desired, Desired::Running);
    tx.change(
        "UPDATE frame_configs SET given = ?2, resolved = ?3 WHERE frame_id = ?1",
        (id, &new.given, to_json(&resolved_of(new), "a frame's configuration")?),
    )?;
    tx.emit(&subject(id, &new.name), &EventKind::FrameCreated {})?;
    // Its events begin with its creation; `running` follows once it can be reached.
    let (from, to) = (FrameState::Created, FrameState::Starting);
    tx.emit(&subject(id, &new.name), &EventKind::FrameMoved { from, to, reason: None })?;
    get(tx, id).map(Some)
}

//! Host ports: leased with the frame's row, released with it.

use std::collections::BTreeSet;

use super::frames::subject;
use super::{Queryable, StoreError, Tx};
use crate::model::event::EventKind;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::port::{Port, PortPurpose, PortRange};

/// Every leased port, whose it is and what for; lowest first.
///
/// # Errors
/// Whatever the database says.
pub fn leased(ask: &impl Queryable) -> Result<Vec<(Port, FrameId, PortPurpose)>, StoreError> {
    ask.rows("SELECT port, frame_id, purpose FROM ports ORDER BY port", (), |row| {
        Ok((row.get("port")?, row.get("frame_id")?, row.get("purpose")?))
    })
}

/// The lowest port of `range` that no frame has and that is not in `avoid`.
///
/// # Errors
/// [`StoreError::NoFreePort`].
pub fn choose(ask: &impl Queryable, range: PortRange, avoid: &BTreeSet<Port>) -> Result<Port, StoreError> {
    let taken: BTreeSet<Port> =
        ask.rows("SELECT port FROM ports", (), |row| Ok(row.get(0)?))?.into_iter().collect();
    range
        .iter()
        .find(|port| !taken.contains(port) && !avoid.contains(port))
        .ok_or(StoreError::NoFreePort { range })
}

/// Leases the lowest free port to a frame that has none for this purpose.
pub(super) fn lease(
    tx: &mut Tx<'_>,
    frame: &FrameId,
    purpose: PortPurpose,
    range: PortRange,
    avoid: &BTreeSet<Port>,
) -> Result<Port, StoreError> {
    let port = choose(tx, range, avoid)?;
    tx.change(
        "INSERT INTO ports (port, frame_id, purpose, leased_at) VALUES (?1, ?2, ?3, ?4)",
        (port, frame, purpose, tx.now()),
    )?;
    Ok(port)
}

/// Gives the frame another port for this purpose, because somebody else holds the old one; tells of it.
///
/// # Errors
/// [`StoreError::NoFreePort`]; [`StoreError::NotFound`] when the frame is gone.
pub fn exchange(
    tx: &mut Tx<'_>,
    frame: &FrameId,
    purpose: PortPurpose,
    range: PortRange,
    avoid: &BTreeSet<Port>,
) -> Result<Port, StoreError> {
    let (from, name): (Port, FrameName) = tx
        .maybe_row(
            "SELECT ports.port, frames.name
               FROM ports JOIN frames ON frames.id = ports.frame_id
              WHERE ports.frame_id = ?1 AND ports.purpose = ?2",
            (frame, purpose),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .ok_or_else(|| StoreError::NotFound { what: "frame", key: frame.to_string() })?;
    // The old one is still leased here, so it cannot be chosen again.
    let to = choose(tx, range, avoid)?;
    tx.change_exactly_one(
        "the frame's port",
        "UPDATE ports SET port = ?3, leased_at = ?4 WHERE frame_id = ?1 AND port = ?2",
        (frame, from, to, tx.now()),
    )?;
    tx.emit(&subject(frame, &name), &EventKind::PortExchanged { purpose, from, to })?;
    Ok(to)
}

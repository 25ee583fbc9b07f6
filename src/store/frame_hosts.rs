//! What each frame's connections to other hosts came to.

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::ids::FrameId;
use crate::model::network::HostTraffic;

/// What is added to a host of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDelta {
    /// Whose connections.
    pub frame: FrameId,
    /// To whom.
    pub host: String,
    /// And to which port.
    pub port: u16,
    /// Connections.
    pub allowed: u64,
    /// Requests of plain HTTP.
    pub requests: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Bytes to the host.
    pub sent: u64,
    /// Bytes from it.
    pub got: u64,
    /// What went to it on the last day; none where that is not known.
    pub today: Option<Today>,
    /// When there was something (UTC ms).
    pub last_at: u64,
    /// Why it was refused the last time.
    pub why: Option<String>,
}

/// What went to a host on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// Since 1970, UTC.
    pub day: u64,
    /// Bytes to it.
    pub sent: u64,
    /// Connections to it.
    pub connections: u64,
}

/// Adds to a host of a frame. Does nothing for a frame that is gone.
///
/// # Errors
/// Whatever the database says.
pub fn add(tx: &mut Tx<'_>, delta: &HostDelta) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO frame_hosts (frame_id, host, port, allowed, refused, sent_bytes, got_bytes,
                                  day, sent_today, last_at, refused_why, requests, connected_today)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, 0), coalesce(?9, 0), ?10, ?11, ?12, coalesce(?13, 0)
          WHERE EXISTS (SELECT 1 FROM frames WHERE id = ?1)
             ON CONFLICT (frame_id, host, port) DO UPDATE
            SET allowed = allowed + excluded.allowed, refused = refused + excluded.refused,
                sent_bytes = sent_bytes + excluded.sent_bytes, got_bytes = got_bytes + excluded.got_bytes,
                requests = requests + excluded.requests, connected_today = coalesce(?13, connected_today),
                day = coalesce(?8, day), sent_today = coalesce(?9, sent_today), last_at = excluded.last_at,
                refused_why = coalesce(excluded.refused_why, refused_why)",
        rusqlite::params![
            delta.frame,
            delta.host,
            delta.port,
            to_sql_int(delta.allowed),
            to_sql_int(delta.refused),
            to_sql_int(delta.sent),
            to_sql_int(delta.got),
            delta.today.map(|today| to_sql_int(today.day)),
            delta.today.map(|today| to_sql_int(today.sent)),
            to_sql_int(delta.last_at),
            delta.why,
            to_sql_int(delta.requests),
            delta.today.map(|today| to_sql_int(today.connections)),
        ],
    )?;
    Ok(())
}

/// What a frame sent to a host on that day.
///
/// # Errors
/// Whatever the database says.
pub fn on_day(
    ask: &impl Queryable,
    frame: &FrameId,
    host: &str,
    port: u16,
    day: u64,
) -> Result<Today, StoreError> {
    let found = ask.maybe_row(
        "SELECT sent_today, connected_today FROM frame_hosts
          WHERE frame_id = ?1 AND host = ?2 AND port = ?3 AND day = ?4",
        (frame, host, port, to_sql_int(day)),
        |row| {
            let (sent, connections) = (unsigned(row, "sent_today")?, unsigned(row, "connected_today")?);
            Ok(Today { day, sent, connections })
        },
    )?;
    Ok(found.unwrap_or(Today { day, ..Today::default() }))
}

/// The hosts of a frame, last used first.
///
/// # Errors
/// Whatever the database says.
pub fn of_frame(ask: &impl Queryable, frame: &FrameId, today: u64) -> Result<Vec<HostTraffic>, StoreError> {
    ask.rows(
        "SELECT host, port, allowed, requests, refused, sent_bytes, got_bytes, last_at, refused_why,
                iif(day = ?2, sent_today, 0) AS sent_today,
                iif(day = ?2, connected_today, 0) AS connected_today
           FROM frame_hosts WHERE frame_id = ?1 ORDER BY last_at DESC, host, port",
        (frame, to_sql_int(today)),
        |row| {
            Ok(HostTraffic {
                host: row.get("host")?,
                port: row.get("port")?,
                allowed_count: unsigned(row, "allowed")?,
                request_count: unsigned(row, "requests")?,
                connected_today_count: unsigned(row, "connected_today")?,
                refused_count: unsigned(row, "refused")?,
                sent_bytes: unsigned(row, "sent_bytes")?,
                received_bytes: unsigned(row, "got_bytes")?,
                sent_today_bytes: unsigned(row, "sent_today")?,
                last_at: unsigned(row, "last_at")?,
                reason: row.get("refused_why")?,
            })
        },
    )
}

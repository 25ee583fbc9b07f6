//! Schedules, and what became of each of their times.

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, timers};
use crate::model::ids::RunId;
use crate::model::names::ScheduleName;
use crate::model::run::RunState;
use crate::model::schedule::{Schedule, ScheduleSource, ScheduleSpec, TickCause, TickOutcome};

/// The kind of the timers of schedules; they are about the schedule's id.
pub const TIMER: &str = "schedule";

/// What a schedule spends is looked at over a day, and a run may take one: what began runs is kept for two.
const SPENT_WITHIN_MS: i64 = 2 * 24 * 60 * 60 * 1000;
/// So many of a schedule's ticks are kept beside those.
const KEPT: i64 = 1000;

/// What is written of one time.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTick {
    /// Of which schedule.
    pub schedule: u64,
    /// Which time (UTC ms).
    pub instant: u64,
    /// What brought it about.
    pub cause: TickCause,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why.
    pub reason: Option<String>,
    /// The run that was made, or that stood in the way.
    pub run: Option<RunId>,
}

/// One time of a schedule, and what its run has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Increasing.
    pub id: u64,
    /// Which time (UTC ms).
    pub instant: u64,
    /// When it was seen to (UTC ms).
    pub seen_at: u64,
    /// What brought it about.
    pub cause: TickCause,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why.
    pub reason: Option<String>,
    /// The run that was made, or that stood in the way.
    pub run: Option<RunId>,
    /// How far that run is.
    pub run_state: Option<RunState>,
    /// Why it waits, is held or ended.
    pub run_reason: Option<String>,
    /// When it ended (UTC ms).
    pub run_ended_at: Option<u64>,
    /// What it cost, in millionths of a US dollar.
    pub cost_microusd: u64,
}

fn schedule(row: &Row<'_>) -> Result<Schedule, StoreError> {
    Ok(Schedule {
        id: unsigned(row, "id")?,
        name: row.get("name")?,
        source: row.get("source")?,
        spec: json(row, "spec", "what a schedule says")?,
        paused: row.get("paused")?,
        counts_from: unsigned(row, "counts_from")?,
        next_at: maybe_unsigned(row, "next_at")?,
        created_at: unsigned(row, "created_at")?,
    })
}

fn tick(row: &Row<'_>) -> Result<Tick, StoreError> {
    Ok(Tick {
        id: unsigned(row, "id")?,
        instant: unsigned(row, "instant")?,
        seen_at: unsigned(row, "seen_at")?,
        cause: row.get("cause")?,
        outcome: row.get("outcome")?,
        reason: row.get("reason")?,
        run: row.get("run_id")?,
        run_state: row.get("run_state")?,
        run_reason: row.get("run_reason")?,
        run_ended_at: maybe_unsigned(row, "run_ended_at")?,
        cost_microusd: unsigned(row, "cost")?,
    })
}

/// Ticks with their runs, the columns that [`tick`] reads.
const TICKS: &str = "SELECT schedule_ticks.*, runs.state AS run_state, runs.reason AS run_reason, runs.ended_at AS run_ended_at,
        coalesce((SELECT sum(cost_microusd) FROM usage WHERE usage.run_id = schedule_ticks.run_id
                  AND schedule_ticks.outcome = 'run'), 0) AS cost
    FROM schedule_ticks LEFT JOIN runs ON runs.id = schedule_ticks.run_id";

/// Makes a schedule that has no time yet; see [`plan`].
///
/// # Errors
/// [`StoreError::Taken`] when there is one of that name.
pub fn insert(
    tx: &mut Tx<'_>,
    name: &ScheduleName,
    source: ScheduleSource,
    spec: &ScheduleSpec,
    paused: Option<&str>,
) -> Result<Schedule, StoreError> {
    if find(tx, name)?.is_some() {
        return Err(StoreError::Taken { what: "schedule", value: name.to_string() });
    }
    tx.change(
        "INSERT INTO schedules (name, source, spec, paused, counts_from, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        rusqlite::params![name, source, to_json(spec, "what a schedule says")?, paused, tx.now()],
    )?;
    named(tx, name)
}

/// The schedule of that name, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn find(ask: &impl Queryable, name: &ScheduleName) -> Result<Option<Schedule>, StoreError> {
    ask.maybe_row("SELECT * FROM schedules WHERE name = ?1", (name,), schedule)
}

/// The schedule of that name.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn named(ask: &impl Queryable, name: &ScheduleName) -> Result<Schedule, StoreError> {
    find(ask, name)?.ok_or_else(|| StoreError::NotFound { what: "schedule", key: name.to_string() })
}

/// The schedule of that id, if it is still there.
///
/// # Errors
/// Whatever the database says.
pub fn of_id(ask: &impl Queryable, id: u64) -> Result<Option<Schedule>, StoreError> {
    ask.maybe_row("SELECT * FROM schedules WHERE id = ?1", (to_sql_int(id),), schedule)
}

/// All of them, by name.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<Schedule>, StoreError> {
    ask.rows("SELECT * FROM schedules ORDER BY name", (), schedule)
}

/// What it says from now on.
///
/// # Errors
/// Whatever the database says.
pub fn set_spec(tx: &mut Tx<'_>, id: u64, spec: &ScheduleSpec) -> Result<(), StoreError> {
    let spec = to_json(spec, "what a schedule says")?;
    tx.change("UPDATE schedules SET spec = ?2 WHERE id = ?1", (to_sql_int(id), spec))?;
    Ok(())
}

/// It does nothing from now on, and why; or something again. Then failures and costs count anew.
///
/// # Errors
/// Whatever the database says.
pub fn set_paused(tx: &mut Tx<'_>, id: u64, why: Option<&str>) -> Result<(), StoreError> {
    tx.change(
        "UPDATE schedules SET paused = ?2, counts_from = CASE WHEN ?2 IS NULL THEN ?3 ELSE counts_from END WHERE id = ?1",
        (to_sql_int(id), why, tx.now()),
    )?;
    Ok(())
}

/// The next time of a schedule, with its timer: it is seen to at `due_at`.
///
/// # Errors
/// Whatever the database says.
pub fn plan(tx: &mut Tx<'_>, id: u64, next: Option<(u64, u64)>) -> Result<(), StoreError> {
    let next_at = next.map(|(instant, _)| to_sql_int(instant));
    tx.change("UPDATE schedules SET next_at = ?2 WHERE id = ?1", (to_sql_int(id), next_at))?;
    match next {
        Some((_, due_at)) => timers::set(tx, TIMER, &id.to_string(), due_at),
        None => timers::cancel(tx, TIMER, &id.to_string()),
    }
}

/// Forgets a schedule with its ticks and its timer; its runs stay.
///
/// # Errors
/// Whatever the database says.
pub fn remove(tx: &mut Tx<'_>, id: u64) -> Result<(), StoreError> {
    timers::cancel(tx, TIMER, &id.to_string())?;
    tx.change("DELETE FROM schedules WHERE id = ?1", (to_sql_int(id),))?;
    Ok(())
}

/// Notes what became of a time. Says no when that time was seen to already.
///
/// # Errors
/// Whatever the database says.
pub fn note(tx: &mut Tx<'_>, new: &NewTick) -> Result<bool, StoreError> {
    let written = tx.change(
        "INSERT INTO schedule_ticks (schedule_id, instant, seen_at, cause, outcome, reason, run_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (schedule_id, instant) WHERE cause <> 'person' DO NOTHING",
        rusqlite::params![
            to_sql_int(new.schedule),
            to_sql_int(new.instant),
            tx.now(),
            new.cause,
            new.outcome,
            new.reason,
            new.run,
        ],
    )?;
    tx.change(
        "DELETE FROM schedule_ticks WHERE schedule_id = ?1 AND (outcome <> 'run' OR seen_at < ?3) AND id <= (
             SELECT id FROM schedule_ticks WHERE schedule_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (to_sql_int(new.schedule), KEPT, tx.now() - SPENT_WITHIN_MS),
    )?;
    Ok(written > 0)
}

/// Whether that time was seen to.
///
/// # Errors
/// Whatever the database says.
pub fn is_noted(ask: &impl Queryable, id: u64, instant: u64) -> Result<bool, StoreError> {
    let found = ask.maybe_row(
        "SELECT 1 FROM schedule_ticks WHERE schedule_id = ?1 AND instant = ?2 AND cause <> 'person'",
        (to_sql_int(id), to_sql_int(instant)),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// The newest ticks of a schedule, the newest first.
///
/// # Errors
/// Whatever the database says.
pub fn ticks(ask: &impl Queryable, id: u64, limit: u32) -> Result<Vec<Tick>, StoreError> {
    let sql = format!("{TICKS} WHERE schedule_id = ?1 ORDER BY schedule_ticks.id DESC LIMIT ?2");
    ask.rows(&sql, (to_sql_int(id), limit), tick)
}

/// Ticks that wait for a run to end, with their schedules.
///
/// # Errors
/// Whatever the database says.
pub fn waiting(ask: &impl Queryable) -> Result<Vec<(u64, Tick)>, StoreError> {
    let sql = format!("{TICKS} WHERE outcome = 'waiting' ORDER BY schedule_ticks.id");
    ask.rows(&sql, (), |row| Ok((unsigned(row, "schedule_id")?, tick(row)?)))
}

/// What waited waits no more.
///
/// # Errors
/// Whatever the database says.
pub fn settle(
    tx: &mut Tx<'_>,
    tick: u64,
    outcome: TickOutcome,
    reason: Option<&str>,
    run: Option<&RunId>,
) -> Result<(), StoreError> {
    tx.change(
        "UPDATE schedule_ticks SET outcome = ?2, reason = ?3, run_id = coalesce(?4, run_id) WHERE id = ?1",
        rusqlite::params![to_sql_int(tick), outcome, reason, run],
    )?;
    Ok(())
}

/// How the newest runs of a schedule ended that ended since, the newest first.
///
/// # Errors
/// Whatever the database says.
pub fn ends(ask: &impl Queryable, id: u64, since: u64, limit: u32) -> Result<Vec<RunState>, StoreError> {
    ask.rows(
        "SELECT runs.state AS state FROM schedule_ticks JOIN runs ON runs.id = schedule_ticks.run_id
         WHERE schedule_id = ?1 AND outcome = 'run' AND runs.ended_at >= ?2
         ORDER BY runs.ended_at DESC, schedule_ticks.id DESC LIMIT ?3",
        (to_sql_int(id), to_sql_int(since), limit),
        |row| Ok(row.get("state")?),
    )
}

/// What model calls of its runs cost since, in millionths of a US dollar.
///
/// # Errors
/// Whatever the database says.
pub fn spent(ask: &impl Queryable, id: u64, since: u64) -> Result<u64, StoreError> {
    let sum = ask.maybe_row(
        "SELECT coalesce(sum(cost_microusd), 0) AS cost FROM usage WHERE usage.at >= ?2 AND run_id IN (
             SELECT run_id FROM schedule_ticks WHERE schedule_id = ?1 AND outcome = 'run')",
        (to_sql_int(id), to_sql_int(since)),
        |row| unsigned(row, "cost"),
    )?;
    Ok(sum.unwrap_or(0))
}

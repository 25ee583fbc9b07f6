//! Runs of workflows. Whoever makes or wakes one sets its timer in the same transaction, so it is never forgotten.

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, timers};
use crate::model::event::{EventKind, EventRef, Subject};
use crate::model::ids::RunId;
use crate::model::names::ProjectName;
use crate::model::run::{NewRun, Run, RunLogEntry, RunProgress, RunState};

/// The kind of the timers that wake runs; they are about the run's id.
pub const TIMER: &str = "run";

/// What became of a wish for a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Enqueued {
    /// It is there.
    New(Box<Run>),
    /// One with the same key is open: it goes on, and its timeline says that this came.
    Joined(RunId),
}

impl Enqueued {
    /// The run that sees to it.
    #[must_use]
    pub fn id(&self) -> &RunId {
        match self {
            Self::New(run) => &run.id,
            Self::Joined(id) => id,
        }
    }
}

fn run(row: &Row<'_>) -> Result<Run, StoreError> {
    Ok(Run {
        id: row.get("id")?,
        workflow: row.get("workflow")?,
        key: row.get("run_key")?,
        origin: row.get("origin")?,
        origin_ref: row.get("origin_ref")?,
        project: row.get("project")?,
        title: row.get("title")?,
        input: json(row, "input", "what a run was given")?,
        state: row.get("state")?,
        stage: row.get("stage")?,
        attempt: row.get("attempt")?,
        reason: row.get("reason")?,
        progress: json(row, "progress", "what a run found out")?,
        version: unsigned(row, "version")?,
        not_before: unsigned(row, "not_before")?,
        priority: row.get("priority")?,
        budget_microusd: maybe_unsigned(row, "budget_microusd")?,
        created_at: unsigned(row, "created_at")?,
        started_at: maybe_unsigned(row, "started_at")?,
        ended_at: maybe_unsigned(row, "ended_at")?,
    })
}

/// Makes a run, unless one with its key is open.
///
/// # Errors
/// Whatever the database says.
pub fn enqueue(tx: &mut Tx<'_>, id: RunId, new: &NewRun) -> Result<Enqueued, StoreError> {
    if let Some(open) = open_of_key(tx, &new.key)? {
        let text = format!("the same again: {}", new.title);
        log(tx, &open.id, &open.stage, "delivery", &text, None)?;
        return Ok(Enqueued::Joined(open.id));
    }
    let not_before = new.not_before.unwrap_or(tx.now_ms());
    tx.change(
        "INSERT INTO runs (id, workflow, run_key, origin, origin_ref, project, title, input, state, not_before, priority,
                           budget_microusd, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'queued', ?9, ?10, ?11, ?12)",
        rusqlite::params![
            id,
            new.workflow,
            new.key,
            new.origin,
            new.origin_ref,
            new.project,
            new.title,
            to_json(&new.input, "what a run was given")?,
            to_sql_int(not_before),
            new.priority,
            new.budget_microusd.map(to_sql_int),
            tx.now(),
        ],
    )?;
    log(tx, &id, "", "state", &format!("queued for workflow {}", new.workflow), None)?;
    timers::set(tx, TIMER, id.as_str(), not_before)?;
    let made = get(tx, &id)?;
    emit(tx, &made, None)?;
    Ok(Enqueued::New(Box::new(made)))
}

fn emit(tx: &mut Tx<'_>, run: &Run, from: Option<RunState>) -> Result<(), StoreError> {
    let subject = Subject {
        refs: vec![EventRef { kind: "run".to_owned(), id: run.id.to_string() }],
        ..Subject::default()
    };
    let moved = EventKind::RunMoved {
        run: run.id.to_string(),
        workflow: run.workflow.clone(),
        title: run.title.clone(),
        from,
        to: run.state,
        stage: run.stage.clone(),
        reason: run.reason.clone(),
    };
    tx.emit(&subject, &moved)?;
    Ok(())
}

/// The run of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &RunId) -> Result<Run, StoreError> {
    ask.maybe_row("SELECT * FROM runs WHERE id = ?1", (id,), run)?
        .ok_or_else(|| StoreError::NotFound { what: "run", key: id.to_string() })
}

/// The open run about that, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn open_of_key(ask: &impl Queryable, key: &str) -> Result<Option<Run>, StoreError> {
    ask.maybe_row(
        "SELECT * FROM runs WHERE run_key = ?1 AND state IN ('queued', 'running', 'waiting', 'held')",
        (key,),
        run,
    )
}

/// Runs about that, the newest first: for cooldowns.
///
/// # Errors
/// Whatever the database says.
pub fn of_key(ask: &impl Queryable, key: &str, limit: u32) -> Result<Vec<Run>, StoreError> {
    ask.rows(
        "SELECT * FROM runs WHERE run_key = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2",
        (key, limit),
        run,
    )
}

/// Runs that have not ended, the most urgent first.
///
/// # Errors
/// Whatever the database says.
pub fn open(ask: &impl Queryable) -> Result<Vec<Run>, StoreError> {
    ask.rows(
        "SELECT * FROM runs WHERE state IN ('queued', 'running', 'waiting', 'held')
         ORDER BY priority DESC, created_at, id",
        (),
        run,
    )
}

/// Runs made for one delivery, schedule or run, the newest first.
///
/// # Errors
/// Whatever the database says.
pub fn of_origin(ask: &impl Queryable, origin_ref: &str, limit: u32) -> Result<Vec<Run>, StoreError> {
    ask.rows(
        "SELECT * FROM runs WHERE origin_ref = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2",
        (origin_ref, limit),
        run,
    )
}

/// The newest runs.
///
/// # Errors
/// Whatever the database says.
pub fn newest(ask: &impl Queryable, limit: u32) -> Result<Vec<Run>, StoreError> {
    ask.rows("SELECT * FROM runs ORDER BY created_at DESC, id DESC LIMIT ?1", (limit,), run)
}

/// A change of a run.
#[derive(Clone, Debug)]
pub struct RunChange {
    /// How far it is now.
    pub state: RunState,
    /// In which stage.
    pub stage: String,
    /// How often in a row that failed.
    pub attempt: u32,
    /// Why it waits, is held or ended.
    pub reason: Option<String>,
    /// What it found out.
    pub progress: RunProgress,
    /// When it is looked at again; absent for those that end or wait for a person alone.
    pub wake_at: Option<u64>,
}

/// Changes a run, if nobody did since it was read.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody did, or it has ended.
pub fn change(tx: &mut Tx<'_>, seen: &Run, change: &RunChange) -> Result<Run, StoreError> {
    let is_end = change.state.is_end();
    tx.change_exactly_one(
        "run",
        "UPDATE runs SET state = ?3, stage = ?4, attempt = ?5, reason = ?6, progress = ?7, not_before = ?8,
                version = version + 1, started_at = coalesce(started_at, ?9), ended_at = ?10
         WHERE id = ?1 AND version = ?2 AND state IN ('queued', 'running', 'waiting', 'held')",
        rusqlite::params![
            seen.id,
            to_sql_int(seen.version),
            change.state,
            change.stage,
            change.attempt,
            change.reason,
            to_json(&change.progress, "what a run found out")?,
            to_sql_int(change.wake_at.unwrap_or(seen.not_before)),
            (change.state != RunState::Queued).then(|| tx.now()),
            is_end.then(|| tx.now()),
        ],
    )?;
    let is_woken =
        tx.maybe_row("SELECT woken FROM runs WHERE id = ?1", (&seen.id,), |row| Ok(row.get("woken")?))?;
    // Who was told of something while a stage worked looks once more; the millisecond keeps this timer apart from the
    // one that fires now.
    let wake_at = if is_woken == Some(true) { Some(tx.now_ms() + 1) } else { change.wake_at };
    match wake_at {
        Some(at) if !is_end => timers::set(tx, TIMER, seen.id.as_str(), at)?,
        _ => timers::cancel(tx, TIMER, seen.id.as_str())?,
    }
    let now = get(tx, &seen.id)?;
    if now.state != seen.state || now.stage != seen.stage {
        emit(tx, &now, Some(seen.state))?;
    }
    Ok(now)
}

/// A pass looks at the run now: what others told until here is seen by it.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn look(tx: &mut Tx<'_>, id: &RunId) -> Result<Run, StoreError> {
    tx.change("UPDATE runs SET woken = 0 WHERE id = ?1 AND woken = 1", (id,))?;
    get(tx, id)
}

/// Adds a line to a run's timeline.
///
/// # Errors
/// Whatever the database says.
pub fn log(
    tx: &mut Tx<'_>,
    id: &RunId,
    stage: &str,
    kind: &str,
    text: &str,
    link: Option<&str>,
) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO run_log (run_id, at, stage, kind, text, link) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        rusqlite::params![id, tx.now(), stage, kind, text, link],
    )?;
    Ok(())
}

/// A run's timeline, in order.
///
/// # Errors
/// Whatever the database says.
pub fn timeline(ask: &impl Queryable, id: &RunId) -> Result<Vec<RunLogEntry>, StoreError> {
    ask.rows("SELECT * FROM run_log WHERE run_id = ?1 ORDER BY id", (id,), |row| {
        Ok(RunLogEntry {
            id: unsigned(row, "id")?,
            at: unsigned(row, "at")?,
            stage: row.get("stage")?,
            kind: row.get("kind")?,
            text: row.get("text")?,
            link: row.get("link")?,
        })
    })
}

/// Notes a name under which others tell of a run's matter. May be repeated.
///
/// # Errors
/// Whatever the database says.
pub fn name(tx: &mut Tx<'_>, id: &RunId, name: &str) -> Result<(), StoreError> {
    tx.change("INSERT INTO run_names (name, run_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING", (name, id))?;
    Ok(())
}

/// Somebody told of something of that name: open runs that have it look at once. Says which. What was told is not
/// passed on: they ask the outside themselves, so a message that is lost or false does no harm.
///
/// # Errors
/// Whatever the database says.
pub fn wake_named(tx: &mut Tx<'_>, name: &str, why: &str) -> Result<Vec<RunId>, StoreError> {
    let woken: Vec<(RunId, String)> = tx.rows(
        "SELECT runs.id, runs.stage FROM run_names JOIN runs ON runs.id = run_names.run_id
         WHERE name = ?1 AND state IN ('queued', 'running', 'waiting', 'held')",
        (name,),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let now = tx.now_ms();
    for (id, stage) in &woken {
        log(tx, id, stage, "delivery", why, None)?;
        tx.change("UPDATE runs SET woken = 1 WHERE id = ?1", (id,))?;
        timers::set(tx, TIMER, id.as_str(), now)?;
    }
    Ok(woken.into_iter().map(|(id, _)| id).collect())
}

/// What the model calls of a run cost, in millionths of a US dollar.
///
/// # Errors
/// Whatever the database says.
pub fn spent(ask: &impl Queryable, id: &RunId) -> Result<u64, StoreError> {
    let sum = ask.maybe_row(
        "SELECT coalesce(sum(cost_microusd), 0) AS cost FROM usage WHERE run_id = ?1",
        (id,),
        |row| unsigned(row, "cost"),
    )?;
    Ok(sum.unwrap_or(0))
}

/// When the other runs of a project began to open their pull requests since a time (UTC ms), in order.
///
/// # Errors
/// Whatever the database says.
pub fn pulls_since(
    ask: &impl Queryable,
    project: Option<&ProjectName>,
    since_ms: u64,
    except: &RunId,
) -> Result<Vec<u64>, StoreError> {
    ask.rows(
        "SELECT min(run_log.at) AS at FROM run_log JOIN runs ON runs.id = run_log.run_id
         WHERE run_log.kind = 'pull' AND run_log.at >= ?1 AND runs.project IS ?2 AND runs.id <> ?3
         GROUP BY runs.id ORDER BY at",
        (to_sql_int(since_ms), project, except),
        |row| unsigned(row, "at"),
    )
}

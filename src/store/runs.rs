//! Runs of workflows. Whoever makes or wakes one sets its timer in the same transaction, so it is never forgotten.

use std::collections::BTreeMap;

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, timers};
use crate::model::event::{EventKind, EventRef, Subject};
use crate::model::ids::RunId;
use crate::model::names::ProjectName;
use crate::model::origin::Origin;
use crate::model::run::{NewRun, Run, RunLogEntry, RunPlace, RunProgress, RunState};

/// The kind of the timers that wake runs; they are about the run's id.
pub const TIMER: &str = "run";

/// The kind of the timers after which what an ended run leaves behind goes: about its id, or about that and `/again`.
pub const CLEAN_UP: &str = "run.clean";
/// By then what was on its way when a run ended has arrived.
const CLEAN_UP_AGAIN_MS: u64 = 5 * 60 * 1000;
/// So many letters name a run.
const SHORTEST_WORD: usize = 4;

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
        log(tx, &open.id, &open.stage, "delivery", &text, link_of(new).as_deref())?;
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
    let text = format!("queued for workflow {}", new.workflow);
    log(tx, &id, "", "state", &text, link_of(new).as_deref())?;
    timers::set(tx, TIMER, id.as_str(), not_before)?;
    let made = get(tx, &id)?;
    emit(tx, &made, None)?;
    Ok(Enqueued::New(Box::new(made)))
}

/// Where it can be looked at what wants the run.
fn link_of(new: &NewRun) -> Option<String> {
    let wanted_by = new.origin_ref.as_deref()?;
    (new.origin == Origin::Webhook).then(|| format!("mimir webhooks show {wanted_by}"))
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
    /// Whether it keeps its place among those at work, or goes on wanting one. Those that end never do.
    pub keeps_place: bool,
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
                version = version + 1, started_at = coalesce(started_at, ?9), ended_at = ?10,
                place = CASE WHEN ?11 THEN place ELSE 'none' END
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
            change.keeps_place && !is_end,
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
    if is_end {
        set_clean_up(tx, &seen.id)?;
    }
    let now = get(tx, &seen.id)?;
    // Who is asked for something else than before is asked anew.
    let is_asked_anew = now.state == RunState::Held && now.progress.held != seen.progress.held;
    if now.state != seen.state || now.stage != seen.stage || is_asked_anew {
        emit(tx, &now, Some(seen.state))?;
    }
    Ok(now)
}

/// What is left of a run that ended goes: at once, and once more when whatever was on its way has arrived.
fn set_clean_up(tx: &mut Tx<'_>, id: &RunId) -> Result<(), StoreError> {
    let now = tx.now_ms();
    timers::set(tx, CLEAN_UP, id.as_str(), now)?;
    timers::set(tx, CLEAN_UP, &format!("{id}/again"), now + CLEAN_UP_AGAIN_MS)
}

/// A pass looks at the run now: what others told until here is seen by it. One that waits is due then, also for whoever
/// looks after a crash; one that has not begun keeps its time.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn look(tx: &mut Tx<'_>, id: &RunId) -> Result<(Run, bool), StoreError> {
    let now = tx.now();
    let woken = tx.change(
        "UPDATE runs SET woken = 0,
                not_before = CASE WHEN state = 'waiting' THEN min(not_before, ?2) ELSE not_before END
          WHERE id = ?1 AND woken = 1",
        (id, now),
    )?;
    Ok((get(tx, id)?, woken > 0))
}

/// Sees to it that a run that rests until its time is looked at then.
///
/// # Errors
/// Whatever the database says.
pub fn rest(tx: &mut Tx<'_>, run: &Run) -> Result<(), StoreError> {
    match timers::find(tx, TIMER, run.id.as_str())? {
        Some(timer) if timer.due_at <= run.not_before && timer.due_at > tx.now_ms() => Ok(()),
        _ => timers::set(tx, TIMER, run.id.as_str(), run.not_before),
    }
}

/// Keeps the workflow as it is now: the run follows it to its end, whatever becomes of the file.
///
/// # Errors
/// [`StoreError::Conflict`] when it has one.
pub fn adopt(tx: &mut Tx<'_>, id: &RunId, definition: &str, parallel: u32) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the workflow of a run",
        "UPDATE runs SET definition = ?2, parallel = ?3 WHERE id = ?1 AND definition IS NULL",
        (id, definition, parallel),
    )
}

/// The workflow that a run follows, as JSON; none before it began.
///
/// # Errors
/// Whatever the database says.
pub fn definition(ask: &impl Queryable, id: &RunId) -> Result<Option<String>, StoreError> {
    let found = ask.maybe_row("SELECT definition FROM runs WHERE id = ?1", (id,), |row| Ok(row.get(0)?))?;
    Ok(found.flatten())
}

/// Takes a place among the runs at work, or takes its place in the line of those that want one: the most urgent first,
/// then the oldest, those of a workflow that has as many at work as it may passed over. Says whether it has one.
///
/// # Errors
/// Whatever the database says.
pub fn take_place(tx: &mut Tx<'_>, id: &RunId, most: u32) -> Result<bool, StoreError> {
    tx.change("UPDATE runs SET place = 'wanted' WHERE id = ?1 AND place = 'none'", (id,))?;
    let has = tx.maybe_row("SELECT place FROM runs WHERE id = ?1", (id,), |row| Ok(row.get("place")?))?;
    if has == Some(RunPlace::Taken) {
        return Ok(true);
    }
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for workflow in tx.rows("SELECT workflow FROM runs WHERE place = 'taken'", (), |row| Ok(row.get(0)?))? {
        *taken.entry(workflow).or_default() += 1;
    }
    let mut free = most.saturating_sub(taken.values().sum());
    let line: Vec<(RunId, String, u32)> = tx.rows(
        "SELECT id, workflow, coalesce(parallel, 1) FROM runs WHERE place = 'wanted'
          ORDER BY priority DESC, created_at, id",
        (),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    for (other, workflow, parallel) in line {
        let of_workflow = taken.entry(workflow).or_default();
        if *of_workflow >= parallel {
            continue;
        }
        if free == 0 {
            return Ok(false);
        }
        if other == *id {
            tx.change("UPDATE runs SET place = 'taken' WHERE id = ?1", (id,))?;
            return Ok(true);
        }
        *of_workflow += 1;
        free -= 1;
    }
    Ok(false)
}

/// The place that a run has among those at work, or waits for; none when it has none and wants none.
///
/// # Errors
/// Whatever the database says.
pub fn place(ask: &impl Queryable, id: &RunId) -> Result<Option<RunPlace>, StoreError> {
    ask.maybe_row("SELECT place FROM runs WHERE id = ?1 AND place <> 'none'", (id,), |row| {
        Ok(row.get("place")?)
    })
}

/// Runs that want a place among those at work, in the order in which they get one.
///
/// # Errors
/// Whatever the database says.
pub fn in_line(ask: &impl Queryable) -> Result<Vec<RunId>, StoreError> {
    ask.rows("SELECT id FROM runs WHERE place = 'wanted' ORDER BY priority DESC, created_at, id", (), |row| {
        Ok(row.get(0)?)
    })
}

/// How many runs of a workflow and project failed since that time, and since one of them succeeded.
///
/// # Errors
/// Whatever the database says.
pub fn failures(
    ask: &impl Queryable,
    workflow: &str,
    project: Option<&ProjectName>,
    since: u64,
) -> Result<u32, StoreError> {
    let count = ask.maybe_row(
        "SELECT count(*) FROM runs
          WHERE workflow = ?1 AND project IS ?2 AND state = 'failed' AND ended_at >= ?3
            AND ended_at > coalesce((SELECT max(ended_at) FROM runs
                                      WHERE workflow = ?1 AND project IS ?2 AND state = 'succeeded'), 0)",
        (workflow, project, to_sql_int(since)),
        |row| Ok(row.get(0)?),
    )?;
    Ok(count.unwrap_or(0))
}

/// Gives a run that has not begun what another one had found out, and the stage to begin in.
///
/// # Errors
/// [`StoreError::Conflict`] when it has begun.
pub fn carry_over(
    tx: &mut Tx<'_>,
    id: &RunId,
    stage: &str,
    progress: &RunProgress,
) -> Result<(), StoreError> {
    let progress = to_json(progress, "what a run found out")?;
    tx.change_exactly_one(
        "the run",
        "UPDATE runs SET stage = ?2, progress = ?3 WHERE id = ?1 AND state = 'queued' AND definition IS NULL",
        (id, stage, progress),
    )
}

/// Which runs a list shows.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// In that state.
    pub state: Option<RunState>,
    /// Only those that have not ended.
    pub open: bool,
    /// Of that workflow.
    pub workflow: Option<String>,
    /// Of that project.
    pub project: Option<ProjectName>,
}

/// Runs, the newest first.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable, filter: &RunFilter, limit: u32) -> Result<Vec<Run>, StoreError> {
    ask.rows(
        "SELECT * FROM runs
          WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR workflow = ?2) AND (?3 IS NULL OR project = ?3)
            AND (NOT ?4 OR state IN ('queued', 'running', 'waiting', 'held'))
          ORDER BY created_at DESC, id DESC LIMIT ?5",
        (filter.state, &filter.workflow, &filter.project, filter.open, limit),
        run,
    )
}

/// The runs that a word may mean: an id, or the end of one.
///
/// # Errors
/// Whatever the database says.
pub fn named(ask: &impl Queryable, word: &str) -> Result<Vec<RunId>, StoreError> {
    let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if word.len() < SHORTEST_WORD || !plain {
        return Ok(Vec::new());
    }
    ask.rows(
        "SELECT id FROM runs WHERE id = ?1 OR substr(id, -length(?1)) = ?1 ORDER BY created_at DESC LIMIT 10",
        (word,),
        |row| Ok(row.get(0)?),
    )
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

/// Where what a run waits for, is asked or ended with can be looked at: its pull request, once there is one.
#[must_use]
pub fn pull_link(run: &Run) -> Option<&str> {
    run.progress.pull.as_ref().map(|pull| pull.url.as_str())
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
    wake_named_with(tx, name, why, None)
}

/// The same, with a link to what told of it.
///
/// # Errors
/// Whatever the database says.
pub fn wake_named_with(
    tx: &mut Tx<'_>,
    name: &str,
    why: &str,
    link: Option<&str>,
) -> Result<Vec<RunId>, StoreError> {
    let woken: Vec<(RunId, String)> = tx.rows(
        "SELECT runs.id, runs.stage FROM run_names JOIN runs ON runs.id = run_names.run_id
         WHERE name = ?1 AND state IN ('queued', 'running', 'waiting', 'held')",
        (name,),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let now = tx.now_ms();
    for (id, stage) in &woken {
        log(tx, id, stage, "delivery", why, link)?;
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

/// What those of its calls cost that ended since then (UTC ms, inclusive).
///
/// # Errors
/// Whatever the database says.
pub fn spent_since(ask: &impl Queryable, id: &RunId, since_ms: u64) -> Result<u64, StoreError> {
    let sum = ask.maybe_row(
        "SELECT coalesce(sum(cost_microusd), 0) AS cost FROM usage WHERE run_id = ?1 AND at >= ?2",
        (id, to_sql_int(since_ms)),
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

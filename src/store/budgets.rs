//! What may be spent, and what of it is.

use rusqlite::Row;

use super::values::{maybe_unsigned, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx, meta};
use crate::model::agent::AgentSessionId;
use crate::model::budget::{BudgetKey, BudgetPeriod, BudgetScope, Standing};
use crate::model::ids::{FrameId, ProjectId, RunId};

/// Whether spending is paused.
const PAUSED: &str = "spending.paused";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Limits that hold where none is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Of each frame, in all.
    pub frame: Option<u64>,
    /// Of everything together, a day.
    pub day: Option<u64>,
    /// Of everything together, a month.
    pub month: Option<u64>,
}

impl Defaults {
    fn of(&self, scope: BudgetScope) -> impl Iterator<Item = (BudgetPeriod, u64)> {
        let all = [
            (BudgetScope::Frame, BudgetPeriod::Total, self.frame),
            (BudgetScope::Home, BudgetPeriod::Day, self.day),
            (BudgetScope::Home, BudgetPeriod::Month, self.month),
        ];
        all.into_iter()
            .filter(move |(of, _, limit)| *of == scope && limit.is_some())
            .map(|(_, period, limit)| (period, limit.unwrap_or_default()))
    }
}

/// Who pays for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The frame.
    pub frame: FrameId,
    /// The project that it belongs to.
    pub project: Option<ProjectId>,
    /// The conversation's session with the agent: of a sub-agent, the one that began it.
    pub root: Option<AgentSessionId>,
    /// The run that it works for.
    pub run: Option<RunId>,
}

/// How deep sub-agents may be nested; a stranger says who began whom.
const DEEPEST: u32 = 32;

/// Who pays for what a session of a frame uses.
///
/// # Errors
/// Whatever the database says.
pub fn payer(
    ask: &impl Queryable,
    frame: &FrameId,
    session: Option<&AgentSessionId>,
) -> Result<Payer, StoreError> {
    let found = ask.maybe_row("SELECT project_id, run_id FROM frames WHERE id = ?1", (frame,), |row| {
        Ok((row.get("project_id")?, row.get("run_id")?))
    })?;
    let (project, run_of_frame) = found.unwrap_or_default();
    let root = session.map(|session| root_of(ask, frame, session)).transpose()?;
    let run = match (&root, run_of_frame) {
        (Some(root), None) => run_of_session(ask, frame, root)?,
        (_, run) => run,
    };
    Ok(Payer { frame: frame.clone(), project, root, run })
}

fn root_of(
    ask: &impl Queryable,
    frame: &FrameId,
    session: &AgentSessionId,
) -> Result<AgentSessionId, StoreError> {
    let found = ask.maybe_row(
        "WITH RECURSIVE above (session, depth) AS (
             VALUES (?2, 0)
             UNION ALL
             SELECT parent, depth + 1 FROM above JOIN agent_parents USING (session)
              WHERE agent_parents.frame_id = ?1 AND depth < ?3)
         SELECT session FROM above ORDER BY depth DESC LIMIT 1",
        (frame, session, DEEPEST),
        |row| Ok(row.get("session")?),
    )?;
    Ok(found.unwrap_or_else(|| session.clone()))
}

/// The run of the message that a conversation works on.
fn run_of_session(
    ask: &impl Queryable,
    frame: &FrameId,
    root: &AgentSessionId,
) -> Result<Option<RunId>, StoreError> {
    let found = ask.maybe_row(
        "SELECT run_id FROM messages
          WHERE session_id = (SELECT id FROM sessions WHERE frame_id = ?1 AND agent_session = ?2)
            AND state IN ('sending', 'sent', 'running')
          ORDER BY created_at LIMIT 1",
        (frame, root),
        |row| Ok(row.get("run_id")?),
    )?;
    Ok(found.flatten())
}

/// Remembers which session began another. The first word counts: an agent cannot change its mind about who pays.
///
/// # Errors
/// Whatever the database says.
pub fn note_parent(
    tx: &mut Tx<'_>,
    frame: &FrameId,
    session: &AgentSessionId,
    parent: &AgentSessionId,
) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO agent_parents (frame_id, session, parent) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        (frame, session, parent),
    )?;
    Ok(())
}

/// Sets a budget; no limit at all where the configuration has one when `limit` is none.
///
/// # Errors
/// Whatever the database says.
pub fn set(tx: &mut Tx<'_>, key: &BudgetKey, limit: Option<u64>) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO budgets (scope, subject, period, limit_microusd, set_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (scope, subject, period)
         DO UPDATE SET limit_microusd = excluded.limit_microusd, set_at = excluded.set_at",
        (key.scope, &key.subject, key.period, limit.map(to_sql_int), tx.now()),
    )?;
    Ok(())
}

/// Takes a budget away. Says whether there was one.
///
/// # Errors
/// Whatever the database says.
pub fn remove(tx: &mut Tx<'_>, key: &BudgetKey) -> Result<bool, StoreError> {
    let gone = tx.change(
        "DELETE FROM budgets WHERE scope = ?1 AND subject = ?2 AND period = ?3",
        (key.scope, &key.subject, key.period),
    )?;
    Ok(gone > 0)
}

/// Every budget that was set, with its limit.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<(BudgetKey, Option<u64>)>, StoreError> {
    ask.rows("SELECT * FROM budgets ORDER BY scope, subject, period", (), |row| {
        Ok((key(row)?, maybe_unsigned(row, "limit_microusd")?))
    })
}

fn key(row: &Row<'_>) -> Result<BudgetKey, StoreError> {
    Ok(BudgetKey { scope: row.get("scope")?, subject: row.get("subject")?, period: row.get("period")? })
}

/// The budgets that a payer is held to, as they stand.
///
/// # Errors
/// Whatever the database says.
pub fn of_payer(
    ask: &impl Queryable,
    payer: &Payer,
    defaults: Defaults,
    now_ms: u64,
) -> Result<Vec<Standing>, StoreError> {
    let session = match &payer.root {
        Some(root) => ask.maybe_row(
            "SELECT id FROM sessions WHERE frame_id = ?1 AND agent_session = ?2",
            (&payer.frame, root),
            |row| Ok(row.get::<_, String>("id")?),
        )?,
        None => None,
    };
    let subjects = [
        (BudgetScope::Home, Some(String::new())),
        (BudgetScope::Project, payer.project.as_ref().map(ToString::to_string)),
        (BudgetScope::Frame, Some(payer.frame.to_string())),
        (BudgetScope::Session, session),
        (BudgetScope::Run, payer.run.as_ref().map(ToString::to_string)),
    ];
    let mut all = Vec::new();
    for (scope, subject) in subjects {
        let Some(subject) = subject else { continue };
        all.extend(of_subject(ask, scope, &subject, defaults, now_ms)?);
    }
    Ok(all)
}

/// The budgets of one subject, as they stand.
///
/// # Errors
/// Whatever the database says.
pub fn of_subject(
    ask: &impl Queryable,
    scope: BudgetScope,
    subject: &str,
    defaults: Defaults,
    now_ms: u64,
) -> Result<Vec<Standing>, StoreError> {
    let mut limits = ask.rows(
        "SELECT period, limit_microusd FROM budgets WHERE scope = ?1 AND subject = ?2 ORDER BY period",
        (scope, subject),
        |row| Ok((row.get::<_, BudgetPeriod>("period")?, maybe_unsigned(row, "limit_microusd")?)),
    )?;
    for (period, limit) in defaults.of(scope) {
        if !limits.iter().any(|(set, _)| *set == period) {
            limits.push((period, Some(limit)));
        }
    }
    let limited = limits.into_iter().filter_map(|(period, limit)| limit.map(|limit| (period, limit)));
    let mut all = Vec::new();
    for (period, limit) in limited {
        let key = BudgetKey { scope, subject: subject.to_owned(), period };
        all.push(standing(ask, key, limit, now_ms)?);
    }
    Ok(all)
}

fn standing(
    ask: &impl Queryable,
    key: BudgetKey,
    limit_microusd: u64,
    now_ms: u64,
) -> Result<Standing, StoreError> {
    let (spent_microusd, reserved_microusd) = (
        spent(ask, key.scope, &key.subject, key.period.began(now_ms))?,
        reserved(ask, key.scope, &key.subject)?,
    );
    let name = name(ask, key.scope, &key.subject)?;
    Ok(Standing { key, name, limit_microusd, spent_microusd, reserved_microusd })
}

/// Which rows of `running_calls` a subject (`?1`) pays for.
fn of(scope: BudgetScope) -> &'static str {
    match scope {
        BudgetScope::Home => "?1 IS NOT NULL",
        BudgetScope::Project => "project_id = ?1",
        BudgetScope::Frame => "frame_id = ?1",
        BudgetScope::Session => {
            "frame_id = (SELECT frame_id FROM sessions WHERE id = ?1)
             AND root_session = (SELECT agent_session FROM sessions WHERE id = ?1)"
        }
        BudgetScope::Run => "run_id = ?1",
    }
}

/// What a subject has spent since then, in millionths of a US dollar; since the beginning of a day (UTC ms), or of all time.
/// Read from what is counted with every booking: the books themselves grow for ever.
///
/// # Errors
/// Whatever the database says.
pub fn spent(
    ask: &impl Queryable,
    scope: BudgetScope,
    subject: &str,
    since_ms: u64,
) -> Result<u64, StoreError> {
    let known_as = match scope {
        BudgetScope::Session => "(SELECT frame_id || '/' || agent_session FROM sessions WHERE id = ?2)",
        BudgetScope::Home | BudgetScope::Project | BudgetScope::Frame | BudgetScope::Run => "?2",
    };
    let days = if since_ms == 0 { "day = -1 AND ?3 = 0" } else { "day >= ?3" };
    let sql = format!(
        "SELECT coalesce(sum(microusd), 0) AS spent FROM spent WHERE scope = ?1 AND subject = {known_as} AND {days}"
    );
    let since_day = to_sql_int(since_ms / DAY_MS);
    let sum = ask.maybe_row(&sql, (scope, subject, since_day), |row| unsigned(row, "spent"))?;
    Ok(sum.unwrap_or_default())
}

fn reserved(ask: &impl Queryable, scope: BudgetScope, subject: &str) -> Result<u64, StoreError> {
    let sql =
        format!("SELECT coalesce(sum(reserved_microusd), 0) AS held FROM running_calls WHERE {}", of(scope));
    let sum = ask.maybe_row(&sql, (subject,), |row| unsigned(row, "held"))?;
    Ok(sum.unwrap_or_default())
}

/// What people call a subject; its id when it is gone.
fn name(ask: &impl Queryable, scope: BudgetScope, subject: &str) -> Result<String, StoreError> {
    let sql = match scope {
        BudgetScope::Project => "SELECT name FROM projects WHERE id = ?1",
        BudgetScope::Frame => "SELECT name FROM frames WHERE id = ?1",
        BudgetScope::Home | BudgetScope::Session | BudgetScope::Run => return Ok(subject.to_owned()),
    };
    let found = ask.maybe_row(sql, (subject,), |row| Ok(row.get::<_, String>("name")?))?;
    Ok(found.unwrap_or_else(|| subject.to_owned()))
}

/// Whether spending is paused.
///
/// # Errors
/// Whatever the database says.
pub fn is_paused(ask: &impl Queryable) -> Result<bool, StoreError> {
    Ok(meta::find(ask, PAUSED)?.is_some_and(|word| word == "yes"))
}

/// Pauses spending, or lets it go on. Says whether that changed anything.
///
/// # Errors
/// Whatever the database says.
pub fn set_paused(tx: &mut Tx<'_>, paused: bool) -> Result<bool, StoreError> {
    let changed = is_paused(tx)? != paused;
    if changed {
        meta::set(tx, PAUSED, if paused { "yes" } else { "no" })?;
    }
    Ok(changed)
}

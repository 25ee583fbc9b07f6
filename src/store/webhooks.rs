//! What other programs told us, and by what it is known when it comes again.

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::git::Repository;
use crate::model::ids::RunId;
use crate::model::names::ProjectName;
use crate::model::webhook::{Webhook, WebhookState};

/// Something that came, and is to be stored.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// A fresh one.
    pub id: String,
    /// The sender's name in the configuration.
    pub source: String,
    /// What its sender calls it.
    pub event: String,
    /// By what it is known when it comes again: any of them is enough.
    pub keys: Vec<String>,
    /// What is known by its keys for longer than that (UTC ms) is forgotten: then it is new.
    pub known_since: Option<u64>,
    /// Those of a list.
    pub headers: Vec<(String, String)>,
    /// Word for word.
    pub body: Vec<u8>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there, under that id.
    New(String),
    /// It was there before, under that id.
    Duplicate(String),
}

/// The words of something that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Those of a list.
    pub headers: Vec<(String, String)>,
    /// Word for word.
    pub body: Vec<u8>,
}

/// What was decided about it.
#[derive(Clone, Debug)]
pub struct Ending {
    /// How it ended.
    pub state: WebhookState,
    /// What its sender calls it.
    pub event: String,
    /// What came of it, in a sentence.
    pub reason: String,
    /// What it is about, as the key of runs.
    pub matter: Option<String>,
    /// The run that sees to it.
    pub run: Option<RunId>,
    /// Whose run it began, if it began one.
    pub began_for: Option<Option<ProjectName>>,
}

const COLUMNS: &str = "id, source, event, received_at, state, reason, decided_at, matter, run_id, duplicates,
                       length(body) AS size";

fn webhook(row: &Row<'_>) -> Result<Webhook, StoreError> {
    Ok(Webhook {
        id: row.get("id")?,
        source: row.get("source")?,
        event: row.get("event")?,
        received_at: unsigned(row, "received_at")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        decided_at: maybe_unsigned(row, "decided_at")?,
        matter: row.get("matter")?,
        run: row.get("run_id")?,
        duplicates: unsigned(row, "duplicates")?,
        size_bytes: unsigned(row, "size")?,
    })
}

/// Stores what came, once.
///
/// # Errors
/// Whatever the database says.
pub fn insert_once(tx: &mut Tx<'_>, new: &NewWebhook) -> Result<Stored, StoreError> {
    let known_since = to_sql_int(new.known_since.unwrap_or(0));
    for key in &new.keys {
        let known: Option<String> = tx.maybe_row(
            "SELECT delivery FROM webhook_keys WHERE source = ?1 AND key = ?2 AND at >= ?3",
            (&new.source, key, known_since),
            |row| Ok(row.get(0)?),
        )?;
        if let Some(id) = known {
            tx.change("UPDATE webhooks_received SET duplicates = duplicates + 1 WHERE id = ?1", (&id,))?;
            return Ok(Stored::Duplicate(id));
        }
    }
    tx.change(
        "INSERT INTO webhooks_received (id, source, event, received_at, headers, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        rusqlite::params![
            new.id,
            new.source,
            new.event,
            tx.now(),
            to_json(&new.headers, "headers")?,
            new.body
        ],
    )?;
    for key in &new.keys {
        tx.change(
            "INSERT INTO webhook_keys (source, key, delivery, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (source, key) DO UPDATE SET delivery = excluded.delivery, at = excluded.at",
            (&new.source, key, &new.id, tx.now()),
        )?;
    }
    Ok(Stored::New(new.id.clone()))
}

/// What is not decided yet, the oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn to_decide(ask: &impl Queryable, limit: u32) -> Result<Vec<(Webhook, Content)>, StoreError> {
    ask.rows(
        &format!(
            "SELECT {COLUMNS}, headers, body FROM webhooks_received WHERE state = 'received'
             ORDER BY received_at, id LIMIT ?1"
        ),
        (limit,),
        |row| Ok((webhook(row)?, content(row)?)),
    )
}

fn content(row: &Row<'_>) -> Result<Content, StoreError> {
    Ok(Content { headers: json(row, "headers", "headers")?, body: row.get("body")? })
}

/// Something that came, with its words.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &str) -> Result<(Webhook, Content), StoreError> {
    ask.maybe_row(
        &format!("SELECT {COLUMNS}, headers, body FROM webhooks_received WHERE id = ?1"),
        (id,),
        |row| Ok((webhook(row)?, content(row)?)),
    )?
    .ok_or_else(|| StoreError::NotFound { what: "webhook", key: id.to_owned() })
}

/// What came, the newest first.
///
/// # Errors
/// Whatever the database says.
pub fn list(
    ask: &impl Queryable,
    source: Option<&str>,
    state: Option<WebhookState>,
    limit: u32,
) -> Result<Vec<Webhook>, StoreError> {
    ask.rows(
        &format!(
            "SELECT {COLUMNS} FROM webhooks_received
             WHERE (?1 IS NULL OR source = ?1) AND (?2 IS NULL OR state = ?2)
             ORDER BY received_at DESC, id DESC LIMIT ?3"
        ),
        (source, state, limit),
        webhook,
    )
}

/// The newest of a sender.
///
/// # Errors
/// Whatever the database says.
pub fn newest_of(ask: &impl Queryable, source: &str) -> Result<Option<Webhook>, StoreError> {
    Ok(list(ask, Some(source), None, 1)?.pop())
}

/// Ends it, unless somebody did meanwhile: says whether it was done now.
///
/// # Errors
/// Whatever the database says.
pub fn settle(tx: &mut Tx<'_>, id: &str, ending: &Ending) -> Result<bool, StoreError> {
    let changed = tx.change(
        "UPDATE webhooks_received SET state = ?2, event = ?3, reason = ?4, matter = ?5, run_id = ?6, project = ?7,
                is_new = ?8, decided_at = ?9
         WHERE id = ?1 AND state = 'received'",
        rusqlite::params![
            id,
            ending.state,
            ending.event,
            ending.reason,
            ending.matter,
            ending.run,
            ending.began_for.clone().flatten(),
            ending.began_for.is_some(),
            tx.now(),
        ],
    )?;
    Ok(changed == 1)
}

/// Whether it still waits to be decided.
///
/// # Errors
/// Whatever the database says.
pub fn is_open(ask: &impl Queryable, id: &str) -> Result<bool, StoreError> {
    let found =
        ask.maybe_row("SELECT 1 FROM webhooks_received WHERE id = ?1 AND state = 'received'", (id,), |_| {
            Ok(())
        })?;
    Ok(found.is_some())
}

/// Deciding about it failed once more; says how often in a row.
///
/// # Errors
/// Whatever the database says.
pub fn note_failure(tx: &mut Tx<'_>, id: &str) -> Result<u64, StoreError> {
    let attempts = tx.maybe_row(
        "UPDATE webhooks_received SET attempts = attempts + 1 WHERE id = ?1 RETURNING attempts",
        (id,),
        |row| unsigned(row, "attempts"),
    )?;
    Ok(attempts.unwrap_or(0))
}

/// Lets it be decided again, whatever came of it before.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn reopen(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    let changed = tx.change(
        "UPDATE webhooks_received SET state = 'received', reason = NULL, decided_at = NULL, run_id = NULL, is_new = 0,
                attempts = 0
         WHERE id = ?1",
        (id,),
    )?;
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::NotFound { what: "webhook", key: id.to_owned() }),
    }
}

/// How many runs a sender began for a project since then.
///
/// # Errors
/// Whatever the database says.
pub fn begun_since(
    ask: &impl Queryable,
    source: &str,
    project: Option<&ProjectName>,
    since_ms: u64,
) -> Result<u32, StoreError> {
    let count = ask.maybe_row(
        "SELECT count(*) FROM webhooks_received
         WHERE is_new = 1 AND source = ?1 AND project IS ?2 AND decided_at > ?3",
        (source, project, to_sql_int(since_ms)),
        |row| Ok(row.get(0)?),
    )?;
    Ok(count.unwrap_or(0))
}

/// Whether anything about that came since then.
///
/// # Errors
/// Whatever the database says.
pub fn came_about(ask: &impl Queryable, matter: &str, since_ms: u64) -> Result<bool, StoreError> {
    let found = ask.maybe_row(
        "SELECT 1 FROM webhooks_received WHERE matter = ?1 AND received_at >= ?2 LIMIT 1",
        (matter, to_sql_int(since_ms)),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Forgets what was decided before that, and keys that are older still; so many of each at most. Says how many rows went.
///
/// # Errors
/// Whatever the database says.
pub fn forget(tx: &mut Tx<'_>, rows_before: u64, keys_before: u64, limit: u32) -> Result<usize, StoreError> {
    let rows = tx.change(
        "DELETE FROM webhooks_received WHERE id IN (
             SELECT id FROM webhooks_received WHERE received_at < ?1 AND state <> 'received' LIMIT ?2)",
        (to_sql_int(rows_before), limit),
    )?;
    let keys = tx.change(
        "DELETE FROM webhook_keys WHERE (source, key) IN (
             SELECT source, key FROM webhook_keys WHERE at < ?1 LIMIT ?2)",
        (to_sql_int(keys_before), limit),
    )?;
    Ok(rows + keys)
}

/// Open runs that are told of something of that name.
///
/// # Errors
/// Whatever the database says.
pub fn open_of_name(ask: &impl Queryable, name: &str) -> Result<Vec<RunId>, StoreError> {
    ask.rows(
        "SELECT runs.id FROM run_names JOIN runs ON runs.id = run_names.run_id
         WHERE name = ?1 AND state IN ('queued', 'running', 'waiting', 'held')",
        (name,),
        |row| Ok(row.get(0)?),
    )
}

/// A hook of a repository that sends to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHook {
    /// Whose it is.
    pub repository: Repository,
    /// The forge's number of it.
    pub hook: u64,
}

/// Notes which hook sends to a source, as its newest message says.
///
/// # Errors
/// Whatever the database says.
pub fn note_hook(tx: &mut Tx<'_>, source: &str, known: &KnownHook) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO webhook_hooks (source, repository, hook, seen_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (source, repository) DO UPDATE SET hook = excluded.hook, seen_at = excluded.seen_at",
        (source, &known.repository, to_sql_int(known.hook), tx.now()),
    )?;
    Ok(())
}

/// The hooks that send to a source.
///
/// # Errors
/// Whatever the database says.
pub fn hooks_of(ask: &impl Queryable, source: &str) -> Result<Vec<KnownHook>, StoreError> {
    ask.rows("SELECT * FROM webhook_hooks WHERE source = ?1 ORDER BY repository", (source,), |row| {
        Ok(KnownHook { repository: row.get("repository")?, hook: unsigned(row, "hook")? })
    })
}

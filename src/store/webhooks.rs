//! Webhooks as they came, and the keys by which a repeat is recognized.

use rusqlite::Row;

use super::values::{json, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::git::Repository;
use crate::model::ids::RunId;
use crate::model::run::Run;
use crate::model::webhook::{Webhook, WebhookState};

/// A webhook that is to be stored.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// A fresh one.
    pub id: String,
    /// The sender's name in the configuration.
    pub source: String,
    /// What its sender calls it.
    pub event: String,
    /// The keys by which a repeat is recognized; any of them is enough.
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
    /// The rule that began that run with it, by its mark; none when it did not begin.
    pub began_by: Option<String>,
    /// The rule that is about it and that something kept from beginning a run, by its mark.
    pub fits: Option<String>,
}

/// For whose turn something waits.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What its sender calls it.
    pub event: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What it is about, as the key of runs.
    pub matter: String,
    /// The rule, by its mark.
    pub rule: String,
    /// Until when (UTC ms).
    pub until_ms: u64,
}

/// Other webhooks that wait for the same rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The id of the first.
    pub id: String,
    /// Until when (UTC ms).
    pub until_ms: u64,
    /// How many there are.
    pub count: usize,
}

/// So many messages are decided about again when a run was turned away: whoever may not ask can write a thousand.
const HEARD_AGAIN: u32 = 20;

const COLUMNS: &str = "id, source, event, received_at, state, reason, decided_at, matter, run_id, not_before,
                       duplicates, length(body) AS size";

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
        waits_until: maybe_unsigned(row, "not_before")?,
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

/// What is due for a decision, the oldest first; also rows that would wait for longer than that, which only a clock that was
/// ahead can have written.
///
/// # Errors
/// Whatever the database says.
pub fn to_decide(
    ask: &impl Queryable,
    now_ms: u64,
    longest_ms: u64,
    limit: u32,
) -> Result<Vec<(Webhook, Content)>, StoreError> {
    ask.rows(
        &format!(
            "SELECT {COLUMNS}, headers, body FROM webhooks_received
             WHERE state = 'received' AND (not_before IS NULL OR not_before <= ?1 OR not_before > ?2)
             ORDER BY received_at, id LIMIT ?3"
        ),
        (to_sql_int(now_ms), to_sql_int(now_ms.saturating_add(longest_ms)), limit),
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

/// Ends it unless it was ended already; returns whether it did.
///
/// # Errors
/// Whatever the database says.
pub fn settle(tx: &mut Tx<'_>, id: &str, ending: &Ending) -> Result<bool, StoreError> {
    let changed = tx.change(
        "UPDATE webhooks_received SET state = ?2, event = ?3, reason = ?4, matter = ?5, run_id = ?6,
                decided_at = ?7, not_before = NULL, rule = ?8
         WHERE id = ?1 AND state = 'received'",
        rusqlite::params![
            id,
            ending.state,
            ending.event,
            ending.reason,
            ending.matter,
            ending.run,
            tx.now(),
            ending.fits,
        ],
    )?;
    if changed == 1
        && let Some((rule, run)) = ending.began_by.as_ref().zip(ending.run.as_ref())
    {
        tx.change(
            "INSERT INTO webhook_runs_begun (run_id, rule, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            (run, rule, tx.now()),
        )?;
    }
    Ok(changed == 1)
}

/// Forgets its keys: a webhook with the same keys is new.
///
/// # Errors
/// Whatever the database says.
pub fn forget_keys(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.change("DELETE FROM webhook_keys WHERE delivery = ?1", (id,)).map(drop)
}

/// Lets it wait for its turn, unless it was decided already.
///
/// # Errors
/// Whatever the database says.
pub fn let_wait(tx: &mut Tx<'_>, id: &str, waiting: &Waiting) -> Result<(), StoreError> {
    tx.change(
        "UPDATE webhooks_received SET event = ?2, reason = ?3, matter = ?4, rule = ?5, not_before = ?6
         WHERE id = ?1 AND state = 'received'",
        rusqlite::params![
            id,
            waiting.event,
            waiting.reason,
            waiting.matter,
            waiting.rule,
            to_sql_int(waiting.until_ms)
        ],
    )?;
    Ok(())
}

/// Those that wait are decided about now: what they wait for may have changed.
///
/// # Errors
/// Whatever the database says.
pub fn wait_no_more(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.change(
        "UPDATE webhooks_received SET not_before = NULL WHERE state = 'received' AND not_before IS NOT NULL",
        (),
    )?;
    Ok(())
}

/// A run about that begins: those about it that wait are decided about now, and join it.
///
/// # Errors
/// Whatever the database says.
pub fn wait_no_more_about(tx: &mut Tx<'_>, matter: &str) -> Result<(), StoreError> {
    tx.change(
        "UPDATE webhooks_received SET not_before = NULL
         WHERE matter = ?1 AND state = 'received' AND not_before IS NOT NULL",
        (matter,),
    )?;
    Ok(())
}

/// About how many matters something waits for a rule, whose turn has not come. Of one that has waited itself: those that came before it, since
/// whoever came later stands behind it.
///
/// # Errors
/// Whatever the database says.
pub fn waiting_for(
    ask: &impl Queryable,
    rule: &str,
    now_ms: u64,
    before: Option<&str>,
) -> Result<usize, StoreError> {
    let count: Option<i64> = ask.maybe_row(
        "SELECT count(DISTINCT matter) FROM webhooks_received
         WHERE state = 'received' AND not_before IS NOT NULL AND rule = ?1 AND not_before > ?2
           AND (?3 IS NULL OR (received_at, id) < (SELECT received_at, id FROM webhooks_received WHERE id = ?3))",
        (rule, to_sql_int(now_ms), before),
        |row| Ok(row.get(0)?),
    )?;
    Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0))
}

/// Others about the same that wait for the same rule and came before that one (none: it has not come).
///
/// # Errors
/// Whatever the database says.
pub fn waits_about(
    ask: &impl Queryable,
    rule: &str,
    matter: &str,
    before: Option<&str>,
) -> Result<Option<Waits>, StoreError> {
    ask.maybe_row(
        "SELECT id, not_before, count(*) OVER () AS count FROM webhooks_received
         WHERE matter = ?1 AND rule = ?2 AND state = 'received' AND not_before IS NOT NULL
           AND (?3 IS NULL OR (received_at, id) < (SELECT received_at, id FROM webhooks_received WHERE id = ?3))
         ORDER BY received_at, id LIMIT 1",
        (matter, rule, before),
        |row| {
            let count = usize::try_from(unsigned(row, "count")?).unwrap_or(usize::MAX);
            Ok(Waits { id: row.get("id")?, until_ms: unsigned(row, "not_before")?, count })
        },
    )
}

/// Whether it has waited for a rule's turn.
///
/// # Errors
/// Whatever the database says.
pub fn has_waited(ask: &impl Queryable, id: &str) -> Result<bool, StoreError> {
    let found = ask.maybe_row(
        "SELECT 1 FROM webhooks_received WHERE id = ?1 AND state = 'received' AND rule IS NOT NULL",
        (id,),
        |_| Ok(()),
    )?;
    Ok(found.is_some())
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

/// Has it decided again, whatever was decided before.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn reopen(tx: &mut Tx<'_>, id: &str) -> Result<(), StoreError> {
    let changed = tx.change(
        "UPDATE webhooks_received SET state = 'received', reason = NULL, decided_at = NULL, run_id = NULL, attempts = 0,
                not_before = NULL, rule = NULL
         WHERE id = ?1",
        (id,),
    )?;
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::NotFound { what: "webhook", key: id.to_owned() }),
    }
}

/// A run was turned away: whoever asked for it may not. It counts for no limit, and of what came about the same since then
/// the newest are decided about for themselves. They may be of somebody who may.
///
/// # Errors
/// Whatever the database says.
pub fn turn_away(tx: &mut Tx<'_>, run: &Run) -> Result<(), StoreError> {
    tx.change("DELETE FROM webhook_runs_begun WHERE run_id = ?1", (&run.id,))?;
    let Some(origin) = &run.origin_ref else { return Ok(()) };
    tx.change(
        "UPDATE webhooks_received SET state = 'received', reason = NULL, decided_at = NULL, run_id = NULL, attempts = 0,
                not_before = NULL, rule = NULL
         WHERE id IN (
             SELECT later.id FROM webhooks_received AS later
             JOIN webhooks_received AS began ON began.id = ?1
             WHERE later.matter = ?2 AND later.received_at >= began.received_at AND later.id <> began.id
               AND (later.run_id = ?3 OR later.state = 'ignored')
             ORDER BY later.received_at DESC, later.id DESC LIMIT ?4)",
        (origin, &run.key, &run.id, HEARD_AGAIN),
    )?;
    Ok(())
}

/// When a rule began runs since then (UTC ms), the oldest first. What was begun while the clock was ahead of now counts
/// for nothing: nobody knows when that was.
///
/// # Errors
/// Whatever the database says.
pub fn begun_since(
    ask: &impl Queryable,
    rule: &str,
    since_ms: u64,
    now_ms: u64,
) -> Result<Vec<u64>, StoreError> {
    ask.rows(
        "SELECT at FROM webhook_runs_begun WHERE rule = ?1 AND at > ?2 AND at <= ?3 ORDER BY at",
        (rule, to_sql_int(since_ms), to_sql_int(now_ms)),
        |row| unsigned(row, "at"),
    )
}

/// Forgets which rule began what before that, or in a time that has not come. Says how many rows went.
///
/// # Errors
/// Whatever the database says.
pub fn forget_begun(tx: &mut Tx<'_>, before_ms: u64) -> Result<usize, StoreError> {
    let now = tx.now();
    tx.change("DELETE FROM webhook_runs_begun WHERE at < ?1 OR at > ?2", (to_sql_int(before_ms), now))
}

/// Whether anything about that came since then that a rule was about, or anything of these kinds (the first words of
/// events).
///
/// # Errors
/// Whatever the database says.
pub fn came_about(
    ask: &impl Queryable,
    matter: &str,
    since_ms: u64,
    kinds: &[&str],
) -> Result<bool, StoreError> {
    let kinds = to_json(&kinds, "kinds")?;
    let found = ask.maybe_row(
        "SELECT 1 FROM webhooks_received WHERE matter = ?1 AND received_at >= ?2
            AND (state <> 'ignored' OR rule IS NOT NULL
                 OR EXISTS (SELECT 1 FROM json_each(?3) AS kind WHERE event LIKE kind.value || '.%')) LIMIT 1",
        (matter, to_sql_int(since_ms), kinds),
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

/// A hook that sends to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHook {
    /// About which repository it told something.
    pub repository: Repository,
    /// Whose it is, in the forge's word: `repository`, `organization`, `integration`.
    pub target: String,
    /// The forge's number of it.
    pub hook: u64,
}

/// Notes which hook sends to a source, as its newest message says.
///
/// # Errors
/// Whatever the database says.
pub fn note_hook(tx: &mut Tx<'_>, source: &str, known: &KnownHook) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO webhook_hooks (source, repository, target, hook, seen_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (source, repository, target) DO UPDATE SET hook = excluded.hook, seen_at = excluded.seen_at",
        (source, &known.repository, &known.target, to_sql_int(known.hook), tx.now()),
    )?;
    Ok(())
}

/// Forgets hooks of which nothing came since then. Says how many.
///
/// # Errors
/// Whatever the database says.
pub fn forget_hooks(tx: &mut Tx<'_>, before_ms: u64) -> Result<usize, StoreError> {
    tx.change("DELETE FROM webhook_hooks WHERE seen_at < ?1", (to_sql_int(before_ms),))
}

/// The hooks that send to a source.
///
/// # Errors
/// Whatever the database says.
pub fn hooks_of(ask: &impl Queryable, source: &str) -> Result<Vec<KnownHook>, StoreError> {
    ask.rows("SELECT * FROM webhook_hooks WHERE source = ?1 ORDER BY repository, target", (source,), |row| {
        Ok(KnownHook {
            repository: row.get("repository")?,
            target: row.get("target")?,
            hook: unsigned(row, "hook")?,
        })
    })
}

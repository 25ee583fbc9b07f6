//! What makes the audit log tell when it was changed.
//!
//! Each entry carries an HMAC-SHA-256 over itself and the HMAC of the one before. The key changes with each epoch (so many
//! entries, or so much time) to one that is computed from it and overwrites it: whoever takes the machine over at noon has
//! noon's key and cannot rewrite the morning. The very first key is kept outside the database ([`KEY_FILE`] in the home, better
//! moved away); with it every entry can be checked again.
//!
//! What a chain cannot tell by itself is that its end is missing, or that all of it is an older copy. For that, [`Head`]s are
//! written outside the database now and then (see `audit`), and compared.

use ring::hmac;

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};

/// Where the first key is kept, in the home.
pub const KEY_FILE: &str = "audit.key";
/// An epoch ends after so many entries …
const EPOCH_ENTRIES: u64 = 100;
/// … or so many ms.
const EPOCH_MS: u64 = 5 * 60 * 1000;
/// More of them than fifty years have.
const MOST_EPOCHS: u64 = 6_000_000;
/// What stands before the first entry.
const GENESIS: &str = "mimir audit log";
const NEXT_EPOCH: &[u8] = b"mimir audit log: the next epoch";

/// A key of 256 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainKey([u8; 32]);

impl ChainKey {
    /// From random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is written: 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads [`ChainKey::to_hex`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The key of a later epoch; none of one that no log will ever reach.
    #[must_use]
    pub fn of_epoch(&self, epoch: u64) -> Option<Self> {
        (epoch <= MOST_EPOCHS).then(|| (0..epoch).fold(self.clone(), |key, _| key.next()))
    }

    /// Over fields, each with its length, so that nothing can move from one into the next.
    pub(super) fn sign(&self, fields: &[&str]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field.as_bytes());
        }
        hex::encode(context.sign())
    }

    fn next(&self) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), NEXT_EPOCH);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        Self(bytes)
    }
}

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey(…)")
    }
}

/// How far the log went at a time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// How many entries the chain has.
    pub count: u64,
    /// The HMAC of the last one.
    pub mac: String,
}

/// One entry as it stands in the database.
struct Row {
    id: u64,
    at: u64,
    principal: String,
    action: String,
    subject: String,
    detail: String,
    epoch: Option<u64>,
    mac: Option<String>,
}

/// The chain's end, as the database has it.
pub(super) struct End {
    key: ChainKey,
    epoch: u64,
    entries: u64,
    since: u64,
    head: Head,
}

impl End {
    /// How far the log goes.
    pub(super) fn head(&self) -> Head {
        self.head.clone()
    }

    /// The key that it has now, and of which epoch that is.
    pub(super) fn key(&self) -> (&ChainKey, u64) {
        (&self.key, self.epoch)
    }
}

/// What is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// This entry is not as it was written, or does not belong here: it, or one before it, was edited, inserted, moved or
    /// removed.
    Entry(u64),
    /// This entry is outside the chain.
    Unchained(u64),
    /// The database says that the chain has another end.
    End,
    /// The chain is not one of this key, or its end is gone.
    Key,
    /// The log ended there once, and does not contain that any more: its end was cut off, or it is an older copy.
    Missing(Head),
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries are chained.
    pub chained: u64,
    /// How many there are from before the chain.
    pub before: u64,
    /// Whether each entry was computed anew; without the first key only the ends are compared.
    pub recomputed: bool,
    /// With how many ends that were noted outside it was compared.
    pub heads: usize,
    /// What is wrong, first things first; nothing when all is well.
    pub tampering: Vec<Tampering>,
}

/// Begins the chain with this key unless there is one. Says whether it did.
///
/// # Errors
/// Whatever the database says.
pub fn begin(tx: &mut Tx<'_>, key: &ChainKey) -> Result<bool, StoreError> {
    let added = tx.change(
        "INSERT INTO audit_chain (id, key, epoch, entries, since, count, head) VALUES (1, ?1, 0, 0, ?2, 0, ?3)
         ON CONFLICT DO NOTHING",
        (key.to_hex(), tx.now(), GENESIS),
    )?;
    Ok(added == 1)
}

/// Whether there is a chain.
///
/// # Errors
/// Whatever the database says.
pub fn exists(ask: &impl Queryable) -> Result<bool, StoreError> {
    Ok(end(ask)?.is_some())
}

/// Where the chain ends.
///
/// # Errors
/// Whatever the database says.
pub fn head(ask: &impl Queryable) -> Result<Option<Head>, StoreError> {
    Ok(end(ask)?.map(|end| end.head))
}

/// Chains the entry that was just written.
pub(super) fn extend(tx: &mut Tx<'_>, id: u64) -> Result<(), StoreError> {
    let Some(mut end) = end(tx)? else { return Ok(()) };
    let now = tx.now_ms();
    if end.entries >= EPOCH_ENTRIES || (end.entries > 0 && now.saturating_sub(end.since) >= EPOCH_MS) {
        end = End { key: end.key.next(), epoch: end.epoch + 1, entries: 0, since: now, head: end.head };
    }
    let row = tx
        .maybe_row("SELECT * FROM audit WHERE id = ?1", (to_sql_int(id),), row)?
        .ok_or_else(|| StoreError::NotFound { what: "audit entry", key: id.to_string() })?;
    let mac = mac(&end.key, &end.head.mac, end.epoch, &row);
    tx.change(
        "UPDATE audit SET epoch = ?2, mac = ?3 WHERE id = ?1",
        (to_sql_int(id), to_sql_int(end.epoch), &mac),
    )?;
    tx.change(
        "UPDATE audit_chain SET key = ?1, epoch = ?2, entries = ?3, since = ?4, count = ?5, head = ?6",
        (
            end.key.to_hex(),
            to_sql_int(end.epoch),
            to_sql_int(end.entries + 1),
            to_sql_int(end.since),
            to_sql_int(end.head.count + 1),
            mac,
        ),
    )?;
    Ok(())
}

/// Checks the whole log: with the first key each entry, in any case its end and the ends that were noted outside.
///
/// # Errors
/// Whatever the database says.
pub fn verify(ask: &impl Queryable, key: Option<&ChainKey>, heads: &[Head]) -> Result<Verdict, StoreError> {
    let rows = ask.rows("SELECT * FROM audit ORDER BY id", (), row)?;
    let before = rows.iter().take_while(|row| row.mac.is_none()).count();
    let (_, chained) = rows.split_at(before);
    let mut tampering = Vec::new();
    let mut checked = key.cloned().map(|key| (key, 0));
    let mut at = GENESIS.to_owned();
    let mut count = 0;
    // Ends that must be found on the way.
    let mut missing: Vec<&Head> = heads.iter().collect();
    for row in chained {
        let (Some(mac_here), Some(epoch)) = (&row.mac, row.epoch) else {
            tampering.push(Tampering::Unchained(row.id));
            continue;
        };
        if let Some((key, current)) = &mut checked {
            if epoch == *current + 1 {
                (*key, *current) = (key.next(), epoch);
            }
            if epoch != *current || mac(key, &at, epoch, row) != *mac_here {
                tampering.push(Tampering::Entry(row.id));
                // Everything after it would be told as well.
                break;
            }
        }
        count += 1;
        at.clone_from(mac_here);
        missing.retain(|head| !(head.count == count && head.mac == at));
    }
    let is_broken = tampering.iter().any(|one| matches!(one, Tampering::Entry(_)));
    match end(ask)? {
        None if key.is_some() || !chained.is_empty() || !heads.is_empty() => tampering.push(Tampering::Key),
        None => {}
        Some(end) if !is_broken => {
            if (end.head.count, end.head.mac.as_str()) != (count, at.as_str()) {
                tampering.push(Tampering::End);
            }
            if checked.is_some_and(|(key, epoch)| end.key != key || end.epoch != epoch) {
                tampering.push(Tampering::Key);
            }
        }
        Some(_) => {}
    }
    if !is_broken {
        // The oldest and the newest: a copy that was put back explains the first, and perhaps not the last.
        let ends = [missing.first(), missing.last().filter(|_| missing.len() > 1)];
        tampering.extend(ends.into_iter().flatten().map(|head| Tampering::Missing((*head).clone())));
    }
    Ok(Verdict {
        chained: chained.len() as u64,
        before: before as u64,
        recomputed: key.is_some(),
        heads: heads.len(),
        tampering,
    })
}

fn mac(key: &ChainKey, before: &str, epoch: u64, row: &Row) -> String {
    let numbers = [epoch.to_string(), row.id.to_string(), row.at.to_string()];
    key.sign(&[
        before,
        &numbers[0],
        &numbers[1],
        &numbers[2],
        &row.principal,
        &row.action,
        &row.subject,
        &row.detail,
    ])
}

fn row(row: &rusqlite::Row<'_>) -> Result<Row, StoreError> {
    let epoch: Option<i64> = row.get("epoch")?;
    Ok(Row {
        id: unsigned(row, "id")?,
        at: unsigned(row, "at")?,
        principal: row.get("principal")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        detail: row.get("detail")?,
        epoch: epoch.map(i64::unsigned_abs),
        mac: row.get("mac")?,
    })
}

pub(super) fn end(ask: &impl Queryable) -> Result<Option<End>, StoreError> {
    ask.maybe_row("SELECT * FROM audit_chain", (), |row| {
        let key: String = row.get("key")?;
        Ok(End {
            key: ChainKey::parse(&key)
                .ok_or_else(|| StoreError::Damaged("the audit log's key".to_owned()))?,
            epoch: unsigned(row, "epoch")?,
            entries: unsigned(row, "entries")?,
            since: unsigned(row, "since")?,
            head: Head { count: unsigned(row, "count")?, mac: row.get("head")? },
        })
    })
}

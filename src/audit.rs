//! The audit log, and whether somebody changed it. Entries are written and chained by `store`, in the transaction of the change.
//!
//! What the chain cannot tell by itself (that its end was cut off, that the database is an older copy) is told by *heads*:
//! lines in a file outside the database, better on another disk, each with the chain's length and the HMAC of its last entry.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::model::audit::{AuditEntry, AuditVerdict};
use crate::store::audit_chain::{ChainKey, Head, KEY_FILE, Tampering};
use crate::store::{Store, StoreError, audit, audit_chain};
use crate::supervisor::Service;
use crate::supervisor::failpoint::Failpoints;

/// What the file is called in the home, unless the configuration names another.
pub const HEADS_FILE: &str = "audit.heads";
/// How often it is looked whether a head is due.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// One is due after so many entries …
const HEAD_ENTRIES: u64 = 100;
/// … or so much time since the last one, when there is anything new.
const HEAD_EVERY: Duration = Duration::from_secs(5 * 60);

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    /// UTC ms.
    at: u64,
    #[serde(flatten)]
    head: Head,
}

/// Why the log cannot be begun or checked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The key or the heads cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was given as the key is none.
    #[error("the key of the audit log is 64 hexadecimal digits, and this is something else")]
    NoKey,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The audit log. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    key: PathBuf,
    heads: PathBuf,
    last: Mutex<Option<(Head, u64)>>,
}

/// Begins the chain of a new home, and of one that has none yet. The key is on disk before the chain knows it: a crash
/// in between costs a key that nothing was signed with.
///
/// # Errors
/// [`AuditError::File`], [`AuditError::Store`].
pub async fn begin(store: &Store, home: &Path, failpoints: &Failpoints) -> Result<(), AuditError> {
    if store.read(|db| audit_chain::exists(db)).await? {
        return Ok(());
    }
    let key = ChainKey::new(clock::entropy::<32>());
    let path = home.join(KEY_FILE);
    write_key(&path, &key).map_err(|source| AuditError::File { path, source })?;
    failpoints.hit("audit.after_key").await;
    store.write(move |tx| audit_chain::begin(tx, &key)).await?;
    Ok(())
}

/// Beside and renamed, so that a crash leaves no half of a key.
fn write_key(path: &Path, key: &ChainKey) -> io::Result<()> {
    let new = path.with_extension("key.new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{}", key.to_hex())?;
    file.sync_all()?;
    // A database from before the chain that was put back must not take the key of what is checked elsewhere.
    if path.exists() {
        std::fs::rename(path, path.with_extension("key.old"))?;
    }
    std::fs::rename(&new, path)
}

impl Audit {
    /// Makes the service: the key is in the home, heads are noted in that file.
    #[must_use]
    pub fn new(store: Store, clock: Clock, home: &Path, heads: PathBuf) -> Self {
        let inner = Inner { store, clock, key: home.join(KEY_FILE), heads, last: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The newest entries, newest first; those before an id to page back.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.inner.store.read(move |db| audit::list(db, before, limit)).await
    }

    /// Notes the log's end outside the database, if that is due.
    ///
    /// # Errors
    /// [`AuditError::File`], [`AuditError::Store`].
    pub async fn note_head(&self) -> Result<bool, AuditError> {
        let Some(head) = self.inner.store.read(|db| audit_chain::head(db)).await? else { return Ok(false) };
        let now = self.inner.clock.now_ms();
        let is_due = match &*self.inner.last.lock() {
            None => head.count > 0,
            Some((last, at)) => {
                head.count >= last.count + HEAD_ENTRIES
                    || (head != *last && Duration::from_millis(now.saturating_sub(*at)) >= HEAD_EVERY)
            }
        };
        if !is_due {
            return Ok(false);
        }
        let line = serde_json::to_string(&Noted { at: now, head: head.clone() }).unwrap_or_default();
        append(&self.inner.heads, &line)
            .map_err(|source| AuditError::File { path: self.inner.heads.clone(), source })?;
        // The gateway's log goes elsewhere too (journald), and nobody takes a line back from there.
        tracing::info!(count = head.count, mac = %head.mac, "the audit log has {} entries", head.count);
        *self.inner.last.lock() = Some((head, now));
        Ok(true)
    }

    /// Checks all of it, with this key or the one in the home.
    ///
    /// # Errors
    /// See [`AuditError`]; without a key only the log's end is compared, which is no error.
    pub async fn verify(&self, key: Option<&str>) -> Result<AuditVerdict, AuditError> {
        let key = match key {
            Some(text) => Some(ChainKey::parse(text).ok_or(AuditError::NoKey)?),
            None => match std::fs::read_to_string(&self.inner.key) {
                Ok(text) => Some(ChainKey::parse(text.trim()).ok_or(AuditError::NoKey)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(AuditError::File { path: self.inner.key.clone(), source }),
            },
        };
        let (heads, torn) = self.heads()?;
        let found = self.inner.store.read(move |db| audit_chain::verify(db, key.as_ref(), &heads)).await?;
        let mut findings: Vec<String> = found.tampering.iter().map(words).collect();
        if torn > 0 {
            findings.push(format!("{torn} lines of {} cannot be read", self.inner.heads.display()));
        }
        Ok(AuditVerdict {
            ok: findings.is_empty(),
            entries: found.chained,
            before: found.before,
            recomputed: found.recomputed,
            heads: found.heads as u64,
            findings,
        })
    }

    /// What was noted, and how many lines are none. A last line without an end was being written when we died.
    fn heads(&self) -> Result<(Vec<Head>, usize), AuditError> {
        let path = &self.inner.heads;
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
            Err(source) => return Err(AuditError::File { path: path.clone(), source }),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let (mut heads, mut torn) = (Vec::new(), 0);
        for line in whole.lines().filter(|line| !line.is_empty()) {
            match serde_json::from_str::<Noted>(line) {
                Ok(noted) => heads.push(noted.head),
                Err(_) => torn += 1,
            }
        }
        Ok((heads, torn))
    }
}

impl Service for Audit {
    const NAME: &'static str = "audit heads";

    async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.note_head().await {
                tracing::error!(%error, "the end of the audit log was not noted: {error}");
            }
        }
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).read(true).append(true).mode(0o600).open(path)?;
    // A line that was cut off by a crash or a full disk is no line, and must not become one.
    let mut before = Vec::new();
    file.read_to_end(&mut before)?;
    let whole = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < before.len() {
        file.set_len(whole as u64)?;
    }
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

fn words(tampering: &Tampering) -> String {
    match tampering {
        Tampering::Entry(id) => format!(
            "entry {id} is not as it was written, or one before it was changed, moved, added or removed; what follows it was not looked at"
        ),
        Tampering::Unchained(id) => format!("entry {id} was put in past mimir: it is outside the chain"),
        Tampering::End => "entries at the end were removed, or added past mimir".to_owned(),
        Tampering::Key => {
            "the log does not end with the key that follows from the first one: its end is gone, or it is \
                           another log"
                .to_owned()
        }
        Tampering::Missing(head) => format!(
            "the log once had {} entries and ended in {}…; it does not any more: its end was cut off, or the database is an \
             older copy (after `mimir backup restore` that is so)",
            head.count,
            head.mac.get(..12).unwrap_or_default()
        ),
    }
}

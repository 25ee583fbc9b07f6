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
use crate::model::audit::{AuditEntry, AuditRestored, AuditVerdict};
use crate::model::principal::Principal;
use crate::store::audit_chain::{ChainKey, Head, KEY_FILE, Tampering};
use crate::store::audit_restored::{self, Restored};
use crate::store::{OpenOptions, Store, StoreError, Tx, audit, audit_chain, meta};
use crate::supervisor::Service;
use crate::supervisor::failpoint::Failpoints;

/// What the file is called in the home, unless the configuration names another.
pub const HEADS_FILE: &str = "audit.heads";
const AUDIT: Principal = Principal::service("audit");
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

/// Another one: the database was put back from a copy.
#[derive(Debug, Serialize, Deserialize)]
struct NotedRestore {
    /// UTC ms.
    at: u64,
    restored: Restored,
}

/// Either of the two.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Head(Noted),
    Restore(NotedRestore),
}

impl Line {
    fn head(self) -> Option<Head> {
        if let Self::Head(noted) = self { Some(noted.head) } else { None }
    }
}

/// Which of the copies that were put back was written into the log last, by its time.
const LAST_RESTORE: &str = "audit.last_restore";

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

/// The file of heads: where the configuration says, else in the home.
#[must_use]
pub fn heads_file(configured: Option<&Path>, home: &Path) -> PathBuf {
    configured.map_or_else(|| home.join(HEADS_FILE), Path::to_owned)
}

/// Notes in the file of heads that this copy takes the place of the database. No gateway runs meanwhile. Who dies behind
/// it and before the copy is there has noted something that explains nothing.
///
/// # Errors
/// [`AuditError::File`], [`AuditError::Store`].
pub fn note_restore(options: &OpenOptions, copy: &Path, heads: &Path, at: u64) -> Result<(), AuditError> {
    let after = read_lines(heads)?.0.into_iter().rev().find_map(Line::head);
    let Some(restored) = audit_restored::note(options, copy, after, at)? else { return Ok(()) };
    let line = serde_json::to_string(&NotedRestore { at, restored }).unwrap_or_default();
    append(heads, &line).map_err(|source| AuditError::File { path: heads.to_owned(), source })
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
        let (lines, torn) = self.lines()?;
        let noted = lines.iter().filter(|line| matches!(line, Line::Head(_))).count();
        let Expected { heads, restored, unsealed } = expected(lines, key.as_ref());
        let found = self.inner.store.read(move |db| audit_chain::verify(db, key.as_ref(), &heads)).await?;
        let mut findings: Vec<String> = found.tampering.iter().map(words).collect();
        if unsealed > 0 {
            findings.push(match found.recomputed {
                true => format!(
                    "{unsealed} lines of {} say that a copy was put back, and were not written by this mimir",
                    self.inner.heads.display()
                ),
                false => format!(
                    "{unsealed} times a copy is said to have been put back: only with the first key can that be checked"
                ),
            });
        }
        if torn > 0 {
            findings.push(format!("{torn} lines of {} cannot be read", self.inner.heads.display()));
        }
        Ok(AuditVerdict {
            ok: findings.is_empty(),
            entries: found.chained,
            before: found.before,
            recomputed: found.recomputed,
            heads: noted as u64,
            findings,
            restored,
        })
    }

    /// Writes into the log that a copy was put back, once for each time.
    ///
    /// # Errors
    /// [`AuditError::File`], [`AuditError::Store`].
    pub async fn write_restore(&self) -> Result<(), AuditError> {
        let last = self.lines()?.0.into_iter().rev().find_map(|line| match line {
            Line::Restore(noted) => Some(noted),
            Line::Head(_) => None,
        });
        let Some(NotedRestore { at, restored }) = last else { return Ok(()) };
        let write = move |tx: &mut Tx<'_>| {
            let is_written = meta::find(tx, LAST_RESTORE)?.is_some_and(|text| text == at.to_string());
            if is_written {
                return Ok(());
            }
            meta::set(tx, LAST_RESTORE, &at.to_string())?;
            let detail = serde_json::json!({ "at": at, "from": restored.from, "to": restored.to });
            tx.audit(&AUDIT, "backup.restore", "", &detail)
        };
        Ok(self.inner.store.write(write).await?)
    }

    fn lines(&self) -> Result<(Vec<Line>, usize), AuditError> {
        read_lines(&self.inner.heads)
    }
}

impl Service for Audit {
    const NAME: &'static str = "audit heads";

    async fn run(&self, stop: CancellationToken) {
        if let Err(error) = self.write_restore().await {
            tracing::error!(%error, "that a copy was put back is not in the audit log: {error}");
        }
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

/// What the log must contain, by what was noted of it.
struct Expected {
    heads: Vec<Head>,
    restored: Vec<AuditRestored>,
    /// How many notes of copies are not sealed by a key of this log.
    unsealed: usize,
}

/// Goes through the notes in their order. A copy that was put back explains that ends are missing which were noted before it,
/// and lie behind where the copy goes, up to where the log went then; it must be found itself. What was written since another
/// copy was put back is explained from there on: it stood on that one.
fn expected(lines: Vec<Line>, key: Option<&ChainKey>) -> Expected {
    let mut found = Expected { heads: Vec::new(), restored: Vec::new(), unsealed: 0 };
    let (mut branch, mut last) = (u64::MAX, None);
    for line in lines {
        match line {
            Line::Head(Noted { head, .. }) => {
                last = Some(head.clone());
                found.heads.push(head);
            }
            Line::Restore(NotedRestore { at, restored }) => {
                if restored.after != last || !key.is_some_and(|key| restored.is_of(key, at)) {
                    found.unsealed += 1;
                    continue;
                }
                let Restored { from, to, .. } = restored;
                let floor = branch.min(to.count);
                let most = from.as_ref().map_or(u64::MAX, |from| from.count);
                found.heads.retain(|head| head.count <= floor || head.count > most);
                let had_entries = from.map(|from| from.count);
                found.restored.push(AuditRestored { at, had_entries, copied_entries: to.count });
                branch = to.count;
                if to.count > 0 {
                    found.heads.push(to);
                }
            }
        }
    }
    found
}

/// What was noted, and how many lines are none. A last line without an end was being written when we died.
fn read_lines(path: &Path) -> Result<(Vec<Line>, usize), AuditError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(source) => return Err(AuditError::File { path: path.to_owned(), source }),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let (mut lines, mut torn) = (Vec::new(), 0);
    for line in whole.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => lines.push(line),
            Err(_) => torn += 1,
        }
    }
    Ok((lines, torn))
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
             older copy that was put back past mimir",
            head.count,
            head.mac.get(..12).unwrap_or_default()
        ),
    }
}

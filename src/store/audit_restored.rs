//! That a database was put back from a copy, as it is noted outside of it: what the audit log lacks since then.
//!
//! The note is sealed with the key that the chain had at that time. Whoever can write in the database alone cannot write the
//! note, which is in a file elsewhere; whoever can write that file alone does not have the key; and a note explains what was
//! noted before it, never what came after.

use std::path::Path;

use rusqlite::config::DbConfig;
use serde::{Deserialize, Serialize};

use super::audit_chain::{self, ChainKey, End, Head};
use super::{Db, OpenOptions, StoreError, open};

/// A log that goes on from an earlier place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// How far the log went in the database that was there; nothing when it could not be read.
    pub from: Option<Head>,
    /// How far it goes in the copy.
    pub to: Head,
    /// What was noted last before: at another place than behind that, a note explains nothing.
    pub after: Option<Head>,
    /// Of which epoch the key is with which this is sealed.
    pub epoch: u64,
    /// Over all of it, and the time.
    pub seal: String,
}

/// What is to be noted, behind `after`, when that copy takes the place of the database; nothing of a copy without a chain.
///
/// # Errors
/// When the copy cannot be read.
pub fn note(
    options: &OpenOptions,
    copy: &Path,
    after: Option<Head>,
    at: u64,
) -> Result<Option<Restored>, StoreError> {
    let Some(to) = end_in(&OpenOptions { path: copy.to_owned(), ..options.clone() })? else {
        return Ok(None);
    };
    // What is damaged is why people put copies back.
    let from = end_in(options).unwrap_or_else(|error| {
        tracing::warn!(%error, "how far the audit log went cannot be read: {error}");
        None
    });
    let (key, epoch) = from.as_ref().unwrap_or(&to).key();
    let (from_head, to_head) = (from.as_ref().map(End::head), to.head());
    let mut note = Restored { from: from_head, to: to_head, after, epoch, seal: String::new() };
    note.seal = note.sealed(key, at);
    Ok(Some(note))
}

impl Restored {
    /// Whether it was sealed with a key that follows from the log's first one.
    #[must_use]
    pub fn is_of(&self, first: &ChainKey, at: u64) -> bool {
        let key = first.of_epoch(self.epoch);
        key.is_some_and(|key| self.sealed(&key, at) == self.seal)
    }

    fn sealed(&self, key: &ChainKey, at: u64) -> String {
        let head = |head: Option<&Head>| match head {
            Some(head) => [head.count.to_string(), head.mac.clone()],
            None => ["unknown".to_owned(), String::new()],
        };
        let heads = [self.from.as_ref(), Some(&self.to), self.after.as_ref()].map(head);
        let begin = ["restored".to_owned(), at.to_string(), self.epoch.to_string()];
        let fields: Vec<&str> = begin.iter().chain(heads.iter().flatten()).map(String::as_str).collect();
        key.sign(&fields)
    }
}

/// The chain's end in a database that nobody uses. Leaves the file as it is.
fn end_in(options: &OpenOptions) -> Result<Option<End>, StoreError> {
    if open::look(&options.path)? == open::Found::Nothing {
        return Ok(None);
    }
    let mut connection = open::reader(options)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let has_chain = "SELECT count(*) FROM sqlite_master WHERE name = 'audit_chain'";
    if connection.query_row(has_chain, (), |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    audit_chain::end(&Db { transaction: connection.transaction()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_sealed_with_everything_that_is_in_it() {
        let first = ChainKey::new([7; 32]);
        let head = |count: u64| Head { count, mac: format!("mac-{count}") };
        let key = first.of_epoch(3).expect("a key");
        let (from, to, after) = (Some(head(90)), head(40), Some(head(80)));
        let mut note = Restored { from, to, after, epoch: 3, seal: String::new() };
        note.seal = note.sealed(&key, 5);
        assert!(note.is_of(&first, 5));
        for (what, other) in [
            ("where it came from", Restored { from: Some(head(91)), ..note.clone() }),
            ("from nowhere", Restored { from: None, ..note.clone() }),
            ("where it goes", Restored { to: head(39), ..note.clone() }),
            ("behind another", Restored { after: Some(head(90)), ..note.clone() }),
            ("another epoch", Restored { epoch: 2, ..note.clone() }),
            ("an epoch that never was", Restored { epoch: u64::MAX, ..note.clone() }),
            ("no seal", Restored { seal: String::new(), ..note.clone() }),
        ] {
            assert!(!other.is_of(&first, 5), "{what}");
        }
        assert!(!note.is_of(&first, 6), "another time");
        assert!(!note.is_of(&ChainKey::new([8; 32]), 5), "another log");
    }
}

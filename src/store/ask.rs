//! Questions and changes: what SQL functions are made of.

use rusqlite::{Connection, Params, Row};

use super::StoreError;
use super::values::to_sql_int;
use crate::model::event::{Event, EventKind, Subject};

/// A reading connection, holding one consistent view of the database.
pub struct Db<'a> {
    pub(super) transaction: rusqlite::Transaction<'a>,
}

/// A change on the writer's thread: all of it happens, or nothing.
pub struct Tx<'a> {
    /// In a savepoint of a transaction that other changes may share.
    pub(super) transaction: &'a Connection,
    now_ms: u64,
    events: Vec<Event>,
    has_set_timers: bool,
}

mod sealed {
    /// Keeps the connection inside `store/`.
    pub trait Connected {
        fn connection(&self) -> &rusqlite::Connection;
    }
}
use sealed::Connected;

impl Connected for Db<'_> {
    fn connection(&self) -> &Connection {
        &self.transaction
    }
}

impl Connected for Tx<'_> {
    fn connection(&self) -> &Connection {
        self.transaction
    }
}

/// What both a reading connection and a transaction can be asked; SQL functions take `&impl Queryable`.
pub trait Queryable: Connected {
    /// At most one row.
    ///
    /// # Errors
    /// Whatever SQLite or `map` says.
    fn maybe_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        match rows.next()? {
            Some(row) => map(row).map(Some),
            None => Ok(None),
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// Whatever SQLite or `map` says.
    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection().prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(map(row)?);
        }
        Ok(found)
    }
}

impl Queryable for Db<'_> {}
impl Queryable for Tx<'_> {}

impl<'a> Tx<'a> {
    /// A change that begins now.
    pub(super) fn new(transaction: &'a Connection, now_ms: u64) -> Self {
        Self { transaction, now_ms, events: Vec::new(), has_set_timers: false }
    }

    /// What is to be sent out once it is committed.
    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Whoever fires timers looks again after the commit.
    pub(super) fn note_timers(&mut self) {
        self.has_set_timers = true;
    }

    pub(super) fn has_set_timers(&self) -> bool {
        self.has_set_timers
    }

    /// When this transaction began (UTC ms); every row it writes says the same.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The same, as a column takes it.
    pub(super) fn now(&self) -> i64 {
        to_sql_int(self.now_ms)
    }

    /// Changes rows and says how many.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn change(&mut self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.transaction.prepare_cached(sql)?.execute(params)?)
    }

    /// Changes one row, or reports that it was not as expected: compare and set.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] naming `what` when not exactly one row matched.
    pub fn change_exactly_one(
        &mut self,
        what: &str,
        sql: &str,
        params: impl Params,
    ) -> Result<(), StoreError> {
        match self.change(sql, params)? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict { what: what.to_owned() }),
        }
    }

    /// Stores an event with the change it tells of. Sent out after the commit.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn emit(&mut self, subject: &Subject, what: &EventKind) -> Result<u64, StoreError> {
        let body = serde_json::to_value(what)
            .ok()
            .and_then(|mut value| value.get_mut("data").map(serde_json::Value::take))
            .unwrap_or_default();
        self.change(
            "INSERT INTO events (at, kind, frame_id, frame_name, session_id, message_id, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                self.now(),
                what.kind(),
                &subject.frame,
                &subject.frame_name,
                &subject.session,
                &subject.message,
                body.to_string(),
            ),
        )?;
        let id = self.transaction.last_insert_rowid().unsigned_abs();
        for reference in &subject.refs {
            self.change(
                "INSERT INTO event_refs (event_id, kind, ref) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                (to_sql_int(id), &reference.kind, &reference.id),
            )?;
        }
        self.events.push(Event { id, at: self.now_ms, subject: subject.clone(), what: what.clone() });
        Ok(id)
    }
}

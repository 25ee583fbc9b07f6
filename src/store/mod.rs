//! The encrypted database and all SQL.
//!
//! One writer thread, a few reading connections. SQL is written as SQL, one
//! function per question, in the file of its table. A change, its audit row and
//! its event are one transaction: see [`Tx::audit`] and [`Tx::emit`].

pub mod error;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Params, Row};
use tokio::sync::{oneshot, watch};

use crate::clock::Clock;
use crate::model::event::{Happening, Subject};
use crate::model::principal::Principal;
use crate::model::secret::Secret;

pub use error::StoreError;

/// How to open the database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The file.
    pub path: PathBuf,
    /// 32 bytes as 64 hex digits: SQLCipher's raw key form, which needs no derivation per connection.
    pub key: Secret,
    /// Where copies go before a migration.
    pub backups: PathBuf,
}

/// The only way to read or change durable state. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: writer::Writer,
    readers: Mutex<Vec<Connection>>,
    options: OpenOptions,
    last_event: watch::Sender<u64>,
}

impl Store {
    /// Calls `question` with a reading connection, on a thread that may block.
    ///
    /// # Errors
    /// Whatever `question` says.
    pub async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = self.inner.clone();
        tokio::task::spawn_blocking(move || {
            let connection = inner.take_reader()?;
            let answer = question(&Db { connection: &connection });
            inner.give_back(connection);
            answer
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    /// Runs `change` as one transaction on the writer's thread: all of it happens, or nothing.
    ///
    /// # Errors
    /// Whatever `change` says (then nothing was saved), or that the transaction could not be committed.
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.inner.writer.submit(Box::new(move |connection, clock, last_event| {
            let _ = reply.send(writer::transact(connection, clock, last_event, change));
        }))?;
        answer.await.map_err(|_| E::from(StoreError::Closed))?
    }

    /// The id of the newest committed event; changes wake whoever sends events out.
    #[must_use]
    pub fn last_event(&self) -> watch::Receiver<u64> {
        self.inner.last_event.subscribe()
    }
}

/// A reading connection.
pub struct Db<'a> {
    connection: &'a Connection,
}

/// A transaction on the writer's thread.
pub struct Tx<'a> {
    transaction: rusqlite::Transaction<'a>,
    now_ms: u64,
    last_event: u64,
}

macro_rules! questions {
    ($type:ident, $field:ident) => {
        impl $type<'_> {
            /// The one row that must be there; `None` becomes [`StoreError::NotFound`] at the caller.
            ///
            /// # Errors
            /// Whatever SQLite or `map` says.
            pub fn maybe<T>(
                &self,
                sql: &str,
                params: impl Params,
                map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
            ) -> Result<Option<T>, StoreError> {
                let mut statement = self.$field.prepare_cached(sql)?;
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
            pub fn all<T>(
                &self,
                sql: &str,
                params: impl Params,
                mut map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
            ) -> Result<Vec<T>, StoreError> {
                let mut statement = self.$field.prepare_cached(sql)?;
                let mut rows = statement.query(params)?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(map(row)?);
                }
                Ok(found)
            }
        }
    };
}
questions!(Db, connection);
questions!(Tx, transaction);

/// What both a reading connection and a transaction can be asked; SQL functions take `&impl Ask`.
pub trait Ask {
    /// At most one row.
    ///
    /// # Errors
    /// Whatever SQLite or `map` says.
    fn maybe_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError>;

    /// All rows.
    ///
    /// # Errors
    /// Whatever SQLite or `map` says.
    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError>;
}

macro_rules! ask {
    ($type:ident) => {
        impl Ask for $type<'_> {
            fn maybe_row<T>(
                &self,
                sql: &str,
                params: impl Params,
                map: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
            ) -> Result<Option<T>, StoreError> {
                self.maybe(sql, params, map)
            }
            fn rows<T>(
                &self,
                sql: &str,
                params: impl Params,
                map: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
            ) -> Result<Vec<T>, StoreError> {
                self.all(sql, params, map)
            }
        }
    };
}
ask!(Db);
ask!(Tx);

impl Tx<'_> {
    /// When this transaction began (UTC ms); every row it writes says the same.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
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
    pub fn emit(&mut self, subject: &Subject, what: &Happening) -> Result<u64, StoreError> {
        let body = serde_json::to_value(what)
            .ok()
            .and_then(|mut value| value.get_mut("data").map(serde_json::Value::take))
            .unwrap_or_default();
        self.transaction
            .prepare_cached(
                "INSERT INTO events (at, kind, frame_id, frame_name, session_id, message_id, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                to_sql_int(self.now_ms),
                what.kind(),
                subject.frame.as_ref().map(|id| id.as_str()),
                subject.frame_name.as_ref().map(|name| name.as_str()),
                subject.session.as_ref().map(|id| id.as_str()),
                subject.message.as_ref().map(|id| id.as_str()),
                body.to_string(),
            ))?;
        let id = self.transaction.last_insert_rowid().unsigned_abs();
        self.last_event = id;
        Ok(id)
    }

    /// Stores who did what, with the change itself.
    ///
    /// # Errors
    /// Whatever SQLite says.
    pub fn audit(
        &mut self,
        principal: &Principal,
        action: &str,
        subject: &str,
        detail: &serde_json::Value,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO audit (at, principal, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((to_sql_int(self.now_ms), principal.to_string(), action, subject, detail.to_string()))?;
        Ok(())
    }
}

/// SQLite's integers are signed; ours that go there never reach the sign.
#[must_use]
pub fn to_sql_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Inner {
    fn take_reader(&self) -> Result<Connection, StoreError> {
        let idle = self.readers.lock().ok().and_then(|mut readers| readers.pop());
        match idle {
            Some(connection) => Ok(connection),
            None => open_connection(&self.options),
        }
    }

    fn give_back(&self, connection: Connection) {
        if let Ok(mut readers) = self.readers.lock()
            && readers.len() < 4
        {
            readers.push(connection);
        }
    }
}

fn open_connection(options: &OpenOptions) -> Result<Connection, StoreError> {
    let connection = Connection::open(&options.path)?;
    // Must be the first statement: everything after it is decrypted with this key.
    connection.pragma_update(None, "key", format!("x'{}'", options.key.reveal()))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY; PRAGMA busy_timeout = 5000;",
    )?;
    Ok(connection)
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the writer's thread.
    ///
    /// # Errors
    /// See [`StoreError`]: wrong key, plain database, newer schema, unreadable, full disk.
    pub fn open(options: OpenOptions, clock: Clock) -> Result<Self, StoreError> {
        let mut connection = open_connection(&options)?;
        migrate(&mut connection)?;
        let last: u64 = connection
            .query_row("SELECT coalesce(max(id), 0) FROM events", (), |row| row.get::<_, i64>(0))?
            .unsigned_abs();
        let (last_event, _) = watch::channel(last);
        let writer = writer::Writer::start(connection, clock, last_event.clone());
        Ok(Self { inner: Arc::new(Inner { writer, readers: Mutex::default(), options, last_event }) })
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let migrations = rusqlite_migration::Migrations::new(vec![rusqlite_migration::M::up(include_str!(
        "migrations/0001_frames_and_messages.sql"
    ))]);
    migrations.to_latest(connection).map_err(|error| StoreError::Damaged(error.to_string()))
}

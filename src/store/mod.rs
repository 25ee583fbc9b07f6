//! The encrypted database and all SQL.
//!
//! One writer thread, a few reading connections. SQL is written as SQL, one
//! function per question, in the file of its table. A change, its audit row and
//! its event are one transaction: see [`Tx::audit`] and [`Tx::emit`].

pub mod agent_messages;
pub mod approvals;
mod ask;
pub mod audit;
pub mod audit_chain;
pub mod audit_restored;
pub mod backup;
mod batch;
pub mod budgets;
mod change;
pub mod deliveries;
pub mod error;
pub mod event_cursors;
pub mod events;
pub mod external_servers;
pub mod frame_hosts;
pub mod frames;
mod integrity;
pub mod key;
pub mod keyring;
mod latency;
pub mod logins;
pub mod messages;
pub mod meta;
mod migrate;
mod open;
pub mod ports;
pub mod prices;
pub mod projects;
pub mod pushes;
pub mod queue;
mod reserve;
pub mod retention;
mod ring;
pub mod running_calls;
pub mod runs;
pub mod schedules;
pub mod search;
pub mod secrets;
pub mod sessions;
pub mod taken_back;
pub mod timers;
pub mod tokens;
pub mod trusted_folders;
pub mod usage;
pub mod values;
mod wal;
pub mod warm_frames;
pub mod webhooks;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::Clock;
use crate::model::secret::Secret;
use change::Durability;

pub use ask::{Db, Queryable, Tx};
pub use error::StoreError;
pub use integrity::Read as CheckedPart;
pub use latency::{Times, WriteTimes};
pub use ring::{Ring, Window};

/// How to open the database.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The file.
    pub path: PathBuf,
    /// 32 bytes as 64 hex digits: SQLCipher's raw key form, which needs no derivation per connection.
    pub key: Secret,
    /// Where copies go.
    pub backups: PathBuf,
}

/// The only way to read or change durable state. Cheap to clone; dropping the last clone finishes
/// what was accepted and closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// The readers come first: the last connection to close is the writer's.
struct Inner {
    readers: Mutex<Vec<Connection>>,
    writer: writer::Writer,
    options: OpenOptions,
    published: batch::Published,
    timers: Arc<Notify>,
    was_left_open: bool,
}

impl Store {
    /// Opens the database, brings its schema up to date and starts the writer's thread.
    ///
    /// # Errors
    /// See [`StoreError`]: wrong key, plain database, newer schema, unreadable, full disk.
    pub fn open(options: OpenOptions, clock: Clock) -> Result<Self, StoreError> {
        Self::open_at(options, clock, migrate::STEPS)
    }

    fn open_at(
        options: OpenOptions,
        clock: Clock,
        steps: &'static [&'static str],
    ) -> Result<Self, StoreError> {
        // Everything that may refuse comes before the first byte is written.
        let found = match open::look(&options.path)? {
            open::Found::Nothing => {
                open::make(&options.path)?;
                0
            }
            open::Found::File => open::probe(&options)?,
        };
        let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(StoreError::Newer { path: options.path, found, known });
        }
        let mut connection = open::writer(&options)?;
        migrate::run(&mut connection, &options, steps, found, clock.now_ms())?;
        let reserve = reserve::Reserve::begin(&mut connection)?;
        let (last, was_left_open) = (reserve.newest(), reserve.was_left_open());
        let published = batch::Published {
            ring: Arc::new(Ring::new(last)),
            last_event: watch::channel(last).0,
            latencies: Arc::default(),
        };
        let checkpointer = open::checkpointer(&options);
        let (path, seen) = (&options.path, published.clone());
        let writer = writer::Writer::start(connection, checkpointer, reserve, clock, path, seen);
        let (readers, timers) = Default::default();
        let inner = Inner { writer, readers, options, published, timers, was_left_open };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Calls `question` with a reading connection, on a thread that may block. All it asks is
    /// answered from one moment.
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
            let mut connection = inner.take_reader()?;
            let answer = {
                let db = Db { transaction: connection.transaction()? };
                question(&db)
            };
            inner.give_back(connection);
            answer
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    /// Runs `change` as one transaction on the writer's thread: all of it happens, or nothing.
    /// What it says is saved survives a power cut.
    ///
    /// # Errors
    /// Whatever `change` says (then nothing was saved), or that the transaction could not be committed.
    pub async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.submit(Durability::Disk, change).await
    }

    /// As [`Store::write`], for a change that may be refused for reasons of its own.
    ///
    /// # Errors
    /// The same.
    pub async fn write_as<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.submit(Durability::Disk, change).await
    }

    /// Like [`Store::write`], without waiting for the disk: it survives the end of this process, but
    /// a power cut may take it. For what streams by and is repeated at its end, such as an answer's text.
    ///
    /// # Errors
    /// The same.
    pub async fn write_soon<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.submit(Durability::Process, change).await
    }

    /// Like [`Store::write_soon`], but on the caller's own thread while nobody else writes or waits to: an answer's
    /// words need not wait until two other threads were given a processor. For a few small rows only, because the
    /// caller's thread does nothing else meanwhile.
    ///
    /// # Errors
    /// The same.
    pub async fn write_here<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (change, answer) = job(Durability::Process, change);
        if let Err(change) = self.inner.writer.make_here(change) {
            self.inner.writer.submit(change).await?;
        }
        self.answered(answer).await
    }

    async fn submit<T, E, F>(&self, durability: Durability, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (change, answer) = job(durability, change);
        self.inner.writer.submit(change).await?;
        self.answered(answer).await
    }

    async fn answered<T, E: From<StoreError>>(&self, answer: Answer<T, E>) -> Result<T, E> {
        let (value, has_set_timers) = answer.await.map_err(|_| E::from(StoreError::Closed))??;
        if has_set_timers {
            self.inner.timers.notify_one();
        }
        Ok(value)
    }

    /// The schema's version.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn schema(&self) -> Result<i64, StoreError> {
        self.read(|db| {
            let version = db.maybe_row("PRAGMA user_version", (), |row| Ok(row.get(0)?))?;
            Ok(version.unwrap_or(0))
        })
        .await
    }

    /// Reads every page and checks that the tables hang together; of a large database as much as can be read in that
    /// time, a few seconds more at most.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what does not.
    pub async fn check(&self, within: Duration) -> Result<CheckedPart, StoreError> {
        let bytes = std::fs::metadata(self.path()).map_or(0, |found| found.len());
        self.read(move |db| integrity::sampled(&db.transaction, bytes, within)).await
    }

    /// Whether whoever had it open before did not close it: a crash or a power cut.
    #[must_use]
    pub fn was_left_open(&self) -> bool {
        self.inner.was_left_open
    }

    /// Copies the whole database, under the same key, into the backups folder; says where it is.
    ///
    /// # Errors
    /// [`StoreError::Backup`], [`StoreError::DiskFull`].
    pub async fn back_up(&self, now_ms: u64) -> Result<PathBuf, StoreError> {
        let options = self.inner.options.clone();
        let version = self.schema().await?;
        self.read(move |db| backup::make(&db.transaction, &options, version, now_ms)).await
    }

    /// The folder of its copies.
    #[must_use]
    pub fn backups(&self) -> &std::path::Path {
        &self.inner.options.backups
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.inner.options.path
    }

    /// The id of the newest committed event; changes wake whoever sends events out.
    #[must_use]
    pub fn last_event(&self) -> watch::Receiver<u64> {
        self.inner.published.last_event.subscribe()
    }

    /// Told when timers were set; see [`timers`].
    #[must_use]
    pub fn timers_changed(&self) -> Arc<Notify> {
        self.inner.timers.clone()
    }

    /// The newest events, as they were committed.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.inner.published.ring
    }

    /// How long writing took since the start.
    #[must_use]
    pub fn write_times(&self) -> WriteTimes {
        self.inner.published.latencies.now(self.inner.writer.waiting())
    }
}

/// What a change says, and whether it set timers.
type Answer<T, E> = oneshot::Receiver<Result<(T, bool), E>>;

fn job<T, E, F>(durability: Durability, change: F) -> (change::Waiting, Answer<T, E>)
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    let change = move |tx: &mut Tx<'_>| change(tx).map(|value| (value, tx.has_set_timers()));
    let (job, answer) = change::WriteJob::new(change, durability);
    (job, answer)
}

impl Inner {
    fn take_reader(&self) -> Result<Connection, StoreError> {
        let idle = self.readers.lock().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => open::reader(&self.options),
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut readers = self.readers.lock();
        if readers.len() < 4 {
            readers.push(connection);
        }
    }
}

#[cfg(test)]
mod migrated_tests;
#[cfg(test)]
mod power_cut_tests;
#[cfg(test)]
mod spent_tests;
#[cfg(test)]
mod tests;

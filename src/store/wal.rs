//! The log beside the database: what waits for the disk, and who writes the log back into the database.

use std::fs::File;
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::Arc;
use std::sync::mpsc as queue;
use std::time::Instant;

use rusqlite::Connection;

use super::StoreError;
use super::change::Waiting;
use super::latency::Latencies;

/// The log beside the database.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// How much of it a power cut would leave.
    #[cfg(test)]
    synced: Arc<std::sync::atomic::AtomicU64>,
}

impl Log {
    pub(super) fn beside(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        #[cfg(test)]
        let synced = Arc::new(std::fs::metadata(&path).map_or(0, |file| file.len()).into());
        Self {
            path: path.into(),
            #[cfg(test)]
            synced,
        }
    }

    /// How many bytes of it a power cut would leave.
    #[cfg(test)]
    pub(super) fn synced(&self) -> u64 {
        self.synced.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// Everything that was committed before survives a power cut from now on.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        // Opened anew: the database may begin another log at any time. Without one, everything is in the file.
        match File::open(&self.path) {
            Ok(file) => {
                #[cfg(test)]
                let length = file.metadata()?.len();
                file.sync_data()?;
                #[cfg(test)]
                self.synced.store(length, std::sync::atomic::Ordering::SeqCst);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The checkpointer's thread: syncs the log and then the database, for which a writer would stand still.
pub(super) fn checkpoint_when_told(told: &queue::Receiver<()>, connection: &Connection) {
    while told.recv().is_ok() {
        // Passive: waits for nobody. What it cannot do now, it does the next time.
        let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
        if let Err(error) = done {
            tracing::debug!(%error, "the log could not be written back into the database: {error}");
        }
    }
}

/// The syncer's thread: whatever was saved while one sync ran shares the next.
pub(super) fn sync_and_answer(unsynced: &queue::Receiver<Vec<Waiting>>, log: &Log, latencies: &Latencies) {
    while let Ok(mut saved) = unsynced.recv() {
        while let Ok(more) = unsynced.try_recv() {
            saved.extend(more);
        }
        let begun = Instant::now();
        let synced = log.sync();
        latencies.synced(begun.elapsed());
        for change in saved {
            latencies.saved(change.durability(), change.submitted_at().elapsed());
            change.answer(match &synced {
                Ok(()) => Ok(()),
                Err(error) => Err(StoreError::Damaged(error.to_string())),
            });
        }
    }
}

//! Copies of the database that are made by themselves or when somebody asks, and a look at a database that a crash left.
//!
//! A copy that cannot be made, or that is not whole, takes no older one away. Putting one back needs no gateway (see
//! `daemon`).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::backup::Backup;
use crate::model::principal::Principal;
use crate::store::{CheckedPart, Store, StoreError, backup, meta};
use crate::supervisor::Service;

/// How soon after the start it is looked at whether a copy is due, and how often then.
pub const FIRST_LOOK: Duration = Duration::from_secs(60);
/// See [`FIRST_LOOK`].
pub const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long a large database that a crash left is read.
const CHECK: Duration = Duration::from_secs(60);
/// Where it is remembered that the database is damaged: a gateway that is stopped well does not make it whole.
const DAMAGE: &str = "damage";

/// When copies are made, and which are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How old the newest copy may become; nothing: copies are made when somebody asks.
    pub every: Option<Duration>,
    /// How many are kept,
    pub keep: usize,
    /// and for how long; the newest always.
    pub age: Duration,
}

/// Copies of the database. Cheap to clone.
#[derive(Clone)]
pub struct Backups {
    store: Store,
    clock: Clock,
    settings: Settings,
    damage: Arc<Mutex<Option<String>>>,
}

impl Backups {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store, clock: Clock, settings: Settings) -> Self {
        Self { store, clock, settings, damage: Arc::default() }
    }

    /// What is wrong with the database, where a crash left it damaged.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.damage.lock().clone()
    }

    /// All copies, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Backup> {
        backup::list(self.store.backups())
    }

    /// Makes a copy now, for somebody.
    ///
    /// # Errors
    /// [`StoreError::Backup`], [`StoreError::DiskFull`], [`StoreError::Damaged`].
    pub async fn create(&self, principal: &Principal) -> Result<Backup, StoreError> {
        let made = self.make().await?;
        let (principal, name) = (principal.clone(), made.name.clone());
        let audit = move |tx: &mut crate::store::Tx<'_>| {
            tx.audit(&principal, "backup.create", &name, &serde_json::json!({}))
        };
        self.store.write(audit).await?;
        Ok(made)
    }

    /// Makes a copy if one is due, and removes those that nobody needs any more.
    ///
    /// # Errors
    /// Those of [`Backups::create`].
    pub async fn keep_up(&self) -> Result<(), StoreError> {
        let Some(every) = self.settings.every else { return Ok(()) };
        let (newest, now) = (self.list().last().map_or(0, |copy| copy.made_at), self.clock.now_ms());
        // One from the future was made while the clock was wrong.
        if newest > now || Duration::from_millis(now - newest) >= every {
            let made = self.make().await?;
            tracing::info!("the database was copied to {}", self.store.backups().join(made.name).display());
        }
        Ok(())
    }

    async fn make(&self) -> Result<Backup, StoreError> {
        let now = self.clock.now_ms();
        let path = self.store.back_up(now).await?;
        let copies = self.list();
        for name in backup::superfluous(&copies, self.settings.keep, self.settings.age, now) {
            if let Err(error) = std::fs::remove_file(self.store.backups().join(&name)) {
                tracing::warn!(%error, "the old copy {name} cannot be removed: {error}");
            }
        }
        let made = copies.into_iter().find(|copy| path.ends_with(&copy.name));
        made.ok_or_else(|| StoreError::Backup { path, why: "it is gone again".to_owned() })
    }
}

impl Backups {
    /// Reads what a crash left behind; what was damaged at the last start too, until it is whole.
    async fn look_for_damage(&self) {
        let known = match self.store.read(|db| meta::find(db, DAMAGE)).await {
            Ok(known) => known.filter(|text| !text.is_empty()),
            Err(StoreError::Damaged(why)) => Some(why),
            Err(_) => None,
        };
        if known.is_none() && !self.store.was_left_open() {
            return;
        }
        *self.damage.lock() = known.clone();
        let found = match self.store.check(CHECK).await {
            Ok(CheckedPart::Whole) => None,
            // What was found before may be in a part that was not read now.
            Ok(CheckedPart::Tables(..)) => known.clone(),
            Err(StoreError::Damaged(why)) => Some(why),
            Err(error) => {
                tracing::warn!(%error, "the database cannot be read to its end: {error}");
                known.clone()
            }
        };
        *self.damage.lock() = found.clone();
        if let Some(why) = &found {
            let path = self.store.path().display();
            tracing::error!("{path} is not whole: {why}; `mimir doctor` says what to do");
        }
        if found != known {
            let text = found.unwrap_or_default();
            if let Err(error) = self.store.write(move |tx| meta::set(tx, DAMAGE, &text)).await {
                tracing::warn!(%error, "what is wrong with the database cannot be remembered: {error}");
            }
        }
    }
}

impl Service for Backups {
    const NAME: &'static str = "backups";

    /// Looks once.
    async fn run(&self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.look_for_damage()).await;
        stop.cancelled().await;
    }
}

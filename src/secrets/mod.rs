//! Secrets that frames may use, and what should not leave.
//!
//! A secret is kept in the database, or its source is asked when it is needed. A frame that is given one sees a
//! placeholder, which the broker replaces in the headers of requests to one host; loosened, and shown as such, it sees the
//! secret itself. What the gateway knows of secrets it tells to [`Known`], so that they are taken out of all that is said.
//!
//! Not here: how a request is passed on (see `broker`), and how secrets are found in texts (see `redact`).

mod error;
mod grants;
mod patterns;
pub mod placeholder;
pub mod scan;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::names::{FrameName, SecretName};
use crate::model::principal::Principal;
use crate::model::secret::Secret;
use crate::model::secrets::{SecretGrant, SecretSource, check_value};
use crate::redact::Known;
use crate::store::secrets::{self as rows, StoredSecret};
use crate::store::{Store, StoreError};
use scan::Scanner;

pub use error::SecretError;
pub use grants::{ForStart, Grant, SwapError};

/// How long the answer of a source is used.
const FRESH: Duration = Duration::from_secs(60);

/// What secrets are kept with.
pub struct VaultDeps {
    /// Where they are kept.
    pub store: Store,
    /// Who is told of them, so that nobody says them.
    pub known: Known,
    /// Keys that are known besides, each with what it is called.
    pub keys: Vec<(String, Secret)>,
}

/// All secrets of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    deps: VaultDeps,
    /// What sources answered. Old answers are still secrets, and stay known.
    answers: Mutex<HashMap<SecretName, Vec<Answer>>>,
    /// When it was last written down that a secret was used.
    noted: Mutex<HashMap<SecretName, Instant>>,
}

struct Answer {
    secret: Secret,
    at: Instant,
}

/// A value that somebody gives, or where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Kept here.
    Kept(Secret),
    /// Asked when it is needed.
    From(SecretSource),
}

/// A secret, and who was given it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Itself.
    pub secret: StoredSecret,
    /// Frames, with what each was given.
    pub grants: Vec<(FrameName, SecretGrant)>,
}

impl Vault {
    /// Nothing is known until [`Vault::take_up`].
    #[must_use]
    pub fn new(deps: VaultDeps) -> Self {
        let (answers, noted) = Default::default();
        Self { inner: Arc::new(Inner { deps, answers, noted }) }
    }

    /// Learns what is kept, before anybody can say it.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn take_up(&self) -> Result<(), StoreError> {
        let kept = self.inner.deps.store.read(|db| rows::list(db)).await?;
        self.tell(&kept);
        Ok(())
    }

    /// Everybody who says something is told what not to say.
    fn tell(&self, kept: &[StoredSecret]) {
        let mut all: Vec<Secret> = kept.iter().filter_map(|secret| secret.value.clone()).collect();
        all.extend(self.inner.answers.lock().values().flatten().map(|answer| answer.secret.clone()));
        self.inner.deps.known.set("secrets", all);
    }

    /// What must not be said.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.inner.deps.known
    }

    /// Looks for what is known here in a text that is about to leave.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn scanner(&self) -> Result<Scanner, StoreError> {
        let kept = self.inner.deps.store.read(|db| rows::list(db)).await?;
        let kept = kept.into_iter().filter_map(|secret| Some((secret.name, secret.value?)));
        let mut named: Vec<(String, Secret)> =
            kept.map(|(name, value)| (format!("the secret {name}"), value)).collect();
        for (name, answers) in self.inner.answers.lock().iter() {
            let secrets = answers.iter().map(|answer| answer.secret.clone());
            named.extend(secrets.map(|secret| (format!("the secret {name}"), secret)));
        }
        named.extend(self.inner.deps.keys.iter().cloned());
        Ok(Scanner::knowing(named.iter().map(|(what, secret)| (what.clone(), secret))))
    }

    /// Keeps a secret, or where it comes from. What frames were given of it stays given.
    ///
    /// # Errors
    /// [`SecretError::Value`], [`SecretError::OwnerOnly`], [`SecretError::Source`].
    pub async fn set(
        &self,
        principal: &Principal,
        name: &SecretName,
        value: Value,
    ) -> Result<Listed, SecretError> {
        let (value, source) = match value {
            Value::Kept(value) => {
                check_value(value.reveal()).map_err(SecretError::Value)?;
                (Some(value), SecretSource::Kept)
            }
            Value::From(SecretSource::Kept) => return Err(SecretError::Either),
            Value::From(source) => {
                if !matches!(principal, Principal::Owner { .. }) {
                    return Err(SecretError::OwnerOnly);
                }
                // One that has no answer now is not noted for later.
                self.answer(name, &source).await?;
                (None, source)
            }
        };
        let (principal, named) = (principal.clone(), name.clone());
        let kept: Result<Vec<StoredSecret>, StoreError> = self
            .inner
            .deps
            .store
            .write(move |tx| {
                rows::set(tx, &principal, &named, value.as_ref(), &source)?;
                rows::list(tx)
            })
            .await;
        self.tell(&kept?);
        self.show(name).await
    }

    /// Forgets a secret, and takes it from all frames.
    ///
    /// # Errors
    /// [`SecretError::NotFound`].
    pub async fn remove(&self, principal: &Principal, name: &SecretName) -> Result<Listed, SecretError> {
        let listed = self.show(name).await?;
        let (principal, named) = (principal.clone(), name.clone());
        let kept = self.inner.deps.store.write_as(move |tx| match rows::remove(tx, &principal, &named)? {
            true => Ok(rows::list(tx)?),
            false => Err(SecretError::NotFound(named)),
        });
        let kept = kept.await?;
        self.inner.answers.lock().remove(name);
        self.tell(&kept);
        Ok(listed)
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn list(&self) -> Result<Vec<Listed>, SecretError> {
        let read = |db: &crate::store::Db<'_>| Ok::<_, StoreError>((rows::list(db)?, rows::grants(db)?));
        let (secrets, grants) = self.inner.deps.store.read(read).await?;
        let of = |name: &SecretName| {
            grants.iter().filter(|(_, grant)| grant.secret == *name).cloned().collect::<Vec<_>>()
        };
        Ok(secrets.into_iter().map(|secret| Listed { grants: of(&secret.name), secret }).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`SecretError::NotFound`].
    pub async fn show(&self, name: &SecretName) -> Result<Listed, SecretError> {
        let found = self.list().await?.into_iter().find(|listed| listed.secret.name == *name);
        found.ok_or_else(|| SecretError::NotFound(name.clone()))
    }

    /// The secret itself, now.
    async fn value(&self, name: &SecretName) -> Result<Secret, SecretError> {
        let named = name.clone();
        let found = self.inner.deps.store.read(move |db| rows::find(db, &named)).await?;
        let secret = found.ok_or_else(|| SecretError::NotFound(name.clone()))?;
        match secret.value {
            Some(value) => Ok(value),
            None => self.answer(name, &secret.source).await,
        }
    }

    /// What its source says, or said a moment ago.
    async fn answer(&self, name: &SecretName, source: &SecretSource) -> Result<Secret, SecretError> {
        let last = self.inner.answers.lock().get(name).and_then(|answers| {
            answers.last().filter(|answer| answer.at.elapsed() < FRESH).map(|answer| answer.secret.clone())
        });
        if let Some(secret) = last {
            return Ok(secret);
        }
        let failed = |why: String| SecretError::Source { name: name.clone(), why };
        let answer =
            source::ask(source).await.map_err(failed)?.ok_or_else(|| failed("it has no source".into()))?;
        check_value(answer.reveal()).map_err(|why| failed(why.to_owned()))?;
        {
            let mut answers = self.inner.answers.lock();
            let of = answers.entry(name.clone()).or_default();
            of.retain(|known| known.secret != answer);
            of.push(Answer { secret: answer.clone(), at: Instant::now() });
        }
        // Known before anybody can use it.
        self.take_up().await?;
        Ok(answer)
    }

    /// Writes down that a secret was used, now and then.
    async fn note_used(&self, name: &SecretName) {
        {
            let mut noted = self.inner.noted.lock();
            if noted.get(name).is_some_and(|at| at.elapsed() < FRESH) {
                return;
            }
            noted.insert(name.clone(), Instant::now());
        }
        let named = name.clone();
        let noted: Result<(), StoreError> =
            self.inner.deps.store.write_soon(move |tx| rows::used(tx, &named)).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "that a secret was used could not be written down: {error}");
        }
    }
}

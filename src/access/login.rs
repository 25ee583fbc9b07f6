//! What the owner says about coming in from a browser: the password, and an app whose codes are asked for besides.
//!
//! Whatever changes here ends all sessions of browsers, in the same transaction, and links that nobody opened.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

use super::delays::Delays;
use super::registry::Ending;
use super::web::usual;
use super::{Access, AccessError, password, second_factor};
use crate::model::ids::TokenId;
use crate::model::principal::Principal;
use crate::model::scope::{Grant, Scopes};
use crate::model::secret::Secret;
use crate::model::token::Token;
use crate::store::{self, StoreError, Tx, logins};

/// So long an app that was shown its secret can be confirmed.
const ENROLMENT_MS: u64 = 10 * 60_000;

/// What the login remembers.
pub(super) struct LoginDesk {
    /// How long whoever guesses waits.
    pub(super) delays: Delays,
    /// To compare a password takes 64 MiB: one at a time.
    hashing: Arc<Semaphore>,
    enrolment: Mutex<Option<Enrolment>>,
    /// Whether there is a password; nobody looked when absent.
    is_set: Mutex<Option<bool>>,
}

impl Default for LoginDesk {
    fn default() -> Self {
        Self {
            delays: Delays::default(),
            hashing: Arc::new(Semaphore::new(1)),
            enrolment: Mutex::default(),
            is_set: Mutex::default(),
        }
    }
}

impl LoginDesk {
    /// Does something that takes a while and much memory, one after the other and on a thread of its own. The thread
    /// keeps the turn: whoever asked may go away meanwhile, and the memory is still taken.
    pub(super) async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccessError> {
        // The semaphore is never closed.
        let turn = self.hashing.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| AccessError::NotHashed(error.to_string()))
    }
}

/// A secret that an app was shown, until its first code is seen.
struct Enrolment {
    secret: [u8; second_factor::SECRET],
    until_ms: u64,
}

/// How the owner comes in, for the owner.
#[derive(Clone, Debug)]
pub struct LoginState {
    /// What a session may do, and since when, if there is a password.
    pub password: Option<(Scopes, u64)>,
    /// Whether a code is asked for besides.
    pub has_second_factor: bool,
    /// How many recovery codes were not used.
    pub recovery_codes_left: u64,
}

/// What an app is shown.
#[derive(Debug)]
pub struct EnrolledApp {
    /// For its camera.
    pub uri: Secret,
    /// For whoever types it.
    pub typed: Secret,
    /// From then on it cannot be confirmed (UTC ms).
    pub until: u64,
}

impl Access {
    /// Whether a browser can come in with a password.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn has_password(&self) -> Result<bool, StoreError> {
        if let Some(is_set) = *self.inner.login.is_set.lock() {
            return Ok(is_set);
        }
        let found = self.inner.store.read(|db| logins::find(db)).await?.is_some();
        // Whoever set one meanwhile knows better.
        Ok(*self.inner.login.is_set.lock().get_or_insert(found))
    }

    /// How the owner comes in.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn login_state(&self) -> Result<LoginState, StoreError> {
        self.inner
            .store
            .read(|db| {
                let login = logins::find(db)?;
                Ok(LoginState {
                    has_second_factor: login.as_ref().is_some_and(|login| login.second_factor.is_some()),
                    password: login.map(|login| (login.scopes, login.set_at)),
                    recovery_codes_left: logins::recovery_codes_left(db)?,
                })
            })
            .await
    }

    /// Sets the password, and what sessions may do that begin with it; those that the page needs when `scopes` is empty.
    /// All sessions of browsers end.
    ///
    /// # Errors
    /// [`AccessError::WeakPassword`], [`AccessError::MoreThanOwn`].
    pub async fn set_password(
        &self,
        by: &Grant,
        password: Secret,
        scopes: Scopes,
    ) -> Result<LoginState, AccessError> {
        password::refuse_weak(password.reveal())?;
        let scopes = if scopes.is_empty() { usual(by.scopes) } else { scopes };
        self.check_gift(by, scopes, None, "login.password").await?;
        let kept = self.inner.login.hashed(move || password::keep(password.reveal())).await??;
        self.change_login(&by.principal, "login.password", json!({ "scopes": scopes }), move |tx| {
            Ok(logins::set(tx, &kept, scopes)?)
        })
        .await?;
        *self.inner.login.is_set.lock() = Some(true);
        Ok(self.login_state().await?)
    }

    /// Lets nobody in with a password any more. All sessions of browsers end.
    ///
    /// # Errors
    /// [`AccessError::NoPassword`].
    pub async fn remove_password(&self, by: &Principal) -> Result<LoginState, AccessError> {
        let removed = self.change_login(by, "login.password_removed", json!({}), |tx| {
            logins::remove(tx).map_err(|error| unless_conflict(error, AccessError::NoPassword))
        });
        removed.await?;
        *self.inner.login.is_set.lock() = Some(false);
        Ok(self.login_state().await?)
    }

    /// Shows an app a new secret. What is asked for stays as it is until the app's first code is confirmed.
    ///
    /// # Errors
    /// [`AccessError::NoPassword`].
    pub async fn enrol_app(&self, account: &str) -> Result<EnrolledApp, AccessError> {
        if !self.has_password().await? {
            return Err(AccessError::NoPassword);
        }
        let secret = second_factor::secret();
        let (uri, typed) = second_factor::for_apps(&secret, account)?;
        let until = self.inner.clock.now_ms().saturating_add(ENROLMENT_MS);
        *self.inner.login.enrolment.lock() = Some(Enrolment { secret, until_ms: until });
        Ok(EnrolledApp { uri: Secret::new(uri), typed: Secret::new(typed), until })
    }

    /// Asks for a code of the app from now on that shows this one, and gives recovery codes, which are told here and
    /// never again. All sessions of browsers end.
    ///
    /// # Errors
    /// [`AccessError::NotEnrolling`], [`AccessError::WrongCode`], [`AccessError::NoPassword`].
    pub async fn confirm_app(&self, by: &Principal, code: &str) -> Result<Vec<String>, AccessError> {
        let now = self.inner.clock.now_ms();
        let secret = {
            let enrolment = self.inner.login.enrolment.lock();
            let shown = enrolment.as_ref().filter(|shown| shown.until_ms > now);
            shown.map(|shown| shown.secret).ok_or(AccessError::NotEnrolling)?
        };
        let step = second_factor::step_of(&secret, &blankless(code), now).ok_or(AccessError::WrongCode)?;
        let codes = second_factor::recovery_codes();
        let hashes: Vec<String> =
            codes.iter().filter_map(|code| second_factor::recovery_hash(code)).collect();
        self.change_login(by, "login.totp", json!({ "recovery_codes": hashes.len() }), move |tx| {
            let set = logins::set_second_factor(tx, &secret, step, &hashes);
            set.map_err(|error| unless_conflict(error, AccessError::NoPassword))
        })
        .await?;
        *self.inner.login.enrolment.lock() = None;
        Ok(codes)
    }

    /// Asks for the password alone from now on. All sessions of browsers end.
    ///
    /// # Errors
    /// [`AccessError::NoSecondFactor`].
    pub async fn remove_app(&self, by: &Principal) -> Result<LoginState, AccessError> {
        let removed = self.change_login(by, "login.totp_removed", json!({}), |tx| {
            let removed = logins::remove_second_factor(tx);
            removed.map_err(|error| unless_conflict(error, AccessError::NoSecondFactor))
        });
        removed.await?;
        Ok(self.login_state().await?)
    }

    /// Ends every session of a browser, and says which those were.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn end_sessions(&self, by: &Principal) -> Result<Vec<Token>, AccessError> {
        let ended = self.change_login(by, "web.sessions_ended", json!({}), |_| Ok(())).await?;
        let all = self.list().await?;
        Ok(all.into_iter().filter(|token| ended.contains(&token.id)).collect())
    }

    /// Changes how the owner comes in, and ends all sessions of browsers in the same transaction.
    async fn change_login<F>(
        &self,
        by: &Principal,
        action: &'static str,
        mut detail: serde_json::Value,
        change: F,
    ) -> Result<Vec<TokenId>, AccessError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<(), AccessError> + Send + 'static,
    {
        let inner = &self.inner;
        inner.registry.ensure_loaded(&inner.store).await?;
        let (principal, registry, now) = (by.clone(), inner.registry.clone(), inner.clock.now_ms());
        let written = inner.store.write_as(move |tx| -> Result<_, AccessError> {
            change(tx)?;
            let ended = store::tokens::revoke_sessions(tx)?;
            detail["sessions_ended"] = ended.len().into();
            tx.audit(&principal, action, "owner", &detail)?;
            Ok(Ending::new(registry, ended, now))
        });
        let ended = written.await?;
        // A link that nobody opened yet would begin the next one.
        inner.codes.forget();
        Ok(ended.ids().to_vec())
    }
}

/// What a row that was not as expected means here; other errors stay what they are.
pub(super) fn unless_conflict(error: StoreError, meaning: AccessError) -> AccessError {
    match error {
        StoreError::Conflict { .. } => meaning,
        error => error.into(),
    }
}

/// A code as it is shown, without the blank that apps show in the middle.
pub(super) fn blankless(code: &str) -> String {
    code.chars().filter(|letter| !letter.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    /// No wait here is longer.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn whoever_goes_away_gives_up_no_turn_before_the_memory_is_free() {
        let desk = LoginDesk::default();
        let (begun, has_begun) = oneshot::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let first = desk.hashed(move || {
            let _ = begun.send(());
            let _ = may_end.recv_timeout(PATIENCE);
        });
        tokio::select! {
            _ = first => panic!("it was not told to end"),
            begun = timeout(PATIENCE, has_begun) => begun.expect("in time").expect("it began"),
        }
        assert_eq!(desk.hashing.available_permits(), 0, "nobody waits for it, and it still runs");
        end.send(()).expect("it runs");
        let second = timeout(PATIENCE, desk.hashed(|| 2)).await.expect("its turn came");
        assert_eq!(second.expect("done"), 2);
    }
}

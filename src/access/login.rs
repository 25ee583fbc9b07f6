//! Coming in from a browser with the owner's password.
//!
//! There is one owner, so there are no names to guess. Whoever tries is told nothing but yes or no: which of the two was
//! wrong, whether a password is set, and whether a code is asked for are the owner's to know, and each answer takes as
//! long as the others. What ends a session counts here too: another password ends all of them.

use std::net::IpAddr;

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;

use super::delays::Delays;
use super::web::{OpenedSession, usual};
use super::{Access, AccessError, Denied, neighbourhood, password, second_factor};
use crate::model::ids::TokenId;
use crate::model::principal::Principal;
use crate::model::scope::{Grant, Scopes};
use crate::model::secret::Secret;
use crate::model::token::{SessionStart, Token};
use crate::store::logins::{self, Login, PasswordHash, SecondFactor};
use crate::store::{self, StoreError, Tx};

/// So long an app that was shown its secret can be confirmed.
const ENROLMENT_MS: u64 = 10 * 60_000;
/// Who came in within this time is no stranger.
const KNOWN_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// In whose name a session begins that a password opened.
const LOGIN: Principal = Principal::service("login");

/// What the login remembers.
pub(super) struct LoginDesk {
    delays: Delays,
    /// To compare a password takes 64 MiB: one at a time.
    hashing: Semaphore,
    enrolment: Mutex<Option<Enrolment>>,
    /// Whether there is a password; nobody looked when absent.
    is_set: Mutex<Option<bool>>,
}

impl Default for LoginDesk {
    fn default() -> Self {
        Self {
            delays: Delays::default(),
            hashing: Semaphore::new(1),
            enrolment: Mutex::default(),
            is_set: Mutex::default(),
        }
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

/// What is used up when a session begins.
enum Used {
    PasswordAlone,
    Step(u64),
    RecoveryCode(String),
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
        let kept = self.hashed(move || password::keep(password.reveal())).await??;
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

    /// Begins a session for whoever knows the password, and the code if one is asked for. `replaced` is the session
    /// that this browser had until now.
    ///
    /// # Errors
    /// [`AccessError::TooSoon`]; [`AccessError::WrongLogin`], whatever was wrong.
    pub async fn log_in(
        &self,
        password: Secret,
        code: Option<&str>,
        replaced: Option<Token>,
        from: IpAddr,
    ) -> Result<OpenedSession, AccessError> {
        let inner = &self.inner;
        inner.registry.ensure_loaded(&inner.store).await?;
        let now = inner.clock.now_ms();
        let is_known = inner.registry.browsed_from(neighbourhood(from), now.saturating_sub(KNOWN_MS));
        if let Err(seconds) = inner.login.delays.begin(from, is_known, now) {
            return Err(AccessError::TooSoon { seconds });
        }
        let opened = match self.checked(password, code).await? {
            Some((login, used)) => self.begin_by_login(login, used, replaced).await,
            None => Err(AccessError::WrongLogin),
        };
        match &opened {
            Ok(_) => inner.login.delays.forgive(from),
            Err(AccessError::WrongLogin) => {
                self.refused(from, "a wrong password or code", Denied::Unknown).await;
            }
            Err(_) => {}
        }
        opened
    }

    /// The login that these two open, and what of it is used up.
    async fn checked(
        &self,
        password: Secret,
        code: Option<&str>,
    ) -> Result<Option<(Login, Used)>, AccessError> {
        let login = self.inner.store.read(|db| logins::find(db)).await?;
        let kept: Option<PasswordHash> = login.as_ref().map(|login| login.password.clone());
        let fits = self.hashed(move || password::fits(password.reveal(), kept.as_ref())).await?;
        let Some(login) = login.filter(|_| fits) else { return Ok(None) };
        let used = match &login.second_factor {
            None => Some(Used::PasswordAlone),
            Some(factor) => self.used_code(factor, code.unwrap_or_default()),
        };
        Ok(used.map(|used| (login, used)))
    }

    fn used_code(&self, factor: &SecondFactor, code: &str) -> Option<Used> {
        // Nobody guesses a recovery code, so they open also while codes of the app are not taken.
        if let Some(hash) = second_factor::recovery_hash(code) {
            return Some(Used::RecoveryCode(hash));
        }
        let now = self.inner.clock.now_ms();
        let step = second_factor::step_of(&factor.secret, &blankless(code), now);
        // A code that was seen once, over somebody's shoulder say, opens nothing again.
        let fresh = step.filter(|step| *step > factor.used_step && self.inner.login.delays.takes_codes(now));
        if fresh.is_none() {
            self.inner.login.delays.note_wrong_code(now);
        }
        fresh.map(Used::Step)
    }

    async fn begin_by_login(
        &self,
        login: Login,
        used: Used,
        replaced: Option<Token>,
    ) -> Result<OpenedSession, AccessError> {
        let by = Grant { principal: LOGIN, scopes: login.scopes, frames: None };
        let set_at = login.set_at;
        let use_up = move |tx: &mut Tx<'_>| -> Result<(), AccessError> {
            let done = match &used {
                Used::PasswordAlone => logins::use_password(tx, set_at),
                Used::Step(step) => logins::use_step(tx, set_at, *step),
                Used::RecoveryCode(hash) => logins::use_recovery_code(tx, set_at, hash),
            };
            done.map_err(|error| unless_conflict(error, AccessError::WrongLogin))?;
            if let Used::RecoveryCode(_) = used {
                let left = logins::recovery_codes_left(tx)?;
                tx.audit(&LOGIN, "login.recovery_code", "owner", &json!({ "left": left }))?;
            }
            Ok(())
        };
        self.begin_session(&by, login.scopes, SessionStart::Password, replaced, use_up).await
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
        let principal = by.clone();
        let written = inner.store.write_as(move |tx| -> Result<_, AccessError> {
            change(tx)?;
            let ended = store::tokens::revoke_sessions(tx)?;
            detail["sessions_ended"] = ended.len().into();
            tx.audit(&principal, action, "owner", &detail)?;
            Ok(ended)
        });
        let ended = written.await?;
        let now = inner.clock.now_ms();
        ended.iter().for_each(|id| inner.registry.revoke(id, now));
        Ok(ended)
    }

    /// Does something that takes a while and much memory, one after the other and on a thread of its own.
    async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccessError> {
        // The semaphore is never closed.
        let _turn = self.inner.login.hashing.acquire().await;
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| AccessError::NotHashed(error.to_string()))
    }
}

/// What a row that was not as expected means here; other errors stay what they are.
fn unless_conflict(error: StoreError, meaning: AccessError) -> AccessError {
    match error {
        StoreError::Conflict { .. } => meaning,
        error => error.into(),
    }
}

/// A code as it is shown, without the blank that apps show in the middle.
fn blankless(code: &str) -> String {
    code.chars().filter(|letter| !letter.is_whitespace()).collect()
}

//! Coming in from a browser with the owner's password.
//!
//! There is one owner, so there are no names to guess. Whoever tries is told nothing but yes or no: which of the two was
//! wrong, whether a password is set, and whether a code is asked for are the owner's to know, and each answer takes as
//! long as the others.

use std::net::IpAddr;

use serde_json::json;

use super::login::{blankless, unless_conflict};
use super::web::OpenedSession;
use super::{Access, AccessError, Denied, neighbourhood, password, second_factor};
use crate::model::principal::Principal;
use crate::model::scope::Grant;
use crate::model::secret::Secret;
use crate::model::token::{SessionStart, Token};
use crate::store::Tx;
use crate::store::logins::{self, Login, PasswordHash, SecondFactor};

/// Who came in within this time is no stranger.
const KNOWN_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// In whose name a session begins that a password opened.
const LOGIN: Principal = Principal::service("login");

/// What is used up when a session begins.
enum Used {
    PasswordAlone,
    /// Of the app with that secret.
    Step {
        secret: Vec<u8>,
        step: u64,
    },
    RecoveryCode(String),
}

impl Access {
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
        if opened.is_ok() {
            inner.login.delays.forgive(from);
        }
        if matches!(opened, Err(AccessError::WrongLogin)) {
            self.refused(from, "a wrong password or code", Denied::Unknown).await;
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
        let fits = self.inner.login.hashed(move || password::fits(password.reveal(), kept.as_ref())).await?;
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
        let fresh = || {
            let step = second_factor::step_of(&factor.secret, &blankless(code), now);
            // A code that was seen once, over somebody's shoulder say, opens nothing again.
            step.filter(|step| *step > factor.used_step)
        };
        let step = self.inner.login.delays.step_if_taken(now, fresh)?;
        Some(Used::Step { secret: factor.secret.clone(), step })
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
                Used::Step { secret, step } => logins::use_step(tx, set_at, secret, *step),
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
}

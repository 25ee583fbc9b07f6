//! Who may come in from elsewhere: tokens, refused attempts, the certificate that is shown.
//!
//! Secrets are 256 random bits and kept as SHA-256. All tokens are held in memory: a
//! look-up costs no question to the database, and a token that is taken back or whose
//! time is over ends what it holds open ([`Admitted::ended`]).

mod attempts;
pub mod certificate;
mod codes;
mod delays;
mod error;
mod failures;
mod login;
mod notes;
mod password;
mod registry;
mod second_factor;
mod terminals;
mod web;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use codes::Codes;
pub use error::{AccessError, Denied};
pub use failures::neighbourhood;
use failures::{Failures, Noted};
use login::LoginDesk;
pub use login::{EnrolledApp, LoginState};
use notes::Notes;
use registry::{Ending, Registry};
use terminals::TerminalDoors;
pub use terminals::{ShareError, TerminalPass, TerminalShare};
pub use web::OpenedSession;

use crate::clock::{self, Clock};
use crate::model::ids::TokenId;
use crate::model::names::{FrameName, TokenName};
use crate::model::principal::Principal;
use crate::model::scope::{Grant, Scopes};
use crate::model::secret::Secret;
use crate::model::token::{RESERVED_NAMES, SessionStart, Token, TokenState};
use crate::store::{self, Store, StoreError, Tx};
use crate::supervisor::Service;

/// The last use of a token is written down this often.
const REMEMBER_EVERY: Duration = Duration::from_secs(30);

/// Tokens and those who try them. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    registry: Arc<Registry>,
    failures: Failures,
    notes: Notes,
    codes: Codes,
    login: LoginDesk,
    terminals: TerminalDoors,
    changed: Notify,
}

/// Somebody who may come in.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// How far.
    pub grant: Grant,
    /// Cancelled when that is over; whatever is still open then must end.
    pub ended: Option<CancellationToken>,
}

impl From<Grant> for Admitted {
    fn from(grant: Grant) -> Self {
        Self { grant, ended: None }
    }
}

/// Somebody who was refused, as it is written down.
#[derive(Debug)]
pub struct Refusal {
    by: Principal,
    action: &'static str,
    subject: String,
    /// Refusals are counted by this, and only a few of each are written down: a network, or a principal.
    whom: String,
    detail: serde_json::Value,
}

impl Refusal {
    /// Of an unknown caller, at an address.
    #[must_use]
    pub fn of_address(action: &'static str, from: IpAddr, detail: serde_json::Value) -> Self {
        let whom = neighbourhood(from).to_string();
        Self { by: Principal::GATEWAY, action, subject: from.to_string(), whom, detail }
    }

    /// Of a known caller who asked for more than it may.
    #[must_use]
    pub fn of_token(by: Principal, wanted: String, detail: serde_json::Value) -> Self {
        Self { whom: by.to_string(), by, action: "auth.forbidden", subject: wanted, detail }
    }
}

/// A token that is wished for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Its name; made up when absent.
    pub name: Option<TokenName>,
    /// What it may do.
    pub scopes: Scopes,
    /// With these frames alone.
    pub frames: Option<Vec<FrameName>>,
    /// From then on it opens nothing (UTC ms).
    pub expires_at: Option<u64>,
}

impl Access {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        let inner = Inner {
            store,
            clock,
            registry: Arc::default(),
            failures: Failures::default(),
            notes: Notes::default(),
            codes: Codes::default(),
            login: LoginDesk::default(),
            terminals: TerminalDoors::default(),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Looks at what somebody brought.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub async fn admit(&self, secret: &str, from: IpAddr) -> Result<Admitted, Denied> {
        if secret.starts_with(web::PREFIX) {
            return Err(self.refused(from, "a browser's session as a token", Denied::Unknown).await);
        }
        self.look_up(secret, from).await
    }

    async fn look_up(&self, secret: &str, from: IpAddr) -> Result<Admitted, Denied> {
        let inner = &self.inner;
        inner.registry.ensure_loaded(&inner.store).await?;
        let now = inner.clock.now_ms();
        let found = inner.registry.look_up(&hash(secret), now, from);
        let Some((token, ended)) = found else {
            return Err(self.refused(from, "unknown token", Denied::Unknown).await);
        };
        let name = token.name.to_string();
        match token.state(now) {
            TokenState::Active => Ok(Admitted { grant: token.grant(), ended: Some(ended) }),
            TokenState::Expired => {
                let at = token.expires_at.unwrap_or(now);
                Err(self.refused(from, &format!("expired token {name}"), Denied::Expired { name, at }).await)
            }
            TokenState::Revoked => {
                Err(self.refused(from, &format!("revoked token {name}"), Denied::Revoked { name }).await)
            }
        }
    }

    /// Counts a refusal that somebody else decided, and says what to answer: `denied`, or that there were too many.
    pub async fn refused(&self, from: IpAddr, why: &str, denied: Denied) -> Denied {
        let noted = self.inner.failures.note(from, self.inner.clock.now_ms());
        let (write_down, denied) = match noted {
            Noted::First => (true, denied),
            Noted::Within => (false, denied),
            Noted::Beyond { first, seconds } => (first, Denied::TooMany { seconds }),
        };
        if write_down {
            let detail = json!({ "why": why, "too_many": matches!(denied, Denied::TooMany { .. }) });
            self.write_down(Refusal::of_address("auth.refused", from, detail)).await;
        }
        denied
    }

    /// Writes down that somebody was refused. Of many in one minute only a few are; the next row says how many
    /// were not.
    pub async fn write_down(&self, refusal: Refusal) {
        let Refusal { by, action, subject, whom, mut detail } = refusal;
        let whom = format!("{action} {whom}");
        let Some(unwritten) = self.inner.notes.note(&whom, self.inner.clock.now_ms()) else { return };
        if unwritten > 0 {
            detail["unwritten_before"] = unwritten.into();
        }
        tracing::warn!(%by, %subject, "somebody was refused ({action}): {detail}");
        let written = self.inner.store.write(move |tx| tx.audit(&by, action, &subject, &detail));
        if let Err(error) = written.await {
            let error: StoreError = error;
            tracing::warn!(%error, "a refusal could not be written down: {error}");
        }
    }

    /// Makes a token. Its secret is told here and never again.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create(&self, by: &Grant, wish: TokenRequest) -> Result<(Token, Secret), AccessError> {
        let secret = Secret::new(format!("mim_{}", hex::encode(clock::entropy::<32>())));
        let token = self.make(by, wish, None, &secret, |_| Ok(())).await?;
        Ok((token, secret))
    }

    /// Refuses to give what somebody does not have, and writes that down.
    async fn check_gift(
        &self,
        by: &Grant,
        scopes: Scopes,
        frames: Option<&[FrameName]>,
        action: &str,
    ) -> Result<(), AccessError> {
        if by.may_give(scopes, frames) {
            return Ok(());
        }
        let detail = json!({ "code": "auth.scope", "wanted": scopes, "own": by.scopes });
        self.write_down(Refusal::of_token(by.principal.clone(), action.to_owned(), detail)).await;
        Err(AccessError::MoreThanOwn { own: by.scopes })
    }

    /// Makes a token of that secret. `first` is done before, in the same transaction, and may refuse.
    async fn make<F>(
        &self,
        by: &Grant,
        wish: TokenRequest,
        began_with: Option<SessionStart>,
        secret: &Secret,
        first: F,
    ) -> Result<Token, AccessError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<(), AccessError> + Send + 'static,
    {
        let inner = &self.inner;
        inner.registry.ensure_loaded(&inner.store).await?;
        let now = inner.clock.now_ms();
        let token = Token {
            id: TokenId::from_parts(now, clock::entropy_128()),
            name: named(wish.name)?,
            scopes: wish.scopes,
            frames: wish.frames,
            created_at: now,
            created_by: by.principal.to_string(),
            expires_at: wish.expires_at,
            began_with,
            last_used_at: None,
            last_used_from: None,
            revoked_at: None,
        };
        if token.scopes.is_empty() {
            return Err(AccessError::NoScope);
        }
        if token.frames.as_ref().is_some_and(Vec::is_empty) {
            return Err(AccessError::NoFrame);
        }
        if token.expires_at.is_some_and(|at| at <= now) {
            return Err(AccessError::AlreadyOver);
        }
        self.check_gift(by, token.scopes, token.frames.as_deref(), "token.create").await?;
        let hash = hash(secret.reveal());
        let (row, key, principal) = (token.clone(), hex::encode(hash), by.principal.clone());
        inner
            .store
            .write_as(move |tx| -> Result<(), AccessError> {
                first(tx)?;
                store::tokens::insert(tx, &row, &key)?;
                let mut detail = json!({
                    "id": row.id, "scopes": row.scopes, "frames": row.frames, "expires_at": row.expires_at,
                });
                if let Some(began_with) = row.began_with {
                    detail["began_with"] = began_with.as_str().into();
                }
                Ok(tx.audit(&principal, "token.create", row.name.as_str(), &detail)?)
            })
            .await?;
        inner.registry.add(hash, token.clone());
        inner.changed.notify_one();
        Ok(token)
    }

    /// All tokens, oldest first; the last use as it is now.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list(&self) -> Result<Vec<Token>, StoreError> {
        self.inner.registry.ensure_loaded(&self.inner.store).await?;
        Ok(self.inner.registry.all())
    }

    /// Takes a token back, by name or id, and ends what it holds open.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] also when it was taken back already.
    pub async fn revoke(&self, by: &Principal, which: &str) -> Result<Token, AccessError> {
        let now = self.inner.clock.now_ms();
        let all = self.list().await?;
        let is_it = |token: &&Token| token.id.as_str() == which || token.name.as_str() == which;
        // Of several with one name only the newest can still open anything. One that is over here may have a row that is
        // not: the last attempt could not be saved.
        let mut newest_first = all.iter().rev();
        let open = newest_first.find(|token| token.revoked_at.is_none() && is_it(token));
        let found = open.or_else(|| all.iter().rev().find(is_it)).cloned();
        let mut token = found.ok_or_else(|| AccessError::NotFound(which.to_owned()))?;
        let (id, name, principal) = (token.id.clone(), token.name.clone(), by.clone());
        let registry = self.inner.registry.clone();
        let written = self.inner.store.write(move |tx| {
            store::tokens::revoke(tx, &id)?;
            tx.audit(&principal, "token.revoke", name.as_str(), &json!({ "id": id }))?;
            Ok(Ending::new(registry, vec![id], now))
        });
        let over = |error| login::unless_conflict(error, AccessError::NotFound(which.to_owned()));
        drop(written.await.map_err(over)?);
        token.revoked_at = Some(now);
        Ok(token)
    }
}

impl Service for Access {
    const NAME: &'static str = "tokens";

    /// Ends tokens whose time is over and writes down when each was last used, until stopped.
    async fn run(&self, stop: CancellationToken) {
        loop {
            let now = self.inner.clock.now_ms();
            let next_end = self.inner.registry.end_expired(now);
            let pause = next_end.map_or(REMEMBER_EVERY, |at| {
                Duration::from_millis(at.saturating_sub(now)).clamp(Duration::from_millis(10), REMEMBER_EVERY)
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.inner.changed.notified() => {}
                () = stop.cancelled() => {}
            }
            self.remember_uses().await;
            if stop.is_cancelled() {
                return;
            }
        }
    }
}

impl Access {
    async fn remember_uses(&self) {
        let uses = self.inner.registry.take_uses();
        if uses.is_empty() {
            return;
        }
        let written = self.inner.store.write_soon(move |tx| {
            uses.iter()
                .try_for_each(|used| store::tokens::used(tx, &used.id, used.at, &used.from.to_string()))
        });
        if let Err(error) = written.await {
            let error: StoreError = error;
            tracing::warn!(%error, "the last use of tokens could not be written down: {error}");
        }
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn named(name: Option<TokenName>) -> Result<TokenName, AccessError> {
    match name {
        Some(name) if RESERVED_NAMES.contains(&name.as_str()) => Err(AccessError::Reserved(name)),
        Some(name) => Ok(name),
        None => {
            let text = format!("token-{}", hex::encode(clock::entropy::<3>()));
            TokenName::parse(&text).map_err(|_| AccessError::NotFound(text))
        }
    }
}

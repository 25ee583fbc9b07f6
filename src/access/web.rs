//! Browsers: how a session begins with a link or takes the place of another one, and its secret in two halves.
//!
//! A browser sends a cookie to every port of a host (RFC 6265, section 8.5), so also to whatever a frame serves on one.
//! Therefore a session's secret is split: a cookie that no script can read, and a half that the page keeps for its own
//! origin (its port included) and sends in a header. Each half alone is random and opens nothing: who gets the cookie
//! lacks the page's half, and another site can send neither. A session is a token like others: named, listed, revoked.

use std::net::IpAddr;

use serde_json::json;

use super::codes::Code;
use super::{Access, AccessError, Admitted, Denied, TokenRequest};
use crate::clock;
use crate::model::names::TokenName;
use crate::model::principal::Principal;
use crate::model::scope::{Grant, Scope, Scopes};
use crate::model::secret::Secret;
use crate::model::token::{SessionStart, Token};
use crate::store::{self, StoreError, Tx};

/// So long a session lasts.
const SESSION_MS: u64 = 12 * 60 * 60 * 1000;
/// What a session's secret begins with. Nothing that does is taken from anybody as it is.
pub(super) const PREFIX: &str = "mimweb_";
/// Of each half, in bytes.
const HALF: usize = 32;

/// What a browser may do unless somebody says otherwise: look, talk and decide. To start and stop frames it would need
/// the scope that also gives any folder to an agent, which a page should not have without being asked for.
const USUAL: [Scope; 3] = [Scope::Read, Scope::Send, Scope::Approve];

/// A session that was just begun. Its halves are told once.
#[derive(Debug)]
pub struct OpenedSession {
    /// What it is.
    pub token: Token,
    /// For the cookie.
    pub cookie: Secret,
    /// For the page.
    pub page: Secret,
}

impl Access {
    /// Looks at the halves that a browser brought: the page's, and every cookie that may be the other one. What is not
    /// ours among them is passed over; when none is, that counts once.
    ///
    /// # Errors
    /// Why they open nothing.
    pub async fn admit_browser(
        &self,
        cookies: &[&str],
        page: &str,
        from: IpAddr,
    ) -> Result<Admitted, Denied> {
        self.inner.registry.ensure_loaded(&self.inner.store).await?;
        let whole: Vec<Secret> = cookies.iter().filter_map(|cookie| joined(cookie, page)).collect();
        let ours = whole.iter().find(|secret| self.inner.registry.knows(&super::hash(secret.reveal())));
        match ours.or_else(|| whole.first()) {
            Some(secret) => self.look_up(secret.reveal(), from).await,
            None => Err(self.refused(from, "no session", Denied::Unknown).await),
        }
    }

    /// Makes a code that begins one session of a browser, and says until when. Without scopes, those that the page
    /// needs and the caller has.
    ///
    /// # Errors
    /// [`AccessError::MoreThanOwn`], [`AccessError::NoScope`], [`AccessError::MakerIsOver`].
    pub async fn make_code(&self, by: &Grant, scopes: Scopes) -> Result<(Secret, u64), AccessError> {
        let scopes = if scopes.is_empty() { usual(by.scopes) } else { scopes };
        if scopes.is_empty() {
            return Err(AccessError::NoScope);
        }
        self.check_gift(by, scopes, None, "web.code").await?;
        let now = self.inner.clock.now_ms();
        let maker = match &by.principal {
            // The home's own token is no row: it lives as long as the home.
            Principal::Token { name } if name != "home" => {
                self.inner.registry.ensure_loaded(&self.inner.store).await?;
                let maker = self.inner.registry.active_named(name, now);
                Some(maker.ok_or_else(|| AccessError::MakerIsOver(name.clone()))?)
            }
            _ => None,
        };
        Ok(self.inner.codes.make(by.clone(), maker, scopes, now))
    }

    /// Begins a session for whoever brings the code of a link, which is worth nothing afterwards. `replaced` is the
    /// session that this browser had until now; it ends with that.
    ///
    /// # Errors
    /// [`AccessError::NoCode`] for one that was used, is over, never was, or whose maker may do nothing any more.
    pub async fn open_session(
        &self,
        code: &str,
        replaced: Option<Token>,
        from: IpAddr,
    ) -> Result<OpenedSession, AccessError> {
        let opened = match self.inner.codes.take(code, self.inner.clock.now_ms()) {
            Some(Code { by, maker, scopes, .. }) => {
                let check = move |tx: &mut Tx<'_>| -> Result<(), AccessError> {
                    match &maker {
                        Some(id) if !store::tokens::is_active(tx, id)? => Err(AccessError::NoCode),
                        _ => Ok(()),
                    }
                };
                self.begin_session(&by, scopes, SessionStart::Link, replaced, check).await
            }
            None => Err(AccessError::NoCode),
        };
        if matches!(opened, Err(AccessError::NoCode)) {
            // Counted and written down like a wrong token; what to answer is ours to say.
            self.refused(from, "a link that opens nothing", Denied::Unknown).await;
        }
        opened
    }

    /// The session that a browser has, if it is not over. Asked before another one takes its place.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn session_of(&self, cookies: &[&str], page: &str) -> Result<Option<Token>, StoreError> {
        self.inner.registry.ensure_loaded(&self.inner.store).await?;
        let now = self.inner.clock.now_ms();
        let whole = cookies.iter().filter_map(|cookie| joined(cookie, page));
        let mut found =
            whole.filter_map(|secret| self.inner.registry.active(&super::hash(secret.reveal()), now));
        Ok(found.next())
    }

    /// Begins a session. `first` is done before, in the same transaction, and may refuse.
    pub(super) async fn begin_session<F>(
        &self,
        by: &Grant,
        scopes: Scopes,
        began_with: SessionStart,
        replaced: Option<Token>,
        first: F,
    ) -> Result<OpenedSession, AccessError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<(), AccessError> + Send + 'static,
    {
        let now = self.inner.clock.now_ms();
        let name = format!("web-{}", hex::encode(clock::entropy::<4>()));
        let name = TokenName::parse(&name).map_err(|_| AccessError::NotFound(name))?;
        let expires_at = Some(now.saturating_add(SESSION_MS));
        let wish = TokenRequest { name: Some(name), scopes, frames: None, expires_at };
        let halves = Halves::new();
        let old = replaced.clone();
        let both = move |tx: &mut Tx<'_>| -> Result<(), AccessError> {
            first(tx)?;
            old.map_or(Ok(()), |old| replace(tx, &old))
        };
        let token = self.make(by, wish, Some(began_with), &halves.whole, both).await?;
        if let Some(old) = replaced {
            self.inner.registry.revoke(&old.id, now);
        }
        Ok(OpenedSession { token, cookie: halves.cookie, page: halves.page })
    }
}

/// Takes back the session in whose place another one begins, unless somebody was quicker.
fn replace(tx: &mut Tx<'_>, old: &Token) -> Result<(), AccessError> {
    if !store::tokens::is_active(tx, &old.id)? {
        return Ok(());
    }
    store::tokens::revoke(tx, &old.id)?;
    let by = Principal::Token { name: old.name.to_string() };
    let detail = json!({ "id": old.id, "why": "another session takes its place in this browser" });
    Ok(tx.audit(&by, "token.revoke", old.name.as_str(), &detail)?)
}

/// What somebody may give a browser who did not say.
pub(super) fn usual(own: Scopes) -> Scopes {
    USUAL.into_iter().filter(|scope| own.has(*scope)).collect()
}

/// A secret in two halves, and the whole.
struct Halves {
    cookie: Secret,
    page: Secret,
    whole: Secret,
}

impl Halves {
    fn new() -> Self {
        let (cookie, page) = (clock::entropy::<HALF>(), clock::entropy::<HALF>());
        Self {
            cookie: Secret::new(hex::encode(cookie)),
            page: Secret::new(hex::encode(page)),
            whole: whole(cookie, page),
        }
    }
}

/// The secret that two halves are of; none when one of them is no half.
fn joined(cookie: &str, page: &str) -> Option<Secret> {
    let half = |text: &str| hex::decode(text).ok().and_then(|bytes| <[u8; HALF]>::try_from(bytes).ok());
    Some(whole(half(cookie)?, half(page)?))
}

fn whole(cookie: [u8; HALF], page: [u8; HALF]) -> Secret {
    let mut mixed = cookie;
    mixed.iter_mut().zip(page).for_each(|(byte, other)| *byte ^= other);
    Secret::new(format!("{PREFIX}{}", hex::encode(mixed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_make_the_whole_and_nothing_else_does() {
        let (one, other) = (Halves::new(), Halves::new());
        let join = |cookie: &Secret, page: &Secret| joined(cookie.reveal(), page.reveal());
        let whole = |secret: Option<Secret>| secret.map(|secret| secret.reveal().to_owned());
        assert_eq!(whole(join(&one.cookie, &one.page)).as_deref(), Some(one.whole.reveal()));
        assert_ne!(whole(join(&one.cookie, &other.page)).as_deref(), Some(one.whole.reveal()));
        assert_ne!(one.whole.reveal(), other.whole.reveal());
        assert!(one.whole.reveal().starts_with(PREFIX));
        for (cookie, page) in [("", ""), (one.cookie.reveal(), ""), ("zz", one.page.reveal())] {
            assert!(joined(cookie, page).is_none());
        }
        assert!(joined(&one.cookie.reveal()[2..], one.page.reveal()).is_none());
    }

    #[test]
    fn nobody_gives_a_browser_more_than_the_page_needs_unless_they_say_so() {
        assert_eq!(usual(Scopes::all()).to_string(), "read, send, approve");
        let looking: Scopes = [Scope::Read, Scope::Admin].into_iter().collect();
        assert_eq!(usual(looking).to_string(), "read");
    }
}

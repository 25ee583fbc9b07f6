//! All tokens in memory, by the hash of their secret.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::failures::neighbourhood;
use crate::model::ids::TokenId;
use crate::model::token::{Token, TokenState};
use crate::store::{self, Store, StoreError};

/// The tokens of this home.
#[derive(Default)]
pub(super) struct Registry {
    loaded: OnceCell<()>,
    known: Mutex<HashMap<[u8; 32], Known>>,
    /// Taken back between their row and [`Registry::add`], and when. Locked after `known`.
    ended_early: Mutex<Vec<(TokenId, u64)>>,
}

struct Known {
    token: Token,
    ended: CancellationToken,
    unwritten: Option<Used>,
}

/// A use that is not written down yet.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) id: TokenId,
    pub(super) at: u64,
    pub(super) from: IpAddr,
}

impl Registry {
    /// Reads them, the first time.
    pub(super) async fn ensure_loaded(&self, store: &Store) -> Result<(), StoreError> {
        self.loaded
            .get_or_try_init(|| async {
                let rows = store.read(|db| store::tokens::list_with_hashes(db)).await?;
                let mut known = self.known.lock();
                for (hash, token) in rows {
                    let bytes = hex::decode(&hash).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
                    let expected = "the hash of a token";
                    let hash = bytes.ok_or(StoreError::Unexpected { expected, value: hash })?;
                    known.insert(hash, Known::new(token));
                }
                Ok(())
            })
            .await
            .copied()
    }

    pub(super) fn add(&self, hash: [u8; 32], mut token: Token) {
        let mut known = self.known.lock();
        let mut early = self.ended_early.lock();
        if let Some(at) = early.iter().position(|(id, _)| *id == token.id) {
            token.revoked_at = Some(early.swap_remove(at).1);
        }
        known.insert(hash, Known::new(token));
    }

    /// The token of that name, if one opens something.
    pub(super) fn active_named(&self, name: &str, now_ms: u64) -> Option<TokenId> {
        let known = self.known.lock();
        let is_it = |token: &Token| token.name.as_str() == name && token.state(now_ms) == TokenState::Active;
        known.values().find(|known| is_it(&known.token)).map(|known| known.token.id.clone())
    }

    /// Whether a browser that had a session was there since that time.
    pub(super) fn browsed_from(&self, neighbours: IpAddr, since_ms: u64) -> bool {
        let is_there =
            |from: &str| from.parse().is_ok_and(|address: IpAddr| neighbourhood(address) == neighbours);
        self.known.lock().values().map(|known| &known.token).any(|token| {
            token.began_with.is_some()
                && token.last_used_at.is_some_and(|at| at >= since_ms)
                && token.last_used_from.as_deref().is_some_and(is_there)
        })
    }

    /// The token of that hash, if it opens something. It does not count as used.
    pub(super) fn active(&self, hash: &[u8; 32], now_ms: u64) -> Option<Token> {
        let known = self.known.lock();
        let token = known.get(hash).map(|known| &known.token)?;
        (token.state(now_ms) == TokenState::Active).then(|| token.clone())
    }

    /// Whether there is or was a token of that hash.
    pub(super) fn knows(&self, hash: &[u8; 32]) -> bool {
        self.known.lock().contains_key(hash)
    }

    /// The token of that hash; if it opens something, it counts as used.
    pub(super) fn look_up(
        &self,
        hash: &[u8; 32],
        now_ms: u64,
        from: IpAddr,
    ) -> Option<(Token, CancellationToken)> {
        let mut known = self.known.lock();
        let found = known.get_mut(hash)?;
        if found.token.state(now_ms) == TokenState::Active {
            found.token.last_used_at = Some(now_ms);
            found.token.last_used_from = Some(from.to_canonical().to_string());
            found.unwritten =
                Some(Used { id: found.token.id.clone(), at: now_ms, from: from.to_canonical() });
        }
        Some((found.token.clone(), found.ended.clone()))
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<Token> {
        let mut all: Vec<Token> = self.known.lock().values().map(|known| known.token.clone()).collect();
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        all
    }

    pub(super) fn revoke(&self, id: &TokenId, now_ms: u64) {
        let mut known = self.known.lock();
        match known.values_mut().find(|known| known.token.id == *id) {
            Some(found) => {
                found.token.revoked_at = Some(now_ms);
                found.ended.cancel();
            }
            // Its row is there, and whoever made it did not come so far yet.
            None => self.ended_early.lock().push((id.clone(), now_ms)),
        }
    }

    /// Ends what is held open by tokens whose time is over; says when the next one's is.
    pub(super) fn end_expired(&self, now_ms: u64) -> Option<u64> {
        let known = self.known.lock();
        for over in known.values().filter(|known| known.token.state(now_ms) == TokenState::Expired) {
            over.ended.cancel();
        }
        let active = known.values().filter(|known| known.token.state(now_ms) == TokenState::Active);
        active.filter_map(|known| known.token.expires_at).min()
    }

    pub(super) fn take_uses(&self) -> Vec<Used> {
        self.known.lock().values_mut().filter_map(|known| known.unwritten.take()).collect()
    }
}

/// Tokens whose rows were just taken back. They end when this is dropped: by whoever asked for it, or, when they are gone,
/// by the store that finds nobody to answer.
pub(super) struct Ending {
    registry: Arc<Registry>,
    ids: Vec<TokenId>,
    at: u64,
}

impl Ending {
    pub(super) fn new(registry: Arc<Registry>, ids: Vec<TokenId>, now_ms: u64) -> Self {
        Self { registry, ids, at: now_ms }
    }

    /// Which those are.
    pub(super) fn ids(&self) -> &[TokenId] {
        &self.ids
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.registry.revoke(id, self.at));
    }
}

impl Known {
    fn new(token: Token) -> Self {
        let ended = CancellationToken::new();
        if token.revoked_at.is_some() {
            ended.cancel();
        }
        Self { token, ended, unwritten: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::TokenName;
    use crate::model::scope::Scopes;
    use crate::model::token::SessionStart;

    fn session(n: u128, from: Option<&str>) -> Token {
        Token {
            id: TokenId::from_parts(1_000, n),
            name: TokenName::parse(&format!("web-{n}")).expect("a name"),
            scopes: Scopes::all(),
            frames: None,
            created_at: 1_000,
            created_by: "login".to_owned(),
            expires_at: Some(61_000),
            began_with: Some(SessionStart::Password),
            last_used_at: from.map(|_| 2_000),
            last_used_from: from.map(str::to_owned),
            revoked_at: None,
        }
    }

    #[test]
    fn what_is_taken_back_before_it_is_known_opens_nothing() {
        let registry = Registry::default();
        registry.revoke(&session(1, None).id, 1_500);
        registry.add([1; 32], session(1, None));
        registry.add([2; 32], session(2, None));
        assert!(registry.active(&[1; 32], 2_000).is_none() && registry.active(&[2; 32], 2_000).is_some());
        assert!(registry.ended_early.lock().is_empty());
        assert_eq!(registry.active_named("web-1", 2_000), None);
        assert_eq!(registry.active_named("web-2", 2_000), Some(session(2, None).id));
        assert_eq!(registry.active_named("web-2", 61_000), None, "its time is over");
    }

    #[test]
    fn where_a_browser_was_lately_is_no_strange_place() {
        let registry = Registry::default();
        registry.add([1; 32], session(1, Some("2001:db8::7")));
        registry.add([2; 32], Token { began_with: None, ..session(2, Some("10.0.0.7")) });
        let known = |from: &str, since| {
            registry.browsed_from(neighbourhood(from.parse().expect("an address")), since)
        };
        assert!(known("2001:db8::1", 2_000) && !known("2001:db8::1", 2_001));
        assert!(!known("2001:db8:0:1::1", 0) && !known("10.0.0.7", 0), "a client's token is no browser");
    }
}

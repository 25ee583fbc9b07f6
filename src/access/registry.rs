//! All tokens in memory, by the hash of their secret.

use std::collections::HashMap;
use std::net::IpAddr;

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

    pub(super) fn add(&self, hash: [u8; 32], token: Token) {
        self.known.lock().insert(hash, Known::new(token));
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
        if let Some(found) = self.known.lock().values_mut().find(|known| known.token.id == *id) {
            found.token.revoked_at = Some(now_ms);
            found.ended.cancel();
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

impl Known {
    fn new(token: Token) -> Self {
        let ended = CancellationToken::new();
        if token.revoked_at.is_some() {
            ended.cancel();
        }
        Self { token, ended, unwritten: None }
    }
}

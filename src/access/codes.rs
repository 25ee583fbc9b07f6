//! Links that open once: their codes, until somebody brings them.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock;
use crate::model::ids::TokenId;
use crate::model::scope::{Grant, Scopes};
use crate::model::secret::Secret;

/// So long a link opens something.
const CODE_MS: u64 = 60_000;
/// So many links are open at once; the oldest gives way.
const OPEN: usize = 16;
/// Of a code, in bytes.
const CODE: usize = 32;

/// Links that were made and not opened, by the hash of their code.
#[derive(Default)]
pub(super) struct Codes {
    open: Mutex<HashMap<[u8; 32], Code>>,
}

/// One that was made.
pub(super) struct Code {
    /// Who asked for it.
    pub(super) by: Grant,
    /// The token that asked for it: what it may not do any more, its links do not either.
    pub(super) maker: Option<TokenId>,
    /// What the session may do.
    pub(super) scopes: Scopes,
    until: u64,
}

impl Codes {
    /// Makes one, and says until when it opens something.
    pub(super) fn make(
        &self,
        by: Grant,
        maker: Option<TokenId>,
        scopes: Scopes,
        now_ms: u64,
    ) -> (Secret, u64) {
        let code = Secret::new(hex::encode(clock::entropy::<CODE>()));
        let until = now_ms.saturating_add(CODE_MS);
        let mut open = self.open.lock();
        open.retain(|_, code| code.until > now_ms);
        if open.len() >= OPEN
            && let Some(oldest) = open.iter().min_by_key(|(_, code)| code.until).map(|(hash, _)| *hash)
        {
            open.remove(&oldest);
        }
        open.insert(super::hash(code.reveal()), Code { by, maker, scopes, until });
        (code, until)
    }

    /// Whose it is and what for; from now on it is worth nothing.
    pub(super) fn take(&self, code: &str, now_ms: u64) -> Option<Code> {
        let code = self.open.lock().remove(&super::hash(code))?;
        (code.until > now_ms).then_some(code)
    }

    /// From now on none that was made opens anything.
    pub(super) fn forget(&self) {
        self.open.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::Principal;

    fn owner() -> Grant {
        Grant::everything(Principal::Owner { uid: 1000 })
    }

    #[test]
    fn a_code_opens_once_and_for_a_minute() {
        let codes = Codes::default();
        let (code, until) = codes.make(owner(), None, Scopes::all(), 1_000);
        assert_eq!((code.reveal().len(), until), (64, 61_000));
        assert!(codes.take("", 1_000).is_none() && codes.take(&"0".repeat(64), 1_000).is_none());
        assert_eq!(codes.take(code.reveal(), 60_999).map(|code| code.scopes), Some(Scopes::all()));
        assert!(codes.take(code.reveal(), 60_999).is_none(), "once");
        let (late, _) = codes.make(owner(), None, Scopes::all(), 1_000);
        assert!(codes.take(late.reveal(), 61_000).is_none(), "its minute is over");
    }

    #[test]
    fn links_that_nobody_opens_take_no_room() {
        let codes = Codes::default();
        let made: Vec<Secret> =
            (0..OPEN as u64 + 1).map(|at| codes.make(owner(), None, Scopes::all(), at).0).collect();
        assert_eq!(codes.open.lock().len(), OPEN);
        assert!(codes.take(made[0].reveal(), 20).is_none(), "the oldest gave way");
        assert!(codes.take(made[OPEN].reveal(), 20).is_some());
    }
}

//! What a forge could not hand over: it tries once, keeps a list for some days, and tries again when it is asked to.
//!
//! Which hook of which repository sends to us is said by what came of it before. What is sent again comes under the same
//! name and is known by it, so asking once too often does no harm.

use std::collections::BTreeMap;

use super::Webhooks;
use crate::forge::{ForgeError, Forges};
use crate::model::forge::HookDelivery;
use crate::model::webhook::SenderKind;
use crate::store::StoreError;
use crate::store::webhooks::{self as rows, KnownHook};

/// How far back is looked; forges keep three days.
const LOOK_BACK_MS: u64 = 2 * 24 * 60 * 60 * 1_000;
/// An attempt that is younger may still be on its way, or its like may.
const AT_REST_MS: u64 = 120_000;
/// What failed so often is left.
const ATTEMPTS: usize = 5;
/// So many are asked for in one pass.
const MOST: usize = 20;

impl Webhooks {
    /// Asks forges for what they could not hand over, and to try again. What goes wrong is said in the list of senders.
    ///
    /// # Errors
    /// Only the database's.
    pub(super) async fn catch_up_forges(&self) -> Result<(), StoreError> {
        let Some(forges) = self.inner.forges.clone() else { return Ok(()) };
        let settings = self.inner.settings.now();
        for name in
            settings.sources.iter().filter(|(_, it)| it.kind == SenderKind::Github).map(|(name, _)| name)
        {
            let of = name.clone();
            let since = self.inner.clock.now_ms().saturating_sub(LOOK_BACK_MS);
            let hooks = self.inner.store.read(move |db| rows::hooks_of(db, &of)).await?;
            let mut trouble = None;
            for hook in hooks {
                match self.ask_again(&forges, &hook, since).await {
                    // Some keep no such list.
                    Ok(()) | Err(ForgeError::Refused(_) | ForgeError::NotFound(_)) => {}
                    Err(error) => {
                        let repository = &hook.repository;
                        tracing::warn!(%error, "{repository} could not be asked for what was missed: {error}");
                        trouble =
                            Some(format!("{repository} could not be asked for what was missed: {error}"));
                    }
                }
            }
            self.inner.troubles.lock().entry(name.clone()).or_default().catch_up = trouble;
        }
        Ok(())
    }

    async fn ask_again(&self, forges: &Forges, hook: &KnownHook, since: u64) -> Result<(), ForgeError> {
        let forge = forges.of(&hook.repository).await?;
        let attempts = forge.deliveries(hook.hook, since).await?;
        for id in missed(&attempts, self.inner.clock.now_ms()) {
            tracing::info!("{}: delivery {id} was missed, and is asked for again", hook.repository);
            forge.redeliver(hook.hook, id).await?;
        }
        Ok(())
    }
}

/// The attempts that are to be repeated, the oldest first: one of each delivery that was never taken.
fn missed(attempts: &[HookDelivery], now_ms: u64) -> Vec<u64> {
    let mut of: BTreeMap<&str, Vec<&HookDelivery>> = BTreeMap::new();
    for attempt in attempts {
        of.entry(attempt.guid.as_str()).or_default().push(attempt);
    }
    let newest = of.into_values().filter_map(|attempts| {
        let newest = attempts.iter().max_by_key(|attempt| (attempt.at, attempt.id))?;
        let is_missed = !attempts.iter().any(|attempt| attempt.is_taken())
            && attempts.len() < ATTEMPTS
            && newest.at.saturating_add(AT_REST_MS) <= now_ms;
        is_missed.then_some((newest.at, newest.id))
    });
    let mut newest: Vec<(u64, u64)> = newest.collect();
    newest.sort_unstable();
    newest.into_iter().take(MOST).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn attempt(id: u64, guid: &str, minutes_ago: u64, status: u16) -> HookDelivery {
        HookDelivery {
            id,
            guid: guid.to_owned(),
            event: "push".to_owned(),
            action: None,
            at: NOW - minutes_ago * 60_000,
            is_redelivery: false,
            status,
        }
    }

    #[test]
    fn what_was_never_taken_is_asked_for_once_it_is_at_rest() {
        let attempts = [
            attempt(1, "taken", 60, 202),
            attempt(2, "missed", 50, 502),
            attempt(3, "taken later", 40, 0),
            attempt(4, "taken later", 30, 200),
            attempt(5, "tried again", 45, 503),
            attempt(6, "tried again", 20, 503),
            attempt(7, "just now", 1, 502),
            attempt(8, "tried again just now", 40, 502),
            attempt(9, "tried again just now", 1, 502),
        ];
        assert_eq!(missed(&attempts, NOW), [2, 6]);
    }

    #[test]
    fn what_fails_again_and_again_is_left_and_a_pass_has_an_end() {
        let again: Vec<HookDelivery> = (0..5).map(|n| attempt(n, "x", 60 - n, 500)).collect();
        assert!(missed(&again, NOW).is_empty());
        let many: Vec<HookDelivery> = (0..200).map(|n| attempt(n, &format!("g{n}"), 300 - n, 500)).collect();
        assert_eq!(missed(&many, NOW), (0..20).collect::<Vec<u64>>());
    }
}

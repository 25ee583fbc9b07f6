//! What a forge could not hand over: it tries once, keeps a list for three days, and tries again when it is asked to.
//!
//! Which hook of which repository sends to us is said by what came of it before. What is sent again comes under the same
//! name and is known by it, so asking once too often does no harm; asking often at a time at which nothing comes through
//! would use up what there is of attempts, so each waits longer than the one before.

use std::collections::{BTreeMap, BTreeSet};

use super::Webhooks;
use crate::forge::{ForgeError, Forges};
use crate::model::forge::HookDelivery;
use crate::model::webhook::SenderKind;
use crate::store::StoreError;
use crate::store::webhooks::{self as rows, KnownHook};

/// What stands for whose hook it is, where a forge keeps no list: Gitea and Forgejo.
pub(super) const GITEA: &str = "gitea";
/// The same of a repository's own.
const OF_REPOSITORY: &str = "repository";
/// How far back is looked; forges keep three days.
const LOOK_BACK_MS: u64 = 71 * 60 * 60 * 1_000;
/// An attempt that is younger may still be on its way, or its like may.
const AT_REST_MS: u64 = 120_000;
/// What failed so often is left: the last is made two days after the first.
const ATTEMPTS: usize = 7;
/// So much longer than the one before each attempt waits,
const SLOWER: u64 = 4;
/// and when something else came through since.
const SLOWER_THOUGH_OPEN: u64 = 2;
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
            let mut troubles: BTreeSet<String> = hooks.iter().filter_map(unasked).collect();
            for hook in hooks.iter().filter(|hook| hook.target == OF_REPOSITORY) {
                if let Err(error) = self.ask_again(&forges, hook, since).await {
                    let repository = &hook.repository;
                    tracing::warn!(%error, "{repository} could not be asked for what was missed: {error}");
                    troubles.insert(match error {
                        ForgeError::NotFound(_) => format!(
                            "{repository} says nothing of hook {}: it is gone, or the token of git.credentials may not administer \
                             webhooks there; what it could not hand over is not asked for",
                            hook.hook
                        ),
                        error => format!("{repository} could not be asked for what was missed: {error}"),
                    });
                }
            }
            self.inner.troubles.lock().entry(name.clone()).or_default().catch_up =
                troubles.into_iter().collect();
        }
        Ok(())
    }

    async fn ask_again(&self, forges: &Forges, hook: &KnownHook, since: u64) -> Result<(), ForgeError> {
        let forge = forges.of(&hook.repository).await?;
        let attempts = forge.deliveries(hook.hook, since).await?;
        let mut refused = None;
        for id in missed(&attempts, self.inner.clock.now_ms()) {
            tracing::info!("{}: delivery {id} was missed, and is asked for again", hook.repository);
            self.inner.failpoints.hit("webhooks.redeliver.before").await;
            let asked = forge.redeliver(hook.hook, id).await;
            self.inner.failpoints.hit("webhooks.redeliver.after").await;
            match asked {
                // That is one of them; others may be had.
                Err(error @ (ForgeError::Refused(_) | ForgeError::NotFound(_))) => {
                    let why = format!("delivery {id} of hook {}: {error}", hook.hook);
                    refused = refused.or(Some(ForgeError::Refused(why)));
                }
                done => done?,
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

/// Why a hook is not asked for what it could not hand over, when it is not.
fn unasked(hook: &KnownHook) -> Option<String> {
    let whose = match hook.target.as_str() {
        OF_REPOSITORY => return None,
        GITEA => {
            return Some(format!(
                "{} keeps no list of what it sent, so what it could not hand over is not asked for: a label or a mention of such \
                 a time must be said again",
                hook.repository.host()
            ));
        }
        "organization" => "belongs to an organization",
        "integration" => "belongs to a GitHub App",
        _ => "belongs to no repository",
    };
    Some(format!(
        "hook {} {whose}, and what such a hook could not hand over is not asked for: a hook of the repository itself is, and \
         GitHub's page of the hook sends again what it lists",
        hook.hook
    ))
}

/// The attempts that are to be repeated, the oldest first: one of each delivery that was never taken.
fn missed(attempts: &[HookDelivery], now_ms: u64) -> Vec<u64> {
    let mut of: BTreeMap<&str, Vec<&HookDelivery>> = BTreeMap::new();
    for attempt in attempts {
        of.entry(attempt.guid.as_str()).or_default().push(attempt);
    }
    let last_taken = attempts.iter().filter(|it| it.is_taken()).map(|it| it.at).max();
    let newest = of.into_values().filter_map(|attempts| {
        let newest = attempts.iter().max_by_key(|attempt| (attempt.at, attempt.id))?;
        let slower = if last_taken > Some(newest.at) { SLOWER_THOUGH_OPEN } else { SLOWER };
        let before = u32::try_from(attempts.len() - 1).unwrap_or(u32::MAX);
        let wait = AT_REST_MS.saturating_mul(slower.saturating_pow(before));
        let is_missed = !attempts.iter().any(|attempt| attempt.is_taken())
            && attempts.len() < ATTEMPTS
            && newest.at.saturating_add(wait) <= now_ms;
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
    fn each_attempt_waits_longer_until_two_days_after_the_first() {
        // Minutes between the first and each of the others, when a pass comes every five.
        let mut made = vec![attempt(0, "x", 0, 502)];
        let mut after = Vec::new();
        for minutes in (0..72 * 60).step_by(5) {
            let now = NOW + minutes * 60_000;
            if let [id] = missed(&made, now)[..] {
                let next = HookDelivery { id: id + 1, at: now, ..attempt(0, "x", 0, 502) };
                made.push(next);
                after.push(minutes);
            }
        }
        assert_eq!(after, [5, 15, 50, 180, 695, 2_745]);
        let last = after.last().map(|minutes| minutes * 60_000);
        assert!(last < Some(LOOK_BACK_MS), "the first is in the list until then");
    }

    #[test]
    fn what_others_came_through_is_not_waited_for_so_long() {
        let failed: Vec<HookDelivery> = (0..4).map(|n| attempt(n, "x", 60 - n, 502)).collect();
        assert!(missed(&failed, NOW).is_empty(), "the next comes two hours after the fourth");
        let open = [failed.clone(), vec![attempt(9, "y", 20, 202)]].concat();
        assert_eq!(missed(&open, NOW), [3]);
        let before = [failed, vec![attempt(9, "y", 90, 202)]].concat();
        assert!(missed(&before, NOW).is_empty(), "that was before");
    }

    #[test]
    fn whose_hook_is_not_asked_is_said() {
        let hook = |target: &str| KnownHook {
            repository: crate::model::git::Repository::new("git.example", "acme/shop").expect("a repository"),
            target: target.to_owned(),
            hook: 7,
        };
        assert_eq!(unasked(&hook("repository")), None);
        for (target, said) in [
            ("gitea", "git.example keeps no list"),
            ("organization", "hook 7 belongs to an organization"),
            ("integration", "hook 7 belongs to a GitHub App"),
            ("enterprise", "hook 7 belongs to no repository"),
        ] {
            assert!(unasked(&hook(target)).is_some_and(|why| why.contains(said)), "{target}");
        }
    }

    #[test]
    fn what_fails_again_and_again_is_left_and_a_pass_has_an_end() {
        let again: Vec<HookDelivery> = (0..7).map(|n| attempt(n, "x", 4_000 - n, 500)).collect();
        assert!(missed(&again, NOW).is_empty());
        let many: Vec<HookDelivery> = (0..200).map(|n| attempt(n, &format!("g{n}"), 300 - n, 500)).collect();
        assert_eq!(missed(&many, NOW), (0..20).collect::<Vec<u64>>());
    }
}

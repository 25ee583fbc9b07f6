//! Watches running calls, and cuts those that would go beyond a budget.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Budgets, Running};
use crate::model::budget::Standing;
use crate::store::budgets::{self, Payer};
use crate::store::{Db, StoreError, running_calls};

/// Running calls are looked at no more often: text comes in many small pieces.
const PAUSE: Duration = Duration::from_millis(50);

impl Budgets {
    /// Looks at running calls whenever one of them asks for it.
    pub(super) async fn watch(&self) {
        loop {
            self.inner.look.notified().await;
            if let Err(error) = self.look_at_running().await {
                tracing::error!(%error, "running calls cannot be held to their budgets: {error}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look_at_running(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        let running: Vec<(u64, Running)> =
            inner.running.lock().iter().map(|(id, running)| (*id, running.clone())).collect();
        if running.is_empty() {
            return Ok(());
        }
        let payers: Vec<Payer> = running.iter().map(|(_, running)| running.payer.clone()).collect();
        let (defaults, now) = (inner.settings.now().defaults, inner.clock.now_ms());
        let read = move |db: &Db<'_>| {
            let each = payers.iter().map(|payer| budgets::of_payer(db, payer, defaults, now));
            let open = running_calls::list(db)?.into_iter().map(|call| call.id).collect::<BTreeSet<_>>();
            Ok::<_, StoreError>((each.collect::<Result<Vec<_>, _>>()?, open))
        };
        let (standings, open) = inner.store.read(read).await?;
        // What was booked meanwhile is counted as spent, and not once more as running.
        let now_running = running.into_iter().zip(standings).filter(|((id, _), _)| open.contains(id));
        let calls: Vec<(Running, Vec<Standing>)> =
            now_running.map(|((_, running), standings)| (running, standings)).collect();
        hold(&calls);
        Ok(())
    }
}

/// Cuts calls that go beyond a budget together, and says at what cost the others are looked at again.
fn hold(calls: &[(Running, Vec<Standing>)]) {
    // All of it first: a call that is cut goes on counting.
    let so_far: Vec<u64> = calls.iter().map(|(call, _)| call.meter.so_far()).collect();
    for ((call, standings), own) in calls.iter().zip(&so_far) {
        let mut nearest = u64::MAX;
        for standing in standings {
            let shares = |of: &[Standing]| of.iter().any(|other| other.key == standing.key);
            let together: u64 =
                calls.iter().zip(&so_far).filter(|((_, of), _)| shares(of)).map(|(_, cost)| *cost).sum();
            if together > standing.left() && *own > 0 {
                let spent_microusd = standing.spent_microusd.saturating_add(together);
                call.meter.cut(Standing { spent_microusd, ..standing.clone() }.used_up());
            }
            nearest = nearest.min(standing.left().saturating_sub(together));
        }
        // Again when half of what is left, shared by all, is used.
        let share = (nearest / 2 / calls.len() as u64).max(1);
        let next = if standings.is_empty() { u64::MAX } else { own.saturating_add(share) };
        call.meter.look_at(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::budget::{BudgetKey, BudgetPeriod, BudgetScope};
    use crate::model::ids::FrameId;
    use crate::models::Meter;

    fn call(so_far: u64, budgets: &[(&str, u64, u64)]) -> (Running, Vec<Standing>) {
        let meter = Meter::default();
        meter.report(so_far);
        let payer = Payer { frame: FrameId::from_parts(1, 1), project: None, root: None, run: None };
        let standing = |(name, spent, limit): &(&str, u64, u64)| Standing {
            key: BudgetKey {
                scope: BudgetScope::Frame,
                subject: (*name).to_owned(),
                period: BudgetPeriod::Total,
            },
            name: (*name).to_owned(),
            limit_microusd: *limit,
            spent_microusd: *spent,
            reserved_microusd: 0,
        };
        (Running { payer, meter }, budgets.iter().map(standing).collect())
    }

    async fn why(call: &Running) -> Option<String> {
        tokio::time::timeout(Duration::from_millis(1), call.meter.is_cut()).await.ok()
    }

    #[tokio::test]
    async fn those_who_share_a_budget_are_cut_together_and_nobody_else() {
        let calls = [
            call(60, &[("a", 0, 100)]),
            call(41, &[("a", 0, 100), ("b", 0, 1_000)]),
            call(500, &[("b", 0, 1_000)]),
            call(9_000, &[]),
        ];
        hold(&calls);
        assert!(why(&calls[0].0).await.is_some_and(|why| why.contains("the budget of frame a is used up")));
        assert!(why(&calls[1].0).await.is_some());
        assert_eq!((why(&calls[2].0).await, why(&calls[3].0).await), (None, None));
    }

    #[tokio::test]
    async fn a_budget_that_is_just_enough_is_enough() {
        let calls = [call(60, &[("a", 0, 100)]), call(40, &[("a", 0, 100)])];
        hold(&calls);
        assert_eq!((why(&calls[0].0).await, why(&calls[1].0).await), (None, None));
    }
}

//! Budgets, and what was spent.

use mimir_model::wire::budgets::{BudgetView, ShareView};
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rights::Effect;
use crate::tool::{Call, Verb};

/// How many days are told of unless somebody says, and at most.
const DAYS: (u32, u32) = (7, 366);

/// `budget_list`
pub struct Budgets;

/// Over which time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// How many days the spending is about, today included; 7 when absent.
    days: Option<u32>,
}

/// Budgets and spending. All amounts are millionths of a US dollar.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Money {
    /// Whether all spending is paused.
    paused: bool,
    /// Every budget that holds.
    budgets: Vec<Budget>,
    /// How many days the rest is about.
    days: u32,
    /// By frame, the dearest first.
    by_frame: Vec<Share>,
    /// By model, the dearest first.
    by_model: Vec<Share>,
    /// By day (UTC).
    by_day: Vec<Share>,
}

/// A budget, and what is left of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Budget {
    /// `frame blog`, `everything`.
    whose: String,
    /// `total`, `month` or `day`.
    period: String,
    /// What it allows.
    limit_microusd: u64,
    /// What was spent of it.
    spent_microusd: u64,
    /// What is held for calls that run.
    reserved_microusd: u64,
    /// How much of it is spent.
    percent: u64,
}

impl From<BudgetView> for Budget {
    fn from(budget: BudgetView) -> Self {
        Self {
            whose: budget.whose(),
            period: budget.period.to_string(),
            limit_microusd: budget.limit_microusd,
            spent_microusd: budget.spent_microusd,
            reserved_microusd: budget.reserved_microusd,
            percent: budget.percent,
        }
    }
}

/// One of a group.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Share {
    /// A frame, `provider/model`, or a day.
    name: String,
    /// How many calls.
    call_count: u64,
    /// What they cost.
    cost_microusd: u64,
}

impl From<ShareView> for Share {
    fn from(share: ShareView) -> Self {
        Self { name: share.name, call_count: share.call_count, cost_microusd: share.cost_microusd }
    }
}

impl Verb for Budgets {
    const NAME: &'static str = "budget_list";
    const TITLE: &'static str = "Show budgets and spending";
    const ABOUT: &'static str = "What model calls may cost, and what they did cost by frame, model and day.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Time;
    type Output = Money;

    async fn call(asked: Time, with: &Call<'_>) -> Result<Money, Problem> {
        let spending = with.gateway.spending(asked.days.unwrap_or(DAYS.0).clamp(1, DAYS.1)).await?;
        let shares = |all: Vec<ShareView>| all.into_iter().map(Share::from).collect();
        Ok(Money {
            paused: spending.paused,
            budgets: spending.budgets.into_iter().map(Budget::from).collect(),
            days: spending.days,
            by_frame: shares(spending.by_frame),
            by_model: shares(spending.by_model),
            by_day: shares(spending.by_day),
        })
    }
}

//! Budgets, prices and spending, as clients see them.

use serde::{Deserialize, Serialize};

use crate::budget::{BudgetPeriod, BudgetScope, Standing};
use crate::usage::PriceRow;

/// `POST /v1/budgets`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBudget {
    /// Whose.
    pub scope: BudgetScope,
    /// The name of the frame or project, the id of the session or run; none for the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In which time; `total` when absent.
    #[serde(default)]
    pub period: BudgetPeriod,
    /// Millionths of a US dollar. Absent: no limit, also where the configuration has one.
    #[schema(minimum = 0, maximum = 1000000000000u64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_microusd: Option<u64>,
}

/// A budget, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BudgetView {
    /// Whose.
    pub scope: BudgetScope,
    /// The name of the frame or project, the id of the session or run; absent for the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In which time.
    pub period: BudgetPeriod,
    /// Millionths of a US dollar.
    pub limit_microusd: u64,
    /// Booked in this time.
    pub spent_microusd: u64,
    /// Held for calls that run.
    pub reserved_microusd: u64,
    /// How much of it is spent, in percent.
    pub percent: u64,
}

impl From<Standing> for BudgetView {
    fn from(standing: Standing) -> Self {
        let percent = standing.percent();
        let Standing { key, name, limit_microusd, spent_microusd, reserved_microusd } = standing;
        Self {
            scope: key.scope,
            subject: Some(name).filter(|name| !name.is_empty()),
            period: key.period,
            limit_microusd,
            spent_microusd,
            reserved_microusd,
            percent,
        }
    }
}

impl BudgetView {
    /// `frame blog`, `everything`.
    #[must_use]
    pub fn whose(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{} {subject}", self.scope),
            None => "everything".to_owned(),
        }
    }
}

/// One of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ShareView {
    /// A frame, a project, `provider/model`, or a day such as `2026-11-29`.
    pub name: String,
    /// How many calls.
    pub call_count: u64,
    /// How many of them have no known price, and count nothing here.
    pub unpriced_count: u64,
    /// How many were reckoned from bytes, because the provider said nothing that could be believed.
    pub estimated_count: u64,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
}

/// `GET /v1/budgets`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Spending {
    /// Whether all spending is paused.
    pub paused: bool,
    /// Every budget that holds.
    pub budgets: Vec<BudgetView>,
    /// How many days the rest is about, today included.
    pub days: u32,
    /// By frame, the dearest first.
    pub by_frame: Vec<ShareView>,
    /// By project, the dearest first.
    pub by_project: Vec<ShareView>,
    /// By model, the dearest first.
    pub by_model: Vec<ShareView>,
    /// By day (UTC), in order; days without a call are left out.
    pub by_day: Vec<ShareView>,
}

/// `POST /v1/budgets/pause`, `POST /v1/budgets/resume`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SpendingPaused {
    /// Whether all spending is paused now.
    pub paused: bool,
    /// Whether it was not before.
    pub changed: bool,
    /// How many running calls were cut.
    pub cut_count: u64,
}

/// What a million tokens of a model cost, in millionths of a US dollar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceView {
    /// The provider's name, or its kind.
    pub provider: String,
    /// The model's name; `*` for all of a provider that have no price of their own.
    pub model: String,
    /// Input tokens.
    #[schema(maximum = 100000000000u64)]
    pub input_microusd: u64,
    /// Output and reasoning tokens.
    #[schema(maximum = 100000000000u64)]
    pub output_microusd: u64,
    /// Tokens read from a cache.
    #[schema(maximum = 100000000000u64)]
    pub cache_read_microusd: u64,
    /// Tokens written to a cache.
    #[schema(maximum = 100000000000u64)]
    pub cache_write_microusd: u64,
    /// The day for which it was true, such as `2026-11-21`.
    #[schema(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    pub as_of: String,
    /// Whether mimir carries it; otherwise somebody set it.
    #[serde(default)]
    pub built_in: bool,
}

impl From<PriceRow> for PriceView {
    fn from(row: PriceRow) -> Self {
        let PriceRow { provider, model, price, as_of, built_in } = row;
        Self {
            provider,
            model,
            input_microusd: price.input,
            output_microusd: price.output,
            cache_read_microusd: price.cache_read,
            cache_write_microusd: price.cache_write,
            as_of,
            built_in,
        }
    }
}

impl From<PriceView> for PriceRow {
    fn from(view: PriceView) -> Self {
        Self {
            provider: view.provider,
            model: view.model,
            price: crate::usage::Price {
                input: view.input_microusd,
                output: view.output_microusd,
                cache_read: view.cache_read_microusd,
                cache_write: view.cache_write_microusd,
            },
            as_of: view.as_of,
            built_in: false,
        }
    }
}

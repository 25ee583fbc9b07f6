//! Why a call may not begin, and why a budget cannot be set.

use crate::model::budget::{PAUSED, Standing, no_price};
use crate::store::StoreError;

/// What can go wrong about money.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    /// Let spending go on first.
    #[error("{}", PAUSED)]
    Paused,
    /// Raise the budget, or wait for the next day or month.
    #[error("{}", .0.used_up())]
    UsedUp(Box<Standing>),
    /// Try again in a moment: calls that run hold what is left.
    #[error("calls that run hold what is left of the budget of {0}: {amounts}", amounts = .0.amounts())]
    Held(Box<Standing>),
    /// Set a price for the model.
    #[error("{}", no_price(.provider, .model, .budget))]
    Unpriced {
        /// The provider's name.
        provider: String,
        /// The model's name.
        model: String,
        /// A budget that cannot be kept without a price.
        budget: Box<Standing>,
    },
    /// Name one that is there.
    #[error("there is no {scope} {name}")]
    NoSubject {
        /// `frame`, `project`, `session` or `run`.
        scope: &'static str,
        /// As given.
        name: String,
    },
    /// Look at the budgets there are.
    #[error("{0} has no budget of its own")]
    NotSet(String),
    /// Give prices that can be.
    #[error("{0}")]
    Price(String),
    /// Ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

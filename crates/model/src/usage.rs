//! Tokens and money.

use serde::{Deserialize, Serialize};

/// Tokens of one or more model calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tokens {
    /// Prompt tokens that were not read from a cache.
    pub input: u64,
    /// Answer tokens without reasoning.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
}

impl Tokens {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let all = [self.input, self.output, self.reasoning, self.cache_read, self.cache_write];
        all.into_iter().fold(0, u64::saturating_add)
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
    }
}

/// What a million tokens cost, in millionths of a US dollar (so 3.00 USD is 3_000_000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Input tokens.
    pub input: u64,
    /// Output and reasoning tokens.
    pub output: u64,
    /// Tokens read from a cache.
    pub cache_read: u64,
    /// Tokens written to a cache.
    pub cache_write: u64,
}

/// The price of a model, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRow {
    /// The provider's name, or its kind.
    pub provider: String,
    /// The model's name; `*` for all of a provider.
    pub model: String,
    /// What it costs.
    pub price: Price,
    /// The day for which it was true, such as `2026-11-29`.
    pub as_of: String,
    /// Whether mimir carries it; otherwise somebody set it.
    pub built_in: bool,
}

impl Price {
    /// The cost of `tokens` in millionths of a US dollar, rounded up so that nothing is free by rounding.
    #[must_use]
    pub fn cost_microusd(&self, tokens: &Tokens) -> u64 {
        let per_million = u128::from(tokens.input) * u128::from(self.input)
            + u128::from(tokens.output + tokens.reasoning) * u128::from(self.output)
            + u128::from(tokens.cache_read) * u128::from(self.cache_read)
            + u128::from(tokens.cache_write) * u128::from(self.cache_write);
        u64::try_from(per_million.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_adds_up_as_the_agent_counts_it() {
        // 200·3 + 1000·0.3 + 34·15 USD per million = 0.00141 USD.
        let price =
            Price { input: 3_000_000, output: 15_000_000, cache_read: 300_000, cache_write: 3_750_000 };
        let tokens = Tokens { input: 200, output: 30, reasoning: 4, cache_read: 1000, cache_write: 0 };
        assert_eq!(price.cost_microusd(&tokens), 1410);
    }
}

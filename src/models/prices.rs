//! What model calls cost.

use std::collections::BTreeMap;

use crate::model::usage::Price;

/// The table that mimir carries.
const BUILT_IN: &str = include_str!("../../config/prices.yaml");

/// A table of prices that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the table of prices is not as expected: {0}")]
pub struct InvalidPrices(String);

/// Prices by provider and model.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    table: BTreeMap<(String, String), Price>,
}

impl Prices {
    /// The table that mimir carries.
    ///
    /// # Errors
    /// Never, as long as the tests pass.
    pub fn built_in() -> Result<Self, InvalidPrices> {
        Self::parse(BUILT_IN)
    }

    /// Reads a table: provider, model, four prices in US dollars for a million tokens.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(yaml: &str) -> Result<Self, InvalidPrices> {
        let rows: BTreeMap<String, BTreeMap<String, [f64; 4]>> =
            serde_saphyr::from_str(yaml).map_err(|error| InvalidPrices(error.to_string()))?;
        let mut prices = Self::default();
        for (provider, models) in rows {
            for (model, row) in models {
                if row.iter().any(|usd| !(0.0..=100_000.0).contains(usd)) {
                    return Err(InvalidPrices(format!("{provider}/{model}: {row:?}")));
                }
                let [input, output, cache_read, cache_write] = row.map(micro);
                prices.set(&provider, &model, Price { input, output, cache_read, cache_write });
            }
        }
        Ok(prices)
    }

    /// Adds or replaces a price.
    pub fn set(&mut self, provider: &str, model: &str, price: Price) {
        self.table.insert((provider.to_owned(), model.to_owned()), price);
    }

    /// The models that are known of a provider, or of a kind of provider.
    pub fn models<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = &'a str> {
        self.table.keys().filter(move |(of, _)| of == provider).map(|(_, model)| model.as_str())
    }

    /// The price of a model, if it is known. A provider's own name counts first, then its kind's:
    /// `work` of kind `anthropic` costs what Anthropic costs.
    #[must_use]
    pub fn find(&self, provider: &str, kind: &str, model: &str) -> Option<Price> {
        let of = |provider: &str| self.table.get(&(provider.to_owned(), model.to_owned())).copied();
        of(provider).or_else(|| of(kind))
    }
}

/// Dollars to millionths; the range was checked.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100,000 dollars fit")]
fn micro(usd: f64) -> u64 {
    (usd * 1_000_000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_we_carry_reads_and_knows_the_default_model() {
        let prices = Prices::built_in().expect("it reads");
        let sonnet = prices.find("anthropic", "anthropic", "claude-sonnet-4-20250514").expect("known");
        let expected =
            Price { input: 3_000_000, output: 15_000_000, cache_read: 300_000, cache_write: 3_750_000 };
        assert_eq!(sonnet, expected);
        assert_eq!(prices.find("work", "anthropic", "claude-sonnet-4-20250514"), Some(expected));
        assert_eq!(prices.find("openai", "openai", "no-such-model"), None);
    }

    #[test]
    fn a_table_with_nonsense_is_refused() {
        for bad in ["a: {b: [1, 2, 3]}", "a: {b: [-1, 0, 0, 0]}", "a: [1]", "a: {b: [1, 2, 3, 1e99]}"] {
            assert!(Prices::parse(bad).is_err(), "{bad}");
        }
    }
}

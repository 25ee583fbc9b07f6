//! What model calls cost.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::usage::{Price, PriceRow};

/// The table that mimir carries.
const BUILT_IN: &str = include_str!("../../config/prices.yaml");

/// A table of prices that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the table of prices is not as expected: {0}")]
pub struct InvalidPrices(String);

/// All models of a provider.
const ANY: &str = "*";

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    as_of: String,
    prices: BTreeMap<String, BTreeMap<String, [f64; 4]>>,
}

/// Prices by provider and model.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    table: BTreeMap<(String, String), PriceRow>,
}

impl Prices {
    /// The table that mimir carries.
    ///
    /// # Errors
    /// Never, as long as the tests pass.
    pub fn built_in() -> Result<Self, InvalidPrices> {
        let mut prices = Self::parse(BUILT_IN)?;
        prices.table.values_mut().for_each(|row| row.built_in = true);
        Ok(prices)
    }

    /// Reads a table: the day for which it is true; of each provider and model four prices in US dollars for a
    /// million tokens.
    ///
    /// # Errors
    /// When it is not of that form.
    pub fn parse(yaml: &str) -> Result<Self, InvalidPrices> {
        let Written { as_of, prices: written } =
            serde_saphyr::from_str(yaml).map_err(|error| InvalidPrices(error.to_string()))?;
        if !is_day(&as_of) {
            return Err(InvalidPrices(format!("as_of must be a day such as 2026-11-21, not `{as_of}`")));
        }
        let mut prices = Self::default();
        for (provider, models) in written {
            for (model, row) in models {
                if row.iter().any(|usd| !(0.0..=100_000.0).contains(usd)) {
                    return Err(InvalidPrices(format!("{provider}/{model}: {row:?}")));
                }
                let [input, output, cache_read, cache_write] = row.map(micro);
                let price = Price { input, output, cache_read, cache_write };
                let (provider, as_of) = (provider.clone(), as_of.clone());
                prices.set(PriceRow { provider, model, price, as_of, built_in: false });
            }
        }
        Ok(prices)
    }

    /// Adds or replaces a price.
    pub fn set(&mut self, row: PriceRow) {
        self.table.insert((row.provider.clone(), row.model.clone()), row);
    }

    /// All of them, by provider and model.
    pub fn rows(&self) -> impl Iterator<Item = &PriceRow> {
        self.table.values()
    }

    /// The models that are known of a provider, or of a kind of provider.
    pub fn models<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = &'a str> {
        let of = self.table.keys().filter(move |(of, model)| of == provider && model != ANY);
        of.map(|(_, model)| model.as_str())
    }

    /// The price of a model, if it is known. A provider's own name counts first, then its kind's: `work` of kind
    /// `anthropic` costs what Anthropic costs. What is said of all its models (`*`) counts last.
    #[must_use]
    pub fn find(&self, provider: &str, kind: &str, model: &str) -> Option<Price> {
        let of = |provider: &str, model: &str| self.table.get(&(provider.to_owned(), model.to_owned()));
        let ways = [(provider, model), (kind, model), (provider, ANY), (kind, ANY)];
        ways.into_iter().find_map(|(provider, model)| of(provider, model)).map(|row| row.price)
    }
}

/// `2026-11-21`.
#[must_use]
pub fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.as_slice(), [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
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
        let with = |prices: &str| format!("as_of: 2026-11-21\nprices: {{{prices}}}");
        assert_eq!(Prices::parse(&with("a: {b: [1, 2, 3, 4]}")).expect("good").rows().count(), 1);
        for bad in ["a: {b: [1, 2, 3]}", "a: {b: [-1, 0, 0, 0]}", "a: [1]", "a: {b: [1, 2, 3, 1e99]}"] {
            assert!(Prices::parse(&with(bad)).is_err(), "{bad}");
        }
        for bad in
            ["prices: {a: {b: [1, 2, 3, 4]}}", "as_of: soon\nprices: {}", "as_of: 2026-11-21\nrates: {}"]
        {
            assert!(Prices::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_said_of_all_models_of_a_provider_counts_last() {
        let prices = Prices::parse(
            "as_of: 2026-11-21\nprices: {local: {'*': [0, 0, 0, 0], big: [1, 1, 1, 1]}, ollama: {big: [2, 2, 2, 2]}}",
        )
        .expect("good");
        let input =
            |provider: &str, model: &str| prices.find(provider, "ollama", model).map(|price| price.input);
        assert_eq!(input("local", "big"), Some(1_000_000));
        assert_eq!(input("local", "small"), Some(0));
        assert_eq!((input("other", "big"), input("other", "small")), (Some(2_000_000), None));
        assert_eq!(prices.models("local").collect::<Vec<_>>(), ["big"]);
    }
}

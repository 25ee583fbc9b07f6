//! Whole numbers.

use super::Refusal;

/// A whole number between two ends, both included.
///
/// # Errors
/// When it is none, or not between them.
pub fn parse(text: &str, least: u32, most: u32) -> Result<u32, Refusal> {
    text.trim()
        .parse::<u32>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}, not `{text}`"))
}

/// `950`, `12.3k`, `1.2M`.
#[must_use]
pub fn count(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}.{}k", number / 1_000, number % 1_000 / 100),
        _ => format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_are_short() {
        assert_eq!(super::count(12_345), "12.3k");
    }
}

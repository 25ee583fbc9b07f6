//! US dollars, kept in millionths of one.

use super::Refusal;

/// US dollars, such as `25` or `2.50`.
///
/// # Errors
/// When it is something else, or not from 0.01 to 1000000.
pub fn parse(text: &str) -> Result<u64, Refusal> {
    let refuse = || format!("must be an amount of US dollars such as 25 or 2.50, not `{text}`");
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 6 || !digits(whole) || !digits(part) {
        return Err(refuse());
    }
    let whole: u64 = whole.parse().map_err(|_| refuse())?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| refuse())?;
    match whole.checked_mul(1_000_000).and_then(|millionths| millionths.checked_add(part)) {
        Some(amount) if (10_000..=1_000_000_000_000).contains(&amount) => Ok(amount),
        _ => Err(format!("must be from 0.01 to 1000000 US dollars, not `{text}`")),
    }
}

/// `$1.23`, `$0.0042`, `$0`.
#[must_use]
pub fn money(microusd: u64) -> String {
    let (dollars, rest) = (microusd / 1_000_000, microusd % 1_000_000);
    if microusd == 0 {
        "$0".to_owned()
    } else if microusd >= 100_000 {
        format!("${dollars}.{:02}", rest / 10_000)
    } else {
        // Rounded up: nothing that cost something is shown as free.
        format!("$0.{:04}", rest.div_ceil(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_to_the_millionth() {
        for (text, millionths) in [("25", 25_000_000), ("2.5", 2_500_000), ("0.01", 10_000)] {
            assert_eq!(parse(text), Ok(millionths), "{text}");
        }
        for bad in ["", ".5", "-1", "1e3", "0", "0.0000001", "99999999999999999999", "2,50"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_that_cost_something_is_shown_as_free() {
        assert_eq!((money(0), money(42), money(1_234_567)), ("$0".into(), "$0.0001".into(), "$1.23".into()));
        assert_eq!((money(99_999), money(99_901)), ("$0.1000".into(), "$0.1000".into()));
    }
}

//! Processor cores, kept in thousandths of one.

use super::Refusal;

/// Cores, such as `2` or `1.5`.
///
/// # Errors
/// When it is no number, or not from 0.1 to 1024.
pub fn parse(text: &str) -> Result<u32, Refusal> {
    let text = text.trim();
    text.parse().ok().and_then(milli).ok_or_else(|| refusal(text))
}

/// The same for a number.
///
/// # Errors
/// When it is not from 0.1 to 1024.
pub fn check(cores: f64) -> Result<u32, Refusal> {
    milli(cores).ok_or_else(|| refusal(cores))
}

fn milli(cores: f64) -> Option<u32> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.1..=1024.0).contains(&cores).then(|| (cores * 1000.0).round() as u32)
}

fn refusal(given: impl std::fmt::Display) -> Refusal {
    format!("must be a number of cores such as 1.5, from 0.1 to 1024, not `{given}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_thousandths_inside() {
        assert_eq!(parse("1.5"), Ok(1500));
        assert_eq!(check(0.1), Ok(100));
        for bad in ["", "0", "0.05", "-1", "many", "NaN", "inf", "2000"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(check(0.0), Err(parse("0").expect_err("refused")), "the same sentence");
    }
}

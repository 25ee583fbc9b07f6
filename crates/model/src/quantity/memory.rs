//! Amounts of memory.

use super::Refusal;

/// With less the agent is killed over and over (measured: 200 MB crash-loops, 450 MB idles).
const LEAST: u64 = 512 << 20;
/// One PiB.
const MOST: u64 = 1 << 50;

/// Bytes: a number, or one with k, m, g or t behind it (powers of 1024): `4g`, `1.5g`, `512MiB`.
///
/// # Errors
/// When it is something else, or less than 512 MiB, or more than a PiB.
pub fn parse(text: &str) -> Result<u64, Refusal> {
    match bytes(text) {
        Some(bytes) => within(bytes, text),
        None => Err(refusal(text)),
    }
}

/// The same for a number of bytes.
///
/// # Errors
/// When it is less than 512 MiB or more than a PiB.
pub fn check(bytes: u64) -> Result<u64, Refusal> {
    within(bytes, &bytes.to_string())
}

/// How much may be sent or kept: the same amounts, from one kibibyte on.
///
/// # Errors
/// When it is something else, or less than a KiB, or more than a PiB.
pub fn parse_any(text: &str) -> Result<u64, Refusal> {
    bytes(text)
        .filter(|bytes| (1 << 10..=MOST).contains(bytes))
        .ok_or_else(|| format!("must be an amount such as 256m or 1g, not `{text}`"))
}

fn within(bytes: u64, text: &str) -> Result<u64, Refusal> {
    match bytes {
        ..LEAST => Err(format!("must be at least 512m, not `{text}`")),
        LEAST..=MOST => Ok(bytes),
        _ => Err(refusal(text)),
    }
}

fn refusal(text: &str) -> Refusal {
    format!("must be an amount of memory such as 4g or 512m, not `{text}`")
}

fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[number.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    if let Ok(whole) = number.trim().parse::<u64>() {
        return whole.checked_mul(factor);
    }
    #[expect(clippy::cast_precision_loss, reason = "factors are powers of two")]
    let bytes = number.trim().parse::<f64>().ok()? * factor as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..1e18).contains(&bytes).then(|| bytes.round() as u64)
}

/// `4.0 GiB`, `812 MiB`, `17 B`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "it is rounded for reading")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_people_write_it() {
        for (text, bytes) in [
            ("4g", 4 << 30),
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("1GiB", 1 << 30),
            (" 4 g ", 4 << 30),
            ("1073741824", 1 << 30),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "g", "4x", "-4g", "-1g", "nan", "inf", "17", "511m", "99999999999g", "1025t"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(check(17), Err(parse("17").expect_err("refused")), "the same sentence");
        assert!(check(u64::MAX).is_err());
    }

    #[test]
    fn amounts_are_not_only_those_that_a_frame_can_live_on() {
        assert_eq!((parse_any("256m"), parse_any("1k")), (Ok(256 << 20), Ok(1 << 10)));
        for bad in ["", "17", "x", "2000t", "-1m"] {
            assert!(parse_any(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(4 << 30), "4.0 GiB");
        assert_eq!(size(812 << 20), "812 MiB");
    }
}

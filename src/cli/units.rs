//! Durations, sizes, times and money, as people write and read them.

use std::time::Duration;

pub use crate::clock::utc as time;

/// Reads `90s`, `15m`, `2h`, `1d`, `1h30m`.
///
/// # Errors
/// A sentence that shows how to write one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is not a duration: write it as 90s, 15m, 2h, 1d or 1h30m");
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(refuse());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(refuse()),
        };
        rest = &rest[letters..];
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(refuse)?;
    }
    // A hundred years are enough, and leave room for adding them to a time.
    if seconds > 100 * 366 * 86_400 { Err(refuse()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Reads `512m`, `4g`, `1.5g`, `4GiB`, or bytes.
///
/// # Errors
/// A sentence that shows how to write one.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refuse = || format!("`{text}` is not a size: write it as 512m, 4g, 1.5g, or in bytes");
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &lower[number.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(refuse()),
    };
    if let Ok(whole) = number.trim().parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(refuse);
    }
    let value: f64 = number.trim().parse().map_err(|_| refuse())?;
    #[expect(clippy::cast_precision_loss, reason = "factors are powers of two")]
    let bytes = value * factor as f64;
    if !(bytes.is_finite() && (0.0..1e18).contains(&bytes)) {
        return Err(refuse());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    Ok(bytes.round() as u64)
}

/// `4.0 GiB`, `812 MiB`, `17 B`.
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

/// `8s`, `5m`, `3h`, `2d`: one figure, as it fits a table.
pub fn age(from_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(from_ms) / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long it is until then, to the nearest unit: what was to last 30 days has `30d` a moment later.
pub fn left(until_ms: u64, now_ms: u64) -> String {
    let left = until_ms.saturating_sub(now_ms);
    let unit: u64 = match left {
        0..60_000 => 1_000,
        60_000..3_600_000 => 60_000,
        3_600_000..172_800_000 => 3_600_000,
        _ => 86_400_000,
    };
    age(0, left.saturating_add(unit / 2) / unit * unit)
}

/// `0.8 s`, `42 s`, `3 min 12 s`, `2 h 5 min`.
pub fn took(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, milliseconds % 1_000 / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// `$1.23`, `$0.0042`, `$0`.
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

/// `950`, `12.3k`, `1.2M`.
pub fn count(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}.{}k", number / 1_000, number % 1_000 / 100),
        _ => format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7_200), ("1d", 86_400), ("1h30m", 5_400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "2", "h", "2x", "-1h", "2h ago", "99999999999999999999h", "9999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in
            [("512m", 512 << 20), ("4g", 4 << 30), ("1.5g", 3 << 29), ("4GiB", 4 << 30), ("17", 17)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "g", "4x", "-4g", "nan", "inf", "99999999999g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(size(4 << 30), "4.0 GiB");
        assert_eq!(size(812 << 20), "812 MiB");
        assert_eq!(age(0, 47 * 3_600_000), "47h");
        assert_eq!(age(5_000, 0), "0s", "a clock that was set back");
        assert_eq!(left(30 * 86_400_000 + 5_000, 5_900), "30d", "a moment after it was made");
        assert_eq!(left(90_400, 5_000), "1m");
        assert_eq!(left(5_000, 9_000), "0s", "it is over");
        assert_eq!(took(192_000), "3 min 12 s");
        assert_eq!((money(0), money(42), money(1_234_567)), ("$0".into(), "$0.0001".into(), "$1.23".into()));
        assert_eq!((money(99_999), money(99_901)), ("$0.1000".into(), "$0.1000".into()));
        assert_eq!(count(12_345), "12.3k");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(time(1_795_261_756_000), "2026-11-21 11:49:16");
    }
}

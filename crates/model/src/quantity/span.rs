//! Spans of time.

use std::time::Duration;

use super::Refusal;

const DAY: u64 = 86_400;
/// A hundred years are enough, and leave room for adding them to a time.
const LONGEST: u64 = 100 * 366 * DAY;
/// The longest life of a throwaway frame.
const LONGEST_LIFETIME: u64 = 30 * DAY;

/// A span such as `90s`, `15m`, `2h`, `1d`, or several of them in a row: `1h30m`, `1h 30m`.
///
/// # Errors
/// When it is something else, or longer than a hundred years.
pub fn parse(text: &str) -> Result<Duration, Refusal> {
    seconds(text).map(Duration::from_secs).ok_or_else(|| refusal(text))
}

/// One that is not empty.
///
/// # Errors
/// As [`parse`], and when it is nothing at all.
pub fn parse_some(text: &str) -> Result<Duration, Refusal> {
    match parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        span => Ok(span),
    }
}

/// How long a throwaway frame lives.
///
/// # Errors
/// As [`parse`], and when it is not between one second and 30 days.
pub fn parse_lifetime(text: &str) -> Result<Duration, Refusal> {
    lifetime(parse(text)?.as_secs(), text)
}

/// The same for a number of seconds.
///
/// # Errors
/// When it is not between one second and 30 days.
pub fn check_lifetime(seconds: u64) -> Result<Duration, Refusal> {
    lifetime(seconds, &format!("{seconds}s"))
}

/// A number of seconds that a request carries.
///
/// # Errors
/// When it is longer than a hundred years.
pub fn check(seconds: u64) -> Result<Duration, Refusal> {
    parse(&format!("{seconds}s"))
}

fn lifetime(seconds: u64, text: &str) -> Result<Duration, Refusal> {
    if (1..=LONGEST_LIFETIME).contains(&seconds) {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(format!("must be from 1s to 30d, not `{text}`"))
    }
}

fn refusal(text: &str) -> Refusal {
    format!("must be a time such as 90s, 15m or 2h, not `{text}`")
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match &rest[digits..digits + letters] {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => DAY,
            _ => return None,
        };
        total = number.checked_mul(unit).and_then(|more| total.checked_add(more))?;
        rest = rest[digits + letters..].trim_start();
    }
    (total <= LONGEST).then_some(total)
}

/// `8s`, `5m`, `3h`, `2d`: one figure, as it fits a table.
#[must_use]
pub fn age(from_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(from_ms) / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / DAY),
    }
}

/// How long it is until then, to the nearest unit: what was to last 30 days has `30d` a moment later.
#[must_use]
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
#[must_use]
pub fn took(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, milliseconds % 1_000 / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90),
            ("90sec", 90),
            ("15m", 900),
            ("15min", 900),
            ("2h", 7_200),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            ("1d", 86_400),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in
            ["", "2", "h", "2x", "-1h", "2h-1m", "2h ago", "1 h", "99999999999999999999s", "9999999d", "1ä"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse_some("0s").is_err());
        assert!(check(u64::MAX).is_err());
    }

    #[test]
    fn a_throwaway_frame_lives_from_a_second_to_thirty_days() {
        assert_eq!(parse_lifetime("30d"), Ok(Duration::from_secs(30 * DAY)));
        for bad in ["0s", "31d"] {
            assert!(parse_lifetime(bad).is_err(), "{bad}");
        }
        assert_eq!(check_lifetime(0), Err(parse_lifetime("0s").expect_err("refused")), "the same sentence");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(age(0, 47 * 3_600_000), "47h");
        assert_eq!(age(5_000, 0), "0s", "a clock that was set back");
        assert_eq!(left(30 * 86_400_000 + 5_000, 5_900), "30d", "a moment after it was made");
        assert_eq!(left(90_400, 5_000), "1m");
        assert_eq!(left(5_000, 9_000), "0s", "it is over");
        assert_eq!(took(192_000), "3 min 12 s");
    }
}

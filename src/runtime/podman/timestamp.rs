//! Podman's times as ours.

/// `2026-11-21T11:56:36.310364638Z` or with an offset, in UTC milliseconds. `None` for the engine's "never" (year 1)
/// and for anything that is no time.
pub(super) fn parse_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut whole = whole.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (whole.next()??, whole.next()??, whole.next()??);
    let ms = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    let minutes = hour * 60 + minute - offset_minutes(zone)?;
    let total = (days_since_1970(year, month, day) * 1440 + minutes) * 60_000 + second * 1000 + ms;
    u64::try_from(total).ok()
}

fn offset_minutes(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?))
}

/// Days between 1970-01-01 and a date of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Counted in years that begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse_ms;

    #[test]
    fn engine_times_become_milliseconds() {
        assert_eq!(parse_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_ms("2024-02-29T12:30:15.5Z"), Some(1_709_209_815_500));
        assert_eq!(parse_ms("2026-11-21T11:56:36.310364638Z"), Some(1_795_262_196_310));
        assert_eq!(parse_ms("2026-11-21T12:56:36.31+01:00"), Some(1_795_262_196_310));
    }

    #[test]
    fn never_and_nonsense_are_absent() {
        for text in ["0001-01-01T00:00:00Z", "", "yesterday", "2026-11-21", "2026-11-21T11:56"] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }
}

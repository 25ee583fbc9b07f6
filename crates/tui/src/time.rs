//! Times of day, for people.

use jiff::tz::TimeZone;

/// `14:05:09`, in this machine's time zone.
pub fn clock_of(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .unwrap_or_default();
    at.to_zoned_datetime(zone()).strftime("%H:%M:%S").to_string()
}

/// `30 Nov 14:05`, in this machine's time zone.
pub fn day_of(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .unwrap_or_default();
    at.to_zoned_datetime(zone()).strftime("%d %b %H:%M").to_string()
}

/// `2026-11-30`, as costs are told.
pub fn utc_day(at_ms: u64) -> String {
    let at = i64::try_from(at_ms)
        .ok()
        .and_then(|at| jiff::Timestamp::from_millisecond(at).ok())
        .unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

/// Tests are read in any time zone.
fn zone() -> TimeZone {
    if cfg!(test) { TimeZone::UTC } else { TimeZone::system() }
}

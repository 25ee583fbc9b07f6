//! Podman's times as ours.

/// `2026-11-21T11:56:36.310364638Z` or with an offset, in UTC milliseconds. `None` for the engine's "never" (year 1)
/// and for anything that is no time.
pub(super) fn parse_ms(text: &str) -> Option<u64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
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

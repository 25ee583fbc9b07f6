//! Time zones, by their name in the IANA database.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A name that no zone has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no time zone; write one such as `Europe/Berlin` or `UTC`")]
pub struct InvalidZone {
    /// What was given.
    pub text: String,
}

/// A time zone: the machine's own database of them, else the one that is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Reads a zone's name.
    ///
    /// # Errors
    /// [`InvalidZone`].
    pub fn parse(text: &str) -> Result<Self, InvalidZone> {
        let invalid = || InvalidZone { text: text.chars().take(60).collect() };
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        if text.is_empty() || text.len() > 60 || !text.chars().all(is_letter) {
            return Err(invalid());
        }
        let zone = TimeZone::get(text).map_err(|_| invalid())?;
        let name = zone.iana_name().unwrap_or(text).to_owned();
        Ok(Self { name, zone })
    }

    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// An instant (UTC ms) as its clocks show it: `Tue 2026-12-01 09:00 CET`; seconds where there are some.
    #[must_use]
    pub fn written(&self, at_ms: u64) -> String {
        let known = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let form =
            if at_ms.is_multiple_of(60_000) { "%a %Y-%m-%d %H:%M %Z" } else { "%a %Y-%m-%d %H:%M:%S %Z" };
        known.unwrap_or(Timestamp::MAX).to_zoned_datetime(self.zone.clone()).strftime(form).to_string()
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

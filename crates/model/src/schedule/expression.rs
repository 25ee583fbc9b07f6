//! When something is due: an expression of cron's, or `every` and a time, read against a zone's clock.
//!
//! The grammar is croner's: five fields, or six with seconds first; names, ranges, steps, lists, `L`, `W`, `#`, `+` before
//! the weekday for "and"; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. What clocks that are set forward and back mean is decided here:
//!
//! * **The hour begins with `*`**: an interval. It fires at every instant whose time of day fits, so an hour that is left
//!   out has no times, and an hour that happens twice has them twice. This is cron's own rule (Vixie: "`*` in the hour").
//! * **Every other hour**: a time of day. A time that is left out fires once, at the moment after the gap, however many
//!   fit in it; one that happens twice fires the first time. So a daily job runs once a day. Vixie cron promises the same,
//!   systemd does it for the repeated time only.
//! * **`every 90m`** counts real time from 1970-01-01 00:00 UTC on and knows no zone.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Timestamp};

use super::zone::Zone;
use crate::quantity::span;

/// The longest expression that is read.
const LONGEST: usize = 120;
/// Whoever means a day or more means a time of day.
const LONGEST_PERIOD: u64 = 24 * 60 * 60;
/// Where the search for something that ever fits begins; the library gives up in the year 5000. Every day of a month falls
/// on every weekday within 40 years.
const SOME_YEAR: i16 = 4900;

/// Text that says no times.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct InvalidExpression {
    /// What was given.
    pub text: String,
    /// Why it cannot be, as the end of a sentence.
    pub why: String,
}

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    cadence: Cadence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cadence {
    /// By a clock on the wall.
    Wall { cron: Box<Cron>, is_interval: bool },
    /// So many seconds of real time.
    Every(u64),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`InvalidExpression`], also for what never fires, such as the 30th of February.
    pub fn parse(text: &str) -> Result<Self, InvalidExpression> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let invalid = |why: &str| InvalidExpression { text: text.clone(), why: why.to_owned() };
        if text.len() > LONGEST {
            return Err(invalid("is too long for an expression"));
        }
        if !text.is_ascii() {
            return Err(invalid("holds characters that no expression has"));
        }
        let lower = text.to_ascii_lowercase();
        let every = lower.strip_prefix("@every ").or_else(|| lower.strip_prefix("every "));
        if let Some(period) = every {
            let period =
                span::parse_some(period).map_err(|why| invalid(&format!("is no period: it {why}")))?;
            return match period.as_secs() {
                0 => Err(invalid("is shorter than a second")),
                LONGEST_PERIOD.. => {
                    Err(invalid("is a day or more: write `@daily`, `@weekly` or a time of day"))
                }
                seconds => Ok(Self { cadence: Cadence::Every(seconds), text }),
            };
        }
        let pattern = match lower.as_str() {
            "@reboot" => return Err(invalid("is no time; the gateway starts whenever it is needed")),
            "@midnight" => "@daily",
            word if word.starts_with('@') && !KNOWN.contains(&word) => {
                return Err(invalid(&format!(
                    "is not known; there are {}, @midnight and `every 90m`",
                    KNOWN.join(", ")
                )));
            }
            other => other,
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        if !(5..=6).contains(&pattern.split(' ').count()) && !pattern.starts_with('@') {
            return Err(invalid(
                "must have five fields (minute hour day month weekday), or six with seconds first",
            ));
        }
        if pattern.split([' ', ',']).any(str::is_empty) {
            return Err(invalid("has a list with nothing between two commas"));
        }
        let cron = parser.parse(pattern).map_err(|error| invalid(&in_words(&error)))?;
        let fields: Vec<&str> = pattern.split(' ').collect();
        let is_interval = match fields.as_slice() {
            [nickname] => *nickname == "@hourly",
            [.., hour, _, _, _] => hour.starts_with('*'),
            _ => false,
        };
        let some_day = Wall(DateTime::constant(SOME_YEAR, 1, 1, 0, 0, 0, 0));
        if cron.find_next_occurrence(&some_day, true).is_err() {
            return Err(invalid("never fires: there is no such day"));
        }
        Ok(Self { cadence: Cadence::Wall { cron: Box::new(cron), is_interval }, text })
    }

    /// As it was written, with single spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match &self.cadence {
            Cadence::Wall { cron, .. } => {
                let words = cron.describe();
                words.strip_suffix('.').unwrap_or(&words).to_owned()
            }
            Cadence::Every(seconds) => {
                format!("Every {}, counted from midnight UTC of 1970-01-01", span::took(seconds * 1000))
            }
        }
    }

    /// The first instant (UTC ms) after that one at which it fires; none at the end of all calendars.
    #[must_use]
    pub fn next_after(&self, zone: &Zone, after_ms: u64) -> Option<u64> {
        match &self.cadence {
            Cadence::Every(seconds) => {
                let period = seconds * 1000;
                (after_ms / period).checked_add(1)?.checked_mul(period)
            }
            Cadence::Wall { cron, is_interval } => {
                let after = Timestamp::from_millisecond(i64::try_from(after_ms).ok()?).ok()?;
                let next = match is_interval {
                    true => next_of_interval(cron, zone, after)?,
                    false => next_time_of_day(cron, zone, after)?,
                };
                u64::try_from(next.as_millisecond()).ok()
            }
        }
    }

    /// The instants after that one, in order.
    pub fn times_after<'a>(&'a self, zone: &'a Zone, after_ms: u64) -> impl Iterator<Item = u64> + 'a {
        std::iter::successors(self.next_after(zone, after_ms), |last| self.next_after(zone, *last))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Expression {
    type Err = InvalidExpression;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// What may stand in the place of the fields.
const KNOWN: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

fn in_words(error: &CronError) -> String {
    match error {
        CronError::EmptyPattern => "is empty".to_owned(),
        CronError::InvalidPattern(why)
        | CronError::IllegalCharacters(why)
        | CronError::ComponentError(why) => {
            format!("is no expression: {}", why.trim_end_matches('.'))
        }
        other => format!("is no expression: {other}"),
    }
}

/// Between two changes of the clock, local time is real time and a constant: each such stretch is searched by itself.
fn next_of_interval(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
    let (mut from, mut is_inclusive) = (after, false);
    loop {
        let offset = zone.zone().to_offset(from);
        let until = zone.zone().following(from).map(|change| change.timestamp()).next();
        let found = cron.find_next_occurrence(&Wall(offset.to_datetime(from)), is_inclusive).ok();
        let found = found.and_then(|Wall(local)| offset.to_timestamp(local).ok());
        match (found, until) {
            (Some(found), None) => return Some(found),
            (Some(found), Some(until)) if found < until => return Some(found),
            (_, Some(until)) => (from, is_inclusive) = (until, true),
            (None, None) => return None,
        }
    }
}

/// Local times in order, each as one instant: instants never go back, but two times may be one of them.
fn next_time_of_day(cron: &Cron, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
    let mut local = zone.zone().to_datetime(after);
    loop {
        Wall(local) = cron.find_next_occurrence(&Wall(local), false).ok()?;
        let instant = match zone.zone().to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok()?,
            // The clock is set back: before that it has the larger offset.
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok()?,
            // Read with the offset of afterwards, it lies before the change.
            AmbiguousOffset::Gap { after, .. } => {
                let earlier = after.to_timestamp(local).ok()?;
                zone.zone().following(earlier).next()?.timestamp()
            }
        };
        if instant > after {
            return Some(instant);
        }
    }
}

/// A clock on the wall that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Wall(DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let Self(at) = self;
        let part = |value: i8| u32::from(value.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(at.year()), part(at.month()), part(at.day())),
            CivilTime::from_parts_unchecked(part(at.hour()), part(at.minute()), part(at.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::from(self.0.weekday().to_sunday_zero_offset().unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let part = |value: u32| i8::try_from(value).map_err(|_| CronError::InvalidTime);
        let (month, day) = (part(civil.month())?, part(civil.day())?);
        let (hour, minute, second) = (part(civil.hour())?, part(civil.minute())?, part(civil.second())?);
        let at = DateTime::new(year, month, day, hour, minute, second, 0);
        at.map(|at| Resolution::Single(Self(at))).map_err(|_| CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

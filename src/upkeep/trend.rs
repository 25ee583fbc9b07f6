//! Whether an agent grows too large. Pure.

use std::collections::VecDeque;

/// How many samples are kept; one a minute at most.
const KEPT: usize = 60;
/// A pace is believed when it was watched for so long …
const WATCHED_MS: u64 = 10 * 60 * 1000;
/// … and in so many samples.
const SAMPLES: usize = 5;
/// What reaches the limit within this time at its pace is ended before.
const SOON_MS: u64 = 15 * 60 * 1000;

/// What an agent used over time: UTC ms and bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    samples: VecDeque<(u64, u64)>,
}

impl Trend {
    /// It uses that much now.
    pub fn add(&mut self, at_ms: u64, bytes: u64) {
        self.samples.push_back((at_ms, bytes));
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
    }

    /// The newest sample.
    #[must_use]
    pub fn last(&self) -> Option<(u64, u64)> {
        self.samples.back().copied()
    }

    /// Why it should begin again, if it should: it is beyond that share (in percent) of the frame's memory, or it
    /// is on a steady way there.
    #[must_use]
    pub fn verdict(&self, limit_bytes: u64, share: u32) -> Option<String> {
        let (_, now) = self.last()?;
        let bound = limit_bytes / 100 * u64::from(share);
        let (used, of) = (now >> 20, limit_bytes >> 20);
        if limit_bytes == 0 {
            return None;
        }
        if now >= bound {
            return Some(format!("its agent uses {used} MiB, more than {share} % of the frame's {of} MiB"));
        }
        let until = self.limit_in(limit_bytes)?;
        (now >= bound / 2 && until <= SOON_MS).then(|| {
            let minutes = until / 60_000;
            format!("its agent uses {used} MiB and grows: at this pace it reaches the frame's {of} MiB in {minutes} min")
        })
    }

    /// When the limit is reached at the pace of all samples together; nothing when it does not grow steadily.
    fn limit_in(&self, limit_bytes: u64) -> Option<u64> {
        let ((from, before), (to, now)) = (*self.samples.front()?, *self.samples.back()?);
        let watched = to.saturating_sub(from);
        let steps = self.samples.iter().zip(self.samples.iter().skip(1));
        let grows = steps.filter(|((_, earlier), (_, later))| later > earlier).count();
        let is_steady = self.samples.len() >= SAMPLES && grows * 5 >= (self.samples.len() - 1) * 4;
        let grown = now.checked_sub(before).filter(|grown| *grown > 0)?;
        if !is_steady || watched < WATCHED_MS {
            return None;
        }
        let left = limit_bytes.saturating_sub(now);
        u64::try_from(u128::from(left) * u128::from(watched) / u128::from(grown)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const MIB: u64 = 1 << 20;

    fn trend(samples: impl IntoIterator<Item = u64>) -> Trend {
        let mut trend = Trend::default();
        for (minute, mib) in (0_u64..).zip(samples) {
            trend.add(minute * MINUTE, mib * MIB);
        }
        trend
    }

    #[test]
    fn beyond_the_share_is_too_much_and_nothing_is_not() {
        assert_eq!(trend([]).verdict(1000 * MIB, 75), None);
        assert_eq!(trend([700]).verdict(1000 * MIB, 75), None);
        let why = trend([760]).verdict(1000 * MIB, 75).expect("too much");
        assert_eq!(why, "its agent uses 760 MiB, more than 75 % of the frame's 1000 MiB");
        assert_eq!(trend([760]).verdict(0, 75), None, "no limit");
    }

    #[test]
    fn a_steady_way_to_the_limit_is_seen_before_it_is_reached() {
        let growing = (0..12).map(|minute| 300 + minute * 36);
        let why = trend(growing).verdict(1000 * MIB, 75).expect("696 MiB, 36 a minute");
        assert!(why.contains("in 8 min"), "{why}");
        // The first turn takes a lot at once and no more after that.
        let first_turn = [350, 640, 642, 641, 640, 642, 641, 642, 641, 640, 641, 642];
        assert_eq!(trend(first_turn).verdict(1000 * MIB, 75), None);
        // Too early to say.
        assert_eq!(trend((0..6).map(|minute| 300 + minute * 60)).verdict(1000 * MIB, 75), None);
        // It grows, and has far to go.
        assert_eq!(trend((0..12).map(|minute| 300 + minute)).verdict(1000 * MIB, 75), None);
    }
}

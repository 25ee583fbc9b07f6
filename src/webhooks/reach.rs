//! When we could not be reached, as far as that is known. What a tracker said at such a time nobody heard; what it did not
//! say at any other, it did not want to say.
//!
//! Known are: the time in which no gateway ran or its machine slept; messages that were refused or could not be taken; and,
//! where `webhooks.address` says where senders reach us, the time in which that did not lead here. Of what stands in front
//! of us nothing is known without it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::Webhooks;
use crate::clock;
use crate::model::webhook::SenderKind;
use crate::outbound::innermost;
use crate::store::{Queryable, StoreError, Tx, meta};

/// The header of our own question whether we are reached.
pub const ASKS_ITSELF: &str = "x-mimir-asks-itself";
/// When we were here last (UTC ms).
const UP: &str = "webhooks.up";
/// How often that is noted,
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// and how long nothing is noted when the machine slept.
const GONE_AFTER_MS: u64 = 180_000;
/// An answer that takes longer is none for a sender either.
const WITHIN: Duration = Duration::from_secs(10);
/// So long an alert may be on its way.
pub(super) const AT_REST_MS: u64 = 120_000;
/// So much older than its alert an issue may be: rules at trackers wait for the hundredth event, or for an hour.
const BEFORE_MS: u64 = 60 * 60 * 1_000;
/// So far the clock of a tracker may be ahead of ours.
const AFTER_MS: u64 = 60_000;
/// More gaps are not told apart.
const MOST_GAPS: usize = 50;
/// Longer ago nobody looks: as long as a forge keeps its list of what it sent. A machine that was away for months, or whose
/// clock began in another year, is not told of all that was ever open.
const LONGEST_AGO_MS: u64 = 3 * 24 * 60 * 60 * 1_000;

/// From when on issues are looked at, at most.
pub(super) fn looks_back_at_most(now_ms: u64) -> u64 {
    now_ms.saturating_sub(LONGEST_AGO_MS + BEFORE_MS)
}

/// A time in which we may not have been reached (UTC ms, both ends included).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    from: u64,
    until: u64,
}

impl Gap {
    /// What of it there can be now: clocks are set, forwards and back, and nothing was missed in a time that has not come.
    /// None of one that is too long ago.
    fn known_at(self, now_ms: u64) -> Option<Self> {
        let oldest = now_ms.saturating_sub(LONGEST_AGO_MS);
        let known = Self { from: self.from.clamp(oldest, now_ms), until: self.until.min(now_ms) };
        (known.from <= known.until).then_some(known)
    }

    /// From when on issues must be looked at.
    pub(super) fn looks_back_to(self) -> u64 {
        self.from.saturating_sub(BEFORE_MS)
    }

    /// Whether nothing of it is left for whoever has looked at everything until then.
    pub(super) fn is_seen_until(self, looked_ms: u64) -> bool {
        self.until.saturating_add(AFTER_MS) <= looked_ms
    }

    /// Whether an alert about something that began then and was seen last then may have come in it. Of what is not known
    /// it may be so.
    pub(super) fn may_hide(self, began_ms: Option<u64>, last_ms: Option<u64>) -> bool {
        let is_near = began_ms.is_none_or(|began| {
            began <= self.until.saturating_add(AFTER_MS) && began.saturating_add(BEFORE_MS) >= self.from
        });
        // Of what was quiet since, nothing was told since.
        is_near && last_ms.is_none_or(|last| last.saturating_add(AT_REST_MS) >= self.from)
    }
}

/// With one more.
fn with(mut gaps: Vec<Gap>, new: Gap) -> Vec<Gap> {
    gaps.push(new);
    gaps.sort_unstable_by_key(|gap| (gap.from, gap.until));
    let mut apart: Vec<Gap> = Vec::with_capacity(gaps.len());
    for gap in gaps {
        match apart.last_mut() {
            Some(last) if gap.from <= last.until.saturating_add(super::millis(NOTED_EVERY)) => {
                last.until = last.until.max(gap.until);
            }
            _ => apart.push(gap),
        }
    }
    // The oldest are nearest to be looked at.
    while apart.len() > MOST_GAPS {
        let first = apart.remove(0);
        apart[0].from = first.from;
    }
    apart
}

fn key_of(source: &str) -> String {
    format!("webhooks.gaps.{source}")
}

/// The gaps of a source that are not looked at yet.
pub(super) fn gaps_of(ask: &impl Queryable, source: &str) -> Result<Vec<Gap>, StoreError> {
    let known = meta::find(ask, &key_of(source))?;
    Ok(known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Those that are left after everything until then was looked at.
pub(super) fn leave_gaps(tx: &mut Tx<'_>, source: &str, looked_ms: u64) -> Result<(), StoreError> {
    let gaps = gaps_of(&*tx, source)?;
    let left: Vec<Gap> = gaps.iter().copied().filter(|gap| !gap.is_seen_until(looked_ms)).collect();
    if left.len() == gaps.len() { Ok(()) } else { set_gaps(tx, source, &left) }
}

fn set_gaps(tx: &mut Tx<'_>, source: &str, gaps: &[Gap]) -> Result<(), StoreError> {
    let text = serde_json::to_string(gaps).unwrap_or_default();
    meta::set(tx, &key_of(source), &text)
}

/// What is known and not written down yet.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// It is noted that this gateway is here.
    is_noted: bool,
    /// By source.
    missed: BTreeMap<String, Vec<Gap>>,
    /// Our own question that is on its way.
    asked: Option<String>,
    /// When one came here last, and one that did not.
    reached_at: Option<u64>,
    lost_at: Option<u64>,
    /// Why it did not.
    trouble: Option<String>,
}

impl Webhooks {
    /// Notes that we are here until we are not.
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        loop {
            if stop.run_until_cancelled(self.check_the_way()).await.is_none() {
                break;
            }
            if let Err(error) = self.note_up().await {
                tracing::warn!(%error, "it cannot be noted that webhooks are taken: {error}");
            }
            if stop.run_until_cancelled(tokio::time::sleep(NOTED_EVERY)).await.is_none() {
                break;
            }
        }
        // From here on nobody listens. After a power cut the note before this one counts.
        let _ = self.note_up().await;
    }

    fn trackers(&self) -> Vec<String> {
        let settings = self.inner.settings.now();
        let trackers = settings.sources.iter().filter(|(_, source)| source.kind == SenderKind::Sentry);
        trackers.map(|(name, _)| name.clone()).collect()
    }

    /// Notes that we are here, and when we were not.
    pub(super) async fn note_up(&self) -> Result<(), StoreError> {
        let (trackers, now) = (self.trackers(), self.inner.clock.now_ms());
        let (is_noted, missed) = {
            let mut reach = self.inner.reach.lock();
            (reach.is_noted, std::mem::take(&mut reach.missed))
        };
        if trackers.is_empty() {
            return Ok(());
        }
        let again = missed.clone();
        let write = self.inner.store.write_soon(move |tx| {
            let last = meta::find(&*tx, UP)?.and_then(|text| text.parse::<u64>().ok());
            let is_gap = |last: &u64| *last < now && (!is_noted || now - *last > GONE_AFTER_MS);
            let away = last.filter(is_gap).map(|last| Gap { from: last, until: now });
            for name in &trackers {
                let refused = missed.get(name).into_iter().flatten().copied();
                let known = gaps_of(&*tx, name)?;
                let all = away.into_iter().chain(refused).fold(known.clone(), with);
                let all: Vec<Gap> = all.into_iter().filter_map(|gap| gap.known_at(now)).collect();
                if all != known {
                    set_gaps(tx, name, &all)?;
                }
            }
            meta::set(tx, UP, &now.to_string())
        });
        let written = write.await;
        let mut reach = self.inner.reach.lock();
        match written {
            Ok(()) => reach.is_noted = true,
            Err(_) => again.iter().for_each(|(name, gaps)| gaps.iter().for_each(|gap| reach.add(name, *gap))),
        }
        written
    }

    /// A message of that source could not be taken now.
    pub(super) fn note_missed(&self, source: &str) {
        let now = self.inner.clock.now_ms();
        self.inner.reach.lock().add(source, Gap { from: now, until: now });
    }

    /// Asks itself where senders do, as they do. When that does not come here, what they send does not either.
    pub async fn check_the_way(&self) {
        let settings = self.inner.settings.now();
        let way = settings.address.as_ref().zip(settings.sources.keys().next());
        let Some((address, source)) = way else {
            self.inner.reach.lock().trouble = None;
            return;
        };
        let question = hex::encode(clock::entropy_128().to_be_bytes());
        self.inner.reach.lock().asked = Some(question.clone());
        let answer = self.ask_itself(address, source, &question).await;
        let now = self.inner.clock.now_ms();
        let trackers = self.trackers();
        let mut reach = self.inner.reach.lock();
        let was_heard = reach.asked.take().is_none();
        let since = match was_heard {
            true => reach.lost_at.take(),
            false => Some(reach.reached_at.unwrap_or(now)),
        };
        if let Some(from) = since {
            trackers.iter().for_each(|name| reach.add(name, Gap { from, until: now }));
        }
        if was_heard {
            (reach.reached_at, reach.trouble) = (Some(now), None);
            return;
        }
        reach.lost_at = Some(now);
        let why = answer.err().unwrap_or_else(|| "somebody else answers there".to_owned());
        let trouble = format!(
            "webhooks.address ({address}) does not lead here ({why}): what is in front of this gateway may be down. Where \
             senders reach it and this machine alone does not: `mimir config set webhooks.address off`"
        );
        if reach.trouble.is_none() {
            tracing::warn!("{trouble}");
        }
        reach.trouble = Some(trouble);
    }

    async fn ask_itself(&self, address: &Url, source: &str, question: &str) -> Result<(), String> {
        let mut url = address.clone();
        url.path_segments_mut()
            .map_err(|()| "it is no address".to_owned())?
            .pop_if_empty()
            .extend(["webhooks", source]);
        let client = self.inner.http.to(&url).map_err(|error| error.to_string())?;
        let sending = client.post(url).header(ASKS_ITSELF, question).send();
        match tokio::time::timeout(WITHIN, sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(innermost(&error.without_url())),
            Err(_) => Err(format!("no answer within {} s", WITHIN.as_secs())),
        }
    }

    /// Whether that is our own question, which waits for an answer.
    #[must_use]
    pub fn is_its_own(&self, question: &str) -> bool {
        let mut reach = self.inner.reach.lock();
        let is_own = reach.asked.as_deref() == Some(question);
        if is_own {
            reach.asked = None;
        }
        is_own
    }

    /// What is wrong with the way to us.
    pub(super) fn trouble_of_the_way(&self) -> Option<String> {
        self.inner.reach.lock().trouble.clone()
    }
}

impl Reach {
    fn add(&mut self, source: &str, gap: Gap) {
        let gaps = self.missed.entry(source.to_owned()).or_default();
        *gaps = with(std::mem::take(gaps), gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn gap(from: u64, until: u64) -> Gap {
        Gap { from: from * MINUTE, until: until * MINUTE }
    }

    #[test]
    fn what_may_have_been_told_in_a_gap_is_what_began_near_it_and_went_on() {
        let away = gap(600, 660);
        let cases: &[(u64, Option<u64>, bool)] = &[
            (630, Some(640), true),
            (600, None, true),
            (660, Some(700), true),
            (661, Some(700), true),
            (662, Some(700), false),
            // An hour before, as long as it goes on.
            (540, Some(600), true),
            (540, Some(598), true),
            (540, Some(597), false),
            (539, Some(700), false),
        ];
        for (began, last, may) in cases {
            let found = away.may_hide(Some(began * MINUTE), last.map(|last| last * MINUTE));
            assert_eq!(found, *may, "{began} {last:?}");
        }
        assert!(away.may_hide(None, Some(900 * MINUTE)) && !away.may_hide(None, Some(597 * MINUTE)));
        assert!(!away.is_seen_until(660 * MINUTE) && away.is_seen_until(661 * MINUTE));
    }

    #[test]
    fn a_gap_ends_now_at_the_latest_and_begins_three_days_ago_at_the_earliest() {
        let day = 24 * 60;
        let now = 1_000 * day;
        let known = |from: u64, until: u64| gap(from, until).known_at(now * MINUTE);
        assert_eq!(known(now - 60, now - 5), Some(gap(now - 60, now - 5)));
        // The clock was a month ahead, and is set back.
        assert_eq!(known(now - 60, now + 30 * day), Some(gap(now - 60, now)));
        assert_eq!(known(now + 29 * day, now + 30 * day), Some(gap(now, now)));
        // It began in 1970, or was away for months.
        assert_eq!(known(0, now), Some(gap(now - 3 * day, now)));
        assert_eq!(known(0, now - 4 * day), None);
        let back = known(0, now).map_or(0, Gap::looks_back_to);
        assert_eq!(back, looks_back_at_most(now * MINUTE));
    }

    #[test]
    fn gaps_that_touch_are_one_and_many_are_not_told_apart() {
        let all = [gap(10, 10), gap(20, 30), gap(11, 12), gap(29, 31)].into_iter().fold(Vec::new(), with);
        assert_eq!(all, [gap(10, 12), gap(20, 31)]);
        let many = (0..200).map(|n| gap(n * 10, n * 10 + 1)).fold(Vec::new(), with);
        assert_eq!(many.len(), MOST_GAPS);
        assert_eq!((many[0].from, many[MOST_GAPS - 1].until), (0, 1_991 * MINUTE), "none is lost");
    }
}

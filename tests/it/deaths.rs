//! Places to die at, dealt out to stories: in one story several gateways die, one behind the other, each at another place.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use mimir::supervisor::failpoint::Failpoints;
use parking_lot::Mutex;

/// A place, and at which of its times there (from 1).
pub type Place = (&'static str, u32);

/// So many gateways die in one story.
const IN_ONE_STORY: usize = 6;

/// What nobody died at yet.
pub struct Deaths {
    left: Mutex<Vec<Place>>,
    died: Mutex<usize>,
}

impl Deaths {
    /// Each place at each of those times, as far as an undisturbed story comes there so often.
    pub fn at(passed: &BTreeMap<&'static str, u32>, times: RangeInclusive<u32>) -> Self {
        let so_often = |nth: u32| {
            passed.iter().filter(move |(_, count)| **count >= nth).map(move |(place, _)| (*place, nth))
        };
        Self { left: Mutex::new(times.flat_map(so_often).collect()), died: Mutex::default() }
    }

    /// How many there are.
    pub fn left(&self) -> usize {
        self.left.lock().len()
    }

    /// How many gateways died.
    pub fn died(&self) -> usize {
        *self.died.lock()
    }

    /// What the next story dies of, no place twice; none when nothing is left.
    pub fn deal(&self) -> Option<Hand> {
        let mut open: Vec<Place> = Vec::new();
        self.left.lock().retain(|place| {
            let is_dealt = open.len() < IN_ONE_STORY && open.iter().all(|(name, _)| *name != place.0);
            if is_dealt {
                open.push(*place);
            }
            !is_dealt
        });
        (!open.is_empty()).then(|| Hand { open, died: Vec::new(), passed: BTreeMap::new() })
    }

    /// A story is over. A place that it did not come to, because of how others died, is left to the next one.
    pub fn take_back(&self, hand: Hand) {
        let Hand { mut open, died, .. } = hand;
        *self.died.lock() += died.len();
        if died.is_empty() {
            // Nothing came before them, so no story comes there so often; the first time is never left out.
            let never: Vec<&Place> = open.iter().filter(|(_, nth)| *nth == 1).collect();
            assert!(never.is_empty(), "nobody comes to {never:?}");
            open.clear();
        }
        let mut left = self.left.lock();
        open.append(&mut left);
        *left = open;
    }
}

/// What the gateways of one story die of.
pub struct Hand {
    open: Vec<Place>,
    died: Vec<Place>,
    /// By the gateways that died.
    passed: BTreeMap<&'static str, u32>,
}

impl Hand {
    /// Arms what is still to come in a gateway that begins; what was passed before it counts.
    pub fn arm(&self, points: &Failpoints) {
        for (name, nth) in &self.open {
            let before = self.passed.get(name).copied().unwrap_or_default();
            let more = nth.saturating_sub(before);
            if more > 0 {
                points.arm(name, more);
            }
        }
    }

    /// The gateway with those points died there.
    pub fn died_at(&mut self, place: &str, points: &Failpoints) {
        for (name, times) in points.passed() {
            *self.passed.entry(name).or_default() += times;
        }
        let found = self.open.iter().position(|(name, _)| *name == place);
        let found = found.unwrap_or_else(|| panic!("{place} is not one of {:?}", self.open));
        self.died.push(self.open.remove(found));
    }

    /// Where they died, in this order.
    pub fn deaths(&self) -> &[Place] {
        &self.died
    }
}

#[test]
fn each_place_is_died_at_as_often_as_it_is_passed() {
    let passed = BTreeMap::from([("a", 3), ("b", 1), ("c", 2)]);
    let deaths = Deaths::at(&passed, 1..=3);
    assert_eq!(deaths.left(), 6);
    let hand = deaths.deal().expect("a hand");
    assert_eq!(hand.open, [("a", 1), ("b", 1), ("c", 1)], "no place twice");
    let mut second = deaths.deal().expect("a second one");
    assert_eq!(second.open, [("a", 2), ("c", 2)]);
    let points = Failpoints::default();
    second.arm(&points);
    second.died_at("c", &points);
    assert_eq!(second.deaths(), [("c", 2)]);
    deaths.take_back(second);
    assert_eq!((deaths.left(), deaths.died()), (2, 1), "a at its second time is left to another");
    let third = deaths.deal().expect("a third one");
    assert_eq!(third.open, [("a", 2)]);
    drop(hand);
    deaths.take_back(third);
    assert_eq!(deaths.deal().map(|hand| hand.open), Some(vec![("a", 3)]));
    assert!(deaths.deal().is_none());
}

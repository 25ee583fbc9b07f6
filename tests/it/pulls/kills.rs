//! A gateway that dies anywhere: what was done outside was done once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use mimir::model::run::RunState;
use mimir::supervisor::failpoint::Failpoints;

use super::story::{assert_once, live, live_on};
use super::world::World;
use crate::deaths::Deaths;

/// The places that the story passes, each with how often.
async fn places() -> BTreeMap<&'static str, u32> {
    let (world, points) = (World::new("github").await, Failpoints::default());
    assert!(live(&world, points.clone()).await.is_empty());
    points.passed()
}

/// What happens in every story: before and after each thing that can be seen from outside.
const OUTSIDE: [&str; 21] = [
    "workflows.pull_request.before",
    "workflows.pull_request.after",
    "workflows.pull_request.named",
    "workflows.pull_request.noted",
    "workflows.round.begun",
    "workflows.round.before",
    "workflows.round.after",
    "workflows.round.noted",
    "workflows.answer.before",
    "workflows.answer.after",
    "workflows.answer.noted",
    "workflows.ready.before",
    "workflows.ready.after",
    "workflows.review.after",
    "workflows.merge.before",
    "workflows.merge.after",
    "workflows.merge.noted",
    "workflows.branch.before",
    "workflows.branch.after",
    "workflows.resolve.before",
    "workflows.resolve.after",
];

/// What does not, each with a test of its own: here, in `kills_aside` and in `rules`.
const ASIDE: [&str; 8] = [
    "workflows.comment.before",
    "workflows.comment.after",
    "workflows.edit.before",
    "workflows.edit.after",
    "workflows.close.before",
    "workflows.close.after",
    "workflows.close_issue.before",
    "workflows.close_issue.after",
];

#[test]
fn each_place_in_the_source_is_one_that_somebody_dies_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workflows/pull");
    let mut written = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("the source").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("text");
        let after = text.split(".hit(\"").skip(1).filter_map(|rest| rest.split('"').next());
        written.extend(after.map(str::to_owned));
    }
    let known: BTreeSet<String> = OUTSIDE.iter().chain(&ASIDE).map(|place| (*place).to_owned()).collect();
    assert_eq!(written, known);
}

/// Dies at each place that is passed so often, at that time; several gateways die in one story, one behind the other.
/// Says how many died.
async fn dies_at(nth: u32) -> usize {
    let places = places().await;
    for place in OUTSIDE {
        assert!(places.contains_key(place), "{place} is not passed: {places:?}");
    }
    let deaths = Deaths::at(&places, nth..=nth);
    let all = deaths.left();
    while let Some(mut hand) = deaths.deal() {
        let (world, points) = (World::new("github").await, Failpoints::default());
        hand.arm(&points);
        let next = |at: &'static str, dead: &Failpoints| {
            hand.died_at(at, dead);
            let points = Failpoints::default();
            hand.arm(&points);
            points
        };
        live_on(&world, points, next).await;
        assert_once(&world, "github", &format!("dies at {:?}", hand.deaths())).await;
        world.forge.assert_as_described();
        deaths.take_back(hand);
    }
    assert_eq!(deaths.died(), all, "each place is come to so often");
    all
}

// These take the longest: they run beside each other.

#[tokio::test]
async fn whatever_dies_at_its_first_time_is_done_once() {
    let died = dies_at(1).await;
    assert!(died >= OUTSIDE.len(), "only {died} deaths");
}

#[tokio::test]
async fn whatever_dies_at_its_second_time_is_done_once() {
    let died = dies_at(2).await;
    assert!(died >= 5, "only {died} deaths");
}

#[tokio::test]
async fn whatever_dies_at_its_third_time_is_done_once() {
    let died = dies_at(3).await;
    assert!(died >= 1, "only {died} deaths");
}

/// The second time is the one after the first death, and the third the one after that.
#[tokio::test]
async fn who_dies_three_times_over_at_each_place_comes_to_the_end_as_well() {
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        let mut left: BTreeMap<&'static str, u32> = OUTSIDE.map(|place| (place, 3)).into();
        let armed = |left: &BTreeMap<&'static str, u32>| {
            let points = Failpoints::default();
            for place in left.keys() {
                points.arm(place, 1);
            }
            points
        };
        let first = armed(&left);
        let next = |at: &'static str, _: &Failpoints| {
            let times = left.entry(at).or_default();
            *times = times.saturating_sub(1);
            left.retain(|_, times| *times > 0);
            armed(&left)
        };
        let died = live_on(&world, first, next).await;
        // Whoever finds a thing done notes it elsewhere; the first test dies there.
        for place in OUTSIDE.iter().filter(|place| !place.ends_with(".noted")) {
            assert!(died.contains(place), "{kind}: nobody died at {place}: {died:?}");
        }
        assert!(died.len() > OUTSIDE.len(), "{kind}: again at some of them: {died:?}");
        assert_once(&world, kind, &format!("{kind}: {died:?}")).await;
    }
}

#[tokio::test]
async fn a_hand_over_is_said_once_wherever_the_gateway_dies() {
    for place in ["workflows.comment.before", "workflows.comment.after"] {
        let (world, points) = (World::new("github").await, Failpoints::default());
        world.told.lock().says = Some("The runner has no disk.".into());
        world.settle().await;
        world.checks("failure");
        points.arm(place, 1);
        let goes_on = async {
            while world.pass(&points).await.is_ok() {
                world.clock.advance_ms(10_000);
            }
        };
        let pass = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                at = points.died() => Some(at),
                () = goes_on => None,
            }
        });
        assert_eq!(pass.await.expect("it comes there"), Some(place));
        for _ in 0..2 {
            let run = world.later().await;
            let held = run.progress.held.as_ref().map(|held| held.gate.as_str());
            assert_eq!((run.state, held), (RunState::Held, Some("follow")), "{place}: {run:?}");
            assert_eq!((world.said().len(), world.forge.effects().comments), (1, 1), "{place}");
        }
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn who_dies_again_and_again_comes_to_the_end_as_well() {
    let world = World::new("gitea").await;
    let seventh = || {
        let points = Failpoints::default();
        points.arm_any(7);
        points
    };
    let died = live_on(&world, seventh(), |_, _| seventh()).await;
    assert!(died.len() >= 5, "only {died:?}");
    assert_once(&world, "gitea", "at each seventh place").await;
}

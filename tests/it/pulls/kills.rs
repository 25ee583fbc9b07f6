//! A gateway that dies anywhere: what was done outside was done once.

use std::collections::BTreeMap;
use std::time::Duration;

use mimir::model::run::RunState;
use mimir::supervisor::failpoint::Failpoints;

use super::story::{assert_once, live, live_on};
use super::world::World;

/// The places that the story passes, each with how often.
async fn places() -> BTreeMap<&'static str, u32> {
    let (world, points) = (World::new("github").await, Failpoints::default());
    assert!(live(&world, points.clone()).await.is_empty());
    points.passed()
}

/// About every step that can be seen from outside there is a place to die at.
const OUTSIDE: [&str; 20] = [
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
    "workflows.resolve.after",
];

/// Dies at each place that is passed so often, once; says how many there are.
async fn dies_at(nth: u32) -> usize {
    let places = places().await;
    for place in OUTSIDE {
        assert!(places.contains_key(place), "{place} is not passed: {places:?}");
    }
    let passed = places.iter().filter(|(_, times)| **times >= nth);
    let mut tried = 0;
    for (place, _) in passed {
        let (world, points) = (World::new("github").await, Failpoints::default());
        points.arm(place, nth);
        let died = live(&world, points).await;
        let context = format!("{place} at its time {nth}");
        assert_eq!(died, [*place], "{context}");
        assert_once(&world, "github", &context).await;
        world.forge.assert_as_described();
        tried += 1;
    }
    tried
}

// Each of these takes minutes: they run beside each other.

#[tokio::test]
async fn whatever_dies_at_its_first_time_is_done_once() {
    let tried = dies_at(1).await;
    assert!(tried >= OUTSIDE.len(), "only {tried} deaths");
}

#[tokio::test]
async fn whatever_dies_at_its_second_time_is_done_once() {
    let tried = dies_at(2).await;
    assert!(tried >= 5, "only {tried} deaths");
}

#[tokio::test]
async fn whatever_dies_at_its_third_time_is_done_once() {
    let tried = dies_at(3).await;
    assert!(tried >= 1, "only {tried} deaths");
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
    let died = live_on(&world, seventh(), seventh).await;
    assert!(died.len() >= 5, "only {died:?}");
    assert_once(&world, "gitea", "at each seventh place").await;
}

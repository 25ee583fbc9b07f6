//! A gateway that dies around what does not happen in every story: somebody else's pull request, a matter that is settled
//! elsewhere, the tokens of an app.

use std::collections::BTreeMap;

use mimir::model::run::RunState;
use mimir::supervisor::failpoint::Failpoints;

use super::story::{assert_once, live, live_on};
use super::world::{BLOG, BRANCH, World};
use crate::deaths::Deaths;

/// One gateway dies there, the next one as well, and the one after that; says how many of the three did.
async fn dies_three_times(world: &World, place: &'static str) -> usize {
    for deaths in 0..3 {
        let points = Failpoints::default();
        points.arm(place, 1);
        let lives = async {
            for _ in 0..20 {
                if world.get().await.state.is_end() {
                    return;
                }
                let _ = world.pass(&points).await;
            }
        };
        tokio::select! {
            at = points.died() => assert_eq!(at, place),
            () = lives => return deaths,
        }
        world.forgets_tokens();
    }
    3
}

#[tokio::test]
async fn a_pull_request_of_somebody_else_says_what_ours_says_wherever_the_gateway_dies() {
    for place in ["workflows.edit.before", "workflows.edit.after"] {
        let world = World::new("github").await;
        assert_eq!(world.forge.open(BLOG, "eve", BRANCH, "main"), 1);
        assert_eq!(dies_three_times(&world, place).await, 3, "{place}");
        let run = world.settle().await;
        assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(1), "{place}: {run:?}");
        let pull = world.forge.pull(BLOG, 1);
        assert_eq!(pull.title, "Carts may be empty", "{place}");
        assert_eq!(pull.body.matches(&format!("<!-- mimir:run={} -->", world.run)).count(), 1, "{place}");
        let count = world.forge.change(BLOG, |repo| repo.pulls.len());
        assert_eq!((count, world.forge.effects().pulls), (1, 0), "{place}: none beside it");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn a_draft_whose_matter_is_settled_is_closed_once_wherever_the_gateway_dies() {
    // Who dies behind it finds it closed.
    for (place, times) in [("workflows.close.before", 3), ("workflows.close.after", 1)] {
        let world = World::new("github").await;
        world.settle().await;
        world.errors.known.lock().is_resolved = true;
        assert_eq!(dies_three_times(&world, place).await, times, "{place}");
        let run = world.settle().await;
        assert_eq!(run.state, RunState::Superseded, "{place}: {run:?}");
        let effects = world.forge.effects();
        assert_eq!((effects.pulls, effects.closed, effects.comments), (1, 1, 1), "{place}");
        assert_eq!(world.told.lock().discarded, 1, "{place}");
        world.forge.assert_as_described();
    }
}

/// A run for which an app acts, each of whose rounds lasts longer than a token of it.
async fn of_an_app() -> World {
    let world = World::new("github").await;
    world.becomes_an_app();
    world.told.lock().takes = 61 * 60_000;
    world
}

#[tokio::test]
async fn a_token_of_an_app_is_made_anew_wherever_the_gateway_dies() {
    let (world, points) = (of_an_app().await, Failpoints::default());
    assert!(live(&world, points.clone()).await.is_empty());
    assert_once(&world, "github", "undisturbed").await;
    let mut places: BTreeMap<&'static str, u32> = points.passed();
    places.retain(|place, _| place.starts_with("forge.token."));
    assert!(places.len() == 2 && places.values().all(|times| *times >= 3), "{places:?}");

    let deaths = Deaths::at(&places, 1..=3);
    while let Some(mut hand) = deaths.deal() {
        let (world, points) = (of_an_app().await, Failpoints::default());
        hand.arm(&points);
        let next = |at: &'static str, dead: &Failpoints| {
            hand.died_at(at, dead);
            let points = Failpoints::default();
            hand.arm(&points);
            points
        };
        live_on(&world, points, next).await;
        let context = format!("dies at {:?}", hand.deaths());
        assert_once(&world, "github", &context).await;
        assert!(world.forge.effects().tokens >= 3, "{context}");
        world.forge.assert_as_described();
        deaths.take_back(hand);
    }
    assert_eq!(deaths.died(), 6);
}

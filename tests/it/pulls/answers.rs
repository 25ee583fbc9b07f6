//! The forge's answer to each question of a story never comes, comes in half, too late, as an error or to a question that was
//! asked twice: what was done outside was done once.

use std::time::Duration;

use mimir::model::run::RunState;
use mimir::supervisor::failpoint::Failpoints;
use mimir::workflows::stage::StageError;

use super::story::{assert_once, live};
use super::world::World;
use crate::forge::{Effects, Trip};

const KINDS: [&str; 2] = ["github", "gitea"];
/// How long an answer may take where one is late.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is done at the forge in every story, by the end of what is asked for.
fn changes(kind: &str) -> &'static [&'static str] {
    match kind {
        "github" => &[
            "POST /api/v3/repos/me/blog/pulls",
            "POST /api/graphql",
            "POST /api/v3/repos/me/blog/pulls/*/requested_reviewers",
            "PUT /api/v3/repos/me/blog/pulls/*/merge",
            "DELETE /api/v3/repos/me/blog/git/refs/heads/mimir/run-1",
        ],
        _ => &[
            "POST /api/v1/repos/me/blog/pulls",
            "PATCH /api/v1/repos/me/blog/pulls/*",
            "POST /api/v1/repos/me/blog/pulls/*/requested_reviewers",
            "POST /api/v1/repos/me/blog/pulls/*/merge",
            "DELETE /api/v1/repos/me/blog/branches/mimir/run-1",
        ],
    }
}

/// Lives through the story with the answer of that number to each kind of question gone wrong. Gives the kinds.
async fn goes_wrong(kind: &'static str, trip: &Trip, nth: u32, fits: fn(&str) -> bool) -> Vec<String> {
    let world = World::new(kind).await;
    if matches!(trip, Trip::Slow(_)) {
        *world.deadline.lock() = PATIENCE;
    }
    world.forge.plan_each(trip.clone(), nth, fits);
    assert_eq!(live(&world, Failpoints::default()).await, [""; 0]);
    let tripped = world.forge.tripped();
    assert_once(&world, kind, &format!("{kind}: {trip:?}, time {nth}: {tripped:#?}")).await;
    if kind == "github" {
        world.forge.assert_as_described();
    }
    tripped
}

/// The first answer of each kind, and the second where there is one.
async fn each_goes_wrong(trip: Trip) {
    for kind in KINDS {
        let first = goes_wrong(kind, &trip, 1, |_| true).await;
        for change in changes(kind) {
            assert!(first.iter().any(|known| known == change), "{kind}: no {change} in {first:#?}");
        }
        assert!(first.iter().any(|known| known == "GET /me/blog.git/info/refs"), "{kind}: {first:#?}");
        let second = goes_wrong(kind, &trip, 2, |_| true).await;
        assert!(second.len() >= 5, "{kind}: {second:#?}");
    }
}

#[tokio::test]
async fn what_is_never_answered_is_done_once() {
    each_goes_wrong(Trip::AnswerLost).await;
}

#[tokio::test]
async fn what_is_answered_in_half_is_done_once() {
    each_goes_wrong(Trip::Half).await;
}

#[tokio::test]
async fn what_is_answered_too_late_is_done_once() {
    each_goes_wrong(Trip::Slow(PATIENCE * 10)).await;
}

#[tokio::test]
async fn what_is_answered_with_an_error_is_asked_for_again_and_done_once() {
    each_goes_wrong(Trip::Status(502)).await;
}

/// A machine in between may send a question on twice. Of two comments nobody can tell whether both were wanted: those alone
/// are left out.
#[tokio::test]
async fn what_is_asked_for_twice_on_the_way_is_done_once() {
    for kind in KINDS {
        let is_change = |asked: &str| {
            !(asked.starts_with("GET ") || asked.ends_with("/comments") || asked.ends_with("/replies"))
        };
        let mut tripped = goes_wrong(kind, &Trip::Twice, 1, is_change).await;
        let mut wanted: Vec<&str> = changes(kind).to_vec();
        tripped.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(tripped, wanted, "{kind}");
    }
}

/// Nothing is spent, and nothing is opened, before the forge has said that git may push.
#[tokio::test]
async fn a_run_waits_in_its_preflight_for_whether_git_may_push() {
    for trip in [Trip::AnswerLost, Trip::Status(502), Trip::Slow(Duration::from_secs(60))] {
        let world = World::new("github").await;
        if matches!(trip, Trip::Slow(_)) {
            // Nothing but that is to be late.
            *world.deadline.lock() = Duration::from_secs(3);
        }
        world.forge.plan("GET", "/info/refs", trip.clone());
        let ended = world.pass(&Failpoints::default()).await;
        assert!(matches!(&ended, Err(StageError::Infrastructure(_))), "{trip:?}: {ended:?}");
        let run = world.get().await;
        assert_eq!((run.stage.as_str(), run.state), ("preflight", RunState::Waiting), "{trip:?}: {run:?}");
        assert_eq!(world.forge.effects(), Effects::default(), "{trip:?}");
        assert_eq!(world.forge.planned(), 0, "{trip:?}: it was asked");
        *world.deadline.lock() = Duration::from_secs(10);
        world.clock.advance_ms(60_000);
        world.settle().await;
        assert_eq!(world.forge.effects().pulls, 1, "{trip:?}");
    }
}

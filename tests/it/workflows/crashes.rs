//! The gateway dies at every named point, at the first, second and third time that it comes there; the next one finishes
//! what was begun: one frame, one message for each prompt, one end, nothing left.

use futures_util::StreamExt as _;
use mimir::model::ids::RunId;
use mimir::model::run::RunState::{Cancelled, Held, Succeeded};
use mimir::workflows::{NewManualRun, RunError};

use super::stages::blog;
use super::world::{OWNER, World, manual, says, shop};

/// Every point on the way of a run that asks twice, looks, and waits for a yes.
const POINTS: &[&str] = &[
    "workflows.start.after_row",
    "workflows.begin.before",
    "workflows.begin.after",
    "workflows.command.before",
    "workflows.command.after",
    "workflows.prompt.before_frame",
    "workflows.prompt.after_frame",
    "workflows.prompt.before_send",
    "workflows.prompt.after_send",
    "workflows.prompt.after_answer",
    "workflows.save.after",
    "workflows.settle.before",
    "workflows.settle.after",
    "workflows.approve.after_row",
    "workflows.clean_up.before_frame",
    "workflows.clean_up.after_frame",
];

const STEPS: &str = "stages:\n\
    - { name: look, kind: command, argv: [\"true\"] }\n\
    - { name: ask, kind: prompt, text: first }\n\
    - { name: sure, kind: gate }\n\
    - { name: tell, kind: prompt, text: \"second: {{ stages.ask }}\" }\n";

#[tokio::test]
async fn a_run_survives_a_gateway_that_dies_anywhere() {
    let all = POINTS.iter().flat_map(|point| (1..=3).map(move |nth| (*point, nth)));
    futures_util::stream::iter(all).for_each_concurrent(6, |(point, nth)| dies_at(point, nth)).await;
}

/// Some points are passed less often than that: then the run ends undisturbed, and nothing is left all the same.
async fn dies_at(point: &'static str, nth: u32) {
    let mut world = World::new().await;
    world.workflow("steps", STEPS);
    world.agent.plays([says("one"), says("two")]);
    let points = world.failpoints();
    points.arm(point, nth);
    let has_died = tokio::select! {
        at = points.died() => at == point,
        () = whole(&world) => false,
    };
    if has_died {
        world.restart().await;
    }
    let found = world.services().workflows.runs(Default::default(), 10).await.expect("runs");
    assert_eq!(found.len(), 1, "{point}, {nth}");
    let id = found[0].0.id.clone();
    to_its_end(&world, &id).await;
    // It may die behind the end.
    let has_died = !has_died
        && tokio::select! {
            _ = points.died() => true,
            () = world.is_tidy() => false,
        };
    if has_died {
        world.restart().await;
    }
    world.is_tidy().await;
    let run = world.run(&id).await;
    let timeline = world.timeline(&id).await;
    assert_eq!(run.state, Succeeded, "{point}, {nth}: {run:?}\n{timeline:#?}");
    assert_eq!(world.agent.user_messages(), 2, "{point}, {nth}: {timeline:#?}");
    assert_eq!(world.told(&id, "answer").await, ["one", "two"], "{point}, {nth}");
    let made = timeline.iter().filter(|entry| entry.text.ends_with("works for it")).count();
    assert_eq!(made, 1, "{point}, {nth}: {timeline:#?}");
    assert!(world.machine.engine.containers().is_empty(), "{point}, {nth}");
}

#[tokio::test]
async fn what_people_ask_of_a_run_holds_when_the_gateway_dies_right_after_it() {
    let mut world = World::new().await;
    world.workflow(
        "asks",
        "stages:\n- { name: ask, kind: prompt, text: hello }\n- { name: sure, kind: gate }\n",
    );
    world.agent.plays([says("hi"), says("hi again")]);
    let run = world.start("asks", &[]).await;
    world.reaches(&run.id, Held).await;
    let (owner, points) = (OWNER, world.failpoints());
    points.arm("workflows.cancel.after_row", 1);
    tokio::select! {
        at = points.died() => assert_eq!(at, "workflows.cancel.after_row"),
        ended = world.services().workflows.cancel(&owner, &run.id, None) => panic!("it lives: {ended:?}"),
    }
    world.restart().await;
    world.is_tidy().await;
    let ended = world.run(&run.id).await;
    assert_eq!((ended.state, ended.reason.as_deref()), (Cancelled, Some("cancelled by owner:0")));

    let points = world.failpoints();
    points.arm("workflows.retry.after_row", 1);
    tokio::select! {
        at = points.died() => assert_eq!(at, "workflows.retry.after_row"),
        made = world.services().workflows.retry(&owner, &run.id) => panic!("it lives: {made:?}"),
    }
    world.restart().await;
    // Nobody heard that it was made: it goes on all the same, and asking once more makes no second one.
    let again = world.services().workflows.retry(&OWNER, &run.id).await.expect_err("there is one");
    let RunError::Joined(next) = &again else { panic!("{again:?}") };
    let next: RunId = next.parse().expect("an id");
    to_its_end(&world, &next).await;
    assert_eq!(world.run(&next).await.state, Succeeded);
    let found = world.services().workflows.runs(Default::default(), 10).await.expect("runs");
    assert_eq!(found.len(), 2, "{found:?}");
    world.is_tidy().await;
}

#[tokio::test]
async fn a_frame_is_restarted_once_wherever_the_gateway_dies() {
    for point in ["workflows.frame.before_wish", "workflows.frame.after_wish"] {
        let mut world = World::new().await;
        let frame = blog(&world).await;
        let before = world.frames().await.remove(0);
        let points = world.failpoints();
        points.arm(point, 1);
        let wanted = NewManualRun { frame: Some(frame), ..manual("frame", &[("action", "restart")]) };
        let run = world.services().workflows.start(&OWNER, wanted).await.expect("started");
        let at = tokio::time::timeout(std::time::Duration::from_secs(60), points.died()).await;
        assert_eq!(at.expect("it comes there"), point);
        world.restart().await;
        let ended = world.end_of(&run.id).await;
        assert_eq!(ended.state, Succeeded, "{point}: {ended:?}");
        let after = world.frames().await.remove(0);
        assert_eq!(after.generation, before.generation + 1, "{point}");
    }
}

async fn whole(world: &World) {
    let wanted = NewManualRun { project: Some(shop()), ..manual("steps", &[]) };
    let run = world.services().workflows.start(&OWNER, wanted).await.expect("started");
    to_its_end(world, &run.id).await;
}

async fn to_its_end(world: &World, id: &RunId) {
    let seen = world.until(id, "held or over", |run| run.state == Held || run.state.is_end()).await;
    if seen.state == Held {
        world.services().workflows.approve(&OWNER, id, None).await.expect("approved");
    }
    world.end_of(id).await;
}

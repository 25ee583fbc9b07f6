//! Frames that are not kept apart as they must be, and containers of an older mimir.

use mimir::model::frame::{Desired, FrameState, Observed};
use mimir::model::isolation::Isolation;
use mimir::runtime::Capabilities;
use mimir::runtime::fake::Op;

use super::world::World;

fn locked() -> Isolation {
    Isolation {
        host_user: 1001,
        no_new_privileges: true,
        filtered: true,
        read_only_root: true,
        interfaces: vec!["lo".to_owned()],
        memory_bytes: Some(4 << 30),
        pids: Some(1024),
        ..Isolation::default()
    }
}

#[tokio::test]
async fn a_frame_that_is_not_kept_apart_does_not_run_and_says_why() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    world.engine.set_isolation(Some(Isolation { filtered: false, capabilities: 0x20, ..locked() }));
    let refused = world.reach(&frame, Desired::Running).await.expect_err("it does not run").to_string();
    assert!(refused.contains("capabilities (0x20)") && refused.contains("not filtered"), "{refused}");
    world.eventually(&frame.id, FrameState::Error).await;
    assert_eq!(world.engine.peek(&frame.id), Observed::Missing, "nothing of it is left running");

    world.engine.set_isolation(Some(Isolation { memory_bytes: Some(64 << 30), pids: None, ..locked() }));
    let refused = world.reach(&frame, Desired::Running).await.expect_err("it does not run").to_string();
    assert!(refused.contains("its memory may be 68719476736 instead of 4294967296"), "{refused}");
    assert!(refused.contains("its number of processes has no limit"), "{refused}");
    world.eventually(&frame.id, FrameState::Error).await;

    world.engine.set_isolation(Some(locked()));
    let running = world.reach(&frame, Desired::Running).await.expect("it runs");
    assert_eq!((running.limits.memory_bytes, running.limits.pids), (4 << 30, 1024));
    let apart = world.frames.apart(&running).await.expect("it can be looked at");
    assert_eq!(apart.isolation, Some(locked()));
    assert!(apart.loosened.is_empty(), "{apart:?}");
}

#[tokio::test]
async fn what_nobody_can_see_is_not_taken_for_good() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    world.engine.set_isolation(None);
    let refused = world.reach(&frame, Desired::Running).await.expect_err("it does not run").to_string();
    assert!(refused.contains("nothing can be seen"), "{refused}");
    world.eventually(&frame.id, FrameState::Error).await;
    assert_eq!(world.engine.peek(&frame.id), Observed::Missing, "nothing of it is left running");

    // An engine that keeps nothing apart has nothing to tell.
    world.engine.set_capabilities(Capabilities { isolation: false, ..Capabilities::CONTAINER });
    world.reach(&frame, Desired::Running).await.expect("it runs");
}

#[tokio::test]
async fn users_of_this_machine_are_told_of_where_people_look() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let machines = |why: &str| Isolation { machines_users: Some(why.to_owned()), ..locked() };
    world.engine.set_isolation(Some(machines("something is mounted in it")));
    let running = world.reach(&frame, Desired::Running).await.expect("it runs");
    let apart = world.frames.apart(&running).await.expect("it can be looked at");
    assert!(apart.loosened.iter().any(|text| text.contains("something is mounted in it")), "{apart:?}");
    let told = async || {
        let notes = world.frames.notes(&frame.id, 20).await.expect("notes");
        notes
            .into_iter()
            .filter(|note| note.code == "machines_users")
            .map(|note| note.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(told().await.len(), 1);
    assert!(told().await[0].contains("instead of its own: something is mounted in it"));

    // Once for each reason, and of root's folder as what it is.
    world.reach(&frame, Desired::Stopped).await.expect("stopped");
    world.reach(&frame, Desired::Running).await.expect("it runs again");
    assert_eq!(told().await.len(), 1);
    world.reach(&frame, Desired::Stopped).await.expect("stopped");
    world.engine.set_isolation(Some(Isolation { host_user: 0, ..machines("an old kernel") }));
    let running = world.reach(&frame, Desired::Running).await.expect("it runs again");
    assert!(
        told().await.iter().any(|text| text.contains("works as root of this machine")),
        "{:?}",
        told().await
    );
    let apart = world.frames.apart(&running).await.expect("it can be looked at");
    assert!(apart.loosened[0].contains("an old kernel"), "{apart:?}");
}

#[tokio::test]
async fn a_start_whose_gateway_died_before_it_could_look_is_looked_at_by_the_next() {
    let mut world = World::new().await;
    let frame = world.create("blog").await;
    world.engine.set_isolation(Some(Isolation { capabilities: 0x20, ..locked() }));
    world.engine.lose_the_answer_to(Op::Start);
    world.ask("blog", Desired::Running).await.expect("asked");
    world.engine.reached(Op::Start, 1).await;
    world.restart_gateway().await;
    world.eventually(&frame.id, FrameState::Error).await;
    assert_eq!(world.engine.peek(&frame.id), Observed::Missing, "nothing of it is left running");
}

#[tokio::test]
async fn a_container_of_an_older_mimir_is_used_until_it_stops_and_never_again() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.grow_old();
    // What runs is left alone, whoever looks.
    world.frames.wake(&frame.id, std::time::Duration::from_secs(5)).await.expect("it runs");
    assert_eq!(world.engine.calls(Op::Start), 1);
    assert!(world.notes(&frame.id).await.is_empty());

    world.reach(&frame, Desired::Stopped).await.expect("stopped");
    world.reach(&frame, Desired::Running).await.expect("it runs again");
    let notes = world.frames.notes(&frame.id, 10).await.expect("notes");
    assert!(notes.iter().any(|note| note.text.contains("older mimir")), "{notes:?}");
    assert_eq!(world.engine.containers_of(&frame.id), 1);
}

//! Which frames are kept ready, which go, and what is never theirs: memory, ports and turns that others need.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mimir::frames::FrameError;
use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::runtime::fake::{Fault, Op};
use mimir::store::{audit, ports};
use mimir::wire::frames::CreateFrame;

use super::warm::{PATIENCE, pool, wanted};
use super::world::{Agent, World};

#[tokio::test]
async fn one_whose_agent_is_stuck_goes_instead_of_being_begun_again() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    world.end(&first).await;
    world.inside().is_stopped.store(true, Ordering::SeqCst);
    world.set_agent(Agent::Swallows);
    world.eventually(&ready.id, None).await;
    assert_eq!(world.inside().kills(), 0, "nothing was killed inside");
    world.set_agent(Agent::Answers);
    world.ends_clean([]).await;
}

/// As Podman leaves one whose processes were all killed, or after a power cut.
#[tokio::test]
async fn one_whose_container_is_stuck_is_not_begun_again_in_the_same_folder() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    world.engine.get_stuck(&ready.id);
    world.eventually(&ready.id, None).await;
    world.eventually_engine(&ready.id, Observed::Missing).await;
    let _ = world.one_ready(&[]).await;
    world.ends_clean([first]).await;
}

#[tokio::test]
async fn one_that_ended_goes_and_another_one_is_made() {
    let world = pool().await;
    let _first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    world.engine.kill(&ready.id);
    let second = world.take(wanted("run-2")).await.expect("made");
    world.frames.wait_for(&second.id, Desired::Running, PATIENCE).await.expect("runs");
    let again = world.one_ready(&[&second, &ready]).await;
    world.eventually(&ready.id, None).await;
    world.eventually_engine(&ready.id, Observed::Missing).await;
    let third = world.take(wanted("run-3")).await.expect("taken");
    assert_eq!(third.id, again.id);
    world.frames.wait_for(&third.id, Desired::Running, PATIENCE).await.expect("runs");
}

#[tokio::test]
async fn those_that_end_together_are_there_again_soon() {
    let world = World::with(|settings| settings.config.warm = 8).await;
    let first = world.take(wanted("run-1")).await.expect("made");
    world.so_many_ready(8).await;
    let gone = world.warm().await;
    // As when the machine is switched off and on. Counted each for itself, the next one would wait for 38 seconds.
    gone.iter().for_each(|row| world.engine.kill(&row.id));
    for row in &gone {
        world.eventually(&row.id, None).await;
    }
    let _ = world.one_ready(&[]).await;
    world.ends_clean([first]).await;
}

#[tokio::test]
async fn an_engine_that_fails_leaves_none_behind() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    world.frames.wait_for(&first.id, Desired::Running, PATIENCE).await.expect("runs");
    let ready = world.one_ready(&[]).await;
    world.engine.next(Op::Create, Fault::HangAfter);
    let second = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!(second.id, ready.id);
    // The one that could not be made is taken back, and another one is there in the end.
    let _ = world.one_ready(&[&second]).await;
    world.ends_clean([first, second]).await;
}

#[tokio::test]
async fn none_is_made_while_memory_is_short_and_one_goes_when_it_is_very_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let meminfo = folder.path().join("meminfo");
    let has = |mib: u64| {
        std::fs::write(&meminfo, format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 8 << 20, mib << 10))
            .expect("written");
    };
    has(1200);
    let world = World::with(|settings| {
        settings.config.warm = 2;
        settings.meminfo.clone_from(&meminfo);
    })
    .await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let first = world.frames.wait_for(&first.id, Desired::Running, PATIENCE).await.expect("runs");
    // It is looked after at each look around; a later one of those is waited for.
    for _ in 0..3 {
        world.frames.reconcile_once().await.expect("looks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.warm().await, [], "there is no room for one");
    let is_said =
        || async { world.frames.why_not_kept_ready().is_some_and(|why| why.contains("too little")) };
    world.until("it is said why", is_said, &first.id).await;
    has(3000);
    world.so_many_ready(2).await;
    world
        .until("nothing is in the way", || async { world.frames.why_not_kept_ready().is_none() }, &first.id)
        .await;
    has(400);
    let end = Instant::now() + PATIENCE;
    while !world.warm().await.is_empty() {
        assert!(Instant::now() < end, "they go one by one: {:#?}", world.warm().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let row = world.row(&first.id).await.expect("there");
    assert_eq!((row.state, row.desired), (FrameState::Running, Desired::Running), "what is somebody's stays");
    world.end(&first).await;
    world.check_nothing_left().await;
}

/// Its row is made while there is plenty; then people's frames start, and take it.
#[tokio::test]
async fn one_that_waits_for_its_start_looks_at_the_memory_that_there_is_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let meminfo = folder.path().join("meminfo");
    let has = |mib: u64| {
        std::fs::write(&meminfo, format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 8 << 20, mib << 10))
            .expect("written");
    };
    has(3000);
    let world = World::with(|settings| {
        settings.config.warm = 1;
        settings.config.parallel_starts = 1;
        settings.meminfo.clone_from(&meminfo);
    })
    .await;
    world.set_agent(Agent::Swallows);
    let slow = world.try_create(CreateFrame { start: true, ..world.request("slow") }).await.expect("created");
    world.eventually_engine(&slow.id, Observed::Running).await;
    let first = world.take(wanted("run-1")).await.expect("made");
    world.until("a row is made", || async { world.warm().await.len() == 1 }, &first.id).await;
    has(1200);
    world.set_agent(Agent::Answers);
    let first = world.frames.wait_for(&first.id, Desired::Running, PATIENCE).await.expect("runs");
    let waits = world.warm().await;
    for _ in 0..5 {
        world.frames.reconcile_once().await.expect("looks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.engine.calls(Op::Start), 2, "only those of people and runs: {waits:#?}");
    has(3000);
    let ready = world.one_ready(&[]).await;
    assert_eq!(waits.iter().map(|row| &row.id).collect::<Vec<_>>(), [&ready.id]);
    world.ends_clean([slow, first]).await;
}

#[tokio::test]
async fn as_many_as_are_wanted_are_kept_and_none_more() {
    let world = World::with(|settings| settings.config.warm = 3).await;
    let first = world.take(wanted("run-1")).await.expect("made");
    world.so_many_ready(3).await;
    let creates = world.engine.calls(Op::Create);
    for _ in 0..3 {
        world.frames.reconcile_once().await.expect("looks");
    }
    assert_eq!(world.engine.calls(Op::Create), creates);
    world.keep(1);
    let end = Instant::now() + PATIENCE;
    while world.warm().await.len() != 1 {
        assert!(Instant::now() < end, "{:#?}", world.warm().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.ends_clean([first]).await;
}

/// A home on a disk that is away, or a machine with far too much to do: making all of them anew would not help.
#[tokio::test]
async fn a_git_that_does_not_answer_costs_none_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let script = format!(
        "#!/bin/sh\necho >>{asked}\n[ -e {silent} ] && kill -9 $$\nprintf 'user.name\\nA\\0user.email\\na@example.org\\0'\n",
        asked = at("asked").display(),
        silent = at("silent").display(),
    );
    std::fs::write(at("git"), script).expect("written");
    std::fs::set_permissions(at("git"), std::fs::Permissions::from_mode(0o755)).expect("a program");
    // Whatever begins beside this test may hold it open for a moment.
    let end = Instant::now() + PATIENCE;
    while std::process::Command::new(at("git")).output().is_err() {
        assert!(Instant::now() < end, "it cannot be run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let world = World::with(|settings| {
        settings.config.warm = 3;
        settings.git = at("git");
    })
    .await;
    let first = world.take(wanted("run-1")).await.expect("made");
    world.so_many_ready(3).await;
    let ids = |rows: Vec<Frame>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let kept = ids(world.warm().await);

    std::fs::write(at("silent"), "").expect("written");
    let asked = || std::fs::read_to_string(at("asked")).expect("a list").len();
    let before = asked();
    // One look is over when the next one asks.
    world.until("it was looked at them", || async { asked() > before + 2 }, &first.id).await;
    assert_eq!(ids(world.warm().await), kept);
    let second = world.take(wanted("run-2")).await.expect("made");
    assert!(!kept.contains(&second.id), "nobody knows whether it fits");
    world.frames.wait_for(&second.id, Desired::Running, PATIENCE).await.expect("runs");

    std::fs::remove_file(at("silent")).expect("there");
    let third = world.take(wanted("run-3")).await.expect("taken");
    assert!(kept.contains(&third.id));
    world.ends_clean([first, second, third]).await;
}

#[tokio::test]
async fn half_of_the_ports_stays_for_frames_that_somebody_needs() {
    let world = World::with(|settings| {
        settings.config.warm = 16;
        settings.config.ports = crate::ports::own(12);
    })
    .await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ports = world.settings.config.ports;
    let half = ports.iter().count() / 2;
    let leased = || async { world.store.read(|db| ports::leased(db)).await.expect("reads").len() };
    world.until("the first half is leased", || async { leased().await > half }, &first.id).await;
    for _ in 0..3 {
        world.frames.reconcile_once().await.expect("looks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(leased().await <= half + 2, "{} of {ports}", leased().await);
    world.ends_clean([first]).await;
}

#[tokio::test]
async fn nobody_is_refused_for_want_of_ports_that_nobody_uses() {
    let world = World::with(|settings| {
        settings.config.warm = 3;
        settings.config.ports = crate::ports::own(12);
    })
    .await;
    let first = world.take(wanted("run-1")).await.expect("made");
    // One and its like have eight of the twelve, and one more would have more than half.
    world.so_many_ready(3).await;
    let mut made = vec![first];
    for name in ["two", "three", "four", "five", "six"] {
        made.push(
            world.try_create(world.request(name)).await.unwrap_or_else(|error| panic!("{name}: {error}")),
        );
    }
    assert_eq!(world.warm().await, []);
    let refused = world.try_create(world.request("seven")).await;
    assert!(matches!(refused, Err(FrameError::NoFreePort(_))), "{refused:?}");
    world.keep(0);
    for frame in made {
        world.end(&frame).await;
    }
    world.check_nothing_left().await;
}

/// The engine does not come back from removing the first of them; the ports of the others are as good.
#[tokio::test]
async fn one_whose_removal_is_stuck_holds_nobody_up() {
    let mut world = World::with(|settings| {
        settings.config.warm = 3;
        settings.config.ports = crate::ports::own(12);
    })
    .await;
    let mut made = vec![world.take(wanted("run-1")).await.expect("made")];
    world.so_many_ready(3).await;
    for name in ["two", "three"] {
        made.push(world.try_create(world.request(name)).await.expect("there are ports"));
    }
    // Longer than anybody waits for one to go.
    world.engine.set_deadline(Duration::from_secs(120));
    world.engine.next(Op::Remove, Fault::HangBefore);
    made.push(world.try_create(world.request("four")).await.expect("another one goes"));
    let left = world.warm().await;
    assert!(left.iter().any(|row| row.desired == Desired::Removed), "none is stuck: {left:#?}");

    world.engine.set_deadline(Duration::from_millis(300));
    world.restart_gateway().await;
    world.ends_clean(made).await;
}

#[tokio::test]
async fn people_start_first() {
    let world = World::with(|settings| {
        settings.config.warm = 1;
        settings.config.parallel_starts = 1;
    })
    .await;
    // One of people's starts for as long as its agent says nothing; so the run's waits, and what is kept ready as well.
    world.set_agent(Agent::Swallows);
    let slow = world.try_create(CreateFrame { start: true, ..world.request("slow") }).await.expect("created");
    world.eventually_engine(&slow.id, Observed::Running).await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let end = Instant::now() + PATIENCE;
    while world.warm().await.is_empty() {
        assert!(Instant::now() < end, "one is made");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let starts = world.engine.calls(Op::Start);
    for _ in 0..3 {
        world.frames.reconcile_once().await.expect("looks");
    }
    assert_eq!(world.engine.calls(Op::Start), starts, "nothing else starts");
    world.set_agent(Agent::Answers);
    let first = world.frames.wait_for(&first.id, Desired::Running, PATIENCE).await.expect("runs");
    let ready = world.one_ready(&[]).await;
    assert!(first.state_changed_at <= ready.state_changed_at, "the run's own was first");

    // And one that is kept ready and does not come up takes nobody's turn.
    world.end(&slow).await;
    let second = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!(second.id, ready.id);
    world.ends_clean([first, second]).await;
}

#[tokio::test]
async fn one_that_nobody_took_in_time_goes_unseen_and_its_kind_is_forgotten() {
    let world = World::with(|settings| {
        settings.config.warm = 1;
        settings.warm_lifetime = Duration::from_millis(1500);
    })
    .await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let old = world.one_ready(&[]).await;
    world.eventually(&old.id, None).await;
    // What nobody needs any more is not made again and again.
    world.none_kept().await;
    let creates = world.engine.calls(Op::Create);
    for _ in 0..3 {
        world.frames.reconcile_once().await.expect("looks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((world.engine.calls(Op::Create), world.warm().await), (creates, Vec::new()));
    let log = world.store.read(|db| audit::list(db, None, 100)).await.expect("reads");
    let told: Vec<_> = log.iter().filter(|entry| entry.subject.starts_with("warm-")).collect();
    assert!(told.is_empty(), "nobody had it, so nobody is told: {told:?}");
    let second = world.take(wanted("run-2")).await.expect("made");
    let new = world.one_ready(&[]).await;
    assert_ne!(new.id, old.id, "when it is needed again, it is there again");
    world.ends_clean([first, second]).await;
}

#[tokio::test]
async fn those_that_nobody_can_ask_for_any_more_go_when_the_configuration_changes() {
    let mut world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let old = world.one_ready(&[]).await;
    world.settings.config.limits.pids = 700;
    world.keep(1);
    world.none_kept().await;
    let second = world.take(wanted("run-2")).await.expect("made");
    let new = world.one_ready(&[]).await;
    assert_eq!((old.limits.pids, second.limits.pids, new.limits.pids), (first.limits.pids, 700, 700));

    // The same while no gateway ran.
    world.crash().await;
    world.settings.config.limits.pids = 800;
    world.start_gateway().await;
    world.none_kept().await;
    for frame in [first, second] {
        world.end(&frame).await;
    }
    world.check_nothing_left().await;
}

#[tokio::test]
async fn without_it_nothing_is_kept_and_nothing_is_different() {
    let world = World::with(|settings| settings.config.warm = 0).await;
    for name in ["run-1", "run-2"] {
        let made = world.take(wanted(name)).await.expect("made");
        world.frames.wait_for(&made.id, Desired::Running, PATIENCE).await.expect("runs");
        world.frames.reconcile_once().await.expect("looks");
        assert_eq!(world.warm().await, []);
        world.end(&made).await;
    }
    assert_eq!((world.engine.calls(Op::Create), world.engine.calls(Op::Start)), (2, 2));
    world.check_nothing_left().await;
}

//! The gateway dies at every named point; the next one finishes what was begun.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::model::ids::FrameId;
use mimir::runtime::fake::{Failure, Fault, Op};
use mimir::wire::frames::CreateFrame;

use super::world::{OWNER, World};

/// What is going on when the gateway dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    CreateThatFails,
    Start,
    StartWithATakenPort,
    Stop,
    Pause,
    Resume,
    Restart,
    /// To a newer image.
    Upgrade,
    Destroy,
    Expire,
    /// The container ends by itself.
    End,
    /// It ends once too often.
    EndForGood,
    /// The engine cannot move the container any more.
    GetStuck,
    /// The agent is silent although the engine says running.
    FallSilent,
    /// The agent alone does not answer any more.
    Wedge,
    /// The agent has grown too large.
    Grow,
}

/// Every named point, what is going on there, and where it ends: a state, or gone.
const MATRIX: &[(&str, Act, Option<FrameState>)] = &[
    ("create.before_row", Act::Create, None),
    ("create.after_row", Act::Create, Some(FrameState::Running)),
    ("create.after_folders", Act::Create, Some(FrameState::Running)),
    ("create.before_driver", Act::Create, Some(FrameState::Running)),
    ("undo.after_container", Act::CreateThatFails, Some(FrameState::Running)),
    ("undo.after_folders", Act::CreateThatFails, Some(FrameState::Running)),
    ("start.after_wish", Act::Start, Some(FrameState::Running)),
    ("start.after_announcement", Act::Start, Some(FrameState::Running)),
    ("start.after_files", Act::Start, Some(FrameState::Running)),
    ("start.after_exchange", Act::StartWithATakenPort, Some(FrameState::Running)),
    ("start.before_engine", Act::Start, Some(FrameState::Running)),
    ("start.after_start", Act::Start, Some(FrameState::Running)),
    ("start.before_ready", Act::Start, Some(FrameState::Running)),
    ("start.after_ready", Act::Start, Some(FrameState::Running)),
    ("stop.after_wish", Act::Stop, Some(FrameState::Stopped)),
    ("stop.before_agent", Act::Stop, Some(FrameState::Stopped)),
    ("stop.before_engine", Act::Stop, Some(FrameState::Stopped)),
    ("stop.after_stop", Act::Stop, Some(FrameState::Stopped)),
    ("facts.after_record", Act::Stop, Some(FrameState::Stopped)),
    ("pause.after_wish", Act::Pause, Some(FrameState::Paused)),
    ("pause.before_engine", Act::Pause, Some(FrameState::Paused)),
    ("pause.after_engine", Act::Pause, Some(FrameState::Paused)),
    ("resume.before_engine", Act::Resume, Some(FrameState::Running)),
    ("resume.after_engine", Act::Resume, Some(FrameState::Running)),
    ("restart.after_wish", Act::Restart, Some(FrameState::Running)),
    ("upgrade.after_row", Act::Upgrade, Some(FrameState::Running)),
    ("replace.after_remove", Act::Upgrade, Some(FrameState::Running)),
    ("stop.after_stop", Act::Restart, Some(FrameState::Running)),
    ("replace.after_stop", Act::Restart, Some(FrameState::Running)),
    ("replace.after_remove", Act::Restart, Some(FrameState::Running)),
    ("create.after_container", Act::Restart, Some(FrameState::Running)),
    ("replace.after_stop", Act::GetStuck, Some(FrameState::Running)),
    ("replace.after_remove", Act::GetStuck, Some(FrameState::Running)),
    ("end.before_record", Act::End, Some(FrameState::Running)),
    ("end.after_record", Act::End, Some(FrameState::Running)),
    ("end.after_record", Act::EndForGood, Some(FrameState::Error)),
    ("silence.after_engine", Act::FallSilent, Some(FrameState::Running)),
    ("wedged.after_note", Act::Wedge, Some(FrameState::Running)),
    ("recycle.after_note", Act::Grow, Some(FrameState::Running)),
    ("destroy.after_wish", Act::Destroy, None),
    ("destroy.before_remove", Act::Destroy, None),
    ("destroy.after_remove", Act::Destroy, None),
    ("destroy.before_forget", Act::Destroy, None),
    ("destroy.after_folders", Act::Destroy, None),
    ("destroy.after_forget", Act::Destroy, None),
    ("expire.after_wish", Act::Expire, None),
];

#[tokio::test]
async fn whatever_the_point_at_which_the_gateway_dies_the_next_one_finishes_the_job() {
    // In four strands, so that waiting is done side by side.
    let strands = (0..4).map(|strand| async move {
        for case in MATRIX.iter().skip(strand).step_by(4) {
            die_and_recover(*case).await;
        }
    });
    futures_util::future::join_all(strands).await;
}

#[test]
fn every_point_of_this_part_is_in_the_matrix() {
    let mut missing = Vec::new();
    for file in [
        "advance",
        "create",
        "driver",
        "ends",
        "liveness",
        "readiness",
        "reconcile",
        "recycle",
        "requests",
        "steps",
        "upgrade",
    ] {
        let path = format!("{}/src/frames/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("source");
        for (at, found) in text.match_indices("failpoints.hit(\"") {
            let name: String = text[at + found.len()..].chars().take_while(|c| *c != '"').collect();
            let elsewhere =
                ["confirm.before_record", "confirm.after_record", "fail.after_record", "warm.after_attend"];
            if !MATRIX.iter().any(|(point, ..)| *point == name) && !elsewhere.contains(&name.as_str()) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

async fn die_and_recover((point, act, end): (&'static str, Act, Option<FrameState>)) {
    let mut world = World::new().await;
    let frame = prepare(&world, act).await;
    world.failpoints.arm(point, 1);
    let died = {
        let doing = perform(&world, act, frame.as_ref());
        let waiting = async {
            // The act may be over before the driver comes to the point.
            doing.await;
            tokio::time::sleep(Duration::from_secs(15)).await;
        };
        tokio::select! {
            died = world.failpoints.died() => Some(died),
            () = waiting => None,
        }
    };
    // One that does not answer any more does not begin to because a gateway died.
    if act != Act::Wedge {
        world.set_agent(super::world::Agent::Answers);
    }
    assert_eq!(died, Some(point), "{act:?} never came to {point}: {:?}", world.failpoints.passed());

    world.restart_gateway().await;
    let began = std::time::Instant::now();
    let id = match (&frame, world.frames.list().await.expect("lists").first()) {
        (Some(frame), _) => frame.id.clone(),
        (None, Some(row)) => row.id.clone(),
        // It died before anything was written.
        (None, None) if end.is_none() => return world.check_nothing_left().await,
        (None, None) => panic!("{act:?} at {point}: nothing to go on with"),
    };
    world.eventually(&id, end).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{act:?} at {point}: {:?}", began.elapsed());
    match end {
        None => world.check_nothing_left().await,
        Some(state) => {
            let wish = world.row(&id).await.expect("there").desired;
            if state != FrameState::Error {
                // It is asked twice, for three seconds each, before it is ended.
                let patience = Duration::from_secs(if act == Act::Wedge { 40 } else { 20 });
                world.frames.wait_for(&id, wish, patience).await.expect("settles");
            }
            check_restarts(&world, &id, act).await;
            if act == Act::Upgrade {
                check_upgrade(&world, &id, frame.as_ref().expect("a frame")).await;
            }
            world.check_books().await;
            assert_eq!(world.engine.containers_of(&id), 1, "{act:?} at {point}");
        }
    }
}

/// The note comes before the end of an agent: a gateway that dies in between has counted one too many, and never one
/// too few. The agent itself is ended when it has to be, and once.
async fn check_restarts(world: &World, id: &FrameId, act: Act) {
    let (code, noted, ended) = match act {
        Act::Wedge => ("agent_wedged", 2, 1),
        Act::Grow => ("agent_recycled", 1, 0),
        _ => return,
    };
    let notes = world.notes(id).await;
    let times = |code: &str| notes.iter().filter(|note| *note == code).count();
    assert_eq!(
        (times(code), times("agent_back"), world.inside().kills()),
        (noted, ended, ended),
        "{notes:?}"
    );
    let recycled = world.frames.recycled();
    assert_eq!((recycled.wedged, recycled.memory), (ended as u64, 0), "what this gateway did");
    assert_eq!(world.engine.calls(Op::Start), 1, "its container went on");
}

/// Its container is made from the image that its reference stands for, and it was moved once.
async fn check_upgrade(world: &World, id: &FrameId, before: &Frame) {
    let after = world.row(id).await.expect("there");
    assert_ne!(after.image_id, before.image_id);
    let spec = world.engine.spec_of(id).expect("a container");
    assert_eq!((spec.image_id, spec.generation), (after.image_id, before.generation + 1));
    assert_eq!(world.notes(id).await, ["upgraded"]);
}

/// Brings a frame to where the act begins.
async fn prepare(world: &World, act: Act) -> Option<Frame> {
    match act {
        Act::Create | Act::CreateThatFails => None,
        Act::Start | Act::StartWithATakenPort => Some(world.create("blog").await),
        Act::Resume => {
            let frame = world.running("blog").await;
            Some(world.reach(&frame, Desired::Paused).await.expect("paused"))
        }
        Act::Expire => {
            let request = CreateFrame { throwaway: true, ttl_seconds: Some(1), ..world.request("blog") };
            Some(world.try_create(request).await.expect("created"))
        }
        Act::EndForGood => {
            let frame = world.running("blog").await;
            for _ in 1..world.settings.crashes.limit {
                end_once(world, &frame).await;
            }
            Some(frame)
        }
        _ => Some(world.running("blog").await),
    }
}

/// The container ends, and the frame comes back.
async fn end_once(world: &World, frame: &Frame) {
    let ends = ended(world, frame).await;
    world.engine.exit(&frame.id, 1);
    world.until("the end is noted", || async { ended(world, frame).await > ends }, &frame.id).await;
    world.eventually(&frame.id, FrameState::Running).await;
}

async fn ended(world: &World, frame: &Frame) -> usize {
    world.notes(&frame.id).await.iter().filter(|code| *code == "exited").count()
}

async fn perform(world: &World, act: Act, frame: Option<&Frame>) {
    let wish = |desired| async move {
        // It may never be answered: that is the point.
        let _ = world.ask("blog", desired).await;
    };
    match (act, frame) {
        (Act::Create, _) => {
            let _ = world.try_create(CreateFrame { start: true, ..world.request("blog") }).await;
        }
        (Act::CreateThatFails, _) => {
            world.engine.next(Op::Create, Fault::After(Failure::Refused("no".into())));
            let _ = world.try_create(CreateFrame { start: true, ..world.request("blog") }).await;
        }
        (Act::Start, _) => wish(Desired::Running).await,
        (Act::StartWithATakenPort, Some(frame)) => {
            world.attendant.busy.lock().insert(frame.agent_port);
            wish(Desired::Running).await;
        }
        (Act::Stop, _) => wish(Desired::Stopped).await,
        (Act::Pause, _) => wish(Desired::Paused).await,
        (Act::Resume, _) => wish(Desired::Running).await,
        (Act::Destroy, _) => wish(Desired::Removed).await,
        (Act::Restart, Some(frame)) => {
            let _ = world.restart_frame(frame).await;
        }
        (Act::Upgrade, Some(frame)) => {
            world.engine.move_name(&frame.image);
            let _ = world.frames.upgrade(&OWNER, &frame.name, None, false).await;
        }
        (Act::End | Act::EndForGood, Some(frame)) => world.engine.exit(&frame.id, 1),
        (Act::GetStuck, Some(frame)) => world.engine.get_stuck(&frame.id),
        (Act::FallSilent, Some(frame)) => {
            world.set_agent(super::world::Agent::SwallowsFirst(u32::MAX));
            world
                .until("it is noted", || async { !world.notes(&frame.id).await.is_empty() }, &frame.id)
                .await;
            world.set_agent(super::world::Agent::Answers);
        }
        (Act::Wedge, Some(frame)) => {
            world.inside().is_stopped.store(true, Ordering::SeqCst);
            world.set_agent(super::world::Agent::Swallows);
            world
                .until("it is noted", || async { !world.notes(&frame.id).await.is_empty() }, &frame.id)
                .await;
        }
        (Act::Grow, Some(frame)) => {
            let _ = world.inside();
            world.frames.recycle(&frame.id, "it is too large");
        }
        (Act::Expire, _) => {}
        (act, None) => panic!("{act:?} needs a frame"),
    }
}

#[tokio::test]
async fn a_gateway_that_dies_while_starting_a_frame_finishes_the_job() {
    let mut world = World::new().await;
    let frame = world.create("blog").await;
    world.engine.lose_the_answer_to(Op::Start);
    world.ask("blog", Desired::Running).await.expect("asked");
    world.engine.reached(Op::Start, 1).await;
    world.restart_gateway().await;
    world.eventually(&frame.id, FrameState::Running).await;
    assert_eq!(world.engine.containers_of(&frame.id), 1);
}

#[tokio::test]
async fn a_start_that_was_interrupted_keeps_the_password_the_container_may_have_read() {
    let mut world = World::new().await;
    let frame = world.create("blog").await;
    world.failpoints.arm("start.after_start", 1);
    world.ask("blog", Desired::Running).await.expect("asked");
    world.failpoints.died().await;
    let password = world.password(&frame.id);
    world.restart_gateway().await;
    world.eventually(&frame.id, FrameState::Running).await;
    assert_eq!(world.password(&frame.id), password);
}

#[tokio::test]
async fn a_gateway_that_comes_back_adopts_what_runs_and_opens_its_side_again() {
    let mut world = World::new().await;
    let frame = world.running("blog").await;
    let starts = world.engine.calls(Op::Start);
    world.restart_gateway().await;
    world.frames.wait_for(&frame.id, Desired::Running, Duration::from_secs(30)).await.expect("still runs");
    assert!(world.attendant.open.lock().contains_key(&frame.id));
    assert_eq!(world.engine.calls(Op::Start), starts, "nothing was started again");
}

#[tokio::test]
async fn a_container_that_ended_while_no_gateway_looked_is_started_again() {
    let mut world = World::new().await;
    let frame = world.running("blog").await;
    world.crash().await;
    world.engine.kill(&frame.id);
    world.start_gateway().await;
    world.until("it was started again", || async { world.engine.calls(Op::Start) == 2 }, &frame.id).await;
    world.eventually(&frame.id, FrameState::Running).await;
    assert!(world.notes(&frame.id).await.contains(&"exited".to_owned()));
}

#[tokio::test]
async fn after_a_reboot_what_was_to_run_runs_and_what_was_stopped_stays_so() {
    let mut world = World::with(|settings| settings.config.parallel_starts = 1).await;
    let mut running = Vec::new();
    for name in ["one", "two", "three"] {
        running.push(world.running(name).await);
    }
    let paused = world.running("paused").await;
    world.reach(&paused, Desired::Paused).await.expect("pauses");
    let stopped = world.create("stopped").await;
    world.crash().await;
    world.engine.reboot();
    world.start_gateway().await;
    for frame in &running {
        world
            .frames
            .wait_for(&frame.id, Desired::Running, Duration::from_secs(30))
            .await
            .expect("runs again");
    }
    world.frames.wait_for(&paused.id, Desired::Paused, Duration::from_secs(30)).await.expect("paused again");
    assert_eq!(world.engine.peek(&stopped.id), Observed::Halted);
    world.check_books().await;
}

//! Engines and agents that fail, lie, hang, or come late, with the gateway alive.

use std::sync::Arc;
use std::time::Duration;

use mimir::frames::{FrameError, VisitorKind};
use mimir::model::agent::AgentSessionId;
use mimir::model::container::inside;
use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::model::ids::SessionId;
use mimir::model::network::NetworkMode;
use mimir::runtime::fake::{Failure, Fault, Op};
use mimir::runtime::{Capabilities, ExecOutput, ExecSpec};
use mimir::store::Tx;
use mimir::store::sessions::{self, NewSession};
use mimir::wire::frames::CreateFrame;
use parking_lot::Mutex;

use super::world::{Agent, World};

/// Everything that can be asked of a frame, one after the other.
async fn whole_life(world: &World) {
    let frame = world.create("blog").await;
    for desired in [Desired::Running, Desired::Paused, Desired::Running, Desired::Stopped, Desired::Running] {
        world.reach(&frame, desired).await.expect("reached");
    }
    world.restart_frame(&frame).await.expect("restarts");
    world.check_books().await;
    world.reach(&frame, Desired::Removed).await.expect("goes");
    world.check_nothing_left().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_hangs_or_comes_late_costs_time_and_nothing_else() {
    let kinds = [
        Fault::After(Failure::TooSlow),
        Fault::HangAfter,
        Fault::Before(Failure::Unreachable),
        Fault::Before(Failure::WrongState),
        Fault::HangBefore,
        Fault::Late(Duration::from_millis(100)),
        Fault::LateEffect(Duration::from_millis(60)),
    ];
    let ops = [Op::Start, Op::Stop, Op::Pause, Op::Resume, Op::Remove, Op::Observe, Op::List, Op::Exec];
    let strands = kinds.into_iter().map(|fault| async move {
        let world = World::new().await;
        world.engine.set_deadline(Duration::from_millis(40));
        for op in ops {
            for _ in 0..2 {
                world.engine.next(op, fault.clone());
            }
        }
        whole_life(&world).await;
    });
    futures_util::future::join_all(strands).await;
}

#[tokio::test]
async fn running_that_is_not_true_is_found_out() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    // The monitor and the first process are killed: the engine goes on saying "running" (docs/traps.md).
    world.set_agent(Agent::Swallows);
    world.engine.always(Op::Exec, Fault::Before(Failure::Refused("no such process".into())));
    world
        .until(
            "it is found out",
            || async { world.notes(&frame.id).await.contains(&"not_running".to_owned()) },
            &frame.id,
        )
        .await;
    world.engine.heal();
    world.set_agent(Agent::Answers);
    world.eventually(&frame.id, FrameState::Running).await;
    world.check_books().await;
}

#[tokio::test]
async fn an_agent_that_falls_silent_is_restarted() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.set_agent(Agent::Swallows);
    world
        .until(
            "it is noted",
            || async { world.notes(&frame.id).await.contains(&"agent_silent".to_owned()) },
            &frame.id,
        )
        .await;
    world.set_agent(Agent::Answers);
    world.until("it was started again", || async { world.engine.calls(Op::Start) >= 2 }, &frame.id).await;
    world.eventually(&frame.id, FrameState::Running).await;
}

#[tokio::test]
async fn requests_swallowed_in_the_first_second_after_listen_cost_only_their_own_time() {
    let world = World::new().await;
    world.set_agent(Agent::SwallowsFirst(3));
    let began = std::time::Instant::now();
    world.running("blog").await;
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900), "three tries of 300 ms: {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn an_agent_that_never_answers_is_an_error_and_the_wish_ends_with_it() {
    let world = World::with(|settings| settings.config.start_timeout = Duration::from_millis(1200)).await;
    world.set_agent(Agent::Swallows);
    let frame = world.create("blog").await;
    let failed = world.reach(&frame, Desired::Running).await;
    assert!(
        matches!(&failed, Err(FrameError::Failed { reason, .. }) if reason.contains("was not there within")),
        "{failed:?}"
    );
    world.eventually_engine(&frame.id, Observed::Halted).await;
    let row = world.row(&frame.id).await.expect("there");
    assert_eq!((row.state, row.desired), (FrameState::Error, Desired::Stopped));

    // A stop is a request too: whoever asks has seen the error.
    assert_eq!(world.reach(&frame, Desired::Stopped).await.expect("tidied up").state, FrameState::Stopped);
}

#[tokio::test]
async fn a_frame_that_keeps_ending_is_damped_and_then_left_alone() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.print(&frame.id, "mimir: fatal opencode-crash-loop opencode ended 5 times");
    for _ in 0..world.settings.crashes.limit {
        world
            .until(
                "it runs or has failed",
                || async {
                    let state = world.row(&frame.id).await.expect("there").state;
                    matches!(state, FrameState::Running | FrameState::Error)
                },
                &frame.id,
            )
            .await;
        let starts = world.engine.calls(Op::Start);
        world.engine.exit(&frame.id, 70);
        world
            .until(
                "the end was seen",
                || async {
                    world.engine.calls(Op::Start) > starts
                        || world.row(&frame.id).await.expect("there").state == FrameState::Error
                },
                &frame.id,
            )
            .await;
    }
    world.eventually(&frame.id, FrameState::Error).await;
    let row = world.row(&frame.id).await.expect("there");
    let reason = row.reason.expect("a reason");
    assert!(reason.contains("opencode keeps crashing"), "{reason}");
    assert!(reason.contains("(4 times)"), "{reason}");
    assert_eq!(row.desired, Desired::Stopped);
    let starts = world.engine.calls(Op::Start);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(world.engine.calls(Op::Start), starts, "nothing is tried any more");
}

#[tokio::test]
async fn a_container_that_ends_while_it_starts_is_counted_too() {
    let world = World::new().await;
    world.set_agent(Agent::Swallows);
    let frame = world.create("blog").await;
    world.ask("blog", Desired::Running).await.expect("asked");
    for times in 1..=4 {
        world.engine.reached(Op::Start, times).await;
        world.eventually_engine(&frame.id, Observed::Running).await;
        // Its end is told by an event, in the middle of the wait for the agent.
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.engine.exit(&frame.id, 69);
    }
    world.eventually(&frame.id, FrameState::Error).await;
    let ends = world.notes(&frame.id).await.into_iter().filter(|code| code == "exited").count();
    assert_eq!(ends, 4);
}

#[tokio::test]
async fn a_workspace_that_vanished_is_an_error_at_once() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    std::fs::remove_dir(&frame.workspace).expect("gone");
    let failed = world.reach(&frame, Desired::Running).await;
    assert!(
        matches!(&failed, Err(FrameError::Failed { reason, .. }) if reason.contains("does not exist")),
        "{failed:?}"
    );
    assert!(!std::path::Path::new(&frame.workspace).exists(), "a missing bind source is never made");
}

#[tokio::test]
async fn out_of_memory_is_named_whether_a_tool_or_the_frame_was_killed() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.out_of_memory_inside(&frame.id);
    world
        .until(
            "the tool's end is noted",
            || async { world.notes(&frame.id).await.contains(&"out_of_memory".to_owned()) },
            &frame.id,
        )
        .await;
    world.engine.out_of_memory(&frame.id);
    world
        .until(
            "the frame's end is noted",
            || async {
                let notes = world.frames.notes(&frame.id, 10).await.expect("reads");
                notes.iter().any(|note| note.code == "exited" && note.text.contains("out of memory"))
            },
            &frame.id,
        )
        .await;
    world.eventually(&frame.id, FrameState::Running).await;
}

#[tokio::test]
async fn a_container_removed_by_hand_is_made_again_and_that_is_said() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.remove_behind_our_back(&frame.id);
    world.until("it was made again", || async { world.engine.calls(Op::Create) == 2 }, &frame.id).await;
    world.eventually(&frame.id, FrameState::Running).await;
    let notes = world.frames.notes(&frame.id, 10).await.expect("reads");
    assert!(notes.iter().any(|note| note.text.contains("removed from outside")), "{notes:?}");
}

#[tokio::test]
async fn a_container_that_is_stopping_for_ever_is_replaced() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.get_stuck(&frame.id);
    world.until("it was replaced", || async { world.engine.calls(Op::Create) == 2 }, &frame.id).await;
    world.eventually(&frame.id, FrameState::Running).await;
    assert!(world.notes(&frame.id).await.contains(&"replaced".to_owned()));
}

#[tokio::test]
async fn a_container_that_will_not_stop_is_removed() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.always(Op::Stop, Fault::Before(Failure::Refused("cannot".into())));
    world.reach(&frame, Desired::Stopped).await.expect("stops all the same");
    assert_eq!(world.engine.peek(&frame.id), Observed::Missing);
    world.engine.heal();
    world.reach(&frame, Desired::Running).await.expect("starts again");
}

#[tokio::test]
async fn an_engine_that_says_yes_and_does_nothing_is_not_asked_in_a_tight_loop() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    world.engine.always(Op::Observe, Fault::Lie(Observed::Halted));
    world.ask("blog", Desired::Running).await.expect("asked");
    tokio::time::sleep(Duration::from_millis(600)).await;
    let starts = world.engine.calls(Op::Start);
    assert!((1..20).contains(&starts), "{starts} starts in 600 ms");
    world.engine.heal();
    world.eventually(&frame.id, FrameState::Running).await;
}

#[tokio::test]
async fn an_engine_that_goes_away_is_waited_for() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    world.engine.go_down();
    world.ask("blog", Desired::Running).await.expect("a wish can be written all the same");
    let waited = world.frames.wait_for(&frame.id, Desired::Running, Duration::from_millis(500)).await;
    assert!(
        matches!(&waited, Err(FrameError::TooSlow { last: Some(why), .. }) if why.contains("cannot reach")),
        "{waited:?}"
    );
    world.engine.come_back();
    world.eventually(&frame.id, FrameState::Running).await;
}

#[tokio::test]
async fn a_port_that_was_taken_meanwhile_is_exchanged_and_reported() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    world.attendant.busy.lock().extend([frame.agent_port, frame.preview_port]);
    let running = world.reach(&frame, Desired::Running).await.expect("starts");
    assert_ne!(running.agent_port, frame.agent_port);
    assert_ne!(running.preview_port, frame.preview_port);
    let open = world.attendant.open.lock().get(&frame.id).copied();
    assert_eq!(open, Some((running.agent_port, running.preview_port)));
    let notes = world.notes(&frame.id).await;
    assert_eq!(notes, ["port_exchanged", "port_exchanged"]);
    world.check_books().await;
}

#[tokio::test]
async fn an_engine_that_cannot_pause_says_so_and_the_frame_goes_on() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    world.engine.set_capabilities(Capabilities { pause: false, ..Capabilities::CONTAINER });
    let refused = world.ask("blog", Desired::Paused).await;
    assert!(matches!(refused, Err(FrameError::Runtime(_))), "{refused:?}");
    assert_eq!(world.row(&frame.id).await.expect("there").desired, Desired::Running);
}

#[tokio::test]
async fn an_open_network_where_there_is_none_is_refused_before_anything_is_made() {
    let world = World::new().await;
    world.engine.set_capabilities(Capabilities { network: false, ..Capabilities::CONTAINER });
    let request = CreateFrame { network: Some(NetworkMode::Open), ..world.request("plaza") };
    let refused = world.try_create(request).await.expect_err("refused");
    assert!(refused.to_string().contains("--network allow"), "{refused}");
    world.create("allowed").await;
    world.check_books().await;
}

#[tokio::test]
async fn an_image_that_was_built_anew_is_found_by_its_name() {
    let world = World::new().await;
    world.engine.add_image("localhost/other:latest");
    let request = CreateFrame { image: Some("localhost/other:latest".into()), ..world.request("blog") };
    let frame = world.try_create(request).await.expect("created");
    world.engine.remove_behind_our_back(&frame.id);
    world.engine.remove_image("localhost/other:latest");
    let failed = world.reach(&frame, Desired::Running).await;
    assert!(
        matches!(&failed, Err(FrameError::Failed { reason, .. }) if reason.contains("is not on this machine")),
        "{failed:?}"
    );
    world.engine.add_image("localhost/other:latest");
    world.reach(&frame, Desired::Running).await.expect("starts");
}

#[tokio::test]
async fn no_more_frames_start_at_once_than_may() {
    let world = World::with(|settings| settings.config.parallel_starts = 1).await;
    world.set_agent(Agent::Swallows);
    let one = world.create("one").await;
    let two = world.create("two").await;
    world.ask("one", Desired::Running).await.expect("asked");
    world.engine.reached(Op::Start, 1).await;
    world.ask("two", Desired::Running).await.expect("asked");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.engine.calls(Op::Start), 1);
    assert_eq!(world.frames.problem(&two.id).as_deref(), Some("other frames are starting first"));
    world.set_agent(Agent::Answers);
    world.eventually(&one.id, FrameState::Running).await;
    world.eventually(&two.id, FrameState::Running).await;
}

#[tokio::test]
async fn a_wait_says_that_somebody_else_wanted_otherwise() {
    let world = World::new().await;
    world.set_agent(Agent::Swallows);
    let frame = world.create("blog").await;
    world.ask("blog", Desired::Running).await.expect("asked");
    let waiting = world.frames.wait_for(&frame.id, Desired::Running, Duration::from_secs(30));
    let meddling = async {
        world.engine.reached(Op::Start, 1).await;
        world.ask("blog", Desired::Stopped).await.expect("asked");
    };
    let (waited, ()) = tokio::join!(waiting, meddling);
    assert!(matches!(waited, Err(FrameError::WishChanged { desired: Desired::Stopped, .. })), "{waited:?}");
    world.eventually(&frame.id, FrameState::Stopped).await;
}

#[tokio::test]
async fn thirty_frames_that_come_and_go_leave_nothing() {
    let world = World::new().await;
    for round in 0..30 {
        if round % 6 == 0 {
            world.engine.next(Op::Create, Fault::After(Failure::TooSlow));
        }
        let request = CreateFrame { start: true, ..world.request("blog") };
        match world.try_create(request).await {
            Ok(frame) => {
                if round % 2 == 0 {
                    world
                        .frames
                        .wait_for(&frame.id, Desired::Running, Duration::from_secs(30))
                        .await
                        .expect("runs");
                }
                world.reach(&frame, Desired::Removed).await.expect("goes");
            }
            Err(error) => assert_eq!(round % 6, 0, "{error}"),
        }
    }
    world.check_nothing_left().await;
}

#[tokio::test]
async fn the_agent_window_opens_on_the_conversation_that_was_used_last() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let older = session_of(&world, &frame, 1).await;
    let _newer = session_of(&world, &frame, 2).await;
    let written = Arc::new(Mutex::new(Vec::new()));
    let notes = written.clone();
    world.engine.on_exec(move |_, command| {
        if command.argv.last().is_some_and(|last| last == inside::SHOWN_SESSION) {
            notes.lock().push(command.argv[4].clone());
        }
        None
    });
    world.reach(&frame, Desired::Running).await.expect("runs");
    assert_eq!(*written.lock(), ["ses_2"], "before it counts as running");

    // What is inside goes with each run of the container.
    let touch = move |tx: &mut Tx<'_>| sessions::touch(tx, &older);
    world.store.write(touch).await.expect("used");
    world.restart_frame(&frame).await.expect("restarts");
    assert_eq!(*written.lock(), ["ses_2", "ses_1"]);

    // A window that cannot be told is no reason to stay away.
    world.engine.on_exec(|_, command| {
        let refused = command.argv.last().is_some_and(|last| last == inside::SHOWN_SESSION);
        refused.then(|| ExecOutput { exit_code: 1, stdout: String::new(), stderr: "read-only".into() })
    });
    world.restart_frame(&frame).await.expect("restarts all the same");
}

async fn session_of(world: &World, frame: &Frame, number: u64) -> SessionId {
    let id = SessionId::from_parts(number, u128::from(number));
    let new = NewSession {
        id: id.clone(),
        frame: frame.id.clone(),
        frame_name: frame.name.clone(),
        title: format!("talk {number}"),
    };
    let make = move |tx: &mut Tx<'_>| {
        sessions::insert(tx, &new)?;
        sessions::set_agent_session(tx, &new.id, &AgentSessionId(format!("ses_{number}")))
    };
    world.store.write(make).await.expect("a session");
    tokio::time::sleep(Duration::from_millis(2)).await;
    id
}

#[tokio::test]
async fn an_exec_whose_process_stays_behind_is_ended_when_its_client_has_gone() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    let heard = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = heard.clone();
    world.engine.on_exec(move |_, command| {
        told.lock().push(command.clone());
        None
    });
    let command = || ExecSpec { stdin: true, ..ExecSpec::new(["cat"]) };
    let execs = world.engine.calls(Op::Exec);

    let (stream, guest) =
        world.frames.exec_stream(&frame, command(), VisitorKind::Person).await.expect("runs");
    drop((stream, guest));
    world.engine.reached(Op::Exec, execs + 1).await;
    let commands = std::mem::take(&mut *heard.lock());
    let [given, ended] = commands.as_slice() else { panic!("{commands:?}") };
    let (name, mark) = given.env.last().expect("a mark");
    assert_eq!(name, "MIMIR_COMMAND");
    assert_eq!(ended.argv.last(), Some(mark), "it ends what carries the mark of that command");
    assert!(ended.argv[2].contains("\"MIMIR_COMMAND=$0\"") && ended.env.is_empty(), "{ended:?}");

    // One that ended by itself is left alone, with what it left in the background.
    let (stream, mut guest) =
        world.frames.exec_stream(&frame, command(), VisitorKind::Person).await.expect("runs");
    guest.ended();
    drop((stream, guest));
    world.frames.exec(&frame, ExecSpec::new(["true"])).await.expect("runs");
    assert_eq!(heard.lock().len(), 2, "its start, and `true`");
}

#[tokio::test]
async fn a_full_disk_is_named_at_the_start_and_is_no_dead_end() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    for op in [Op::Start, Op::Create] {
        if op == Op::Create {
            world.engine.remove_behind_our_back(&frame.id);
        }
        world.engine.next(op, Fault::Before(Failure::DiskFull));
        let failed = world.reach(&frame, Desired::Running).await;
        assert!(
            matches!(&failed, Err(FrameError::Failed { reason, .. }) if reason.contains("no disk space")),
            "{op:?}: {failed:?}"
        );
        assert_eq!(world.row(&frame.id).await.expect("there").state, FrameState::Error);
        world
            .until(
                "the host's side is closed",
                || async { world.attendant.open.lock().is_empty() },
                &frame.id,
            )
            .await;
        world.check_books().await;
        world.reach(&frame, Desired::Running).await.expect("there is room again");
        world.reach(&frame, Desired::Stopped).await.expect("stops");
    }
}

#[tokio::test]
async fn a_frame_is_made_from_the_image_that_its_name_stood_for_and_not_from_the_name() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    assert_ne!(frame.image_id, frame.image);
    let made_from = |world: &World| world.engine.spec_of(&frame.id).expect("a container").image_id;
    assert_eq!(made_from(&world), frame.image_id);

    // A build takes the name; the frame's image stays as long as it is there.
    let newer = world.engine.move_name(&frame.image);
    assert_ne!(newer.id, frame.image_id);
    let restarted = world.restart_frame(&frame).await.expect("restarts");
    assert_eq!((made_from(&world), &restarted.image_id), (frame.image_id.clone(), &frame.image_id));
    let fresh = world.create("fresh").await;
    assert_eq!(fresh.image_id, newer.id);
}

//! Agents that answer nothing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mimir::model::frame::{Desired, FrameState};
use mimir::model::message::DeliveryState;
use mimir::model::status::StatusWord;
use mimir::runtime::fake::Op;
use serde_json::json;

use super::world::{LIMIT, OWNER, World, named, said};
use crate::agent::world::to;

/// SIGSTOP: the port is held and nothing is answered.
#[tokio::test]
async fn an_agent_that_holds_its_port_in_silence_is_noticed_and_restarted_with_its_sessions() {
    let world = World::new().await;
    let inside = world.inside();
    let frame = world.running("blog").await;
    let agent = world.agent(&frame.id);
    agent.silent.store(true, Ordering::SeqCst);
    inside.is_stopped.store(true, Ordering::SeqCst);

    let noticed = said(&world, &frame.id, StatusWord::Wedged).await;
    assert!(noticed < LIMIT, "noticed after {noticed:?}");
    said(&world, &frame.id, StatusWord::Idle).await;
    assert_eq!(inside.kills(), 1);
    let notes = world.notes(&frame.id).await;
    assert!(
        notes.contains(&"agent_wedged".to_owned()) && notes.contains(&"agent_back".to_owned()),
        "{notes:?}"
    );
    assert_eq!(world.services.frames.recycled().wedged, 1);
    // Its container is the same: the terminal and everything in it went on.
    assert_eq!(world.engine.calls(Op::Start), 1);

    let request = to("blog", "still there?");
    let sent = world.services.delivery.send(&OWNER, request).await.expect("accepted").message;
    world.is_answered(&agent, &sent.id).await;
}

/// A machine with far too much to do: no time for questions, and a turn that goes on. Then the turn stops, and nothing
/// but its heart goes on.
#[tokio::test]
async fn an_agent_that_writes_and_answers_nothing_is_left_alone_until_only_its_heart_beats() {
    let world = World::impatient(&[]).await;
    let inside = world.inside();
    let frame = world.running("blog").await;
    let agent = world.agent(&frame.id);
    let session = agent.foreign_session(None);
    agent.set(&session, json!({"type": "busy"}));
    said(&world, &frame.id, StatusWord::Busy).await;

    agent.silent.store(true, Ordering::SeqCst);
    let pause = Duration::from_millis(50);
    // Four in a row end one that says nothing.
    world
        .until("it was asked in vain six times", LIMIT * 2, async || {
            tokio::time::sleep(pause).await;
            agent.write(&session);
            let word = world.status(&frame.id).await.word;
            assert_eq!((word, inside.kills()), (StatusWord::Busy, 0), "asked {} times", agent.unanswered());
            if agent.unanswered() >= 6 { Ok(()) } else { Err(format!("{} times", agent.unanswered())) }
        })
        .await;

    world
        .until("it is noticed", LIMIT, async || {
            tokio::time::sleep(pause).await;
            agent.beat();
            let status = world.status(&frame.id).await;
            if status.word == StatusWord::Wedged { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    world
        .until("it is restarted", LIMIT, async || {
            tokio::time::sleep(pause).await;
            agent.beat();
            if inside.kills() == 1 { Ok(()) } else { Err(format!("{:?}", world.notes(&frame.id).await)) }
        })
        .await;
    said(&world, &frame.id, StatusWord::Idle).await;
}

/// Each question makes an agent at rest collect its garbage: one whose heart beats and who has nothing to do is asked once
/// in six looks, and is noticed all the same when it answers nothing.
#[tokio::test]
async fn an_agent_at_rest_whose_heart_beats_is_asked_seldom_and_noticed_all_the_same() {
    let tick = Duration::from_secs(1);
    let world = World::looking_every(tick).await;
    let frame = world.running("blog").await;
    let agent = world.agent(&frame.id);
    let pause = Duration::from_millis(50);
    let asked_again = async || {
        let before = agent.said_well();
        world
            .until("it is asked again", LIMIT, async || {
                tokio::time::sleep(pause).await;
                agent.beat();
                if agent.said_well() > before { Ok(()) } else { Err("not asked".to_owned()) }
            })
            .await;
        Instant::now()
    };
    // What it said while it started is heard until six looks later.
    let _ = asked_again().await;
    let mut last = asked_again().await;
    let mut apart = Duration::ZERO;
    for _ in 0..3 {
        let now = asked_again().await;
        apart = apart.max(now - last);
        last = now;
    }
    assert!(apart >= tick * 5, "it was asked after {apart:?}");

    agent.silent.store(true, Ordering::SeqCst);
    world.inside().is_stopped.store(true, Ordering::SeqCst);
    world
        .until("it is noticed", LIMIT, async || {
            tokio::time::sleep(pause).await;
            agent.beat();
            let status = world.status(&frame.id).await;
            if status.word == StatusWord::Wedged { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
}

/// A frame whose agent does not answer once more than it may be restarted: whatever waits for it hears why, and it
/// runs again when somebody who knows about it says so.
#[tokio::test]
async fn an_agent_that_does_not_answer_too_often_is_given_up_until_somebody_starts_its_frame() {
    let world = World::impatient(&[("frames.recycle_limit", "1")]).await;
    let inside = world.inside();
    let frame = world.running("blog").await;
    let agent = world.agent(&frame.id);
    let send = async |text: &str| {
        let request = to("blog", text);
        world.services.delivery.send(&OWNER, request).await.expect("accepted").message
    };
    // Any restart counts.
    world.services.frames.recycle(&frame.id, "it was too large");
    world
        .until("it has been restarted once", LIMIT, async || match world.notes(&frame.id).await {
            notes if notes.contains(&"agent_back".to_owned()) => Ok(()),
            notes => Err(format!("{notes:?}")),
        })
        .await;
    let running = send("first").await;
    world
        .until("the agent works on it", LIMIT, async || match agent.working() {
            1 => Ok(()),
            others => Err(format!("{others}")),
        })
        .await;
    let queued = send("second").await;

    agent.silent.store(true, Ordering::SeqCst);
    inside.is_stopped.store(true, Ordering::SeqCst);
    let row = async || world.services.frames.get_by_id(&frame.id).await.expect("a row");
    world
        .until("it is given up", LIMIT * 2, async || match row().await {
            row if row.state == FrameState::Error => Ok(()),
            row => Err(format!("{row:?}, {:?}", world.notes(&frame.id).await)),
        })
        .await;
    let starts = world.engine.calls(Op::Start);
    let reason = row().await.reason.expect("a reason");
    for words in ["did not answer for ", " and was restarted once within the last hour", "not tried again"] {
        assert!(reason.contains(words), "{reason}");
    }
    let said_to_be = world.status(&frame.id).await;
    assert_eq!((said_to_be.word, said_to_be.reason.as_ref()), (StatusWord::Error, Some(&reason)));

    for (message, when) in
        [(&running, "before the agent had answered"), (&queued, "while the message waited")]
    {
        let end = world.services.delivery.wait_for_end(&message.id, LIMIT).await.expect("a row");
        let why = end.reason.clone().unwrap_or_default();
        assert_eq!(end.state, DeliveryState::Failed, "{end:?}");
        assert!(why.contains(when) && why.contains(&reason), "{why}");
    }
    for _ in 0..2 {
        world.services.frames.reconcile_once().await.expect("looks around");
    }
    let left = row().await;
    assert_eq!((left.state, left.desired), (FrameState::Error, Desired::Stopped));
    assert_eq!((world.engine.calls(Op::Start), inside.kills()), (starts, 1), "nobody has tried it again");

    agent.silent.store(false, Ordering::SeqCst);
    inside.is_stopped.store(false, Ordering::SeqCst);
    world.services.frames.ask(&OWNER, &named("blog"), Desired::Running).await.expect("asked");
    world.reach(&frame.id, Desired::Running).await;
    let third = send("third").await;
    world.is_answered(&agent, &third.id).await;
    assert_eq!(row().await.reason, None);
}

//! Agents that answer nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mimir::model::status::StatusWord;
use mimir::router::SendRequest;
use serde_json::json;

use super::inside::{Inside, LIMIT, said};
use super::world::{OWNER, World};

/// SIGSTOP: the port is held and nothing is answered.
#[tokio::test]
async fn an_agent_that_holds_its_port_in_silence_is_noticed_and_restarted_with_its_sessions() {
    let world = World::new().await;
    let inside = Inside::of(&world);
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
    assert_eq!(world.engine.calls(mimir::runtime::fake::Op::Start), 1);

    let request = SendRequest { frame: "blog".into(), text: "still there?".into(), ..SendRequest::default() };
    let sent = world.services.router.send(&OWNER, request, None).await.expect("accepted").message;
    world
        .until("the agent works on it", LIMIT, async || match agent.active().first() {
            Some((session, _)) => {
                agent.finish(session);
                Ok(())
            }
            None => Err("nothing works".into()),
        })
        .await;
    let end = world.services.router.wait_for_end(&sent.id, LIMIT).await.expect("a row");
    assert_eq!(end.answer.as_deref(), Some("Done."), "{end:?}");
}

/// A machine with far too much to do: no time for questions, and a turn that goes on. Then the turn stops, and nothing
/// but its heart goes on.
#[tokio::test]
async fn an_agent_that_writes_and_answers_nothing_is_left_alone_until_only_its_heart_beats() {
    let world = World::new().await;
    let inside = Inside::of(&world);
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

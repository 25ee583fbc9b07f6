//! Agents that answer nothing.

use std::sync::atomic::Ordering;

use mimir::model::status::StatusWord;
use mimir::router::SendRequest;

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

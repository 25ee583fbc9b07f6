//! Whole messages through the router to a released opencode: every kind of end, and our history equals the agent's.

use std::sync::Arc;
use std::time::Duration;

use mimir::delivery::Settings;
use mimir::model::agent::PartBody;
use mimir::model::event::EventKind;
use mimir::model::message::DeliveryState::{Answered, Cancelled, Failed, Running};
use mimir::model::message::Message;
use mimir::store::{agent_messages, sessions};

use super::release::Release;
use crate::agent::world::{self, World};

/// How long a killed agent may be away on a busy machine.
const RETURN: Duration = Duration::from_secs(180);

pub async fn of_every_kind_go_through(release: Arc<Release>) {
    let settings = Settings::new("scripted/scripted".parse().expect("a model"));
    let world = World::with(release.clone(), settings).await;
    text_and_tools_are_streamed_and_counted(&world).await;
    what_is_refused_poisons_nothing(&world).await;

    let sent = world.send("@@slow@@").await;
    world.reaches(&sent, Running).await;
    let cancelled = world.router.cancel(&world::OWNER, &sent.id).await.expect("cancelled");
    assert_eq!(cancelled.state, Cancelled, "{cancelled:?}");

    let sent = world.send("@@slow@@").await;
    world.reaches(&sent, Running).await;
    it_speaks(&world, &sent).await;
    release.kill();
    // It has to be started again first.
    let message = world.router.wait_for_end(&sent.id, RETURN).await.expect("a row");
    assert_eq!(message.state, Failed, "{message:?}");
    assert!(message.reason.as_deref().is_some_and(|why| why.contains("in the middle")), "{message:?}");

    let message = world.end_of(&world.send("@@text@@").await).await;
    assert_eq!(message.state, Answered, "usable after all that: {message:?}");
    our_history_is_the_agents(&world, &release, &message).await;
}

async fn text_and_tools_are_streamed_and_counted(world: &World) {
    let sent = world.send("hi @@text@@").await;
    let message = world.end_of(&sent).await;
    assert_eq!(message.state, Answered, "{message:?}");
    let told = world.told(&sent).await;
    assert_eq!(world::text(&told).trim_end(), message.answer.clone().unwrap_or_default());
    assert!(message.tokens.total() > 0 && message.cost_microusd > 0, "{message:?}");

    let sent = world.send("please do @@bash@@").await;
    let message = world.end_of(&sent).await;
    assert_eq!(message.state, Answered, "{message:?}");
    assert!(message.answer.as_deref().is_some_and(|answer| answer.contains("hi-from-bash")), "{message:?}");
    let told = world.told(&sent).await;
    assert!(told.iter().any(|happening| matches!(happening, EventKind::Tool { tool, .. } if tool == "bash")));
}

/// The provider refuses; a model is unknown (docs/traps.md, 18).
async fn what_is_refused_poisons_nothing(world: &World) {
    let message = world.end_of(&world.send("@@http401@@").await).await;
    assert_eq!(message.state, Failed, "{message:?}");
    assert!(message.reason.as_deref().is_some_and(|why| why.contains("401")), "{message:?}");

    let request = world.send_with("hi", |request| request.model = "scripted/nope".parse().ok()).await;
    let message = world.end_of(&request).await;
    assert_eq!(message.state, Failed, "{message:?}");
}

async fn it_speaks(world: &World, sent: &Message) {
    let told = async || world.told(sent).await;
    let spoken = async || {
        while !told().await.iter().any(|happening| matches!(happening, EventKind::Text { .. })) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), spoken()).await;
    assert!(waited.is_ok(), "not a word in state {}: {:?}", world.state(sent).await, told().await);
}

async fn our_history_is_the_agents(world: &World, release: &Release, message: &Message) {
    let session = message.session.clone();
    let row = world.store.read(move |db| sessions::get(db, &session)).await.expect("a session");
    let theirs = row.agent_session.expect("the agent's id");
    let theirs = release.client().messages(&theirs, 1000).await.expect("messages");
    let session = message.session.clone();
    let ours = world.store.read(move |db| agent_messages::of_session(db, &session)).await.expect("turns");
    let our_ids: Vec<&str> = ours.iter().map(|turn| turn.head.id.as_str()).collect();
    let their_ids: Vec<&str> = theirs.iter().map(|turn| turn.head.id.as_str()).collect();
    assert_eq!(our_ids, their_ids);
    for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, _)| ours.head.completed_at.is_some()) {
        assert_eq!(ours.head, theirs.head);
        assert_eq!(ours.parts.len(), theirs.parts.len(), "{ours:?}\n{theirs:?}");
        for (ours, theirs) in ours.parts.iter().zip(&theirs.parts) {
            // An agent that was killed while it spoke may have kept less of that than was heard.
            let is_cut = match (&ours.body, &theirs.body) {
                (PartBody::Text { text: ours, .. }, PartBody::Text { text: kept, .. }) => {
                    ours.starts_with(kept)
                }
                _ => false,
            };
            assert!(ours == theirs || !theirs.ended && is_cut, "{ours:?}\n{theirs:?}");
        }
    }
}

//! The feed of a real opencode with a scripted model: what others do with it, over a network that breaks.

use std::sync::Arc;
use std::time::Duration;

use mimir::clock::{Clock, entropy};
use mimir::delivery::Settings;
use mimir::model::agent::AgentSessionId;
use mimir::model::message::DeliveryState::{Answered, Running};
use mimir::model::secret::Secret;
use mimir::opencode::{OpencodeClient, UserPrompt, ids};
use mimir::outbound::Connector;
use mimir::store::sessions;
use serde_json::json;

use super::cutter::Cutter;
use super::{kinds, text};
use crate::agent::world::World;
use crate::versions::release::Release;

/// Somebody uses the agent's own API.
struct Sdk {
    client: OpencodeClient,
    session: AgentSessionId,
}

impl Sdk {
    async fn new(client: OpencodeClient) -> Self {
        let made = client.create_session("made by a program", &json!({})).await.expect("a session");
        Self { client, session: made.id }
    }

    async fn prompt(&self, words: &str) {
        let newest = self.client.messages(&self.session, 1).await.expect("messages");
        let newest = newest.last().map(|turn| turn.head.id.clone());
        let prompt = UserPrompt {
            message: ids::mint(Clock::system().now_ms(), newest.as_ref(), entropy::<14>()),
            text: words.to_owned(),
            model: "scripted/scripted".parse().expect("a model"),
            is_usual_model: false,
            agent: "build".to_owned(),
        };
        self.client.prompt(&self.session, &prompt).await.expect("taken");
    }
}

#[tokio::test]
async fn a_real_agent_is_heard_whoever_speaks_to_it_and_however_often_the_wire_breaks() {
    let test = "a_real_agent_is_heard_whoever_speaks_to_it_and_however_often_the_wire_breaks";
    let Some(real) = Release::find(test, mimir::opencode::VERSION).await else { return };
    let reach = real.clone();
    let cutter = Cutter::new(real.clone(), move || {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], reach.start()));
        (Connector::tcp(address), Secret::new("a-real-password"))
    });
    let settings = Settings::new("scripted/scripted".parse().expect("a model"));
    let world = World::with(cutter.clone(), settings).await;
    real.meet().await.expect("it is healthy");
    let client = real.client();
    client.warm_up().await.expect("it is awake");
    let first = world.end_of(&world.send("hi @@text@@").await).await;
    assert_eq!(first.state, Answered, "{first:?}");
    world.connected().await;
    let sdk = Sdk::new(client.clone()).await;

    for (count, words) in ["hi @@text@@", "please @@bash@@", "@@task@@", "@@http401@@"].iter().enumerate() {
        sdk.prompt(words).await;
        world.until_ended(&sdk.session.0, count + 1).await;
        world.assert_same_history_as(&client, &sdk.session.0).await;
    }
    let told = world.told_past_us(&sdk.session.0).await;
    assert_eq!(
        told.iter().filter(|happening| happening.kind() == "turn.started").count(),
        4,
        "{:?}",
        kinds(&told)
    );
    assert!(text(&told).contains("Hello from the scripted model.") && text(&told).contains("hi-from-bash"));

    // Fifty cuts, in theirs and in ours.
    sdk.prompt("@@stream@@").await;
    cut(&world, &cutter, 25).await;
    world.until_ended(&sdk.session.0, 5).await;
    world.assert_same_history_as(&client, &sdk.session.0).await;
    let told = text(&world.told_past_us(&sdk.session.0).await);
    assert_eq!(told.matches("tick").count(), 300, "{told}");

    let sent = world.send("@@stream@@").await;
    world.reaches(&sent, Running).await;
    cut(&world, &cutter, 25).await;
    let message = world.end_of(&sent).await;
    assert_eq!(message.state, Answered, "{message:?}");
    assert_eq!(text(&world.told(&sent).await).matches("tick").count(), 300);
    let row = world.store.read(move |db| sessions::get(db, &message.session)).await.expect("a session");
    world.assert_same_history_as(&client, &row.agent_session.expect("the agent's id").0).await;
}

async fn cut(world: &World, cutter: &Arc<Cutter>, times: u32) {
    for _ in 0..times {
        let [pause] = entropy::<1>();
        tokio::time::sleep(Duration::from_millis(u64::from(pause) / 2)).await;
        world.connected().await;
        cutter.cut();
    }
}

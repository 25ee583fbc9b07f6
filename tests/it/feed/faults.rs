//! Turns past mimir while the event stream or the re-reads go wrong. What is told and kept is what the agent
//! has in the end, nothing waits for ever, and another frame's feed does not notice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mimir::clock::entropy_128;
use mimir::frames::{AgentLocator, PlaceError};
use mimir::model::agent::AgentSessionId;
use mimir::model::ids::FrameId;
use mimir::opencode::OpencodeClient;
use mimir::store::{agent_messages, events, sessions};
use parking_lot::Mutex;

use super::{kinds, play, screen, text};
use crate::agent::scripted::{Play, ScriptedAgent, Wire, long_text};
use crate::agent::world::{World, insert_frame, settings};

/// Two frames of one gateway: that of the world, which goes wrong, and one beside it.
struct Street {
    world: World,
    beside: Arc<ScriptedAgent>,
    frame: FrameId,
}

/// Which agent lives in which frame.
#[derive(Default)]
struct Doors {
    agents: Mutex<Vec<(FrameId, Arc<ScriptedAgent>)>>,
}

#[async_trait]
impl AgentLocator for Doors {
    async fn wake(&self, frame: &FrameId, _: Duration) -> Result<OpencodeClient, PlaceError> {
        self.agent(frame).await
    }

    async fn agent(&self, frame: &FrameId) -> Result<OpencodeClient, PlaceError> {
        let agents = self.agents.lock();
        let found = agents.iter().find(|(id, _)| id == frame);
        found.map(|(_, agent)| agent.client()).ok_or_else(|| PlaceError::NotThere("nobody".into()))
    }

    async fn show(&self, _: &FrameId, _: &AgentSessionId) {}
}

impl Street {
    async fn new() -> Self {
        let doors = Arc::new(Doors::default());
        let world = World::with(doors.clone(), settings()).await;
        let (beside, frame) = (ScriptedAgent::start(), FrameId::from_parts(2_000, entropy_128()));
        *doors.agents.lock() =
            vec![(world.frame.clone(), world.agent.clone()), (frame.clone(), beside.clone())];
        insert_frame(&world.store, &frame, "shop").await;
        let street = Self { world, beside, frame };
        street.world.connected().await;
        let stands = async || street.world.feeds.facts(&street.frame).is_some_and(|facts| facts.connected);
        street.world.eventually("the other stream stands", stands).await;
        street
    }

    /// A conversation whose first turn was told and kept.
    async fn session(&self) -> String {
        let session = self.world.agent.make_session("typed");
        self.world.agent.type_in(&session, "hi", play("hello "));
        self.world.until_ended(&session, 1).await;
        session
    }

    /// From now on events come like that.
    async fn rewire(&self, wire: Wire) {
        self.world.agent.wire(wire);
        self.world.agent.cut();
    }

    /// Somebody speaks to the other frame's agent, and that is told and kept.
    async fn life_goes_on_beside(&self) {
        let session = self.beside.make_session("beside");
        self.beside.type_in(&session, "and you?", play("I am well."));
        let (frame, id) = (self.frame.clone(), AgentSessionId(session));
        let kept = async || {
            let (frame, id) = (frame.clone(), id.clone());
            let read = self.world.store.read(move |db| {
                let Some(row) = sessions::find_by_agent_session(db, &frame, &id)? else { return Ok(0) };
                let ended = events::last_of_kind(db, &frame, &row.id, "turn.ended")?;
                Ok(if ended > 0 { agent_messages::of_session(db, &row.id)?.len() } else { 0 })
            });
            read.await.expect("rows") == 2
        };
        self.world.eventually("the other frame's turn is told and kept", kept).await;
    }

    /// Told whole and once, and kept as the agent keeps it.
    async fn assert_told(&self, session: &str, words: &str) {
        self.world.until_ended(session, 2).await;
        let told = self.world.told_past_us(session).await;
        assert_eq!(screen(&told), format!("hello {words}"));
        let expected = ["session.created", "turn.started", "turn.ended", "turn.started", "turn.ended"];
        assert_eq!(kinds(&told), expected);
        self.world.assert_same_history(session).await;
    }

    fn reconnects(&self) -> u64 {
        self.world.feeds.counters().reconnects.get()
    }
}

#[tokio::test]
async fn a_stream_that_comes_byte_by_byte_is_only_slower() {
    let street = Street::new().await;
    let session = street.session().await;
    street.rewire(Wire::Drip(Duration::from_millis(1))).await;
    street.world.eventually("it stands again", async || street.reconnects() == 1).await;
    street.world.agent.type_in(&session, "slowly", Play::Long(12));
    street.life_goes_on_beside().await;
    street.assert_told(&session, &long_text(12)).await;
    assert_eq!(street.reconnects(), 1, "slow is not dead");
}

/// An answer that has begun is no stream yet: each try has an end, and another follows.
#[tokio::test]
async fn a_stream_that_begins_and_says_nothing_for_ever_is_asked_for_again() {
    let street = Street::new().await;
    let session = street.session().await;
    let before = street.world.agent.streams_asked();
    street.rewire(Wire::HeadOnly).await;
    street.world.agent.type_in(&session, "anybody?", play("me"));
    street.life_goes_on_beside().await;
    assert_eq!(street.world.ends(&session).await, 1, "nobody could hear it yet");
    street
        .world
        .eventually("it is given up", async || street.world.agent.streams_asked() >= before + 2)
        .await;
    street.world.agent.wire(Wire::Whole);
    street.assert_told(&session, "me").await;
    assert!(street.reconnects() >= 1);
    street
        .world
        .eventually("the gap is told", async || street.world.gaps().await.iter().any(|n| *n > 0))
        .await;
}

#[tokio::test]
async fn half_an_event_at_every_cut_is_no_event() {
    let street = Street::new().await;
    let session = street.session().await;
    street.rewire(Wire::HalfAtTheCut).await;
    street.world.eventually("it stands again", async || street.reconnects() == 1).await;
    street.world.agent.type_in(&session, "write", Play::Long(300));
    for cut in 2..=8 {
        street.world.agent.cut();
        street.world.eventually("it stands again", async || street.reconnects() >= cut).await;
    }
    street.life_goes_on_beside().await;
    street.assert_told(&session, &long_text(300)).await;
}

#[tokio::test]
async fn a_part_of_ten_megabytes_in_somebody_elses_turn_is_told_and_kept() {
    let street = Street::new().await;
    let session = street.session().await;
    street.world.agent.type_in(&session, "much", Play::Huge(10 << 20));
    street.life_goes_on_beside().await;
    street.world.until_ended(&session, 2).await;
    let told = text(&street.world.told_past_us(&session).await);
    assert_eq!(told.len(), "hello ".len() + (10 << 20));
    street.world.assert_same_history(&session).await;
    assert_eq!(street.reconnects(), 0);
}

#[tokio::test]
async fn kinds_that_nobody_knows_and_nonsense_in_somebody_elses_turn_cost_only_themselves() {
    let street = Street::new().await;
    let session = street.session().await;
    street.world.agent.type_in(&session, "sh", Play::Noise);
    street.assert_told(&session, "Quiet.").await;
    street.life_goes_on_beside().await;
    assert_eq!(street.reconnects(), 0, "what cannot be read is no reason to leave");
}

/// What was said can be heard and cannot be read: the end waits, and is told once.
#[tokio::test]
async fn a_turn_ends_when_it_can_be_read_again_and_not_before() {
    for status in [500, 502, 503] {
        let street = Street::new().await;
        let session = street.session().await;
        street.world.agent.fail_reads(Some(status));
        street.world.agent.type_in(&session, "hm", play("heard at once"));
        let tries = async || street.world.agent.failed_reads() >= 3;
        street.world.eventually("it is asked again and again", tries).await;
        street.life_goes_on_beside().await;
        assert_eq!(street.world.ends(&session).await, 1, "nobody has read the end ({status})");
        let told = text(&street.world.told_past_us(&session).await);
        assert_eq!(told, "hello heard at once", "what was heard does not wait ({status})");
        street.world.agent.fail_reads(None);
        street.assert_told(&session, "heard at once").await;
    }
}

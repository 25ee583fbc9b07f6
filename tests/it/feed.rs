//! What agents say, whoever makes them say it and whatever happens to the connection.

#[path = "feed/cutter.rs"]
mod cutter;
#[path = "feed/faults.rs"]
mod faults;
#[path = "feed/real.rs"]
mod real;
#[path = "feed/taken_back.rs"]
mod taken_back;

use std::sync::Arc;
use std::time::Duration;

use mimir::clock::Clock;
use mimir::feed::{FeedError, FeedItem};
use mimir::model::agent::{AgentSessionId, AgentStatus};
use mimir::model::event::{Event, EventKind};
use mimir::model::message::DeliveryState::{Answered, Queued, Running};
use mimir::model::message::Session;
use mimir::model::status::ToolCall;
use mimir::opencode::OpencodeClient;
use mimir::store::{agent_messages, approvals, events, sessions};

use crate::agent::scripted::{Play, Weather, long_text};
use crate::agent::world::World;

fn play(text: &str) -> Play {
    Play::Answer(text.to_owned())
}

impl World {
    /// Everything that was told of the frame, in order.
    async fn log(&self) -> Vec<Event> {
        self.store
            .read(|db| events::after(db, 0, &events::Filter::default(), usize::MAX))
            .await
            .expect("events")
    }

    /// What was told of a session past mimir's messages.
    async fn told_past_us(&self, agent_session: &str) -> Vec<EventKind> {
        let Some(session) = self.conversation(agent_session).await else { return Vec::new() };
        let log = self.log().await;
        let of_it = log.into_iter().filter(|event| {
            event.subject.session.as_ref() == Some(&session.id) && event.subject.message.is_none()
        });
        of_it.map(|event| event.what).collect()
    }

    async fn conversation(&self, agent_session: &str) -> Option<Session> {
        let id = AgentSessionId(agent_session.to_owned());
        let frame = self.frame.clone();
        self.store
            .read(move |db| sessions::find_by_agent_session(db, &frame, &id))
            .await
            .expect("a readable row")
    }

    async fn ends(&self, agent_session: &str) -> usize {
        let told = self.told_past_us(agent_session).await;
        told.iter().filter(|happening| happening.kind() == "turn.ended").count()
    }

    async fn until_ended(&self, agent_session: &str, count: usize) {
        self.eventually("the turn has ended", async || self.ends(agent_session).await >= count).await;
        assert_eq!(self.ends(agent_session).await, count);
    }

    /// Our history of a session equals the agent's own.
    async fn assert_same_history(&self, agent_session: &str) {
        self.assert_same_history_as(&self.client(), agent_session).await;
    }

    async fn assert_same_history_as(&self, agent: &OpencodeClient, agent_session: &str) {
        let id = AgentSessionId(agent_session.to_owned());
        let theirs = agent.messages(&id, 10_000).await.expect("messages");
        let session = self.conversation(agent_session).await.expect("a conversation").id;
        let ours = self.store.read(move |db| agent_messages::of_session(db, &session)).await.expect("turns");
        let ours: Vec<_> = ours.into_iter().map(|turn| (turn.head, turn.parts)).collect();
        let theirs: Vec<_> = theirs.into_iter().map(|turn| (turn.head, turn.parts)).collect();
        assert_eq!(ours, theirs);
    }

    async fn connected(&self) {
        let stands = async || self.feeds.facts(&self.frame).is_some_and(|facts| facts.connected);
        self.eventually("the stream stands", stands).await;
    }

    async fn gaps(&self) -> Vec<u32> {
        let repaired = |event: Event| match event.what {
            EventKind::AgentGap { repaired, .. } => Some(repaired),
            _ => None,
        };
        self.log().await.into_iter().filter_map(repaired).collect()
    }
}

fn text(told: &[EventKind]) -> String {
    crate::agent::world::text(told)
}

/// What somebody who follows has on the screen in the end.
fn screen(told: &[EventKind]) -> String {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for happening in told {
        let (EventKind::Text { part, delta: words } | EventKind::Rewritten { part, text: words }) = happening
        else {
            continue;
        };
        let at = parts.iter().position(|(known, _)| known == part).unwrap_or_else(|| {
            parts.push((part, String::new()));
            parts.len() - 1
        });
        if matches!(happening, EventKind::Rewritten { .. }) {
            parts[at].1.clear();
        }
        parts[at].1.push_str(words);
    }
    parts.into_iter().map(|(_, text)| text).collect()
}

fn kinds(told: &[EventKind]) -> Vec<&'static str> {
    told.iter().map(EventKind::kind).filter(|kind| *kind != "message.text").collect()
}

#[tokio::test]
async fn what_somebody_types_in_the_terminal_is_told_and_kept() {
    let world = World::new().await;
    world.connected().await;
    let session = world.agent.make_session("typed");
    let prompt = world.agent.type_in(&session, "hi there", play("Hello you."));
    world.until_ended(&session, 1).await;

    let told = world.told_past_us(&session).await;
    assert_eq!(kinds(&told), ["session.created", "turn.started", "turn.ended"]);
    assert!(
        matches!(&told[1], EventKind::TurnStarted { prompt: at, text } if *at == prompt && text == "hi there")
    );
    assert_eq!(text(&told), "Hello you.");
    let end = told.last().expect("an end");
    assert!(
        matches!(end, EventKind::TurnEnded { answer, error: None, cost_microusd: 1410, .. } if answer == "Hello you."),
        "{end:?}"
    );
    assert_eq!(world.conversation(&session).await.expect("a row").title, "typed");
    world.assert_same_history(&session).await;

    world.agent.type_in(&session, "and a tool", Play::Tool);
    world.until_ended(&session, 2).await;
    let told = world.told_past_us(&session).await;
    assert!(kinds(&told).contains(&"message.tool") && kinds(&told).contains(&"message.retry"), "{told:?}");
    world.assert_same_history(&session).await;
}

#[tokio::test]
async fn a_tool_call_that_shows_no_sign_is_named_once_in_a_turn_that_somebody_typed() {
    let clock = Clock::manual(1_700_000_000_000);
    let world = World::at(clock.clone()).await;
    world.connected().await;
    let session = world.agent.make_session("typed");
    world.agent.type_in(&session, "wait for it", Play::ToolHangs);
    let runs = async || kinds(&world.told_past_us(&session).await).contains(&"message.tool");
    world.eventually("the call is told", runs).await;
    let named = async || -> Vec<String> {
        let told = world.told_past_us(&session).await;
        let notes = told.into_iter().filter_map(|happening| match happening {
            EventKind::FrameNote { code, text } if code == ToolCall::SILENT => Some(text),
            _ => None,
        });
        notes.collect()
    };
    assert!(named().await.is_empty(), "it began just now");
    clock.advance_ms(61_000);
    world.eventually("it is named", async || !named().await.is_empty()).await;
    clock.advance_ms(61_000);
    // It is looked at several times meanwhile.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let conversation = world.conversation(&session).await.expect("a row").id;
    let wanted = format!(
        "bash shows no sign for a minute: sleep 1000 (`mimir sessions abort {conversation}` stops it)"
    );
    assert_eq!(named().await, [wanted]);
}

#[tokio::test]
async fn somebody_else_and_we_take_turns_in_one_conversation() {
    let world = World::new().await;
    world.agent.plays([play("one"), play("three")]);
    let first = world.end_of(&world.send("a").await).await;
    let row = world.store.read(move |db| sessions::get(db, &first.session)).await.expect("a session");
    let session = row.agent_session.expect("the agent's id").0;

    world.agent.type_in(&session, "b", Play::Long(60));
    let sent = world.send("c").await;
    world
        .eventually("theirs is told", async || text(&world.told_past_us(&session).await).contains("w5"))
        .await;
    assert_eq!(world.state(&sent).await, Queued, "theirs goes first");
    assert_eq!(world.end_of(&sent).await.answer.as_deref(), Some("three"));
    world.until_ended(&session, 1).await;
    let theirs = world.told_past_us(&session).await;
    assert_eq!(text(&theirs), long_text(60));
    assert_eq!(text(&world.told(&sent).await), "three", "each turn is told by one alone");
    world.assert_same_history(&session).await;
}

#[tokio::test]
async fn a_message_of_ours_is_not_told_twice() {
    let world = World::new().await;
    world.connected().await;
    world.agent.plays([play("mine alone"), Play::Tool]);
    for words in ["a", "b"] {
        world.end_of(&world.send(words).await).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let log = world.log().await;
    let past_us = log.iter().filter(|event| event.what.kind().starts_with("turn."));
    assert_eq!(past_us.count(), 0, "{log:#?}");
    assert_eq!(log.iter().filter(|event| event.what.kind() == "session.created").count(), 1);
}

#[tokio::test]
async fn a_sub_agents_session_is_no_conversation() {
    let world = World::new().await;
    world.connected().await;
    let parent = world.agent.make_session("parent");
    let child = world.agent.make_child(&parent);
    world.agent.type_in(&parent, "go", play("went"));
    world.agent.type_in(&child, "a task", play("done"));
    world.until_ended(&parent, 1).await;
    assert!(world.conversation(&child).await.is_none());
    let facts = world.feeds.facts(&world.frame).expect("facts");
    assert_eq!(facts.parents.get(&AgentSessionId(child.clone())), Some(&AgentSessionId(parent.clone())));
    assert_eq!(text(&world.told_past_us(&parent).await), "went");
}

#[tokio::test]
async fn renaming_and_deleting_past_us_is_seen() {
    let world = World::new().await;
    world.connected().await;
    let session = world.agent.make_session("before");
    world.agent.type_in(&session, "hi", play("hello"));
    world.until_ended(&session, 1).await;
    world.agent.rename(&session, "after");
    let row = world.conversation(&session).await.expect("a row").id;
    let title = async || {
        let id = row.clone();
        world.store.read(move |db| sessions::get(db, &id)).await.expect("a row").title
    };
    world.eventually("the new title", async || title().await == "after").await;
    world.agent.delete(&session);
    world
        .eventually("the end", async || {
            world.log().await.iter().any(|event| event.what.kind() == "session.removed")
        })
        .await;
    let id = row.clone();
    let said = world.store.read(move |db| agent_messages::of_session(db, &id)).await.expect("turns");
    assert_eq!(said.len(), 2, "our own history stays");
}

#[tokio::test]
async fn what_waits_for_a_person_past_us_is_an_approval() {
    let world = World::new().await;
    world.connected().await;
    let session = world.agent.make_session("careful");
    world.agent.type_in(&session, "push it", Play::Asks);
    let open = async || world.store.read(|db| approvals::open(db, None)).await.expect("rows");
    world.eventually("a prompt", async || open().await.len() == 1).await;
    let prompt = open().await.remove(0);
    assert_eq!(prompt.session, world.conversation(&session).await.map(|row| row.id));
    world.agent.answer_permission();
    world.until_ended(&session, 1).await;
    assert!(open().await.is_empty());
    assert_eq!(text(&world.told_past_us(&session).await), "May I? I may.");
}

#[tokio::test]
async fn facts_follow_the_agent_and_end_with_the_frame() {
    let world = World::new().await;
    world.connected().await;
    let mut changes = world.feeds.watch();
    let session = world.agent.make_session("busy");
    world.agent.type_in(&session, "hi", Play::Slow);
    let status = || {
        let facts = world.feeds.facts(&world.frame);
        facts.and_then(|facts| facts.sessions.get(&AgentSessionId(session.clone())).cloned())
    };
    world.eventually("it is busy", async || status() == Some(AgentStatus::Busy)).await;
    assert!(changes.has_changed().expect("a sender"));
    changes.borrow_and_update();
    world.eventually("it answers", async || world.agent.is_answering()).await;
    world.agent.abort_all();
    world.eventually("it is idle", async || status().is_none()).await;
    world.until_ended(&session, 1).await;
    let told = world.told_past_us(&session).await;
    assert!(
        matches!(told.last(), Some(EventKind::TurnEnded { error: Some(why), .. }) if why == "the turn was stopped"),
        "{told:?}"
    );
    world.stop_frame().await;
    world.eventually("no feed is left", async || world.feeds.facts(&world.frame).is_none()).await;
}

#[tokio::test]
async fn a_status_that_was_missed_is_asked_for() {
    let world = World::new().await;
    world.connected().await;
    let session = world.agent.make_session("quiet");
    world.agent.type_in(&session, "hi", Play::Slow);
    let busy = || world.feeds.facts(&world.frame).is_some_and(|facts| !facts.sessions.is_empty());
    world.eventually("it is busy", async || busy()).await;
    world.agent.set_busy(false);
    world.eventually("nobody said so, but it is idle", async || !busy()).await;
}

#[tokio::test]
async fn who_subscribes_is_told_when_there_is_nobody_to_listen_to() {
    let world = World::new().await;
    world.connected().await;
    let mut feed = world.feeds.subscribe(&world.frame, Duration::from_secs(5)).await.expect("it stands");
    world.agent.kill();
    loop {
        if let FeedItem::Lost(why) = feed.next().await {
            assert!(why.contains("closed"), "{why}");
            break;
        }
    }
    let nobody = world.feeds.subscribe(&world.frame, Duration::from_secs(5)).await;
    assert!(matches!(nobody, Err(FeedError::Away(_))), "{nobody:?}");
}

/// What was read is older than what was heard while it was on its way: the end waits for the next look.
#[tokio::test]
async fn an_answer_is_in_the_history_with_its_text_or_not_at_all() {
    let world = World::new().await;
    world.connected().await;
    let session = world.agent.make_session("typed");
    world.agent.type_in(&session, "hi", play("hello"));
    world.until_ended(&session, 1).await;

    let reads = world.agent.hold_reads();
    world.agent.type_in(&session, "and now", Play::EndsWhileRead("all of it".into()));
    let heard = async || text(&world.told_past_us(&session).await).ends_with("all of it");
    world.eventually("the text is told", heard).await;
    assert_eq!(world.ends(&session).await, 1, "nobody has read the end yet");
    reads.cancel();
    world.until_ended(&session, 2).await;
    world.assert_same_history(&session).await;
    let told = world.told_past_us(&session).await;
    assert!(
        matches!(told.last(), Some(EventKind::TurnEnded { answer, .. }) if answer == "all of it"),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_answer_that_is_completed_after_its_end_was_told_is_completed_in_the_history_too() {
    let world = World::new().await;
    world.connected().await;
    let session = world.agent.make_session("typed");
    world.agent.type_in(&session, "hi", Play::Afterthought);
    world.until_ended(&session, 1).await;
    let told = world.told_past_us(&session).await;
    assert!(matches!(told.last(), Some(EventKind::TurnEnded { error: Some(_), .. })), "{told:?}");
    let id = world.conversation(&session).await.expect("a row").id;
    let words = async || {
        let id = id.clone();
        crate::agent::said::history(&world.sessions(), &id).await.pop().expect("an answer").text
    };
    world.eventually("the whole answer", async || words().await == "The last word.").await;
    world.assert_same_history(&session).await;
}

mod gaps {
    use super::*;

    /// Fifty cuts while a message of ours is answered: told whole, kept as the agent keeps it.
    #[tokio::test]
    async fn fifty_cuts_in_an_answer_lose_nothing() {
        let world = World::new().await;
        world.agent.plays([Play::Long(900)]);
        let sent = world.send("write").await;
        world.reaches(&sent, Running).await;
        cut_often(&world).await;
        let message = world.end_of(&sent).await;
        assert_eq!((message.state, message.answer), (Answered, Some(long_text(900))));
        assert_eq!(text(&world.told(&sent).await), long_text(900));
        let row = world.store.read(move |db| sessions::get(db, &message.session)).await.expect("a session");
        world.assert_same_history(&row.agent_session.expect("the agent's id").0).await;
        world.eventually("the gaps are told", async || !world.gaps().await.is_empty()).await;
        assert_eq!(world.agent.prompts(), 1);
    }

    #[tokio::test]
    async fn fifty_cuts_in_somebody_elses_turn_lose_nothing() {
        let world = World::new().await;
        world.connected().await;
        let session = world.agent.make_session("long");
        world.agent.type_in(&session, "write", Play::Long(900));
        cut_often(&world).await;
        world.until_ended(&session, 1).await;
        let told = world.told_past_us(&session).await;
        assert_eq!(text(&told), long_text(900));
        assert_eq!(kinds(&told), ["session.created", "turn.started", "turn.ended"]);
        world.assert_same_history(&session).await;
    }

    /// At moments that nobody chose.
    async fn cut_often(world: &World) {
        for _ in 0..50 {
            let [pause] = mimir::clock::entropy::<1>();
            tokio::time::sleep(Duration::from_millis(u64::from(pause) / 4)).await;
            world.connected().await;
            world.agent.cut();
        }
    }

    /// Turns that begin and end while the connection is away are found by what the agent keeps.
    #[tokio::test]
    async fn a_turn_that_fits_into_a_gap_is_added_and_the_gap_is_told() {
        let world = World::new().await;
        world.connected().await;
        let known = world.agent.make_session("known");
        world.agent.type_in(&known, "before", play("first"));
        world.until_ended(&known, 1).await;
        world.agent.refuse_streams(true);
        world.agent.cut();
        let unknown = world.agent.make_session("unknown");
        world.agent.type_in(&known, "meanwhile", play("second"));
        world.agent.type_in(&unknown, "meanwhile too", Play::Tool);
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.agent.refuse_streams(false);
        for (session, count) in [(&known, 2), (&unknown, 1)] {
            world.until_ended(session, count).await;
            world.assert_same_history(session).await;
        }
        world.eventually("the gap is told", async || world.gaps().await.iter().sum::<u32>() >= 4).await;
        assert!(world.feeds.counters().gaps.get() >= 1 && world.feeds.counters().reconnects.get() >= 1);
    }

    /// Trap 1 of docs/traps.md: a server that has just come back swallows the request for the stream.
    #[tokio::test]
    async fn trap_1_a_stream_that_is_swallowed_after_a_restart_is_asked_for_again() {
        let world = World::new().await;
        world.connected().await;
        let session = world.agent.make_session("known");
        world.agent.swallow(1);
        world.agent.cut();
        let away = async || world.feeds.facts(&world.frame).is_some_and(|facts| !facts.connected);
        world.eventually("the connection is lost", away).await;
        let since = std::time::Instant::now();
        world.connected().await;
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
        world.agent.type_in(&session, "hi", play("hello"));
        world.until_ended(&session, 1).await;
    }

    #[tokio::test]
    async fn an_agent_that_answers_nothing_for_a_while_is_asked_again() {
        let world = World::new().await;
        world.connected().await;
        let session = world.agent.make_session("flaky");
        world.agent.cut();
        world.agent.refuse(6);
        world.agent.type_in(&session, "hi", play("hello"));
        world.until_ended(&session, 1).await;
        world.assert_same_history(&session).await;
    }
}

#[cfg(feature = "test-support")]
mod away {
    use super::*;

    #[tokio::test]
    async fn turns_that_happened_while_no_gateway_ran_are_added() {
        let mut world = World::new().await;
        world.connected().await;
        let known = world.agent.make_session("known");
        world.agent.type_in(&known, "before", play("first"));
        world.until_ended(&known, 1).await;
        world.stop_gateway().await;
        world.agent.type_in(&known, "meanwhile", play("second"));
        let unknown = world.agent.make_session("unknown");
        world.agent.type_in(&unknown, "meanwhile too", play("third"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.restart_gateway().await;
        for (session, count) in [(&known, 2), (&unknown, 1)] {
            world.until_ended(session, count).await;
            world.assert_same_history(session).await;
        }
        assert_eq!(text(&world.told_past_us(&known).await), "firstsecond");
        world.eventually("it is said", async || world.gaps().await.len() == 1).await;

        world.restart_gateway().await;
        world.connected().await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!(world.gaps().await.len(), 1, "nothing was missing this time");
        assert_eq!((world.ends(&known).await, world.ends(&unknown).await), (2, 1));
    }

    /// The gateway dies in the middle of somebody else's turn; the next one goes on where it stopped.
    #[tokio::test]
    async fn a_gateway_that_dies_in_somebody_elses_turn_tells_the_rest_of_it() {
        for point in ["middle", "feed.before_end", "feed.after_end"] {
            let mut world = World::new().await;
            world.connected().await;
            let session = world.agent.make_session("long");
            if point != "middle" {
                world.failpoints.arm(point, 1);
            }
            world.agent.type_in(&session, "write", Play::Long(120));
            if point == "middle" {
                let told = async || text(&world.told_past_us(&session).await).contains("w20");
                world.eventually("some of it is told", told).await;
            } else {
                assert_eq!(world.failpoints.died().await, point);
            }
            world.restart_gateway().await;
            world.until_ended(&session, 1).await;
            let told = world.told_past_us(&session).await;
            assert_eq!(text(&told), long_text(120), "{point}");
            assert_eq!(kinds(&told), ["session.created", "turn.started", "turn.ended"], "{point}");
            world.assert_same_history(&session).await;
        }
    }
}

mod weather {
    use super::*;

    async fn in_weather(weather: Weather, plays: &[Play]) -> Arc<World> {
        let world = World::new().await;
        world.connected().await;
        world.agent.weather(Some(weather));
        for play in plays {
            world.agent.plays([play.clone()]);
            let sent = world.send("go").await;
            let message = world.end_of(&sent).await;
            assert_eq!(message.state, Answered, "{weather:?} {play:?}: {message:?}");
            let shown = screen(&world.told(&sent).await);
            assert_eq!(Some(shown), message.answer, "{weather:?} {play:?}");
            let row = world.store.read(move |db| sessions::get(db, &message.session)).await.expect("a row");
            world.assert_same_history(&row.agent_session.expect("the agent's id").0).await;
        }
        Arc::new(world)
    }

    #[tokio::test]
    async fn events_that_come_twice_are_told_once() {
        let world = in_weather(Weather::Doubled, &[Play::Long(40), Play::Tool]).await;
        let log = world.log().await;
        let told: Vec<EventKind> = log.into_iter().map(|event| event.what).collect();
        assert_eq!(text(&told), format!("{}Two files.", long_text(40)));
    }

    #[tokio::test]
    async fn events_in_the_wrong_order_change_neither_what_is_shown_nor_what_is_kept() {
        in_weather(Weather::Shuffled, &[Play::Long(40), Play::Tool, play("one two three")]).await;
    }

    #[tokio::test]
    async fn events_that_are_lost_unseen_change_neither_what_is_shown_nor_what_is_kept() {
        in_weather(Weather::Lossy, &[Play::Long(40), Play::Tool, play("one two three")]).await;
    }

    #[tokio::test]
    async fn a_part_of_ten_megabytes_is_an_answer_like_any_other() {
        let world = World::new().await;
        world.agent.plays([Play::Huge(10 << 20), play("small again")]);
        let message = world.end_of(&world.send("much").await).await;
        assert_eq!((message.state, message.answer.map(|answer| answer.len())), (Answered, Some(10 << 20)));
        assert_eq!(world.end_of(&world.send("more").await).await.answer.as_deref(), Some("small again"));
    }
}

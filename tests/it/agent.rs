//! Messages on their way to an agent that misbehaves in every way we could think of.
//!
//! The agent is a scripted opencode behind a real HTTP server, so that our HTTP,
//! event stream, reconnecting and re-reading is what runs.

#[path = "agent/said.rs"]
pub mod said;
#[path = "agent/scripted.rs"]
pub mod scripted;
#[path = "agent/world.rs"]
pub mod world;

use std::time::Duration;

use mimir::delivery::{SendError, SendRequest};
use mimir::model::event::EventKind;
use mimir::model::message::DeliveryState::{Answered, Cancelled, Failed, Queued, Running};
use mimir::model::message::{InvalidText, MessageText, SessionSelector};
use mimir::model::names::FrameName;
use mimir::opencode::{OpencodeClient, OpencodeError, StreamEnd};
use mimir::store::approvals;
use scripted::Play;
use world::{World, to};

fn play(name: &str) -> Play {
    Play::Answer(name.to_owned())
}

#[tokio::test]
async fn an_answer_is_streamed_stored_and_counted() {
    let world = World::new().await;
    world.agent.plays([play("Hello there.")]);
    let sent = world.send("hi").await;
    let message = world.end_of(&sent).await;

    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("Hello there.")));
    assert_eq!((message.tokens.input, message.tokens.output, message.cost_microusd), (200, 30, 1410));
    let told = world.told(&sent).await;
    assert_eq!(world::text(&told), "Hello there.");
    assert!(matches!(told.first(), Some(EventKind::MessageQueued {})), "{told:?}");
    assert!(
        matches!(told.last(), Some(EventKind::Answered { finish: Some(finish), .. }) if finish == "stop")
    );
    let said = world.history(&message).await;
    let texts: Vec<&str> = said.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(texts, ["hi", "Hello there."]);
}

#[tokio::test]
async fn a_conversation_goes_on_and_a_new_one_is_another() {
    let world = World::new().await;
    world.agent.plays([play("one"), play("two"), play("three")]);
    // The terminal follows: what it opens on is what is being talked about.
    let shown = async |count| {
        world.eventually("it was shown", async || world.locator.shown().len() == count).await;
    };
    let first = world.end_of(&world.send("a").await).await;
    shown(1).await;
    let second = world.end_of(&world.send("b").await).await;
    shown(2).await;
    assert_eq!(first.session, second.session);
    let third = world.send_with("c", |request| request.session = SessionSelector::New).await;
    let third = world.end_of(&third).await;
    assert_ne!(third.session, first.session);
    assert_eq!(world.agent.sessions(), 2);
    assert!(first.agent_message < second.agent_message, "ids are the order of the talk");

    shown(3).await;
    let shown = world.locator.shown();
    assert_eq!(shown[0], shown[1]);
    assert_ne!(shown[1], shown[2], "the new conversation is shown");

    let by_title = world.send_with("d", |request| request.session = SessionSelector::parse("a")).await;
    assert_eq!(by_title.session, first.session);
}

/// Its task must not be started again beside that of the next message.
#[tokio::test]
async fn a_conversation_that_rests_has_nobody_left_who_delivers() {
    let world = World::new().await;
    world.agent.plays([play("one two"), play("three four")]);
    world.end_of(&world.send("a").await).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let sent = world.send("b").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let message = world.end_of(&sent).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("three four")));
    assert_eq!((world.agent.prompts(), world.locator.wakes()), (2, 2));
}

#[tokio::test]
async fn tool_calls_and_retries_are_told_as_they_happen() {
    let world = World::new().await;
    world.agent.plays([Play::Tool]);
    let sent = world.send("list").await;
    assert_eq!(world.end_of(&sent).await.state, Answered);
    let kinds: Vec<&str> = world.told(&sent).await.iter().map(EventKind::kind).collect();
    let tools = kinds.iter().filter(|kind| **kind == "message.tool").count();
    assert_eq!((tools, kinds.contains(&"message.retry")), (2, true), "{kinds:?}");
}

#[tokio::test]
async fn the_same_key_is_the_same_message_and_another_text_is_refused() {
    let world = World::new().await;
    world.agent.plays([play("once")]);
    let first = world.send_keyed("do it", "key-1").await.expect("accepted");
    world.end_of(&first.message).await;
    let again = world.send_keyed("do it", "key-1").await.expect("accepted");
    assert_eq!((again.message.id, again.is_new), (first.message.id, false));
    assert_eq!(again.after_event, first.after_event);
    assert!(matches!(world.send_keyed("something else", "key-1").await, Err(SendError::KeyTaken)));
    assert_eq!(world.agent.prompts(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_the_reason() {
    let world = World::new().await;
    let send = |request: SendRequest| world.router.send(&world::OWNER, request);
    assert!(matches!(MessageText::parse(" \n"), Err(InvalidText::Empty)));
    assert!(matches!(MessageText::parse("x".repeat(2_000_000)), Err(InvalidText::TooLong { .. })));
    assert!(matches!(send(to("nobody", "hi")).await, Err(SendError::NoFrame(_))));
    assert!(FrameName::parse("../etc").is_err());
    let request = SendRequest { session: SessionSelector::parse("nope"), ..to("blog", "hi") };
    assert!(matches!(send(request).await, Err(SendError::NoSession { .. })));
}

#[tokio::test]
async fn a_stopped_frame_is_woken_and_one_that_cannot_start_says_why() {
    let world = World::new().await;
    world.stop_frame().await;
    world.agent.plays([play("awake")]);
    let sent = world.send("hi").await;
    assert_eq!(world.end_of(&sent).await.state, Answered);
    assert_eq!(world.locator.wakes(), 1);

    world.stop_frame().await;
    world.locator.cannot_start("frame blog failed: the image is gone");
    let message = world.end_of(&world.send("again").await).await;
    assert_eq!(message.state, Failed);
    assert_eq!(message.reason.as_deref(), Some("frame blog failed: the image is gone"));
    assert_eq!(world.agent.prompts(), 1);
}

#[tokio::test]
async fn a_providers_error_is_said_plainly_and_the_session_stays_usable() {
    let world = World::new().await;
    world.agent.plays([Play::Refused, play("better")]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert_eq!(failed.state, Failed);
    let reason = failed.reason.as_deref();
    assert_eq!(reason, Some("the model provider refused (HTTP 401): Incorrect API key provided"));
    let next = world.end_of(&world.send("again").await).await;
    assert_eq!((next.state, next.session), (Answered, failed.session));
}

/// 204, and then nothing ever happens.
#[tokio::test]
async fn a_prompt_that_never_runs_fails_and_the_next_one_goes_through() {
    let world = World::new().await;
    world.agent.plays([Play::NeverRuns, Play::NeverRuns, play("alive")]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert_eq!(failed.state, Failed);
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("never began")), "{failed:?}");
    assert_eq!(world.end_of(&world.send("again").await).await.state, Answered);
}

#[tokio::test]
async fn an_agent_that_dies_in_the_middle_is_named_and_the_session_stays_usable() {
    let world = World::new().await;
    world.agent.plays([Play::DiesMidAnswer, play("back again")]);
    let sent = world.send("hi").await;
    let failed = world.end_of(&sent).await;
    assert_eq!(failed.state, Failed);
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("in the middle")), "{failed:?}");
    assert_eq!(world::text(&world.told(&sent).await), "Hello ");
    let said = world.history(&failed).await;
    assert_eq!(said.last().map(|said| said.text.as_str()), Some("Hello"), "what it had said is kept");
    let next = world.end_of(&world.send("again").await).await;
    assert_eq!((next.state, next.answer.as_deref()), (Answered, Some("back again")));
}

#[tokio::test]
async fn an_agent_that_dies_and_never_comes_back_is_given_up() {
    let world = World::new().await;
    world.agent.plays([Play::DiesForGood]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert_eq!(failed.state, Failed);
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("did not come back")), "{failed:?}");
}

#[tokio::test]
async fn a_frame_that_is_stopped_in_the_middle_says_so() {
    let world = World::new().await;
    world.agent.plays([Play::Slow]);
    let sent = world.send("hi").await;
    world.reaches(&sent, Running).await;
    world.stop_frame().await;
    world.agent.kill();
    let failed = world.end_of(&sent).await;
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("was stopped before")), "{failed:?}");
    assert_eq!(world.locator.wakes(), 1, "a stopped frame is not started to hear the end of an old turn");
}

/// The stream breaks, the turn goes on: nothing is lost, nothing is doubled.
#[tokio::test]
async fn a_broken_event_stream_costs_nothing() {
    let world = World::new().await;
    world.agent.plays([Play::StreamBreaks]);
    let sent = world.send("hi").await;
    let message = world.end_of(&sent).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("Hello from afar.")));
    assert_eq!(world::text(&world.told(&sent).await), "Hello from afar.");
    assert_eq!(world.agent.prompts(), 1);
}

#[tokio::test]
async fn doubled_late_and_unknown_events_change_nothing() {
    let world = World::new().await;
    world.agent.plays([Play::Noise]);
    let sent = world.send("hi").await;
    let message = world.end_of(&sent).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("Quiet.")));
    assert_eq!(world::text(&world.told(&sent).await), "Quiet.");
}

/// The end of a turn comes from re-reading, so a stream that says nothing at all is only slower.
#[tokio::test]
async fn a_stream_that_says_nothing_still_ends_in_the_answer() {
    let world = World::new().await;
    world.agent.plays([Play::Mute]);
    let message = world.end_of(&world.send("hi").await).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("Said in silence.")));
}

/// Trap 13 of docs/traps.md: idle is told before the last update of the message.
#[tokio::test]
async fn idle_before_the_last_word_is_not_the_end() {
    let world = World::new().await;
    world.agent.plays([Play::IdleTooEarly]);
    let message = world.end_of(&world.send("hi").await).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("The last word.")));
}

/// The prompt arrives, its answer does not.
#[tokio::test]
async fn a_lost_answer_to_the_prompt_does_not_run_it_twice() {
    let world = World::new().await;
    world.agent.plays([Play::AnswerLost]);
    let message = world.end_of(&world.send("hi").await).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("Ran once.")));
    assert_eq!(world.agent.prompts(), 1);
}

/// The prompt is read and thrown away with the connection.
#[tokio::test]
async fn a_prompt_that_did_not_arrive_is_sent_again() {
    let world = World::new().await;
    world.agent.plays([Play::PromptLost, play("second try")]);
    let message = world.end_of(&world.send("hi").await).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("second try")));
    assert_eq!(world.agent.prompts(), 2);
    assert_eq!(world.agent.user_messages(), 1);
}

#[tokio::test]
async fn a_server_error_for_a_prompt_is_an_end_unless_it_arrived() {
    let world = World::new().await;
    world.agent.plays([Play::ServerError]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert!(
        failed.reason.as_deref().is_some_and(|why| why.contains("Unexpected server error")),
        "{failed:?}"
    );
    assert_eq!(world.agent.prompts(), 1);
}

#[tokio::test]
async fn a_running_turn_is_aborted_and_what_it_said_is_kept() {
    let world = World::new().await;
    world.agent.plays([Play::Slow, play("next")]);
    let sent = world.send("hi").await;
    world.reaches(&sent, Running).await;
    let cancelled = world.router.cancel(&world::OWNER, &sent.id).await.expect("cancelled");
    assert_eq!(cancelled.state, Cancelled);
    assert_eq!(world.agent.aborts(), 1);
    assert!(world.history(&cancelled).await.iter().any(|said| said.text.starts_with("Hello")));
    assert_eq!(world.end_of(&world.send("again").await).await.answer.as_deref(), Some("next"));
    let twice = world.router.cancel(&world::OWNER, &sent.id).await.expect("a repeat is harmless");
    assert_eq!(twice.state, Cancelled);
}

#[tokio::test]
async fn a_waiting_message_that_is_cancelled_is_never_sent() {
    let world = World::new().await;
    world.agent.plays([Play::Slow]);
    let first = world.send("hi").await;
    world.reaches(&first, Running).await;
    let second = world.send("and then").await;
    assert_eq!(world.state(&second).await, Queued);
    let cancelled = world.router.cancel(&world::OWNER, &second.id).await.expect("cancelled");
    assert_eq!(cancelled.state, Cancelled);
    world.router.cancel(&world::OWNER, &first.id).await.expect("cancelled");
    assert_eq!(world.agent.prompts(), 1);
}

#[tokio::test]
async fn a_turn_that_somebody_stops_in_the_terminal_is_cancelled_here_too() {
    let world = World::new().await;
    world.agent.plays([Play::Slow]);
    let sent = world.send("hi").await;
    world.reaches(&sent, Running).await;
    world.eventually("it answers", async || world.agent.is_answering()).await;
    world.agent.abort_all();
    assert_eq!(world.end_of(&sent).await.state, Cancelled);
}

#[tokio::test]
async fn a_permission_prompt_is_told_once_and_the_turn_waits() {
    let world = World::new().await;
    world.agent.plays([Play::Asks]);
    let sent = world.send("hi").await;
    world
        .eventually("the prompt is told", async || {
            let told = world.told(&sent).await;
            told.iter().any(
                |happening| matches!(happening, EventKind::PromptAsked { form, .. } if form == "permission"),
            )
        })
        .await;
    let waiting = async || world.store.read(|db| approvals::waiting_frames(db)).await.expect("rows").len();
    assert_eq!(waiting().await, 1, "the list says that somebody is waited for");
    world.agent.answer_permission();
    assert_eq!(world.end_of(&sent).await.state, Answered);
    assert_eq!(waiting().await, 0);
    let told = world.told(&sent).await;
    let answered = told.iter().filter(|happening| happening.kind() == "prompt.answered").count();
    assert_eq!(answered, 1, "{told:?}");
    let asked = told.iter().filter(|happening| happening.kind() == "prompt.asked").count();
    assert_eq!(asked, 1, "{told:?}");
}

/// Trap 16 of docs/traps.md: the agent goes on listing what an aborted turn had asked.
#[tokio::test]
async fn a_prompt_that_survives_the_abort_of_its_turn_is_rejected() {
    let world = World::new().await;
    world.agent.plays([Play::Asks, play("next")]);
    let sent = world.send("hi").await;
    world
        .eventually("the prompt is told", async || {
            world.told(&sent).await.iter().any(|happening| happening.kind() == "prompt.asked")
        })
        .await;
    let cancelled = world.router.cancel(&world::OWNER, &sent.id).await.expect("cancelled");
    assert_eq!(cancelled.state, Cancelled);
    assert_eq!(world.agent.replies(), ["per_1: reject"]);
    assert_eq!(world.end_of(&world.send("again").await).await.answer.as_deref(), Some("next"));
}

/// Trap 2 of docs/traps.md: no finish reason, no end.
#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let world = World::new().await;
    world.agent.plays([Play::Loops]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert_eq!(failed.state, Failed);
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("model calls")), "{failed:?}");
    assert_eq!(world.agent.aborts(), 1);
}

#[tokio::test]
async fn a_message_waits_while_somebody_types_in_the_terminal() {
    let world = World::new().await;
    world.agent.plays([play("first"), play("second")]);
    world.end_of(&world.send("a").await).await;
    world.agent.set_busy(true);
    let sent = world.send("b").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((world.state(&sent).await, world.agent.prompts()), (Queued, 1));
    world.agent.set_busy(false);
    assert_eq!(world.end_of(&sent).await.answer.as_deref(), Some("second"));
}

#[tokio::test]
async fn a_conversation_that_the_agent_lost_begins_anew() {
    let world = World::new().await;
    world.agent.plays([play("first"), play("second")]);
    let first = world.end_of(&world.send("a").await).await;
    world.agent.forget_everything();
    let second = world.end_of(&world.send("b").await).await;
    assert_eq!((second.state, &second.session), (Answered, &first.session));
    assert_eq!(world.history(&second).await.len(), 4, "our own history has both");
}

#[cfg(feature = "test-support")]
mod crashes {
    use super::*;

    /// Every boundary of sending: the gateway dies there, the next one finishes, and nothing ran twice.
    #[tokio::test]
    async fn a_gateway_that_dies_while_sending_finishes_the_job() {
        let points = [
            "send.after_row",
            "send.after_wake",
            "send.after_session_made",
            "send.after_session_saved",
            "send.after_id_saved",
            "send.after_prompt",
            "send.after_sent",
            "send.after_running",
            "send.before_end",
            "send.after_end",
        ];
        for point in points {
            let mut world = World::new().await;
            world.agent.plays([play("Hello there."), play("a second run")]);
            world.failpoints.arm(point, 1);
            let sent = world.send_and_die_at(point).await;
            world.restart_gateway().await;
            let message = world.end_of(&sent).await;
            assert_eq!(
                (message.state, message.answer.as_deref()),
                (Answered, Some("Hello there.")),
                "{point}"
            );
            assert_eq!((world.agent.sessions(), world.agent.user_messages()), (1, 1), "{point}");
            let told = world.told(&sent).await;
            assert_eq!(world::text(&told), "Hello there.", "{point}");
            let answered = told.iter().filter(|happening| happening.kind() == "message.answered").count();
            assert_eq!(answered, 1, "{point}");
        }
    }
}

#[tokio::test]
async fn a_swallowed_request_ends_at_its_deadline_and_the_next_connection_works() {
    let world = World::new().await;
    let client = world.client();
    world.agent.swallow(1);
    let silent = client.health(Duration::from_millis(200)).await;
    assert!(matches!(silent, Err(OpencodeError::Silent { call: "health", .. })), "{silent:?}");
    assert_eq!(client.health(Duration::from_secs(2)).await.expect("healthy").version, "1.18.33");
}

#[tokio::test]
async fn a_wrong_password_another_version_and_nobody_are_told_apart() {
    let world = World::new().await;
    let stranger = OpencodeClient::new(world.agent.connector(), &mimir::model::secret::Secret::new("wrong"));
    let refused = stranger.health(Duration::from_secs(2)).await;
    assert!(matches!(refused, Err(OpencodeError::WrongPassword)), "{refused:?}");

    world.agent.set_version("2.0.1");
    let newer = world.client().health(Duration::from_secs(2)).await;
    assert!(matches!(newer, Err(OpencodeError::WrongVersion { found, .. }) if found == "2.0.1"));

    let client = world.client();
    world.agent.kill();
    // A connection that stood at this moment is broken off first.
    world
        .eventually("nobody is there", async || {
            matches!(client.health(Duration::from_secs(2)).await, Err(OpencodeError::Unreachable { .. }))
        })
        .await;
}

#[tokio::test]
async fn an_event_stream_in_crumbs_is_whole_and_one_that_ends_in_a_crumb_is_closed() {
    let world = World::new().await;
    world.agent.crumble();
    let mut stream = world.client().events(Duration::from_secs(2)).await.expect("a stream");
    let first = stream.next().await.expect("an event");
    assert_eq!(first, mimir::model::agent::AgentEvent::Connected);
    world.agent.kill();
    let end = loop {
        if let Err(end) = stream.next().await {
            break end;
        }
    };
    assert_eq!(end, StreamEnd::Closed);
}

#[tokio::test]
async fn a_slow_head_of_the_event_stream_has_its_deadline() {
    let world = World::new().await;
    world.agent.swallow(1);
    let slow = world.client().events(Duration::from_millis(200)).await;
    assert!(matches!(slow, Err(OpencodeError::Silent { call: "events", .. })), "{slow:?}");
}

mod following {
    use super::*;
    use futures_util::StreamExt;
    use mimir::events::{Events, Filter, Followed};
    use mimir::store::StoreError;

    /// The next `count` ids that a follower gets, each within a second.
    async fn ids(
        stream: &mut (impl futures_util::Stream<Item = Result<Followed, StoreError>> + Unpin),
        count: usize,
    ) -> Vec<u64> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let next = tokio::time::timeout(Duration::from_secs(5), stream.next()).await;
            match next.unwrap_or_else(|_| panic!("only {seen:?} of {count}")) {
                Some(Ok(Followed::Event(event))) => seen.push(event.id),
                other => panic!("{other:?} after {seen:?}"),
            }
        }
        seen
    }

    #[tokio::test]
    async fn a_follower_gets_the_past_and_the_future_without_a_gap_and_may_come_back() {
        let world = World::new().await;
        let follow = Events::new(world.store.clone());
        world.agent.plays([play("one two"), play("three")]);
        let mut live = Box::pin(follow.follow(0, Filter::default()));
        world.end_of(&world.send("a").await).await;
        let first = follow.newest();
        world.end_of(&world.send("b").await).await;
        let count = usize::try_from(follow.newest()).expect("few");

        let all: Vec<u64> = (1..=follow.newest()).collect();
        assert_eq!(ids(&mut live, count).await, all);
        let mut back = Box::pin(follow.follow(first, Filter::default()));
        let rest = count - usize::try_from(first).expect("few");
        assert_eq!(ids(&mut back, rest).await, all[all.len() - rest..]);
    }

    #[tokio::test]
    async fn a_filter_lets_through_what_fits_and_is_woken_by_it_alone() {
        let world = World::new().await;
        let follow = Events::new(world.store.clone());
        world.agent.plays([play("one"), play("two")]);
        let first = world.send("a").await;
        world.end_of(&first).await;
        let kinds = vec!["message.answered".to_owned()];
        let mut answers = Box::pin(follow.follow(0, Filter { kinds, ..Filter::default() }));
        let before = ids(&mut answers, 1).await;
        world.end_of(&world.send("b").await).await;
        assert!(ids(&mut answers, 1).await > before);
    }

    #[tokio::test]
    async fn a_position_that_is_too_old_or_from_another_database_is_reset() {
        let world = World::new().await;
        let follow = Events::new(world.store.clone());
        world.agent.plays([play("one")]);
        world.end_of(&world.send("a").await).await;
        let newest = follow.newest();
        let forget = |tx: &mut mimir::store::Tx<'_>| tx.change("DELETE FROM events WHERE id < ?1", (3,));
        world.store.write(forget).await.expect("forgotten");
        // A gateway that begins anew has nothing in memory.
        let follow = Events::new(world.reopened());
        let begins = follow.newest();

        for position in [1, begins + 1_000] {
            let mut stream = Box::pin(follow.follow(position, Filter::default()));
            let reset = stream.next().await.expect("an item").expect("readable");
            let Followed::Reset(snapshot) = reset else { panic!("{reset:?}") };
            assert_eq!((snapshot.after, snapshot.frames.len(), snapshot.messages.len()), (begins, 1, 0));
        }
        let mut all = Box::pin(follow.follow(0, Filter::default()));
        assert_eq!(ids(&mut all, 2).await, [3, 4], "who had nothing misses nothing");
        let mut stream = Box::pin(follow.follow(newest - 2, Filter::default()));
        assert_eq!(ids(&mut stream, 2).await, [newest - 1, newest], "nothing is missing behind it");
    }
}

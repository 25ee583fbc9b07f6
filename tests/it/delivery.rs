//! Messages that wait, are changed, taken back, interrupted, overlooked: each is answered once or ends with a reason.

#[cfg(feature = "test-support")]
#[path = "delivery/kills.rs"]
mod kills;

use std::time::Duration;

use mimir::delivery::{EditError, Limits, Routing, Rules, SendError, SendRequest};
use mimir::model::agent::ModelRef;
use mimir::model::budget::{BudgetKey, BudgetPeriod, BudgetScope};
use mimir::model::event::EventKind;
use mimir::model::ids::RunId;
use mimir::model::message::DeliveryState::{Answered, Cancelled, Failed, Queued, Running};
use mimir::model::message::{IdempotencyKey, InvalidText, Message, MessageText, SendMode, SessionSelector};
use mimir::model::names::FrameName;
use mimir::model::origin::Origin;
use mimir::model::routing::{Route, Tier};
use mimir::model::usage::Tokens;
use mimir::store::queue::{self, Edit};
use mimir::store::usage::{self, ModelCall};
use mimir::store::{approvals, audit, budgets, messages};

use crate::agent::scripted::Play;
use crate::agent::world::{OWNER, World, to};

fn play(text: &str) -> Play {
    Play::Answer(text.to_owned())
}

fn new_session(request: &mut SendRequest) {
    request.session = SessionSelector::New;
}

fn words(text: &str) -> Edit {
    Edit { text: Some(MessageText::parse(text).expect("a text")), ..Edit::default() }
}

/// Whether it stays like that for a moment in which the lane would have looked at it.
async fn stays(world: &World, message: &Message, state: mimir::model::message::DeliveryState) {
    let until = tokio::time::Instant::now() + Duration::from_millis(300);
    while tokio::time::Instant::now() < until {
        assert_eq!(world.state(message).await, state);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_interrupting_message_stops_what_runs_and_goes_before_what_waits() {
    let world = World::new().await;
    world.agent.plays([Play::Slow, play("now this"), play("and then that")]);
    let first = world.send("first").await;
    world.reaches(&first, Running).await;
    let second = world.send("second").await;
    let urgent = world.send_with("urgent", |request| request.mode = SendMode::Interrupt).await;

    let (first, urgent) = (world.end_of(&first).await, world.end_of(&urgent).await);
    let second = world.end_of(&second).await;
    assert_eq!((first.state, first.reason), (Cancelled, Some(format!("interrupted by {}", urgent.id))));
    assert_eq!((urgent.state, urgent.answer.as_deref()), (Answered, Some("now this")));
    assert_eq!((second.state, second.answer.as_deref()), (Answered, Some("and then that")));
    assert!(urgent.agent_message < second.agent_message, "the agent got it first");
    assert_eq!(world.agent.aborts(), 1);
}

#[tokio::test]
async fn what_follows_a_stopped_turn_waits_until_the_agent_has_let_go_of_it() {
    let world = World::new().await;
    world.agent.plays([Play::StopsSlowly, play("whole"), Play::StopsSlowly, play("urgent")]);
    let first = world.send("first").await;
    world.reaches(&first, Running).await;
    world.router.cancel(&OWNER, &first.id).await.expect("cancelled");
    assert_eq!(world.end_of(&world.send("second").await).await.answer.as_deref(), Some("whole"));

    let third = world.send("third").await;
    world.reaches(&third, Running).await;
    let urgent = world.send_with("urgent", |request| request.mode = SendMode::Interrupt).await;
    assert_eq!(world.end_of(&urgent).await.answer.as_deref(), Some("urgent"));
    assert_eq!(world.state(&third).await, Cancelled);
}

/// The one that waits for a busy terminal is not the next any more when an urgent one comes, and the terminal is
/// interrupted instead.
#[tokio::test]
async fn an_interrupting_message_stops_what_somebody_typed_as_well() {
    let world = World::new().await;
    world.agent.plays([play("first"), play("urgent"), play("second")]);
    world.end_of(&world.send("a").await).await;
    world.agent.set_busy(true);
    let waits = world.send("b").await;
    stays(&world, &waits, Queued).await;
    let urgent = world.send_with("c", |request| request.mode = SendMode::Interrupt).await;
    assert_eq!(world.end_of(&urgent).await.answer.as_deref(), Some("urgent"));
    assert_eq!(world.end_of(&waits).await.answer.as_deref(), Some("second"));
}

#[tokio::test]
async fn now_means_at_once_or_not_at_all() {
    let world = World::new().await;
    world.agent.plays([play("at once"), Play::Slow]);
    let now = |text: &str| SendRequest { mode: SendMode::Now, ..to("blog", text) };
    let send = |request| world.router.send(&OWNER, request);
    let refused = |sent: Result<_, SendError>| match sent {
        Err(SendError::NotNow(why)) => why,
        other => panic!("{:?}", other.map(|_: mimir::delivery::Accepted| ())),
    };
    let keyed = async || {
        let key = IdempotencyKey::parse("key").ok();
        world.router.send(&OWNER, SendRequest { key, ..now("a") }).await
    };
    let first = keyed().await.expect("nothing is in the way").message;
    assert_eq!(world.end_of(&first).await.state, Answered);
    world.agent.set_busy(true);
    let again = keyed().await.expect("a repeat of what was accepted");
    assert_eq!((again.message.id, again.is_new), (first.id, false));

    assert!(refused(send(now("b")).await).contains("somebody else works"), "in the terminal");
    world.agent.set_busy(false);

    let slow = world.send("c").await;
    world.reaches(&slow, Running).await;
    assert!(refused(send(now("d")).await).contains("1 message of this conversation comes first"));
    world.router.cancel(&OWNER, &slow.id).await.expect("cancelled");

    world.stop_frame().await;
    assert!(refused(send(now("e")).await).contains("blog is stopped"));
    assert_eq!(world.agent.prompts(), 2, "what was refused was never sent");
}

#[tokio::test]
async fn a_message_that_waits_can_be_changed_and_one_that_runs_cannot() {
    let world = World::new().await;
    world.agent.plays([Play::Slow, play("better")]);
    let running = world.send("first").await;
    world.reaches(&running, Running).await;
    let waiting = world.send_keyed("secnd", "a-key").await.expect("accepted").message;

    let edited = world.router.edit(&OWNER, &waiting.id, words("second")).await.expect("it waits");
    assert_eq!((edited.text.as_str(), edited.state), ("second", Queued));
    let again = world.send_keyed("secnd", "a-key").await.expect("the same request");
    assert_eq!((again.message.id, again.is_new), (waiting.id.clone(), false), "known by its first words");
    assert!(matches!(world.send_keyed("third", "a-key").await, Err(SendError::KeyTaken)));

    let refused = world.router.edit(&OWNER, &running.id, words("other")).await;
    assert!(matches!(refused, Err(EditError::NotWaiting(Running))), "{refused:?}");
    let empty = MessageText::parse(" ");
    assert!(matches!(empty, Err(InvalidText::Empty)), "{empty:?}");

    world.router.cancel(&OWNER, &running.id).await.expect("cancelled");
    assert_eq!(world.end_of(&waiting).await.answer.as_deref(), Some("better"));
    let written: Vec<Vec<String>> = world.agent.people_wrote().into_iter().map(|(_, parts)| parts).collect();
    assert_eq!(written, [["first"], ["second"]]);
    let told = world.told(&waiting).await;
    assert!(told.contains(&EventKind::MessageEdited { text: "second".into() }), "{told:?}");
    let late = world.router.edit(&OWNER, &waiting.id, words("late")).await;
    assert!(matches!(late, Err(EditError::NotWaiting(Answered))), "{late:?}");
}

#[tokio::test]
async fn what_a_schedule_sends_for_a_run_is_kept_with_both_and_audited() {
    let world = World::new().await;
    world.agent.plays([play("done")]);
    let run = RunId::from_parts(1, 1);
    let sent = world
        .send_with("update what is old", |request| {
            (request.origin, request.run) = (Origin::Schedule, Some(run.clone()));
        })
        .await;
    let ended = world.end_of(&sent).await;
    assert_eq!((ended.origin, ended.run.as_ref()), (Origin::Schedule, Some(&run)));
    let session = sent.session.clone();
    let read = world.store.read(move |db| Ok((messages::sources(db, &session)?, audit::list(db, None, 9)?)));
    let (sources, audited) = read.await.expect("rows");
    let agent_message = ended.agent_message.expect("the agent has it");
    assert_eq!(sources[&agent_message], (Origin::Schedule, Some(run.clone())));
    let row = audited.iter().find(|row| row.action == "message.send").expect("audited");
    assert_eq!((&row.detail["origin"], &row.detail["run"]), (&"schedule".into(), &run.as_str().into()));
}

#[tokio::test]
async fn a_full_queue_refuses_and_stores_nothing() {
    let rules = Rules { per_session: 2, per_frame: 3, ..Rules::default() };
    let world = World::set(|settings| settings.queue = rules).await;
    world.agent.plays([Play::Slow, Play::Slow]);
    let send =
        |session: SessionSelector| world.router.send(&OWNER, SendRequest { session, ..to("blog", "hi") });
    let send_last = || send(SessionSelector::Last);
    let running = world.send("runs").await;
    world.reaches(&running, Running).await;
    let waiting = [send_last().await.expect("room"), send_last().await.expect("room")];
    assert_eq!((waiting[0].before, waiting[1].before), (1, 2));
    let full = send_last().await.expect_err("two wait");
    assert_eq!(full.to_string(), "2 messages wait already in this conversation, and 2 is the most");

    let other = world.send_with("another conversation", new_session).await;
    world.reaches(&other, Running).await;
    let also = SessionSelector::from(&other.session);
    send(also.clone()).await.expect("room for three in the frame");
    let full = send(also).await.expect_err("three wait in the frame");
    assert_eq!(full.to_string(), "3 messages wait already for frame blog, and 3 is the most");
    let stored = world.store.read(|db| queue::list(db, None, None)).await.expect("rows");
    assert_eq!(stored.len(), 5, "two run and three wait");

    // A repeat of what is stored is no new message.
    let keyed = world.send_keyed("hi", "key").await;
    assert!(matches!(keyed, Err(SendError::QueueFull { .. })));
    world.router.cancel(&OWNER, &waiting[0].message.id).await.expect("cancelled");
    assert!(send_last().await.is_ok(), "there is room again");
}

#[tokio::test]
async fn only_so_many_conversations_run_at_once_and_the_others_go_in_order() {
    let rules = Rules { parallel: 2, ..Rules::default() };
    let world = World::set(|settings| settings.queue = rules).await;
    world.agent.plays([Play::Slow, Play::Slow, play("third"), play("fourth")]);
    let mut sent = Vec::new();
    for text in ["one", "two", "three", "four"] {
        sent.push(world.send_with(text, new_session).await);
        if sent.len() <= 2 {
            world.reaches(&sent[sent.len() - 1], Running).await;
        }
    }
    stays(&world, &sent[2], Queued).await;
    stays(&world, &sent[3], Queued).await;
    assert_eq!(world.agent.prompts(), 2);
    world.router.cancel(&OWNER, &sent[1].id).await.expect("cancelled");
    let (third, fourth) = (world.end_of(&sent[2]).await, world.end_of(&sent[3]).await);
    assert_eq!((third.answer.as_deref(), fourth.answer.as_deref()), (Some("third"), Some("fourth")));
    assert!(third.sent_at <= fourth.sent_at);
}

#[tokio::test]
async fn a_message_whose_turn_never_comes_fails_with_the_reason() {
    let rules = Rules { parallel: 1, wait: Duration::from_millis(300), ..Rules::default() };
    let world = World::set(|settings| settings.queue = rules).await;
    world.agent.plays([Play::Slow]);
    let running = world.send("runs").await;
    world.reaches(&running, Running).await;
    let waits = world.end_of(&world.send_with("waits", new_session).await).await;
    assert_eq!(waits.state, Failed);
    assert!(waits.reason.as_deref().is_some_and(|why| why.contains("queue.wait")), "{waits:?}");
}

/// Also far back in a queue, behind a turn that takes long; what was taken in time is not touched.
#[tokio::test]
async fn every_message_of_a_queue_fails_when_its_own_time_is_over() {
    let rules = Rules { wait: Duration::from_millis(400), ..Rules::default() };
    let world = World::set(|settings| settings.queue = rules).await;
    world.agent.plays([Play::Slow]);
    let running = world.send("runs").await;
    world.reaches(&running, Running).await;
    let (next, last) = (world.send("next").await, world.send("last").await);
    for waits in [last, next] {
        let ended = world.end_of(&waits).await;
        assert_eq!(ended.state, Failed);
        assert!(ended.reason.as_deref().is_some_and(|why| why.contains("queue.wait")), "{ended:?}");
        let waited = ended.ended_at.unwrap_or_default() - ended.created_at;
        assert!(waited > 400, "{waited} ms");
    }
    assert_eq!((world.state(&running).await, world.agent.prompts()), (Running, 1));
}

/// Somebody stopped the frame: what was waiting then stays until the frame is wanted again.
#[tokio::test]
async fn a_queue_does_not_wake_a_frame_that_was_stopped_and_goes_on_with_it() {
    let world = World::new().await;
    world.agent.plays([Play::Slow, play("fresh"), play("old")]);
    let running = world.send("first").await;
    world.reaches(&running, Running).await;
    let waiting = world.send("second").await;
    // The clock of rows has milliseconds.
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.stop_frame().await;
    world.agent.abort_all();
    assert!(world.end_of(&running).await.state.is_final());
    stays(&world, &waiting, Queued).await;
    assert_eq!(world.locator.wakes(), 1);

    tokio::time::sleep(Duration::from_millis(5)).await;
    let fresh = world.send_with("third", new_session).await;
    assert_eq!(world.end_of(&fresh).await.state, Answered);
    assert_eq!(world.end_of(&waiting).await.state, Answered);
    assert_eq!(world.agent.user_messages(), 3);
}

/// opencode stores a prompt before it works on it; what comes between leaves a message that nobody answers.
#[tokio::test]
async fn a_message_that_was_accepted_and_never_runs_is_handed_over_again_once() {
    let world = World::new().await;
    world.agent.plays([Play::NeverRuns, play("after all")]);
    let sent = world.send("hi").await;
    let message = world.end_of(&sent).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("after all")));
    assert_eq!(world.agent.prompts(), 2);
    let written = world.agent.people_wrote();
    let id = message.agent_message.expect("an id").to_string();
    assert_eq!(written, [(id, vec!["hi".to_owned()])], "one message, its words once");
    let told = world.told(&sent).await;
    let notes = told.iter().filter(
        |happening| matches!(happening, EventKind::FrameNote { code, .. } if code == "message_resent"),
    );
    assert_eq!(notes.count(), 1, "{told:?}");
}

#[tokio::test]
async fn a_message_that_never_runs_twice_is_given_up_and_cannot_run_later() {
    let world = World::new().await;
    world.agent.plays([Play::NeverRuns, Play::NeverRuns]);
    let message = world.end_of(&world.send("hi").await).await;
    assert_eq!(message.state, Failed);
    let why = "the agent took the message and never began to answer, also when it was sent again";
    assert_eq!(message.reason.as_deref(), Some(why));
    assert_eq!((world.agent.prompts(), world.agent.aborts()), (2, 1));
}

/// A turn that is slow to begin is no reason for a second one.
#[tokio::test]
async fn handing_over_again_joins_a_turn_that_had_begun_after_all() {
    let world = World::new().await;
    world.agent.plays([Play::LateStart]);
    let message = world.end_of(&world.send("hi").await).await;
    assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("Late but once.")));
    assert_eq!(world.agent.user_messages(), 1);
}

#[tokio::test]
async fn a_turn_that_costs_too_much_is_stopped() {
    let limits = Limits { steps: 10_000, cost_microusd: 10_000, ..Limits::default() };
    let world = World::set(|settings| settings.limits = limits).await;
    world.agent.plays([Play::Loops]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert_eq!(failed.state, Failed);
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("(turn.cost)")), "{failed:?}");
    assert_eq!(world.agent.aborts(), 1);
    assert!(failed.cost_microusd > 10_000, "what it cost is in the row: {failed:?}");
}

#[tokio::test]
async fn messages_wait_while_all_spending_is_paused_also_over_a_restart() {
    let mut world = World::new().await;
    world.agent.plays([play("at last")]);
    let set = async |world: &World, paused| {
        world.store.write(move |tx| budgets::set_paused(tx, paused)).await.expect("set");
    };
    set(&world, true).await;
    let message = world.send("hi").await;
    stays(&world, &message, Queued).await;
    world.restart_gateway().await;
    stays(&world, &message, Queued).await;
    set(&world, false).await;
    let answered = world.end_of(&message).await;
    assert_eq!((answered.state, answered.answer.as_deref()), (Answered, Some("at last")));
}

#[tokio::test]
async fn tokens_end_a_turn_as_well() {
    let limits = Limits { steps: 10_000, tokens: 10_000, ..Limits::default() };
    let world = World::set(|settings| settings.limits = limits).await;
    world.agent.plays([Play::Loops]);
    let failed = world.end_of(&world.send("hi").await).await;
    assert!(failed.reason.as_deref().is_some_and(|why| why.contains("(turn.tokens)")), "{failed:?}");
}

#[cfg(feature = "test-support")]
mod crashes {
    use super::*;

    /// The wish is saved before the agent is asked; a gateway that dies between the two is no excuse.
    #[tokio::test]
    async fn a_stop_that_was_asked_for_is_kept_by_the_next_gateway() {
        let mut world = World::new().await;
        world.agent.plays([Play::Slow, play("next")]);
        let sent = world.send("hi").await;
        world.reaches(&sent, Running).await;
        let id = sent.id.clone();
        let wish = move |tx: &mut mimir::store::Tx<'_>| queue::ask_to_stop(tx, &id, "cancelled by owner:0");
        world.store.write(wish).await.expect("saved");
        world.restart_gateway().await;
        let message = world.end_of(&sent).await;
        let reason = message.reason.as_deref();
        assert_eq!((message.state, reason), (Cancelled, Some("cancelled by owner:0")));
        assert_eq!(world.agent.aborts(), 1, "the agent was told");
        assert_eq!(world.end_of(&world.send("again").await).await.answer.as_deref(), Some("next"));
    }

    /// Moves what happened to a message into the past.
    async fn long_ago(world: &World, table: &'static str, set: &'static str) {
        let change = move |tx: &mut mimir::store::Tx<'_>| tx.change(&format!("UPDATE {table} SET {set}"), ());
        assert_eq!(world.store.write(change).await.expect("changed"), 1);
    }

    #[tokio::test]
    async fn a_turn_has_no_more_time_because_a_gateway_was_restarted() {
        let mut world = World::new().await;
        world.agent.plays([Play::Slow, Play::Slow]);
        let sent = world.send("hi").await;
        world.reaches(&sent, Running).await;
        world.stop_gateway().await;
        long_ago(&world, "messages", "sent_at = sent_at - 3 * 3600 * 1000").await;
        world.restart_gateway().await;
        let message = world.end_of(&sent).await;
        assert_eq!(message.state, Failed);
        assert!(message.reason.as_deref().is_some_and(|why| why.contains("(turn.work)")), "{message:?}");
        assert_eq!(world.agent.aborts(), 1);
    }

    /// The time in which it waited for a person is no work, and has an end of its own.
    #[tokio::test]
    async fn a_question_has_no_more_time_either() {
        let mut world = World::new().await;
        world.agent.plays([Play::Asks]);
        let sent = world.send("hi").await;
        let asked = async || {
            let id = sent.id.clone();
            !world.store.read(move |db| approvals::waits_of(db, &id)).await.expect("rows").is_empty()
        };
        world.eventually("it waits for a person", asked).await;
        world.reaches(&sent, Running).await;
        world.stop_gateway().await;
        long_ago(&world, "messages", "sent_at = sent_at - 13 * 3600 * 1000").await;
        long_ago(&world, "approvals", "asked_at = asked_at - 13 * 3600 * 1000").await;
        world.restart_gateway().await;
        let message = world.end_of(&sent).await;
        assert_eq!(message.state, Failed);
        assert!(message.reason.as_deref().is_some_and(|why| why.contains("(turn.person)")), "{message:?}");
    }

    #[tokio::test]
    async fn what_was_answered_while_no_gateway_ran_is_an_answer_however_long_ago_it_was_asked() {
        let mut world = World::new().await;
        world.agent.plays([play("in time")]);
        world.failpoints.arm("send.after_sent", 1);
        let left = world.send_and_die_at("send.after_sent").await;
        let answered = async || {
            let session = world.sessions().get(&left.session).await.expect("a session").agent_session;
            let client = world.client();
            let said = client.messages(&session.expect("made"), 10).await.expect("messages");
            let is_whole = said.last().is_some_and(|turn| turn.head.completed_at.is_some());
            is_whole && client.statuses().await.expect("statuses").is_empty()
        };
        world.eventually("the agent has answered", answered).await;
        world.stop_gateway().await;
        long_ago(&world, "messages", "sent_at = sent_at - 3 * 3600 * 1000").await;
        world.restart_gateway().await;
        let message = world.end_of(&left).await;
        assert_eq!((message.state, message.answer.as_deref()), (Answered, Some("in time")), "{message:?}");
    }

    /// Whatever of the first try is still on its way joins the second: both have one id.
    #[tokio::test]
    async fn a_message_that_may_be_on_its_way_is_sent_again_under_the_same_id() {
        let mut world = World::new().await;
        world.agent.plays([play("once")]);
        world.failpoints.arm("send.after_id_saved", 1);
        let left = world.send_and_die_at("send.after_id_saved").await;
        assert!(left.agent_message.is_some(), "saved before it was sent");
        world.restart_gateway().await;
        let message = world.end_of(&left).await;
        assert_eq!((message.state, &message.agent_message), (Answered, &left.agent_message));
        assert_eq!(world.agent.user_messages(), 1);
    }

    #[tokio::test]
    async fn a_gateway_that_dies_before_it_hands_over_again_does_so_no_second_time() {
        let mut world = World::new().await;
        world.agent.plays([Play::NeverRuns, play("too late")]);
        world.failpoints.arm("send.before_resend", 1);
        let left = world.send_and_die_at("send.before_resend").await;
        assert!(left.resent_at.is_some(), "at most once is what was saved");
        world.restart_gateway().await;
        let message = world.end_of(&left).await;
        assert_eq!((message.state, world.agent.prompts()), (Failed, 1), "{message:?}");
    }

    #[tokio::test]
    async fn order_and_urgency_survive_a_restart() {
        let mut world = World::new().await;
        world.agent.plays([Play::Slow, play("urgent"), play("second")]);
        let first = world.send("first").await;
        world.reaches(&first, Running).await;
        let second = world.send("second").await;
        world.failpoints.arm("send.after_row", 1);
        let router = world.router.clone();
        let key = IdempotencyKey::parse("urgent").ok();
        let request = SendRequest { mode: SendMode::Interrupt, key, ..to("blog", "urgent") };
        // It dies behind the row, before anything was stopped.
        tokio::select! {
            _ = router.send(&OWNER, request) => panic!("it dies"),
            point = world.failpoints.died() => assert_eq!(point, "send.after_row"),
        }
        world.restart_gateway().await;
        let urgent = world.store.read(|db| messages::find_by_key(db, "urgent")).await.expect("rows");
        let urgent = world.end_of(&urgent.expect("it was stored")).await;
        let (first, second) = (world.end_of(&first).await, world.end_of(&second).await);
        assert_eq!(first.state, Cancelled);
        assert_eq!((urgent.answer.as_deref(), second.answer.as_deref()), (Some("urgent"), Some("second")));
    }
}

#[tokio::test]
async fn a_message_that_names_no_model_goes_where_the_rules_say() {
    let model = |text: &str| text.parse::<ModelRef>().expect("a model");
    let to_model = |name: &str| Route { model: Some(model(name)), ..Route::default() };
    let routes = vec![
        Route { text: Some("*commit*".to_owned()), tier: Some(Tier::Fast), ..Route::default() },
        Route { longer_than: Some(1000), ..to_model("elsewhere/large") },
        Route { budget_below: Some(50), ..to_model("scripted/cheap") },
    ];
    let world = World::set(|settings| {
        settings.routing = Routing {
            routes,
            tiers: [(Tier::Fast, model("scripted/fast"))].into(),
            providers: ["scripted".to_owned()].into(),
            ..Routing::default()
        };
    })
    .await;
    world.agent.plays([play("1"), play("2"), play("3"), play("4"), play("5")]);
    let chosen = |message: &Message| (message.model.as_ref().map(ToString::to_string), message.route.clone());

    let fast = world.end_of(&world.send("Write a COMMIT message").await).await;
    let by = "rule 1 of models.routes: text *commit*: tier fast";
    assert_eq!(chosen(&fast), (Some("scripted/fast".to_owned()), Some(by.to_owned())));
    let told = world.told(&fast).await;
    let is_told = |what: &EventKind| match what {
        EventKind::FrameNote { code, text } => code == "model_route" && text.contains(by),
        _ => false,
    };
    assert!(told.iter().any(is_told), "{told:?}");

    let usual = world.end_of(&world.send("hello").await).await;
    assert_eq!(chosen(&usual), (None, None), "no rule fits");
    let named = world.send_with("commit", |request| request.model = Some(model("scripted/own"))).await;
    let named = world.end_of(&named).await;
    assert_eq!(chosen(&named), (Some("scripted/own".to_owned()), None), "whoever names one gets it");
    let long = world.end_of(&world.send(&"x".repeat(2000)).await).await;
    assert_eq!(chosen(&long), (None, None), "the frame may not use that provider");

    // 40 % of its budget are left.
    let frame = world.frame.clone();
    let spend = move |tx: &mut mimir::store::Tx<'_>| {
        let key =
            BudgetKey { scope: BudgetScope::Frame, subject: frame.to_string(), period: BudgetPeriod::Total };
        budgets::set(tx, &key, Some(100))?;
        let call = ModelCall {
            payer: budgets::payer(tx, &frame, None)?,
            agent_session: None,
            provider: "scripted".to_owned(),
            model: "scripted".to_owned(),
            tokens: Tokens::default(),
            cost_microusd: 60,
            priced: true,
            estimated: false,
            status: 200,
        };
        usage::insert(tx, &call)
    };
    world.store.write(spend).await.expect("spent");
    let cheap = world.end_of(&world.send("hello again").await).await;
    assert_eq!(cheap.model, Some(model("scripted/cheap")));
    assert!(
        cheap.route.as_ref().is_some_and(|why| why.contains("less than 50 % of a budget left")),
        "{cheap:?}"
    );

    // What would be is said without sending anything.
    let blog = FrameName::parse("blog").expect("a name");
    let would = world.router.explain_route(&blog, "a commit, please".to_owned(), None).await.expect("said");
    assert_eq!((would.model, would.route.as_deref()), (Some(model("scripted/fast")), Some(by)));
    world.router.configure_routing(Routing::default());
    let would = world.router.explain_route(&blog, "a commit, please".to_owned(), None).await.expect("said");
    assert_eq!(
        (would.model, would.route),
        (Some(model("scripted/scripted")), None),
        "other rules hold at once"
    );
    let nobody = FrameName::parse("nobody").expect("a name");
    let refused = world.router.explain_route(&nobody, "x".to_owned(), None).await;
    assert!(matches!(refused, Err(SendError::NoFrame(_))), "{refused:?}");
}

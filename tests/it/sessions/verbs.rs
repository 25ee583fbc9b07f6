//! What can be done to a conversation, with an agent that keeps conversations of its own.

use mimir::model::ids::SessionId;
use mimir::model::message::{InvalidTitle, Message, SessionTitle};
use mimir::sessions::{SessionError, export};
use mimir::store::search::Wanted;
use mimir::store::{agent_messages, audit, events, messages, sessions};

use crate::agent::scripted::Play;
use crate::agent::world::{OWNER, World};

fn answer(text: &str) -> Play {
    Play::Answer(text.to_owned())
}

/// A world in which two things were asked and answered.
async fn talked() -> (World, Message) {
    let world = World::new().await;
    world.agent.plays([answer("Hello there."), answer("And again.")]);
    let first = world.send("the first question").await;
    world.end_of(&first).await;
    let second = world.send("the second question").await;
    (world, second)
}

async fn of_agent(world: &World, id: &SessionId) -> String {
    let session = world.sessions().get(id).await.expect("a session");
    session.agent_session.expect("the agent has it").0
}

fn titled(text: &str) -> SessionTitle {
    SessionTitle::parse(text).expect("a title")
}

async fn said(world: &World, id: &SessionId) -> Vec<String> {
    crate::agent::said::history(&world.sessions(), id).await.into_iter().map(|said| said.text).collect()
}

/// How many messages people wrote in it, which the list and the conversation itself say alike.
async fn written(world: &World, id: &SessionId) -> u64 {
    let alone = world.sessions().read(id).await.expect("reads").written;
    let listed = world.store.read(|db| sessions::list(db, None)).await.expect("reads");
    let (_, listed) = listed.into_iter().find(|(session, _)| session.id == *id).expect("it is in the list");
    assert_eq!(alone, listed);
    alone
}

async fn kinds(world: &World) -> Vec<&'static str> {
    let all = world.store.read(|db| events::after(db, 0, &events::Filter::default(), 10_000)).await;
    all.expect("events").iter().map(|event| event.what.kind()).collect()
}

#[tokio::test]
async fn tools_are_kept_whole_found_and_exported() {
    let world = World::new().await;
    world.agent.plays([Play::Tool]);
    let sent = world.send("look around").await;
    world.end_of(&sent).await;
    let read = world.sessions().read(&sent.session).await.expect("a session");
    assert_eq!(read.written, 1);
    let text = export::markdown(&read);
    for piece in [
        "# look around",
        "look around",
        "**Tool `bash`** – ls (done",
        "\"command\": \"ls\"",
        "a\nb",
        "Two files.",
    ] {
        assert!(text.contains(piece), "{piece} in {text}");
    }
    assert!(text.contains("1200 tokens in, 30 out, 4 for reasoning, $0.001410"), "{text}");
    let within = || Wanted { limit: 5, ..Wanted::default() };
    let found = world.sessions().search("ls files", within()).await.expect("found");
    assert!(found.is_empty(), "the command and the answer are two messages: {found:?}");
    assert_eq!(world.sessions().search("bash ls", within()).await.expect("found").len(), 1);
    assert!(world.sessions().search("-other", within()).await.expect("found").is_empty());
    let refused = world.sessions().search(&"x".repeat(1001), within()).await;
    assert!(matches!(refused, Err(SessionError::Query(_))), "{refused:?}");
}

#[tokio::test]
async fn a_new_title_reaches_the_agent_and_its_old_one_is_no_news() {
    let (world, message) = talked().await;
    world.end_of(&message).await;
    let id = message.session.clone();
    let agent_id = of_agent(&world, &id).await;
    let renamed = world.sessions().rename(&OWNER, &id, titled("  dark\nmode ")).await.expect("renamed");
    assert_eq!(renamed.title, "dark mode");
    assert_eq!(world.agent.session(&agent_id).expect("there")["title"], "dark mode");
    assert!(kinds(&world).await.contains(&"session.renamed"));

    // One that is given while its frame sleeps wakes nobody, and is told when the frame wakes next.
    world.stop_frame().await;
    let hears = async || world.feeds.facts(&world.frame).is_some_and(|facts| facts.connected);
    world.eventually("nobody listens to a frame that sleeps", async || !hears().await).await;
    let wakes = world.locator.wakes();
    world.sessions().rename(&OWNER, &id, titled("while you slept")).await.expect("renamed");
    assert_eq!(world.locator.wakes(), wakes);
    let title = async || world.sessions().get(&id).await.expect("a session").title;
    let tell = |title: &'static str| {
        let id = id.clone();
        world.store.write(move |tx| sessions::retitle(tx, &id, title))
    };
    for older in ["dark mode", "renamed in the terminal"] {
        tell(older).await.expect("told");
        assert_eq!(title().await, "while you slept", "ours is the newest until it was told");
    }
    assert_eq!(world.agent.session(&agent_id).expect("there")["title"], "dark mode");
    world.agent.plays([answer("Awake.")]);
    let woken = world.send("good morning").await;
    world.end_of(&woken).await;
    let untold = async || {
        let frame = world.frame.clone();
        world.store.read(move |db| sessions::untold(db, &frame)).await.expect("rows")
    };
    world.eventually("the agent was told", async || untold().await.is_empty()).await;
    assert_eq!(world.agent.session(&agent_id).expect("there")["title"], "while you slept");
    assert_eq!(title().await, "while you slept");

    // From then on what happens in the terminal is news again.
    tell("renamed in the terminal").await.expect("told");
    assert_eq!(title().await, "renamed in the terminal");

    for bad in ["", "  ", &"x".repeat(201)] {
        assert_eq!(SessionTitle::parse(bad), Err(InvalidTitle), "{bad}");
    }
}

#[tokio::test]
async fn a_fork_begins_with_what_was_said_and_goes_its_own_way() {
    let (world, second) = talked().await;
    let second = world.end_of(&second).await;
    world.stop_frame().await;
    let whole = world.sessions().fork(&OWNER, &second.session, None, None).await.expect("forked");
    assert_eq!(
        (whole.title.as_str(), &whole.forked_from),
        ("the first question (fork)", &Some(second.session.clone()))
    );
    let expected = ["the first question", "Hello there.", "the second question", "And again."];
    assert_eq!(said(&world, &whole.id).await, expected);
    assert_eq!(written(&world, &whole.id).await, 2, "what was written before counts");
    let kept = world.agent.session(&of_agent(&world, &whole.id).await).expect("the agent has it");
    assert_eq!(
        (&kept["title"], &kept["metadata"]["mimir"]["session"]),
        (&whole.title.as_str().into(), &whole.id.as_str().into())
    );

    // By mimir's id of a message, and by the agent's.
    let agent_id = second.agent_message.clone().expect("an id").0;
    for before in [second.id.as_str(), &agent_id] {
        let part = world
            .sessions()
            .fork(&OWNER, &second.session, Some(before), Some(titled("before")))
            .await
            .expect("forked");
        assert_eq!(part.title, "before");
        assert_eq!(said(&world, &part.id).await, expected[..2]);
    }

    // Before what was never said: refused.
    for unknown in ["msg_01k0000000000000000000000a", "msg_nothing", "x y"] {
        let refused = world.sessions().fork(&OWNER, &second.session, Some(unknown), None).await;
        assert!(matches!(refused, Err(SessionError::NoMessage { .. })), "{unknown}: {refused:?}");
    }

    world.agent.plays([answer("Only here.")]);
    let sent = world.send_with("go on", |request| request.session = (&whole.id).into()).await;
    world.end_of(&sent).await;
    assert_eq!(said(&world, &whole.id).await.last().map(String::as_str), Some("Only here."));
    assert_eq!(written(&world, &whole.id).await, 3);
    assert_eq!(written(&world, &second.session).await, 2);
    assert_eq!(said(&world, &second.session).await, expected);
}

#[tokio::test]
async fn what_was_summed_up_is_in_the_history() {
    let (world, message) = talked().await;
    world.end_of(&message).await;
    let before = written(&world, &message.session).await;
    world.sessions().compact(&OWNER, &message.session).await.expect("summed up");
    assert_eq!(
        written(&world, &message.session).await,
        before,
        "the agent's own words to itself do not count"
    );
    assert_eq!(said(&world, &message.session).await.last().map(String::as_str), Some("In short: hello."));
}

#[tokio::test]
async fn a_conversation_at_work_is_neither_deleted_nor_summed_up_and_can_be_stopped() {
    let (world, message) = talked().await;
    world.end_of(&message).await;
    let id = &message.session;
    assert!(!world.sessions().abort(&OWNER, id).await.expect("asked"), "there is nothing to stop");
    // Somebody types in the terminal.
    world.agent.set_busy(true);
    assert!(matches!(world.sessions().compact(&OWNER, id).await, Err(SessionError::Busy(_))));
    assert!(matches!(world.sessions().delete(&OWNER, id).await, Err(SessionError::Busy(_))));
    assert!(world.sessions().abort(&OWNER, id).await.expect("asked"));
    assert_eq!(world.agent.aborts(), 1);
    assert_eq!(said(&world, id).await.len(), 4);

    world.agent.plays([Play::Slow]);
    let slow = world.send("slowly").await;
    world.eventually("it runs", async || world.agent.prompts() == 3).await;
    assert!(matches!(world.sessions().delete(&OWNER, id).await, Err(SessionError::Busy(_))));
    world.router.cancel(&OWNER, &slow.id).await.expect("stopped");
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_everywhere_also_from_a_frame_that_sleeps() {
    let (world, message) = talked().await;
    world.end_of(&message).await;
    let id = message.session.clone();
    let agent_id = of_agent(&world, &id).await;
    world.stop_frame().await;
    world.sessions().delete(&OWNER, &id).await.expect("deleted");

    assert_eq!(world.agent.session(&agent_id), None);
    assert!(matches!(world.sessions().get(&id).await, Err(SessionError::NotFound(_))));
    let within = Wanted { limit: 5, ..Wanted::default() };
    assert!(world.sessions().search("question", within).await.expect("searched").is_empty());
    let (gone, sent) = (id.clone(), id.clone());
    let left = world
        .store
        .read(move |db| Ok((agent_messages::of_session(db, &gone)?, messages::of_session(db, &sent)?)));
    let (turns, messages) = left.await.expect("asked");
    assert!(turns.is_empty() && messages.is_empty());
    let of_it = events::Filter { session: Some(id.clone()), ..events::Filter::default() };
    let told = world.store.read(move |db| events::after(db, 0, &of_it, 100)).await.expect("events");
    let told: Vec<&str> = told.iter().map(|event| event.what.kind()).collect();
    assert_eq!(told, ["session.removed"], "nothing that was said is left in the log");
    world.store.check(std::time::Duration::from_secs(60)).await.expect("the tables hang together");

    world.agent.plays([answer("Anew.")]);
    let sent = world.send("hello").await;
    world.end_of(&sent).await;
    assert_ne!(sent.session, id);
}

/// It was not confirmed, so it did not happen: what was said is here, can be gone on with, and can be deleted again.
#[cfg(feature = "test-support")]
#[tokio::test]
async fn a_deletion_that_was_cut_off_behind_the_agents_leaves_the_history_and_can_be_repeated() {
    let (mut world, message) = talked().await;
    world.end_of(&message).await;
    let id = message.session.clone();
    let agent_id = of_agent(&world, &id).await;
    world.failpoints.arm("sessions.delete.after_agent", 1);
    let sessions = world.sessions();
    tokio::select! {
        deleted = sessions.delete(&OWNER, &id) => panic!("it dies: {deleted:?}"),
        point = world.failpoints.died() => assert_eq!(point, "sessions.delete.after_agent"),
    }
    world.restart_gateway().await;
    assert_eq!(world.agent.session(&agent_id), None, "the agent's copy is gone");
    let before = ["the first question", "Hello there.", "the second question", "And again."];
    assert_eq!(said(&world, &id).await, before);

    world.agent.plays([answer("Here I am.")]);
    let sent = world.send_with("go on", |request| request.session = (&id).into()).await;
    assert_eq!(world.end_of(&sent).await.answer.as_deref(), Some("Here I am."));
    assert_eq!(said(&world, &id).await[..4], before);

    world.sessions().delete(&OWNER, &id).await.expect("deleted");
    assert!(matches!(world.sessions().get(&id).await, Err(SessionError::NotFound(_))));
    let rows = world.store.read(|db| audit::list(db, None, 1000)).await.expect("rows");
    assert_eq!(rows.iter().filter(|row| row.action == "session.delete").count(), 1);
    let of_it = events::Filter { session: Some(id.clone()), ..events::Filter::default() };
    let told = world.store.read(move |db| events::after(db, 0, &of_it, 100)).await.expect("events");
    assert_eq!(told.iter().map(|event| event.what.kind()).collect::<Vec<_>>(), ["session.removed"]);
    world.store.check(std::time::Duration::from_secs(60)).await.expect("the tables hang together");
}

#[tokio::test]
async fn a_word_for_a_conversation_means_one_or_is_refused() {
    let (world, message) = talked().await;
    world.end_of(&message).await;
    let id = message.session.to_string();
    let all = world.sessions();
    for word in
        ["last", id.as_str(), &id[..20], "the first question", &of_agent(&world, &message.session).await]
    {
        assert_eq!(all.named(word, None).await.expect(word).id, message.session, "{word}");
        let frame = "blog".parse().expect("a name");
        assert_eq!(all.named(word, Some(frame)).await.expect(word).id, message.session, "{word}");
    }
    let other = "shop".parse().expect("a name");
    assert!(matches!(all.named("last", Some(other)).await, Err(SessionError::NotFound(_))));
    all.fork(&OWNER, &message.session, None, Some(titled("the first question")))
        .await
        .expect("a second one of that title");
    let refused = all.named("the first question", None).await;
    assert!(matches!(&refused, Err(SessionError::Ambiguous { ids, .. }) if ids.len() == 2), "{refused:?}");
}

//! The database: what a row function promises, and what happens when the file is not what it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mimir::clock::{Clock, entropy_128};
use mimir::model::agent::{
    AgentMessage, AgentMessageId, AgentPart, AgentPartId, AgentSessionId, MessageInfo, PartBody, Role,
    TakeBack, UndoPoint,
};
use mimir::model::event::{EventKind, Subject};
use mimir::model::frame::{Desired, Frame, FrameEvent, FrameState, Limits};
use mimir::model::ids::{FrameId, InstanceId, MessageId, ProjectId, SessionId};
use mimir::model::message::{DeliveryState, Message, Session};
use mimir::model::names::{FrameName, ProjectName};
use mimir::model::network::NetworkMode;
use mimir::model::port::{Port, PortPurpose, PortRange};
use mimir::model::principal::Principal;
use mimir::model::project::Project;
use mimir::model::secret::Secret;
use mimir::model::usage::Tokens;
use mimir::store::budgets::Payer;
use mimir::store::events::Filter;
use mimir::store::frames::NewFrame;
use mimir::store::key::{self, KeyError, KeyRequest, KeySource, Keyring, LoadedKey};
use mimir::store::messages::{Finish, NewMessage};
use mimir::store::sessions::{Among, Named, NewSession};
use mimir::store::usage::{FrameCost, ModelCall};
use mimir::store::{
    OpenOptions, Store, StoreError, agent_messages, audit, events, frames, messages, meta, ports, projects,
    queue, retention, sessions, taken_back, usage,
};
use parking_lot::Mutex;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const START_MS: u64 = 1_700_000_000_000;

fn options(folder: &Path, key: &str) -> OpenOptions {
    OpenOptions { path: folder.join("mimir.db"), key: Secret::new(key), backups: folder.join("backups") }
}

struct World {
    store: Store,
    clock: Clock,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(START_MS);
        let store = Store::open(options(folder.path(), KEY), clock.clone()).expect("a new database");
        Self { store, clock, folder }
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut mimir::store::Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.store.write(change).await
    }

    async fn frame(&self, name: &str) -> Frame {
        let new = new_frame(name);
        self.write(move |tx| frames::insert(tx, &new)).await.expect("a frame")
    }

    async fn conversation(&self, frame: &Frame, title: &str) -> Session {
        let new = NewSession {
            id: SessionId::from_parts(START_MS, entropy_128()),
            frame: frame.id.clone(),
            frame_name: frame.name.clone(),
            title: title.to_owned(),
        };
        self.write(move |tx| sessions::insert(tx, &new)).await.expect("a session")
    }

    async fn message(&self, session: &Session, text: &str, key: Option<&str>) -> (Message, bool) {
        let new = new_message(session, text, key);
        self.write(move |tx| messages::insert_once(tx, &new)).await.expect("a message")
    }

    async fn kinds(&self) -> Vec<&'static str> {
        let all = self.store.read(|db| events::after(db, 0, &Filter::default(), 1000)).await.expect("events");
        all.iter().map(|event| event.what.kind()).collect()
    }
}

fn range(first: u16, last: u16) -> PortRange {
    PortRange { first, last }
}

fn new_frame(name: &str) -> NewFrame {
    NewFrame {
        id: FrameId::from_parts(START_MS, entropy_128()),
        name: FrameName::parse(name).expect("a name"),
        project: None,
        origin: mimir::model::origin::Origin::Person,
        run: None,
        workspace: "/src/blog".into(),
        git: None,
        forge: mimir::model::git::FrameForge::default(),
        image: "localhost/mimir-frame:latest".into(),
        image_id: "abc".into(),
        network: NetworkMode::Allow,
        allow: vec!["npm".into(), "example.org".into()],
        providers: vec!["local".into()],
        env: vec![("A".into(), "1".into())],
        gpu: false,
        limits: Limits { cpus_milli: 1500, memory_bytes: 4 << 30, pids: 512 },
        owner_uid: 1000,
        owner_gid: 1000,
        desired: Desired::Stopped,
        expires_at: None,
        ports: range(33000, 33005),
        avoid: BTreeSet::new(),
        given: "network: allow # as written\n".into(),
    }
}

fn new_message(session: &Session, text: &str, key: Option<&str>) -> NewMessage {
    NewMessage {
        id: MessageId::from_parts(START_MS, entropy_128()),
        idempotency_key: key.map(str::to_owned),
        frame: session.frame.clone(),
        frame_name: session.frame_name.clone(),
        session: session.id.clone(),
        origin: mimir::model::origin::Origin::Person,
        run: None,
        text: text.to_owned(),
        model: "demo/demo".parse().ok(),
        agent: None,
        urgent: false,
    }
}

#[tokio::test]
async fn a_frame_reads_back_as_it_was_made_with_two_ports_and_its_configuration() {
    let world = World::new();
    let new = new_frame("blog");
    let given = new.clone();
    let frame = world.write(move |tx| frames::insert(tx, &new)).await.expect("a frame");

    assert_eq!(frame.state, FrameState::Created);
    assert_eq!((frame.agent_port, frame.preview_port), (Port(33000), Port(33001)));
    assert_eq!((&frame.allow, &frame.env, frame.limits), (&given.allow, &given.env, given.limits));
    let id = frame.id.clone();
    let (again, config) = world
        .store
        .read(move |db| Ok((frames::get(db, &id)?, frames::config_of(db, &id)?)))
        .await
        .expect("the frame");
    assert_eq!(again, frame);
    assert_eq!(config.given, given.given);
    assert_eq!(world.kinds().await, ["frame.created"]);
}

#[tokio::test]
async fn a_second_frame_of_that_name_is_refused_and_leaves_nothing() {
    let world = World::new();
    world.frame("blog").await;
    let new = new_frame("blog");
    let error = world.write(move |tx| frames::insert(tx, &new)).await.expect_err("taken");
    assert!(matches!(error, StoreError::Taken { what: "frame", .. }), "{error}");
    assert_eq!(error.to_string(), "the frame blog exists already");
    assert_eq!(world.store.read(|db| Ok(ports::leased(db)?.len())).await.expect("ports"), 2);
    assert_eq!(world.kinds().await, ["frame.created"]);
}

#[tokio::test]
async fn two_creates_of_one_name_at_once_make_one_frame() {
    let world = World::new();
    let (one, two) = (new_frame("blog"), new_frame("blog"));
    let (one, two) = tokio::join!(
        world.write(move |tx| frames::insert(tx, &one)),
        world.write(move |tx| frames::insert(tx, &two)),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(world.store.read(|db| Ok(frames::list(db)?.len())).await.expect("frames"), 1);
}

#[tokio::test]
async fn ports_run_out_and_then_nothing_of_the_frame_is_left() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.frame(name).await;
    }
    let new = new_frame("d");
    let error = world.write(move |tx| frames::insert(tx, &new)).await.expect_err("no port");
    assert!(matches!(error, StoreError::NoFreePort { .. }), "{error}");
    let names = world.store.read(|db| frames::list(db)).await.expect("frames");
    assert_eq!(names.iter().map(|frame| frame.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_port_that_somebody_else_holds_is_skipped_or_exchanged_and_told() {
    let world = World::new();
    let mut new = new_frame("blog");
    new.avoid = [Port(33000)].into();
    let frame = world.write(move |tx| frames::insert(tx, &new)).await.expect("a frame");
    assert_eq!((frame.agent_port, frame.preview_port), (Port(33001), Port(33002)));

    let id = frame.id.clone();
    let port = world
        .write(move |tx| {
            ports::exchange(tx, &id, PortPurpose::Agent, range(33000, 33005), &[Port(33000)].into())
        })
        .await
        .expect("another port");
    assert_eq!(port, Port(33003));
    let id = frame.id.clone();
    let frame = world.store.read(move |db| frames::get(db, &id)).await.expect("the frame");
    assert_eq!((frame.agent_port, frame.preview_port), (Port(33003), Port(33002)));
    let all = world.store.read(|db| events::after(db, 0, &Filter::default(), 10)).await.expect("events");
    assert_eq!(
        all.last().map(|event| event.what.clone()),
        Some(EventKind::PortExchanged { purpose: PortPurpose::Agent, from: Port(33001), to: Port(33003) })
    );
}

#[tokio::test]
async fn a_frame_moves_only_along_its_lifecycle() {
    let world = World::new();
    let id = world.frame("blog").await.id;
    let key = id.clone();
    let error = world
        .write(move |tx| frames::apply(tx, &key, FrameEvent::BecameReady, None))
        .await
        .expect_err("created is not starting");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");

    let key = id.clone();
    world.write(move |tx| frames::apply(tx, &key, FrameEvent::Failed, Some("no disk"))).await.expect("moved");
    let key = id.clone();
    let frame = world.store.read(move |db| frames::get(db, &key)).await.expect("the frame");
    assert_eq!((frame.state, frame.reason.as_deref()), (FrameState::Error, Some("no disk")));

    let key = id.clone();
    world.clock.advance_ms(5);
    let state = world.write(move |tx| frames::apply(tx, &key, FrameEvent::StartRequested, None)).await;
    assert_eq!(state.expect("a start leaves error"), FrameState::Starting);
    let frame = world.store.read(move |db| frames::get(db, &id)).await.expect("the frame");
    assert_eq!((frame.reason, frame.state_changed_at), (None, START_MS + 5));
    assert_eq!(world.kinds().await, ["frame.created", "frame.moved", "frame.moved"]);
}

#[tokio::test]
async fn a_frame_that_is_being_destroyed_takes_no_other_wish() {
    let world = World::new();
    let id = world.frame("blog").await.id;
    for (wish, accepted) in [
        (Desired::Running, true),
        (Desired::Removed, true),
        (Desired::Removed, true),
        (Desired::Running, false),
    ] {
        let key = id.clone();
        let outcome = world.write(move |tx| frames::set_desired(tx, &key, wish)).await;
        assert_eq!(outcome.is_ok(), accepted, "{wish:?}: {outcome:?}");
    }
    let nobody = FrameId::from_parts(1, 1);
    let error = world.write(move |tx| frames::set_desired(tx, &nobody, Desired::Running)).await;
    assert!(matches!(error, Err(StoreError::NotFound { what: "frame", .. })), "{error:?}");
}

#[tokio::test]
async fn forgetting_a_frame_frees_its_ports_keeps_its_history_and_fails_what_waits() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "dark mode").await;
    let (message, _) = world.message(&session, "add dark mode", None).await;
    let id = frame.id.clone();
    world.write(move |tx| frames::note(tx, &id, "adopted", "found it running")).await.expect("a note");

    let id = frame.id.clone();
    assert!(world.write(move |tx| frames::forget(tx, &id)).await.expect("forgotten"));
    let id = frame.id.clone();
    assert!(!world.write(move |tx| frames::forget(tx, &id)).await.expect("already"), "a repeat is harmless");

    let key = message.id.clone();
    let message = world.store.read(move |db| messages::get(db, &key)).await.expect("the message stays");
    assert_eq!(message.state, DeliveryState::Failed);
    assert_eq!(message.reason.as_deref(), Some("the frame was destroyed"));
    let id = frame.id.clone();
    let (leased, notes, found) = world
        .store
        .read(move |db| Ok((ports::leased(db)?, frames::notes(db, &id, 10)?, frames::find(db, &id)?)))
        .await
        .expect("what is left");
    assert!(leased.is_empty() && notes.is_empty() && found.is_none(), "{leased:?} {notes:?} {found:?}");
    let name = frame.name.clone();
    let talks = world.store.read(move |db| sessions::list(db, Some(&name))).await.expect("talks");
    assert_eq!(talks.into_iter().map(|(talk, sent)| (talk.id, sent)).collect::<Vec<_>>(), [(session.id, 1)]);
    assert_eq!(world.kinds().await.last(), Some(&"frame.removed"));
    world.frame("blog").await;
}

#[tokio::test]
async fn small_changes_of_a_frame_are_seen_in_its_row() {
    let world = World::new();
    let id = world.frame("blog").await.id;
    world.clock.advance_ms(1000);
    let key = id.clone();
    let generation = world
        .write(move |tx| {
            frames::set_reason(tx, &key, Some("stopped by hand"))?;
            frames::set_image(tx, &key, "mine:1", "def")?;
            frames::touch(tx, &key)?;
            frames::set_expiry(tx, &key, Some(START_MS + 5000))?;
            frames::bump_generation(tx, &key)
        })
        .await
        .expect("changed");
    assert_eq!(generation, 2);
    let key = id.clone();
    let frame = world.store.read(move |db| frames::get(db, &key)).await.expect("the frame");
    assert_eq!(frame.reason.as_deref(), Some("stopped by hand"));
    assert_eq!((frame.image.as_str(), frame.image_id.as_str()), ("mine:1", "def"));
    assert_eq!((frame.generation, frame.last_active_at), (2, START_MS + 1000));
    assert_eq!(frame.expires_at, Some(START_MS + 5000));
    let due = |now: u64| world.store.read(move |db| Ok(frames::expired(db, now)?.len()));
    assert_eq!(due(START_MS + 4999).await.expect("due"), 0);
    assert_eq!(due(START_MS + 5000).await.expect("due"), 1);
    let key = id.clone();
    world.write(move |tx| frames::set_desired(tx, &key, Desired::Removed)).await.expect("a wish");
    assert_eq!(due(START_MS + 5000).await.expect("due"), 0, "it is on its way already");
}

#[tokio::test]
async fn notes_are_counted_by_time_and_do_not_grow_for_ever() {
    let world = World::new();
    let id = world.frame("blog").await.id;
    let key = id.clone();
    world
        .write(move |tx| {
            (0..600).try_for_each(|n| frames::note(tx, &key, "agent_exited", &format!("exit {n}")))
        })
        .await
        .expect("notes");
    world.clock.advance_ms(10);
    let key = id.clone();
    world.write(move |tx| frames::note(tx, &key, "agent_exited", "the last")).await.expect("a note");
    let (all, recent, newest) = world
        .store
        .read(move |db| {
            Ok((
                frames::notes_since(db, &id, "agent_exited", 0)?,
                frames::notes_since(db, &id, "agent_exited", START_MS + 10)?,
                frames::notes(db, &id, 2)?,
            ))
        })
        .await
        .expect("notes");
    assert_eq!((all, recent), (500, 1));
    assert_eq!(newest.iter().map(|note| note.text.as_str()).collect::<Vec<_>>(), ["exit 599", "the last"]);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_message() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "talk").await;
    let (first, new) = world.message(&session, "hello", Some("k1")).await;
    assert!(new);
    let (second, new) = world.message(&session, "hello", Some("k1")).await;
    assert!(!new);
    assert_eq!(first, second);
    let other = new_message(&session, "something else", Some("k1"));
    let error = world.write(move |tx| messages::insert_once(tx, &other)).await.expect_err("another text");
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(world.kinds().await.iter().filter(|kind| **kind == "message.queued").count(), 1);
}

#[tokio::test]
async fn messages_wait_in_order_and_by_conversation() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let (one, two) = (world.conversation(&frame, "one").await, world.conversation(&frame, "two").await);
    for (session, text) in [(&one, "1a"), (&two, "2a"), (&one, "1b")] {
        world.message(session, text, None).await;
    }
    let (id, first, second) = (frame.id.clone(), one.id.clone(), two.id.clone());
    let (next, next_of_two, open) = world
        .store
        .read(move |db| {
            Ok((queue::head(db, &first)?, queue::head(db, &second)?, messages::list_open(db, Some(&id))?))
        })
        .await
        .expect("the queue");
    assert_eq!(next.map(|message| message.text).as_deref(), Some("1a"));
    assert_eq!(next_of_two.map(|message| message.text).as_deref(), Some("2a"));
    assert_eq!(open.iter().map(|message| message.text.as_str()).collect::<Vec<_>>(), ["1a", "2a", "1b"]);
}

#[tokio::test]
async fn a_delivery_saves_the_agents_id_with_sending_and_ends_once() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "talk").await;
    let (message, _) = world.message(&session, "hello", None).await;
    let agent_id = AgentMessageId("msg_1".into());

    let (id, agent) = (message.id.clone(), agent_id.clone());
    let early = world.write(move |tx| messages::set_agent_message(tx, &id, &agent)).await;
    assert!(
        matches!(early, Err(StoreError::Conflict { .. })),
        "only a message that is being sent: {early:?}"
    );

    let (id, agent) = (message.id.clone(), agent_id.clone());
    world
        .write(move |tx| {
            messages::move_to(tx, &id, DeliveryState::Sending, None)?;
            messages::set_agent_message(tx, &id, &agent)
        })
        .await
        .expect("sending");
    let agent = agent_id.clone();
    let found = world.store.read(move |db| messages::find_by_agent_message(db, &agent)).await.expect("found");
    assert_eq!(found.map(|found| found.id), Some(message.id.clone()));

    // The agent never got it: back to the queue. The next try may use the id again.
    let id = message.id.clone();
    let back = world.write(move |tx| messages::move_to(tx, &id, DeliveryState::Queued, None)).await;
    assert_eq!(back.expect("queued again").agent_message, Some(agent_id.clone()));

    world.clock.advance_ms(100);
    let (id, agent) = (message.id.clone(), agent_id.clone());
    world
        .write(move |tx| {
            messages::move_to(tx, &id, DeliveryState::Sending, None)?;
            messages::set_agent_message(tx, &id, &agent)?;
            messages::move_to(tx, &id, DeliveryState::Sent, None)
        })
        .await
        .expect("sent");
    world.clock.advance_ms(250);
    let id = message.id.clone();
    let end = Finish {
        answer: "done".into(),
        tokens: Tokens { input: 5, output: 7, ..Tokens::default() },
        cost_microusd: 42,
        finish: Some("stop".into()),
    };
    let again = end.clone();
    let done = world.write(move |tx| messages::finish(tx, &id, &end)).await.expect("answered");
    assert_eq!((done.state, done.answer.as_deref()), (DeliveryState::Answered, Some("done")));
    assert_eq!((done.tokens.output, done.cost_microusd), (7, 42));
    assert_eq!((done.sent_at, done.ended_at), (Some(START_MS + 100), Some(START_MS + 350)));

    let id = message.id.clone();
    let twice = world.write(move |tx| messages::finish(tx, &id, &again)).await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })), "an answer comes once: {twice:?}");
    let all = world.store.read(|db| events::after(db, 0, &Filter::default(), 100)).await.expect("events");
    match &all.last().expect("an event").what {
        EventKind::Answered { duration_ms, answer, .. } => {
            assert_eq!((*duration_ms, answer.as_str()), (250, "done"))
        }
        other => panic!("the last event is {other:?}"),
    }
}

#[tokio::test]
async fn a_conversation_is_found_by_last_id_or_title_or_how_its_id_begins() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let other = world.frame("shop").await;
    let old = world.conversation(&frame, "talk").await;
    world.clock.advance_ms(1);
    let new = world.conversation(&frame, "talk").await;
    world.clock.advance_ms(1);
    world.conversation(&other, "talk").await;

    let find = |word: &str| {
        let (id, word) = (frame.id.clone(), word.to_owned());
        let found = world.store.read(move |db| sessions::named(db, Among::Of(&id), &word));
        async {
            match found.await.expect("asked") {
                Named::Nothing => Vec::new(),
                Named::One(session) => vec![session.id],
                Named::Several(sessions) => sessions.into_iter().map(|session| session.id).collect(),
            }
        }
    };
    assert_eq!(find("last").await, std::slice::from_ref(&new.id));
    assert_eq!(find("talk").await, [new.id.clone(), old.id.clone()], "nobody guesses which");
    assert_eq!(find(old.id.as_str()).await, std::slice::from_ref(&old.id));
    assert_eq!(
        find(&old.id.as_str().to_uppercase()[..29]).await,
        std::slice::from_ref(&old.id),
        "as long as it is clear"
    );
    assert_eq!(find("ssn_01").await.len(), 2);
    assert!(find("nothing").await.is_empty() && find("ssn_").await.is_empty());

    let id = old.id.clone();
    world.write(move |tx| sessions::touch(tx, &id)).await.expect("used");
    assert_eq!(find("last").await, std::slice::from_ref(&old.id));
}

#[tokio::test]
async fn the_agents_id_of_a_conversation_never_changes_unless_it_is_lost() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "talk").await;
    let set = |word: &str| {
        let (id, agent) = (session.id.clone(), AgentSessionId(word.into()));
        world.write(move |tx| sessions::set_agent_session(tx, &id, &agent))
    };
    assert!(set("ses_1").await.is_ok());
    assert!(set("ses_1").await.is_ok(), "a repeat is harmless");
    assert!(matches!(set("ses_2").await, Err(StoreError::Conflict { .. })));
    let (frame_id, agent) = (frame.id.clone(), AgentSessionId("ses_1".into()));
    let found = world.store.read(move |db| sessions::find_by_agent_session(db, &frame_id, &agent)).await;
    assert_eq!(found.expect("asked").map(|found| found.id), Some(session.id.clone()));
    let (id, agent) = (session.id.clone(), AgentSessionId("ses_1".into()));
    world.write(move |tx| sessions::clear_agent_session(tx, &id, &agent)).await.expect("lost");
    assert!(set("ses_2").await.is_ok());
}

#[tokio::test]
async fn a_newer_version_of_a_turn_replaces_the_older_one() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "talk").await;
    let turn = |id: &str, text: &str| {
        let message = MessageInfo {
            id: AgentMessageId(id.into()),
            session: AgentSessionId("ses_1".into()),
            role: Role::Assistant,
            parent: None,
            model: Some("demo/demo".into()),
            created_at: START_MS,
            completed_at: None,
            finish: None,
            error: None,
            tokens: Tokens::default(),
            cost_microusd: 0,
        };
        let part = AgentPart {
            id: AgentPartId("prt_1".into()),
            session: message.session.clone(),
            message: message.id.clone(),
            ended: true,
            started_at: None,
            ended_at: None,
            body: PartBody::Text { text: text.into(), synthetic: false },
        };
        let (key, said) = (session.id.clone(), AgentMessage { head: message, parts: vec![part] });
        world.write(move |tx| agent_messages::upsert(tx, &key, &said))
    };
    turn("msg_2", "second").await.expect("a turn");
    turn("msg_1", "fir").await.expect("a turn");
    turn("msg_1", "first").await.expect("a turn");
    let key = session.id.clone();
    let said = world.store.read(move |db| agent_messages::of_session(db, &key)).await.expect("turns");
    let texts: Vec<_> = said
        .iter()
        .map(|turn| match &turn.parts[0].body {
            PartBody::Text { text, .. } => text.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, ["first", "second"]);
}

/// The agent's ids begin anew every few years; its list goes by time.
#[tokio::test]
async fn what_the_agent_has_no_longer_is_found_by_time() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "talk").await;
    for (id, at) in [("msg_fe", 1), ("msg_ff", 2), ("msg_01", 3), ("msg_02", 4), ("msg_03", 5)] {
        let head = MessageInfo {
            id: AgentMessageId(id.into()),
            session: AgentSessionId("ses_1".into()),
            role: Role::User,
            parent: None,
            model: None,
            created_at: at,
            completed_at: None,
            finish: None,
            error: None,
            tokens: Tokens::default(),
            cost_microusd: 0,
        };
        let (key, said) = (session.id.clone(), AgentMessage { head, parts: Vec::new() });
        world.write(move |tx| agent_messages::upsert(tx, &key, &said)).await.expect("a message");
    }
    let id = |id: &str| AgentMessageId(id.into());
    let missing = |from: Option<u64>, there: &[&str]| {
        let (key, until) = (session.id.clone(), id("msg_03"));
        let there: BTreeSet<AgentMessageId> = there.iter().map(|name| id(name)).collect();
        world.store.read(move |db| taken_back::missing(db, &key, (from, &until), &there))
    };
    // A page that begins with the first id of the new count says nothing of what is older.
    assert_eq!(missing(Some(3), &["msg_01", "msg_03"]).await.expect("read"), [id("msg_02")]);
    assert_eq!(missing(None, &["msg_ff", "msg_01", "msg_02", "msg_03"]).await.expect("read"), [id("msg_fe")]);

    // What counts as removed and is listed stands again, but for what is undone.
    let key = session.id.clone();
    let (removed, point) =
        ([id("msg_01"), id("msg_02")], UndoPoint { message: id("msg_02"), keeps_message: false });
    world
        .write(move |tx| {
            taken_back::remove(tx, &key, &removed)?;
            taken_back::undo(tx, &key, Some(&point))?;
            taken_back::found(tx, &key, &removed)
        })
        .await
        .expect("found");
    let key = session.id.clone();
    let marks = world.store.read(move |db| taken_back::of_session(db, &key)).await.expect("marks");
    let marks: Vec<_> = marks.into_iter().map(|(id, mark)| (id.0, mark.how)).collect();
    let undone = |id: &str| (id.to_owned(), TakeBack::Undone);
    assert_eq!(marks, [undone("msg_02"), undone("msg_03"), undone("msg_fe"), undone("msg_ff")]);
    let told = world.kinds().await;
    assert_eq!(told.iter().filter(|kind| **kind == "session.restored").count(), 1, "{told:?}");
}

#[tokio::test]
async fn events_are_read_by_position_and_filter_and_pruned_from_the_old_end() {
    let world = World::new();
    let (blog, shop) = (world.frame("blog").await, world.frame("shop").await);
    let mut newest = world.store.last_event();
    let session = world.conversation(&blog, "talk").await;
    let (message, _) = world.message(&session, "hello", None).await;
    assert!(newest.has_changed().expect("the store lives"), "who waits is told");
    assert_eq!(*newest.borrow_and_update(), 4);

    let read = |filter: Filter| {
        world.store.read(move |db| {
            Ok(events::after(db, 0, &filter, 100)?.into_iter().map(|event| event.id).collect::<Vec<_>>())
        })
    };
    assert_eq!(read(Filter { frame: Some(shop.id.clone()), ..Filter::default() }).await.expect("ids"), [2]);
    let by_name = Filter { frame_name: Some(blog.name.clone()), ..Filter::default() };
    assert_eq!(read(by_name).await.expect("ids"), [1, 3, 4]);
    assert_eq!(read(Filter { message: Some(message.id), ..Filter::default() }).await.expect("ids"), [4]);
    let kinds = vec!["frame.created".to_owned(), "session.created".to_owned()];
    assert_eq!(read(Filter { kinds, ..Filter::default() }).await.expect("ids"), [1, 2, 3]);
    let page = world.store.read(|db| events::after(db, 1, &Filter::default(), 2)).await.expect("a page");
    assert_eq!(page.iter().map(|event| event.id).collect::<Vec<_>>(), [2, 3]);

    let none = world.write(|tx| retention::forget_older(tx, 0)).await.expect("asked");
    assert_eq!(none, retention::Forgotten::default(), "nothing is that old");
    let all = world.write(|tx| retention::forget_older(tx, u64::MAX)).await.expect("forgotten");
    assert_eq!(all.rows, 4);
    let ends =
        world.store.read(|db| Ok((events::oldest_id(db)?, events::newest_id(db)?))).await.expect("ends");
    assert_eq!(ends, (0, 4), "a position survives pruning");
}

#[tokio::test]
async fn the_position_of_events_survives_a_restart_after_pruning() {
    let world = World::new();
    world.frame("blog").await;
    world.write(|tx| retention::forget_older(tx, u64::MAX)).await.expect("forgotten");
    let World { store, clock, folder } = world;
    drop(store);
    let again = Store::open(options(folder.path(), KEY), clock).expect("opens");
    assert_eq!(*again.last_event().borrow(), 1);
}

#[tokio::test]
async fn a_change_that_fails_saves_nothing_and_tells_nobody() {
    let world = World::new();
    let mut newest = world.store.last_event();
    newest.mark_unchanged();
    let error = world
        .write(|tx| {
            tx.audit(&Principal::Owner { uid: 1 }, "frame.create", "blog", &serde_json::Value::Null)?;
            tx.emit(&Subject::default(), &EventKind::FrameCreated {})?;
            Err::<(), _>(StoreError::Conflict { what: "something".into() })
        })
        .await;
    assert!(error.is_err());
    assert!(!newest.has_changed().expect("the store lives"));
    assert!(world.kinds().await.is_empty());
    assert!(world.store.read(|db| audit::list(db, None, 10)).await.expect("audit").is_empty());
}

#[tokio::test]
async fn a_panic_in_one_change_undoes_it_and_the_next_one_works() {
    let world = World::new();
    let outcome = world
        .write::<()>(|tx| {
            tx.emit(&Subject::default(), &EventKind::FrameCreated {})?;
            panic!("a bug");
        })
        .await;
    assert!(matches!(outcome, Err(StoreError::Closed)), "{outcome:?}");
    assert!(world.kinds().await.is_empty());
    world.frame("blog").await;
}

#[tokio::test]
async fn audit_entries_page_back_from_the_newest() {
    let world = World::new();
    world
        .write(|tx| {
            for n in 1..=3 {
                tx.audit(&Principal::GATEWAY, "test", &n.to_string(), &serde_json::json!({ "n": n }))?;
            }
            Ok(())
        })
        .await
        .expect("written");
    let page = world.store.read(|db| audit::list(db, Some(3), 10)).await.expect("audit");
    assert_eq!(page.iter().map(|entry| entry.subject.as_str()).collect::<Vec<_>>(), ["2", "1"]);
    assert_eq!((page[0].principal.as_str(), page[0].detail["n"].as_u64()), ("gateway", Some(2)));
}

#[tokio::test]
async fn usage_adds_up_by_frame_and_time() {
    let world = World::new();
    let (blog, shop) = (world.frame("blog").await, world.frame("shop").await);
    for (frame, cost, priced) in [(&blog, 10, true), (&blog, 0, false), (&shop, 5, true)] {
        let call = ModelCall {
            payer: Payer { frame: frame.id.clone(), project: None, root: None, run: None },
            agent_session: None,
            provider: "demo".into(),
            model: "demo".into(),
            tokens: Tokens { input: 1, output: 2, reasoning: 3, cache_read: 4, cache_write: 5 },
            cost_microusd: cost,
            priced,
            estimated: false,
            status: 200,
        };
        world.clock.advance_ms(1);
        world.write(move |tx| usage::insert(tx, &call)).await.expect("kept");
    }
    let id = blog.id.clone();
    let (of_blog, late, by_frame) = world
        .store
        .read(move |db| {
            Ok((
                usage::sum(db, Some(&id), 0)?,
                usage::sum(db, None, START_MS + 3)?,
                usage::cost_by_frame(db)?,
            ))
        })
        .await
        .expect("sums");
    assert_eq!((of_blog.calls, of_blog.unpriced, of_blog.cost_microusd), (2, 1, 10));
    assert_eq!(of_blog.tokens.total(), 30);
    assert_eq!((late.calls, late.cost_microusd), (1, 5));
    assert_eq!(by_frame.get(&shop.id), Some(&FrameCost { microusd: 5, unpriced: 0 }));
    assert_eq!(by_frame.get(&blog.id), Some(&FrameCost { microusd: 10, unpriced: 1 }));
}

#[tokio::test]
async fn projects_have_unique_names_and_folders_and_leave_their_frames() {
    let world = World::new();
    let project = |name: &str, path: &str| Project {
        id: ProjectId::from_parts(START_MS, entropy_128()),
        name: ProjectName::parse(name).expect("a name"),
        path: path.into(),
        created_at: START_MS,
    };
    let api = project("api", "/src/api");
    let row = api.clone();
    world.write(move |tx| projects::insert(tx, &row)).await.expect("registered");
    for double in [project("api", "/elsewhere"), project("other", "/src/api")] {
        let outcome = world.write(move |tx| projects::insert(tx, &double)).await;
        assert!(matches!(outcome, Err(StoreError::Taken { .. })), "{outcome:?}");
    }
    let mut new = new_frame("blog");
    new.project = Some(api.id.clone());
    let frame = world.write(move |tx| frames::insert(tx, &new)).await.expect("a frame");
    let id = api.id.clone();
    world.write(move |tx| projects::remove(tx, &id)).await.expect("removed");
    let id = frame.id.clone();
    let frame = world.store.read(move |db| frames::get(db, &id)).await.expect("the frame stays");
    assert_eq!(frame.project, None);
    let id = api.id.clone();
    let gone = world.write(move |tx| projects::remove(tx, &id)).await;
    assert!(matches!(gone, Err(StoreError::NotFound { what: "project", .. })), "{gone:?}");
}

#[tokio::test]
async fn the_instance_id_is_made_once() {
    let world = World::new();
    let ask = |id: InstanceId| world.write(move |tx| meta::ensure_instance(tx, &id));
    let first = InstanceId::from_parts(1, 1);
    assert_eq!(ask(first.clone()).await.expect("made"), first);
    assert_eq!(ask(InstanceId::from_parts(2, 2)).await.expect("kept"), first);
}

#[tokio::test]
async fn nothing_of_the_content_is_readable_in_the_files() {
    let world = World::new();
    let frame = world.frame("blog").await;
    let session = world.conversation(&frame, "a-planted-marker-title").await;
    world.message(&session, "a-planted-marker-text", None).await;
    let mut looked = 0;
    for entry in std::fs::read_dir(world.folder.path()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).expect("readable");
        looked += 1;
        let found = bytes.windows(16).any(|window| window == b"a-planted-marker");
        assert!(!found, "{} shows what is in it", path.display());
        assert!(!bytes.starts_with(b"SQLite format 3"), "{} is not encrypted", path.display());
    }
    assert!(looked >= 2, "the database and its log");
}

// --- the file --------------------------------------------------------------------------------

/// Names and contents of everything in a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .map(|entry| {
            let bytes = fs::read(entry.path()).expect("readable");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

fn refused(folder: &Path, key: &str) -> StoreError {
    Store::open(options(folder, key), Clock::manual(START_MS)).err().expect("refused")
}

#[tokio::test]
async fn a_wrong_key_is_named_and_neither_file_nor_log_is_touched() {
    let world = World::new();
    world.frame("blog").await;
    // As a killed gateway leaves it: with a log that is not written back.
    let left = tempfile::tempdir().expect("a folder");
    for name in ["mimir.db", "mimir.db-wal"] {
        fs::copy(world.folder.path().join(name), left.path().join(name)).expect("copied");
    }
    let before = contents(left.path());
    assert!(before["mimir.db-wal"].len() > 1000, "the log holds something");
    let error = refused(left.path(), OTHER_KEY);
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
    let mut after = contents(left.path());
    after.remove("mimir.db-shm");
    assert_eq!(after, before);

    let store =
        Store::open(options(left.path(), KEY), Clock::manual(START_MS)).expect("the right key opens it");
    let names = store.read(|db| frames::list(db)).await.expect("frames");
    assert_eq!(names.len(), 1, "nothing that was committed is lost");
}

#[test]
fn a_plain_database_is_named_and_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plain = b"SQLite format 3\0".to_vec();
    plain.resize(4096, 0);
    fs::write(folder.path().join("mimir.db"), &plain).expect("written");
    let before = contents(folder.path());
    let error = refused(folder.path(), KEY);
    assert!(matches!(error, StoreError::NotEncrypted { .. }), "{error}");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_file_of_something_else_does_not_open_and_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mimir.db"), "a letter to my aunt".repeat(500)).expect("written");
    let before = contents(folder.path());
    let error = refused(folder.path(), KEY);
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_place_that_cannot_hold_a_database_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = refused(&folder.path().join("missing"), KEY);
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
    fs::create_dir(folder.path().join("mimir.db")).expect("a folder in its place");
    let error = refused(folder.path(), KEY);
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn an_empty_file_is_a_database_that_was_never_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mimir.db"), "").expect("written");
    let store = Store::open(options(folder.path(), KEY), Clock::manual(START_MS)).expect("opens");
    assert!(store.schema().await.expect("a schema") > 0);
}

#[test]
fn the_database_is_for_its_owner_alone() {
    let world = World::new();
    for (name, mode) in [("mimir.db", 0o600), ("mimir.db-wal", 0o600)] {
        let found = fs::metadata(world.folder.path().join(name)).expect(name).permissions().mode();
        assert_eq!(found & 0o777, mode, "{name}");
    }
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_process_is_killed() {
    let world = World::new();
    let id = world.frame("blog").await.id;
    let key = id.clone();
    let moved =
        world.store.write_soon(move |tx| frames::apply(tx, &key, FrameEvent::StartRequested, None)).await;
    assert_eq!(moved.map_err(|error: StoreError| error.to_string()), Ok(FrameState::Starting));
    // What the disk holds at this moment is what a killed gateway leaves.
    let left = tempfile::tempdir().expect("a folder");
    for name in ["mimir.db", "mimir.db-wal"] {
        fs::copy(world.folder.path().join(name), left.path().join(name)).expect("copied");
    }
    let store = Store::open(options(left.path(), KEY), Clock::manual(START_MS)).expect("opens");
    let frame = store.read(move |db| frames::get(db, &id)).await.expect("the frame");
    assert_eq!(frame.state, FrameState::Starting);
    store.check(std::time::Duration::from_secs(60)).await.expect("whole");
}

// --- the key ---------------------------------------------------------------------------------

#[derive(Default)]
struct FakeKeyring {
    key: Mutex<Option<String>>,
    broken: bool,
    forgetful: bool,
}

impl Keyring for FakeKeyring {
    fn get(&self) -> Result<Option<Secret>, String> {
        if self.broken {
            return Err("no answer".into());
        }
        Ok(self.key.lock().clone().map(Secret::new))
    }
    fn set(&self, key: &Secret) -> Result<(), String> {
        if !self.forgetful {
            *self.key.lock() = Some(key.reveal().to_owned());
        }
        Ok(())
    }
    fn forget(&self) -> Result<(), String> {
        *self.key.lock() = None;
        Ok(())
    }
}

struct Keys {
    folder: tempfile::TempDir,
    keyring: Option<FakeKeyring>,
    given: Option<&'static str>,
    typed: Option<&'static str>,
}

impl Keys {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), keyring: None, given: None, typed: None }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("mimir.db")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("db.key")
    }

    fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    fn load(&self) -> Result<LoadedKey, KeyError> {
        let prompt = || self.typed.map(Secret::new);
        key::load(&KeyRequest {
            may_make: true,
            given: self.given.map(Secret::new),
            credentials: Some(&self.credentials()),
            database: &self.database(),
            key_file: &self.file(),
            prompt: self.typed.is_some().then_some(&prompt),
            keyring: self.keyring.as_ref().map(|keyring| keyring as &dyn Keyring),
        })
    }

    /// Loads the key and opens the database with it.
    fn open(&self) -> Result<KeySource, String> {
        let loaded = self.load().map_err(|error| error.to_string())?;
        let opened = Store::open(options(self.folder.path(), loaded.key.reveal()), Clock::manual(START_MS));
        opened.map(|_| loaded.source).map_err(|error| error.to_string())
    }
}

#[test]
fn a_new_database_without_a_keyring_gets_a_key_file_for_its_owner_alone() {
    let keys = Keys::new();
    let first = keys.load().expect("a key");
    assert_eq!((first.source, first.is_new, first.key.reveal().len()), (KeySource::File, true, 64));
    assert_eq!(fs::metadata(keys.file()).expect("the file").permissions().mode() & 0o777, 0o600);
    let second = keys.load().expect("the same key");
    assert_eq!((second.key, second.is_new), (first.key, false));
    assert_eq!(contents(keys.folder.path()).len(), 1, "nothing else is left");
    assert_eq!(keys.open(), Ok(KeySource::File));
}

#[test]
fn a_new_database_on_a_desktop_keeps_its_key_in_the_keyring() {
    let keys = Keys { keyring: Some(FakeKeyring::default()), ..Keys::new() };
    assert_eq!(keys.open(), Ok(KeySource::Keyring));
    assert!(!keys.file().exists());
    assert_eq!(keys.open(), Ok(KeySource::Keyring));
}

#[test]
fn a_keyring_that_does_not_answer_or_keeps_nothing_is_passed_over() {
    for keyring in [
        FakeKeyring { broken: true, ..Default::default() },
        FakeKeyring { forgetful: true, ..Default::default() },
        FakeKeyring { key: Mutex::new(Some("not a key".into())), ..Default::default() },
    ] {
        let keys = Keys { keyring: Some(keyring), ..Keys::new() };
        assert_eq!(keys.open(), Ok(KeySource::File));
        assert_eq!(keys.open(), Ok(KeySource::File));
    }
}

#[test]
fn a_credential_of_the_unit_comes_before_keyring_and_file_and_after_what_is_given() {
    let mut keys = Keys { keyring: Some(FakeKeyring::default()), ..Keys::new() };
    fs::create_dir(keys.credentials()).expect("a folder");
    let credential = keys.credentials().join("mimir-db-key");
    fs::write(&credential, format!("{KEY}\n")).expect("written");
    assert_eq!(keys.open(), Ok(KeySource::Credential));
    assert_eq!(keys.load().expect("a key").key.reveal(), KEY);
    assert!(!keys.file().exists() && keys.keyring.as_ref().is_some_and(|it| it.key.lock().is_none()));
    let other: &'static str = KEY.chars().rev().collect::<String>().leak();
    keys.given = Some(other);
    assert_eq!(keys.load().expect("a key").source, KeySource::Given);

    // A passphrase is one with and without the line's end that a tool leaves behind it.
    let keys = Keys::new();
    fs::create_dir(keys.credentials()).expect("a folder");
    let credential = keys.credentials().join("mimir-db-key");
    fs::write(&credential, "correct horse\n").expect("written");
    let first = keys.load().expect("a key");
    assert_eq!(keys.open(), Ok(KeySource::Credential));
    fs::write(&credential, "correct horse").expect("written");
    assert_eq!(keys.load().expect("the same").key, first.key);

    // An empty one is a mistake, and no reason to make another key.
    fs::write(&credential, "\n").expect("written");
    let refused = keys.load().expect_err("refused").to_string();
    assert!(refused.contains("mimir-db-key") && refused.contains("64 hex digits"), "{refused}");
}

#[test]
fn what_is_given_comes_first_and_is_used_as_it_is_when_it_is_a_key() {
    let keys = Keys { given: Some(KEY), ..Keys::new() };
    fs::write(keys.file(), "not even looked at").expect("written");
    assert_eq!(keys.load().expect("a key").key.reveal(), KEY);
    let upper: &'static str = KEY.to_ascii_uppercase().leak();
    let keys = Keys { given: Some(upper), ..Keys::new() };
    assert_eq!(keys.load().expect("a key").key.reveal(), KEY);
}

#[test]
fn a_passphrase_opens_what_it_closed_and_another_one_does_not() {
    let mut keys = Keys { given: Some("correct horse"), ..Keys::new() };
    assert_eq!(keys.open(), Ok(KeySource::Given));
    assert!(!keys.file().exists());
    assert_eq!(keys.open(), Ok(KeySource::Given));
    keys.given = Some("battery staple");
    assert!(keys.open().expect_err("wrong").contains("does not open"));

    // Typed by a person, when nothing is given; and an error at once when nobody is there.
    (keys.given, keys.typed) = (None, Some("correct horse"));
    assert_eq!(keys.open(), Ok(KeySource::Prompt));
    keys.typed = None;
    let error = keys.load().expect_err("nobody is there");
    assert!(matches!(error, KeyError::NoKey { .. }), "{error}");
    assert!(!keys.file().exists(), "no new key for a database that has one");
}

#[test]
fn a_person_is_asked_last_when_no_passphrase_was_ever_used() {
    let mut keys = Keys { given: Some(KEY), ..Keys::new() };
    keys.open().expect("made");
    (keys.given, keys.typed) = (None, Some(KEY));
    assert_eq!(keys.open(), Ok(KeySource::Prompt));
    keys.typed = Some("");
    assert!(matches!(keys.load(), Err(KeyError::NoKey { .. })));
    keys.keyring = Some(FakeKeyring { broken: true, ..Default::default() });
    let error = keys.load().expect_err("no key").to_string();
    assert!(error.contains("the keyring cannot be asked (no answer)"), "{error}");
}

#[test]
fn a_key_file_that_others_can_read_or_that_holds_something_else_is_refused() {
    let keys = Keys::new();
    fs::write(keys.file(), KEY).expect("written");
    fs::set_permissions(keys.file(), fs::Permissions::from_mode(0o640)).expect("opened");
    let error = keys.load().expect_err("unsafe");
    assert!(matches!(&error, KeyError::UnsafeFile { why, .. } if why.contains("640")), "{error}");
    fs::set_permissions(keys.file(), fs::Permissions::from_mode(0o600)).expect("closed");
    assert_eq!(keys.load().expect("a key").key.reveal(), KEY);
    for wrong in ["", "short", &KEY[1..]] {
        fs::write(keys.file(), wrong).expect("written");
        assert!(matches!(keys.load(), Err(KeyError::Invalid { .. })), "{wrong:?}");
    }
    fs::remove_file(keys.file()).expect("removed");
    fs::create_dir(keys.file()).expect("a folder in its place");
    assert!(matches!(keys.load(), Err(KeyError::UnsafeFile { .. })));
}

#[test]
fn a_damaged_salt_is_named_and_not_replaced() {
    let keys = Keys { given: Some("correct horse"), ..Keys::new() };
    keys.open().expect("made");
    let salt = key::salt_file(&keys.database());
    let kept = fs::read(&salt).expect("the salt");
    fs::write(&salt, "zz").expect("damaged");
    assert!(matches!(keys.load(), Err(KeyError::Invalid { .. })));
    fs::remove_file(&salt).expect("lost");
    assert!(keys.open().is_err());
    assert!(!salt.exists(), "a new salt would only hide the loss");
    fs::write(&salt, kept).expect("restored");
    assert_eq!(keys.open(), Ok(KeySource::Given));
}

#[tokio::test]
async fn the_salt_travels_with_the_copies() {
    let keys = Keys { given: Some("correct horse"), ..Keys::new() };
    let loaded = keys.load().expect("a key");
    let store = Store::open(options(keys.folder.path(), loaded.key.reveal()), Clock::manual(START_MS));
    let copy = store.expect("opens").back_up(START_MS).await.expect("a copy");
    let beside = copy.with_file_name("db.salt");
    assert_eq!(
        fs::read(beside).expect("the salt"),
        fs::read(key::salt_file(&keys.database())).expect("the salt")
    );
}

//! Hosts that are on no list: people are asked while the connection waits, within bounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mimir::approvals::{AnswerError, Replied};
use mimir::broker::{Dialer, Limits};
use mimir::model::approval::{AgentRequest, ApprovalRequest, ApprovalState, AskBody, Decision, RequestForm};
use mimir::model::event::EventKind;
use mimir::model::frame::Frame;
use mimir::model::network::NetworkMode;
use mimir::model::principal::Principal;
use mimir::store::{approvals, audit, events, frames};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::support::{LIMIT, World, eventually, frame};

const OWNER: Principal = Principal::Owner { uid: 0 };
const NO: Decision = Decision::Reject { why: None };
/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(300);

/// A host that answers every request, and says how often it was asked.
async fn host() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = vec![0; 4096];
            let length = stream.read(&mut heard).await.unwrap_or(0);
            let first =
                String::from_utf8_lossy(&heard[..length]).lines().next().unwrap_or_default().to_owned();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{first}",
                first.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, server)
}

/// A world with that host behind `names`, at port 80, and a frame that may reach none of them.
async fn world_with(names: &[&str]) -> (Arc<World>, Frame, JoinSet<()>) {
    let (address, server) = host().await;
    let dialer = names.iter().fold(Dialer::default(), |dialer, name| dialer.pin(name, 80, address));
    let world = World::new(Vec::new(), dialer);
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.insert(&frame).await;
    world.open(&frame);
    (Arc::new(world), frame, server)
}

fn get(host: &str) -> String {
    format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\nUser-Agent: npm/10.2.4 node\r\n\r\n")
}

/// A request that goes on beside the test.
struct Asking(JoinSet<String>);

impl Asking {
    fn waits(&mut self) -> bool {
        self.0.try_join_next().is_none()
    }

    async fn answer(mut self) -> String {
        let answer = tokio::time::timeout(LIMIT, self.0.join_next()).await;
        answer.expect("it does not wait any more").expect("a request").expect("an answer")
    }
}

fn asking(world: &Arc<World>, frame: &Frame, host: &str) -> Asking {
    let (world, frame, request) = (world.clone(), frame.clone(), get(host));
    let mut asks = JoinSet::new();
    asks.spawn(async move { world.ask(&frame, request.as_bytes()).await });
    Asking(asks)
}

async fn row(world: &World, prompt: &ApprovalRequest) -> ApprovalRequest {
    let id = prompt.id.clone();
    world.store.read(move |db| approvals::get(db, &id)).await.expect("a row")
}

async fn list_of(world: &World, frame: &Frame) -> Vec<String> {
    let id = frame.id.clone();
    world.store.read(move |db| frames::get(db, &id)).await.expect("a row").allow
}

#[tokio::test]
async fn a_connection_waits_for_the_answer_and_once_is_that_connection() {
    let (world, frame, _server) = world_with(&["registry.example.org"]).await;
    let people = world.asking(LONG);
    let mut waits = asking(&world, &frame, "registry.example.org");
    let prompt = world.question().await;
    assert_eq!(prompt.ask.form(), RequestForm::Connection);
    assert_eq!(prompt.ask.line(), "npm wants registry.example.org");
    assert!(prompt.deadline_at.is_some(), "it waits so long and no longer");
    assert!(waits.waits(), "the connection waits");

    let after = people.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    assert_eq!((after.state, after.decided_by.as_deref()), (ApprovalState::Allowed, Some("owner:0")));
    let answer = waits.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("GET /x HTTP/1.1"), "{answer}");
    assert!(list_of(&world, &frame).await.is_empty(), "nothing is on the list");

    // The next connection asks anew.
    let again = asking(&world, &frame, "registry.example.org");
    let second = world.question().await;
    assert_ne!(second.id, prompt.id);
    people.answer(&OWNER, &second.id, NO).await.expect("taken");
    assert!(again.answer().await.contains("403"), "no is no");
    let audited = world.store.read(|db| audit::list(db, None, 100)).await.expect("rows");
    assert_eq!(audited.iter().filter(|entry| entry.action == "approval.answer").count(), 2, "{audited:?}");
}

#[tokio::test]
async fn always_puts_the_host_on_the_list_and_whoever_waits_for_it_passes() {
    let names = ["registry.example.org", "Registry.Example.ORG."];
    let (world, frame, _server) = world_with(&names).await;
    let people = world.asking(LONG);
    let waiting = names.map(|name| asking(&world, &frame, name));
    let prompt = world.question().await;
    people.answer(&OWNER, &prompt.id, Decision::Always).await.expect("taken");
    for waits in waiting {
        let answer = waits.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(list_of(&world, &frame).await, ["registry.example.org"]);
    assert!(asking(&world, &frame, "registry.example.org").answer().await.contains("200 OK"), "unasked");
    let open = world.store.read(|db| approvals::open(db, None)).await.expect("rows");
    assert!(open.is_empty(), "{open:?}");
    let audited = world.store.read(|db| audit::list(db, None, 100)).await.expect("rows");
    assert!(audited.iter().any(|entry| entry.action == "frame.allow"), "{audited:?}");
}

#[tokio::test]
async fn no_is_remembered_so_that_a_frame_does_not_nag() {
    let (world, frame, _server) = world_with(&["registry.example.org"]).await;
    let people = world.asking(LONG);
    let waits = asking(&world, &frame, "registry.example.org");
    let prompt = world.question().await;
    let no = Decision::Reject { why: Some("use the mirror".to_owned()) };
    people.answer(&OWNER, &prompt.id, no).await.expect("taken");
    let refused = waits.answer().await;
    assert!(refused.contains("somebody said no: use the mirror;"), "{refused}");
    assert!(!refused.contains("owner"), "a frame does not hear who: {refused}");
    assert!(refused.contains("mimir frame allow frame-1 registry.example.org"), "what to do: {refused}");
    for _ in 0..3 {
        assert!(asking(&world, &frame, "registry.example.org").answer().await.contains("somebody said no"));
    }
    let all = world.store.read(|db| approvals::list(db, None, 100)).await.expect("rows");
    assert_eq!(all.len(), 1, "asked once: {all:?}");
}

#[tokio::test]
async fn what_nobody_answers_is_refused_after_the_wait_and_expires() {
    let (world, frame, _server) = world_with(&["registry.example.org"]).await;
    let people = world.asking(Duration::from_millis(300));
    let began = Instant::now();
    let refused = asking(&world, &frame, "registry.example.org").answer().await;
    assert!(refused.contains("403") && refused.contains("nobody answered in time"), "{refused}");
    assert!(began.elapsed() >= Duration::from_millis(300), "it waited {:?}", began.elapsed());
    let all = world.store.read(|db| approvals::list(db, None, 100)).await.expect("rows");
    let [prompt] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((prompt.state, prompt.decided_by.as_deref()), (ApprovalState::Expired, Some("deadline")));
    let late = people.answer(&OWNER, &prompt.id, Decision::Always).await;
    assert!(matches!(late, Err(AnswerError::TooLate { .. })), "{late:?}");
    assert!(list_of(&world, &frame).await.is_empty());
    let told =
        world.store.read(|db| events::after(db, 0, &events::Filter::default(), 100)).await.expect("events");
    let kinds: Vec<&str> = told.iter().map(|event| event.what.kind()).collect();
    let asked = kinds.iter().position(|kind| *kind == "prompt.asked").expect("told of");
    assert!(kinds[asked..].contains(&"prompt.answered"), "{kinds:?}");
}

#[tokio::test]
async fn at_zero_nobody_is_asked_and_what_is_denied_or_sealed_never_is() {
    let (world, frame, _server) = world_with(&["registry.example.org"]).await;
    let _people = world.asking(Duration::ZERO);
    let refused = asking(&world, &frame, "registry.example.org").answer().await;
    assert!(refused.contains("it is not on the list"), "{refused}");
    world.limits.set(Limits { ask_wait: LONG, ..Limits::default() });
    let denied = Frame { deny: vec!["registry.example.org".to_owned()], ..frame.clone() };
    world.open(&denied);
    assert!(asking(&world, &denied, "registry.example.org").answer().await.contains("it was denied"));
    let sealed = Frame { network: NetworkMode::Sealed, ..frame };
    world.open(&sealed);
    assert!(asking(&world, &sealed, "registry.example.org").answer().await.contains("the frame is sealed"));
    // Names and addresses that no list can let through.
    let plain = Frame { network: NetworkMode::Allow, ..sealed };
    world.open(&plain);
    for host in ["npm", "localhost", "127.0.0.1", "169.254.169.254"] {
        assert!(asking(&world, &plain, host).answer().await.contains("it is not on the list"), "{host}");
    }
    let all = world.store.read(|db| approvals::list(db, None, 100)).await.expect("rows");
    assert!(all.is_empty(), "{all:?}");
}

#[tokio::test]
async fn a_flood_of_hosts_asks_about_a_few_and_is_refused_otherwise() {
    let (world, frame, _server) = world_with(&[]).await;
    let _people = world.asking(LONG);
    let mut flood: JoinSet<String> = JoinSet::new();
    for n in 0..60 {
        let (world, frame) = (world.clone(), frame.clone());
        flood.spawn(async move { world.ask(&frame, get(&format!("h{n}.example.org")).as_bytes()).await });
    }
    for _ in 0..57 {
        let refused = tokio::time::timeout(LIMIT, flood.join_next()).await.expect("at once").expect("one");
        let refused = refused.expect("an answer");
        assert!(refused.contains("403") && refused.contains("being asked about"), "{refused}");
    }
    // Whose rows may still be on their way.
    eventually("three questions", || async {
        let open = world.store.read(|db| approvals::open(db, None)).await.expect("rows");
        if open.len() == 3 { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    flood.abort_all();
}

#[tokio::test]
async fn an_agent_has_no_say_in_it() {
    let (world, frame, _server) = world_with(&["registry.example.org"]).await;
    let people = world.asking(LONG);
    let mut waits = asking(&world, &frame, "registry.example.org");
    let prompt = world.question().await;
    // It says that it was answered, that it never asked, that it asks it itself, and begins anew.
    people.replied(&frame.id, &prompt.ask.id, Replied::Permission("always".to_owned())).await.expect("heard");
    people.listed(&frame.id, &[]).await.expect("heard");
    let mine = AgentRequest {
        body: AskBody::Permission {
            tool: "bash".to_owned(),
            patterns: Vec::new(),
            always: Vec::new(),
            metadata: serde_json::Value::Null,
        },
        ..prompt.ask.clone()
    };
    people.asked(&frame.id, None, &mine).await.expect("heard");
    people.listed(&frame.id, &[mine]).await.expect("heard");
    people.agent_restarted(&frame.id).await.expect("heard");
    assert_eq!(row(&world, &prompt).await, prompt, "nothing of it counts");
    assert!(waits.waits());
    people.answer(&OWNER, &prompt.id, NO).await.expect("taken");
    assert!(waits.answer().await.contains("somebody said no"));
}

#[tokio::test]
async fn whoever_allows_the_host_by_hand_lets_the_connection_go_on() {
    let (world, frame, _server) = world_with(&["registry.example.org"]).await;
    let _people = world.asking(LONG);
    let waits = asking(&world, &frame, "registry.example.org");
    world.question().await;
    let other = Frame { allow: vec!["elsewhere.example.org".to_owned()], ..frame.clone() };
    world.open(&other);
    world.open(&Frame { allow: vec!["registry.example.org".to_owned()], ..frame });
    assert!(waits.answer().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_question_of_a_gateway_that_died_expires_by_its_deadline() {
    let (world, frame, _server) = world_with(&[]).await;
    let people = world.asking(Duration::from_millis(200));
    let waits = asking(&world, &frame, "registry.example.org");
    let prompt = world.question().await;
    // Whoever waited is gone with it; the row and its timer are not.
    world.tasks.stop_token().cancel();
    drop(waits);
    eventually("its deadline", || async {
        people.deadline_passed(prompt.id.as_str()).await.map_err(|error| error.to_string())?;
        let now = row(&world, &prompt).await;
        if now.state == ApprovalState::Expired { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

#[tokio::test]
async fn plain_http_is_held_to_the_methods_and_paths_of_its_entry() {
    let (address, _server) = host().await;
    let world = World::new(Vec::new(), Dialer::default().pin("mirror.example.org", 80, address));
    let frame = frame(1, NetworkMode::Allow, &["GET+HEAD mirror.example.org/debian/*"]);
    world.insert(&frame).await;
    world.open(&frame);
    let people = world.asking(LONG);
    let ask = |line: &str| {
        let request =
            format!("{line} HTTP/1.1\r\nHost: mirror.example.org\r\nX-HTTP-Method-Override: DELETE\r\n\r\n");
        let (world, frame) = (&world, &frame);
        async move { world.ask(frame, request.as_bytes()).await }
    };
    let fine = ask("GET http://mirror.example.org/debian/dists?a=../b").await;
    assert!(fine.ends_with("GET /debian/dists?a=../b HTTP/1.1"), "{fine}");
    for line in [
        "POST http://mirror.example.org/debian/dists",
        "GET http://mirror.example.org/",
        "GET http://mirror.example.org/debian/../secret",
        "GET http://mirror.example.org/debian/%2e%2e/secret",
        "GET http://mirror.example.org/debian/..%2fsecret",
    ] {
        let refused = ask(line).await;
        assert!(
            refused.contains("403") && refused.contains("what is listed there is not"),
            "{line}: {refused}"
        );
    }
    let tunnel = world.ask(&frame, b"CONNECT mirror.example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(tunnel.contains("which a tunnel would hide"), "{tunnel}");
    // A second request in the same breath is none: neither one more line nor one in the body of the first.
    for smuggled in [
        "GET http://mirror.example.org/debian/a HTTP/1.1\r\nHost: x\r\n\r\nDELETE http://mirror.example.org/b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://mirror.example.org/debian/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /b HTTP/1.1\r\n\r\n",
        "GET http://mirror.example.org/debian/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 40\r\n\r\nabcDELETE /b HTTP/1.1\r\n\r\n",
    ] {
        let answer = world.ask(&frame, smuggled.as_bytes()).await;
        assert!(answer.matches("HTTP/1.1 ").count() <= 2, "one answer at most: {answer}");
        assert!(!answer.contains("DELETE /b"), "{answer}");
    }
    let counted = world.traffic(&frame, "mirror.example.org", |it| it.refused_count == 6).await;
    assert!(counted.request_count >= 1 && counted.request_count == counted.allowed_count, "{counted:?}");
    let all = world.store.read(|db| approvals::list(db, None, 100)).await.expect("rows");
    assert!(all.is_empty(), "what is listed in part is not asked about: {all:?}");
    drop(people);
}

#[tokio::test]
async fn connections_to_a_host_have_a_limit_a_day_over_restarts() {
    let (address, _server) = host().await;
    let world = World::new(Vec::new(), Dialer::default().pin("mirror.example.org", 80, address));
    let frame = frame(1, NetworkMode::Allow, &["mirror.example.org"]);
    world.insert(&frame).await;
    world.open(&frame);
    world.limits.set(Limits { connections: Some(3), ..Limits::default() });
    for _ in 0..3 {
        assert!(world.ask(&frame, get("mirror.example.org").as_bytes()).await.contains("200 OK"));
    }
    let refused = world.ask(&frame, get("mirror.example.org").as_bytes()).await;
    assert!(refused.contains("403") && refused.contains("frames.connection_limit"), "{refused}");
    let counted = world.traffic(&frame, "mirror.example.org", |it| it.refused_count == 1).await;
    assert_eq!((counted.allowed_count, counted.request_count, counted.connected_today_count), (3, 3, 3));
    let told =
        world.store.read(|db| events::after(db, 0, &events::Filter::default(), 100)).await.expect("events");
    let is_told = |why: &str| why.contains("frames.connection_limit");
    assert!(
        told.iter()
            .any(|event| matches!(&event.what, EventKind::ConnectionRefused { why, .. } if is_told(why)))
    );

    let next = world.next_life(Vec::new()).await;
    next.open(&frame);
    next.limits.set(Limits { connections: Some(3), ..Limits::default() });
    let refused = next.ask(&frame, get("mirror.example.org").as_bytes()).await;
    assert!(refused.contains("frames.connection_limit"), "it is known to the next gateway: {refused}");
}

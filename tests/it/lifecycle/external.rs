//! Frames that stand for a server which runs elsewhere: what is connected, what is refused, and that nothing is done there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use mimir::frames::{FrameError, NewServer};
use mimir::model::frame::{Desired, EngineKind, FrameState};
use mimir::model::names::FrameName;
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use mimir::runtime::external::Server;
use mimir::runtime::fake::Op;
use mimir::runtime::{ExecSpec, LogRequest};
use mimir::store::external_servers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::world::World;

const OWNER: Principal = Principal::Owner { uid: 1000 };

/// What listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// opencode with the password `right`.
    Guarded,
    /// opencode that asks for none.
    Open,
    /// An ordinary web server.
    Web,
    /// A proxy that sends everybody elsewhere.
    Redirects,
    /// It takes connections and says nothing.
    Silent,
    /// A release that is not worked with.
    Version2,
    /// It does not speak HTTP.
    Noise,
}

/// A server at an address that stays. It is gone with this value.
struct Elsewhere {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Elsewhere {
    async fn start(kind: Kind) -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), kind).await
    }

    async fn at(address: SocketAddr, kind: Kind) -> Self {
        let bound = async {
            // Whoever had the port before may still be on its way out.
            loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let listener = tokio::time::timeout(Duration::from_secs(5), bound).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, mut task) = (requests.clone(), JoinSet::new());
        task.spawn(async move {
            let mut kept = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or(0);
                count.fetch_add(1, Ordering::Relaxed);
                match answer(kind, &String::from_utf8_lossy(&request[..length])) {
                    Some(text) => drop(stream.write_all(text.as_bytes()).await),
                    None => kept.push(stream),
                }
            }
        });
        Self { address, requests, _task: task }
    }
}

fn answer(kind: Kind, request: &str) -> Option<String> {
    let right = base64::engine::general_purpose::STANDARD.encode("opencode:right");
    let version = if kind == Kind::Version2 { "2.0.1" } else { "1.18.33" };
    let health = format!(r#"{{"healthy":true,"version":"{version}"}}"#);
    let (status, body) = match kind {
        Kind::Silent => return None,
        Kind::Noise => return Some("220 mail.example.org ESMTP\r\n".to_owned()),
        Kind::Web => ("404 Not Found", "<html>no such page</html>".to_owned()),
        Kind::Redirects => ("302 Found", String::new()),
        Kind::Guarded | Kind::Version2 if !request.contains(&right) => ("401 Unauthorized", "{}".to_owned()),
        Kind::Guarded | Kind::Version2 | Kind::Open => ("200 OK", health),
    };
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nlocation: /login\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    ))
}

fn server(name: &str, url: &str, password: Option<&str>) -> NewServer {
    NewServer {
        name: FrameName::parse(name).expect("a name"),
        server: Server::parse(url, password.map(Secret::new)).expect("an address"),
        workspace: None,
    }
}

async fn connect(world: &World, name: &str, at: &Elsewhere) -> mimir::model::frame::Frame {
    let url = format!("http://{}", at.address);
    let frame = world.frames.connect(&OWNER, server(name, &url, Some("right"))).await.expect("connected");
    world.eventually(&frame.id, FrameState::Running).await;
    frame
}

#[tokio::test]
async fn what_is_no_agent_of_ours_is_refused_with_a_sentence_and_not_kept() {
    let world = World::new().await;
    let closed = Elsewhere::start(Kind::Open).await.address;
    let cases = [
        (Kind::Guarded, Some("wrong"), "it refuses the password"),
        (Kind::Guarded, None, "it asks for a password"),
        (Kind::Open, Some("right"), "it answers without its password"),
        (Kind::Web, None, "it is not an opencode server"),
        (Kind::Redirects, None, "it sends us elsewhere (302)"),
        (Kind::Silent, None, "does not answer within 5 s"),
        (Kind::Version2, Some("right"), "it is opencode 2.0.1"),
        (Kind::Noise, None, "is it http:// or https://?"),
    ];
    for (kind, password, expected) in cases {
        let at = Elsewhere::start(kind).await;
        let url = format!("http://{}", at.address);
        let refused = world.frames.connect(&OWNER, server("far", &url, password)).await;
        let refusal = refused.expect_err(expected).to_string();
        assert!(refusal.contains(expected), "{kind:?}: {refusal}");
        assert!(!refusal.contains("wrong") && !refusal.contains("right"), "{refusal}");
    }
    let refused = world.frames.connect(&OWNER, server("far", &format!("http://{closed}"), None)).await;
    let refusal = refused.expect_err("nobody is there").to_string();
    assert!(refusal.contains("it cannot be reached: "), "{refusal}");
    world.check_nothing_left().await;
}

#[tokio::test]
async fn a_connected_server_is_a_frame_until_it_is_disconnected_and_is_left_alone() {
    let world = World::new().await;
    let at = Elsewhere::start(Kind::Guarded).await;
    let frame = connect(&world, "far", &at).await;
    assert_eq!((frame.engine, frame.desired), (EngineKind::External, Desired::Running));
    let agent = world.frames.agent(&frame).await.expect("a client");
    agent.health(Duration::from_secs(2)).await.expect("answers with its own password");

    let taken =
        world.frames.connect(&OWNER, server("far", &format!("http://{}", at.address), Some("right"))).await;
    assert!(matches!(taken, Err(FrameError::NameTaken(_))), "{taken:?}");

    // Nothing that belongs to containers is tried on it.
    let running = world.row(&frame.id).await.expect("there");
    for desired in [Desired::Running, Desired::Stopped, Desired::Paused] {
        let refused = world.ask("far", desired).await;
        assert!(matches!(refused, Err(FrameError::External { .. })), "{desired:?}: {refused:?}");
    }
    let refused = world.frames.destroy(&OWNER, &frame.name).await;
    assert!(matches!(refused, Err(FrameError::External { action: "destroyed", .. })), "{refused:?}");
    let refused = world.frames.restart(&OWNER, &frame.name).await;
    assert!(matches!(refused, Err(FrameError::External { .. })), "{refused:?}");
    let refused = world.frames.exec(&running, ExecSpec::new(["true"])).await;
    assert!(matches!(refused, Err(FrameError::External { .. })), "{refused:?}");
    assert!(matches!(world.frames.stats(&running).await, Err(FrameError::External { .. })));
    assert!(matches!(
        world.frames.logs(&running, LogRequest::default()).await.map(drop),
        Err(FrameError::External { .. })
    ));
    let idle = world.frames.stop_when_idle(&frame.id, u64::MAX, "nothing to do").await.expect("asked");
    assert!(!idle, "it is not stopped for having nothing to do");
    assert_eq!(world.frames.gc(false).await.expect("cleans"), []);
    for op in [Op::Create, Op::Start, Op::Stop, Op::Remove, Op::Exec] {
        assert_eq!(world.engine.calls(op), 0, "{op:?}");
    }

    world.frames.disconnect(&OWNER, &frame.name).await.expect("asked");
    world.eventually(&frame.id, None).await;
    world.until("it is forgotten", || async { !world.frames.is_external(&frame.id) }, &frame.id).await;
    let rows = world.store.read(|db| external_servers::list(db)).await.expect("reads");
    assert_eq!(rows, [], "its password went with it");
    world.check_nothing_left().await;

    let here = world.create("here").await;
    let refused = world.frames.disconnect(&OWNER, &here.name).await;
    assert!(matches!(refused, Err(FrameError::NotConnected(_))), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_goes_away_is_said_so_and_taken_up_again_when_it_is_back() {
    let world = World::new().await;
    let at = Elsewhere::start(Kind::Guarded).await;
    let frame = connect(&world, "far", &at).await;
    let address = at.address;
    drop(at);
    world.eventually(&frame.id, FrameState::Stopped).await;
    let away = world.row(&frame.id).await.expect("there");
    assert_eq!(away.desired, Desired::Running, "nobody asked it to stop");
    let reason = away.reason.expect("a reason");
    assert!(reason.contains("its server does not answer: it cannot be reached"), "{reason}");
    let waited = world.frames.wake(&frame.id, Duration::from_millis(300)).await;
    let told = waited.expect_err("it is away").to_string();
    assert!(told.contains("does not answer"), "{told}");

    // Somebody else's server in its place is not spoken to.
    let other = Elsewhere::at(address, Kind::Web).await;
    let asked = other.requests.clone();
    world.until("it was asked", || async { asked.load(Ordering::Relaxed) > 1 }, &frame.id).await;
    assert_eq!(world.row(&frame.id).await.expect("there").state, FrameState::Stopped);
    drop(other);

    let _back = Elsewhere::at(address, Kind::Guarded).await;
    world.eventually(&frame.id, FrameState::Running).await;
    assert_eq!(world.row(&frame.id).await.expect("there").reason, None);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a caller that dies with its gateway; the test ends it")]
async fn a_gateway_that_dies_while_connecting_leaves_all_of_it_or_nothing() {
    for (point, is_there) in [("connect.before_row", false), ("connect.after_row", true)] {
        let mut world = World::new().await;
        let at = Elsewhere::start(Kind::Guarded).await;
        let url = format!("http://{}", at.address);
        world.failpoints.arm(point, 1);
        let frames = world.frames.clone();
        let connecting =
            tokio::spawn(async move { frames.connect(&OWNER, server("far", &url, Some("right"))).await });
        assert_eq!(world.failpoints.died().await, point);
        world.restart_gateway().await;
        connecting.abort();
        let rows = world.frames.list().await.expect("lists");
        assert_eq!(rows.len(), usize::from(is_there), "{point}");
        if let Some(frame) = rows.first() {
            world.eventually(&frame.id, FrameState::Running).await;
        }
    }
}

#[tokio::test]
async fn the_real_opencode_can_be_connected() {
    let test = "lifecycle::external::the_real_opencode_can_be_connected";
    let Some(release) = crate::versions::release::Release::find(test, mimir::opencode::VERSION).await else {
        return;
    };
    let port = release.start();
    release.meet().await.expect("healthy");
    let world = World::new().await;
    let url = format!("http://mimir@127.0.0.1:{port}");
    let refused = world.frames.connect(&OWNER, server("real", &url, Some("wrong"))).await;
    assert!(refused.expect_err("refused").to_string().contains("it refuses the password"));
    let new = server("real", &url, Some(crate::versions::release::PASSWORD));
    let frame = world.frames.connect(&OWNER, new).await.expect("connected");
    world.eventually(&frame.id, FrameState::Running).await;
    let session = world.frames.agent(&frame).await.expect("a client");
    session.create_session("hello", &serde_json::json!({})).await.expect("a session");
    release.kill();
    world.eventually(&frame.id, FrameState::Stopped).await;
}

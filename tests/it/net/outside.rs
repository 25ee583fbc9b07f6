//! Other hosts: the allow-list.

use std::net::SocketAddr;

use mimir::broker::Dialer;
use mimir::model::event::EventKind;
use mimir::model::network::NetworkMode;
use mimir::store::events::{self, Filter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::support::{LIMIT, World, eventually, frame};

/// A host of the outside that writes down the first thing it hears and says `answer`.
async fn host(answer: &'static str) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, told) = tokio::sync::mpsc::channel(16);
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = vec![0; 4096];
            let length = stream.read(&mut heard).await.unwrap_or(0);
            let _ = tell.send(String::from_utf8_lossy(&heard[..length]).into_owned()).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, told, server)
}

async fn refusals(world: &World, count: usize) -> Vec<(String, u16, String)> {
    eventually("refusals", || async {
        let found = world.store.read(|db| events::after(db, 0, &Filter::default(), 100)).await;
        let all: Vec<_> = found
            .map_err(|error| error.to_string())?
            .into_iter()
            .filter_map(|event| match event.what {
                EventKind::ConnectionRefused { host, port, why } => Some((host, port, why)),
                _ => None,
            })
            .collect();
        if all.len() == count { Ok(all) } else { Err(format!("{all:?}")) }
    })
    .await
}

#[tokio::test]
async fn a_tunnel_leads_to_a_listed_host_and_to_no_other() {
    let (address, mut heard, _server) = host("pong").await;
    let world = World::new(Vec::new(), Dialer::default().pin("github.com", 443, address));
    let frame = frame(1, NetworkMode::Allow, &["github"]);
    world.open(&frame);

    let mut stream = world.connect(&frame).await;
    let connect = b"CONNECT github.com:443 HTTP/1.1\r\nHost: github.com:443\r\n\r\n";
    stream.write_all(connect).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(LIMIT, stream.read_u8()).await.expect("in time").expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    stream.write_all(b"ping").await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("in time").expect("an end");
    assert_eq!((heard.recv().await.as_deref(), &answer[..]), (Some("ping"), &b"pong"[..]));

    for (target, word) in [
        ("example.com:443", "--allow example.com"),
        ("github.com:22", "not on the list"),
        ("github.com.evil.test:443", "not on the list"),
        ("127.0.0.1:443", "not on the list"),
    ] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let answer = world.ask(&frame, request.as_bytes()).await;
        assert!(answer.contains("403 Forbidden") && answer.contains(word), "{target}: {answer}");
    }
    assert_eq!(refusals(&world, 4).await[0].0, "example.com");
}

#[tokio::test]
async fn a_sealed_frame_reaches_no_host_at_all() {
    let (address, _heard, _server) = host("pong").await;
    let world = World::new(Vec::new(), Dialer::default().pin("github.com", 443, address));
    let frame = frame(1, NetworkMode::Sealed, &["github"]);
    world.open(&frame);
    for _ in 0..3 {
        let answer = world.ask(&frame, b"CONNECT github.com:443 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.contains("403") && answer.contains("the frame is sealed"), "{answer}");
    }
    // Told once, however often the frame tries.
    let told = refusals(&world, 1).await;
    assert_eq!(told[0], ("github.com".to_owned(), 443, "the frame is sealed".to_owned()));
}

#[tokio::test]
async fn a_listed_name_at_a_private_address_is_refused() {
    let world = World::new(Vec::new(), Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &["127.0.0.1", "169.254.169.254"]);
    world.open(&frame);
    for target in ["127.0.0.1:443", "169.254.169.254:80"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let answer = world.ask(&frame, request.as_bytes()).await;
        assert!(answer.contains("403") && answer.contains("private address"), "{target}: {answer}");
    }
}

#[tokio::test]
async fn plain_http_goes_to_the_host_that_was_checked_without_the_proxys_headers() {
    let (address, mut heard, _server) =
        host("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-secret\r\nX-Secret: 1\r\n\r\nok").await;
    let world = World::new(Vec::new(), Dialer::default().pin("plain.example.org", 80, address));
    let frame = frame(1, NetworkMode::Allow, &["plain.example.org"]);
    world.open(&frame);
    let request = b"GET http://plain.example.org/debian/dists?x=1 HTTP/1.1\r\nHost: evil.test\r\n\
        Proxy-Authorization: Basic eA==\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Keep: 1\r\n\r\n";
    let answer = world.ask(&frame, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"), "{answer}");
    assert!(!answer.to_lowercase().contains("x-secret"), "{answer}");

    let heard = heard.recv().await.expect("a request").to_lowercase();
    assert!(heard.starts_with("get /debian/dists?x=1 http/1.1"), "{heard}");
    assert!(heard.contains("host: plain.example.org\r\n") && heard.contains("x-keep: 1"), "{heard}");
    for hidden in ["evil.test", "proxy-authorization", "x-hop"] {
        assert!(!heard.contains(hidden), "{hidden} in {heard}");
    }

    let other =
        world.ask(&frame, b"GET http://example.com/ HTTP/1.1\r\nHost: plain.example.org\r\n\r\n").await;
    assert!(other.contains("403"), "what counts is the address, not the header: {other}");
}

#[tokio::test]
async fn a_host_that_is_down_is_not_a_refusal() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let world = World::new(Vec::new(), Dialer::default().pin("files.example.org", 443, gone));
    let frame = frame(1, NetworkMode::Allow, &["files.example.org"]);
    world.open(&frame);
    let answer = world
        .ask(&frame, b"CONNECT files.example.org:443 HTTP/1.1\r\nHost: files.example.org:443\r\n\r\n")
        .await;
    assert!(answer.contains("502") && answer.contains("files.example.org cannot be reached"), "{answer}");
}

//! Other hosts: the allow-list.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mimir::broker::{Dialer, Limits};
use mimir::model::event::EventKind;
use mimir::model::network::NetworkMode;
use mimir::store::events::{self, Filter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use mimir::models::Prices;

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

/// How TLS with that host begins; with an address it names none.
fn greeting(host: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("written");
    bytes
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

    let mut stream = world.tunnel(&frame, "github.com:443").await;
    stream.write_all(&greeting("github.com")).await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("in time").expect("an end");
    let heard = heard.recv().await.expect("heard");
    assert!(heard.contains("github.com") && answer == b"pong", "{heard:?} {answer:?}");

    for (target, word) in [
        ("example.com:443", "mimir frame allow frame-1 example.com`"),
        ("github.com:22", "mimir frame allow frame-1 github.com:22`"),
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

/// Larger than every buffer on the way, so it is read, passed on and counted in pieces.
#[tokio::test]
async fn a_large_answer_of_plain_http_comes_whole_and_is_counted() {
    const SIZE: usize = 3 << 20;
    let body: String = (0..SIZE).map(|at| char::from(b'a' + u8::try_from(at % 23).unwrap_or(0))).collect();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let (address, _heard, _server) = host(format!("{head}{body}").leak()).await;
    let world = World::new(Vec::new(), Dialer::default().pin("plain.example.org", 80, address));
    let frame = frame(1, NetworkMode::Allow, &["plain.example.org"]);
    world.insert(&frame).await;
    world.open(&frame);
    let answer = world
        .ask(&frame, b"GET http://plain.example.org/big HTTP/1.1\r\nHost: plain.example.org\r\n\r\n")
        .await;
    let (told, got) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(told.starts_with("HTTP/1.1 200 OK"), "{told}");
    assert!(got == body, "{} of {SIZE} bytes came, and not as they were sent", got.len());
    let all = u64::try_from(head.len() + SIZE).expect("a number");
    let counted = world.traffic(&frame, "plain.example.org", |it| it.received_bytes >= all).await;
    assert_eq!((counted.received_bytes, counted.request_count), (all, 1), "{counted:?}");
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

#[tokio::test]
async fn a_tunnel_for_the_web_carries_tls_with_its_host_and_nothing_else() {
    let (address, mut heard, _server) = host("pong").await;
    let dialer = Dialer::default().pin("example.org", 443, address).pin("192.0.2.7", 443, address);
    let world = World::new(Vec::new(), dialer);
    let frame = frame(1, NetworkMode::Allow, &["example.org", "192.0.2.7"]);
    world.insert(&frame).await;
    world.open(&frame);
    let other = greeting("elsewhere.example.net");
    for (said, word, answer) in [
        (
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            "no TLS",
            &b"mimir: a tunnel to example.org:443 must begin TLS"[..],
        ),
        (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "no TLS", b"mimir: "),
        (&other, "names elsewhere.example.net", &[0x15, 3, 3, 0, 2, 2, 112]),
    ] {
        let mut stream = world.tunnel(&frame, "example.org:443").await;
        stream.write_all(said).await.expect("sent");
        let mut told = Vec::new();
        tokio::time::timeout(LIMIT, stream.read_to_end(&mut told)).await.expect("in time").expect("an end");
        assert!(told.starts_with(answer), "{told:?}");
        world
            .traffic(&frame, "example.org", |it| it.reason.as_ref().is_some_and(|why| why.contains(word)))
            .await;
    }
    let counted = world.traffic(&frame, "example.org", |it| it.refused_count == 3).await;
    assert_eq!((counted.sent_bytes, counted.allowed_count), (0, 3), "nothing was passed on: {counted:?}");
    for _ in 0..3 {
        assert_eq!(heard.recv().await.as_deref(), Some(""), "the host heard something");
    }

    // An address has no name to greet; one byte after the other is fine too.
    let mut stream = world.tunnel(&frame, "192.0.2.7:443").await;
    for byte in greeting("192.0.2.7") {
        stream.write_all(&[byte]).await.expect("sent");
    }
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("in time").expect("an end");
    assert_eq!(answer, b"pong");
}

#[tokio::test]
async fn a_host_with_a_port_of_its_own_is_spoken_to_in_any_way_and_counted() {
    let (address, mut heard, _server) = host("pong").await;
    let world = World::new(Vec::new(), Dialer::default().pin("git.example.org", 22, address));
    let frame = frame(1, NetworkMode::Allow, &["git.example.org:22"]);
    world.insert(&frame).await;
    world.open(&frame);
    let mut stream = world.tunnel(&frame, "git.example.org:22").await;
    stream.write_all(b"SSH-2.0-x\r\n").await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("in time").expect("an end");
    assert_eq!((heard.recv().await.as_deref(), &answer[..]), (Some("SSH-2.0-x\r\n"), &b"pong"[..]));
    let counted = world.traffic(&frame, "git.example.org", |it| it.received_bytes > 0).await;
    assert_eq!((counted.allowed_count, counted.refused_count, counted.port), (1, 0, 22), "{counted:?}");
    assert_eq!(
        (counted.sent_bytes, counted.received_bytes, counted.sent_today_bytes),
        (11, 4, 11),
        "{counted:?}"
    );
}

#[tokio::test]
async fn what_a_frame_sends_to_a_host_has_a_limit_over_all_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    });
    let world = World::new(Vec::new(), Dialer::default().pin("git.example.org", 22, address));
    world.limits.set(Limits { upload: Some(4096), ..Limits::default() });
    let frame = frame(1, NetworkMode::Allow, &["git.example.org:22"]);
    world.insert(&frame).await;
    world.open(&frame);
    let mut stream = world.tunnel(&frame, "git.example.org:22").await;
    let mut sent = 0;
    while sent < 1 << 20 {
        match stream.write(&[b'x'; 1024]).await {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is cut");
    let counted = world.traffic(&frame, "git.example.org", |it| it.refused_count > 0).await;
    assert_eq!(counted.sent_today_bytes, 4096, "{counted:?}");
    let again = world.ask(&frame, b"CONNECT git.example.org:22 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(again.contains("403") && again.contains("4.0 KiB") && again.contains("upload_limit"), "{again}");
    assert!(refusals(&world, 1).await[0].2.contains("frames.upload_limit"));
    world.limits.set(Limits::default());
    drop(world.tunnel(&frame, "git.example.org:22").await);
}

/// What is sent with a request is written in several pieces at once, and counts like any other.
#[tokio::test]
async fn what_is_sent_with_plain_http_has_the_same_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        let _ = tell.send(heard.len()).await;
    });
    let world = World::new(Vec::new(), Dialer::default().pin("plain.example.org", 80, address));
    world.limits.set(Limits { upload: Some(100_000), ..Limits::default() });
    let frame = frame(1, NetworkMode::Allow, &["plain.example.org"]);
    world.insert(&frame).await;
    world.open(&frame);
    let head = format!(
        "POST http://plain.example.org/ HTTP/1.1\r\nHost: plain.example.org\r\nContent-Length: {}\r\n\r\n",
        1 << 20
    );
    let body = vec![b'x'; 1 << 20];
    let answer = world.ask(&frame, &[head.as_bytes(), &body].concat()).await;
    // It is told if the refusal is read before the rest that nobody takes; the host hears what is allowed in any case.
    assert!(!answer.contains("200 OK"), "{answer}");
    let heard = tokio::time::timeout(LIMIT, told.recv()).await.expect("in time").expect("an end");
    assert_eq!(heard, 100_000);
    let counted = world.traffic(&frame, "plain.example.org", |it| it.refused_count > 0).await;
    assert_eq!(counted.sent_today_bytes, 100_000, "{counted:?}");
    assert!(refusals(&world, 1).await[0].2.contains("frames.upload_limit"));
}

#[tokio::test]
async fn a_connection_through_which_nothing_goes_is_closed() {
    let (address, mut heard, _server) = host("pong").await;
    let dialer = Dialer::default().pin("git.example.org", 22, address);
    let prices = Prices::built_in().expect("prices");
    let world = World::with(Vec::new(), dialer, prices, &[], Duration::from_millis(50));
    let frame = frame(1, NetworkMode::Allow, &["git.example.org:22"]);
    world.open(&frame);
    let mut stream = world.tunnel(&frame, "git.example.org:22").await;
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("in time").expect("an end");
    assert!(rest.is_empty(), "nobody said anything");
    assert_eq!(heard.recv().await.as_deref(), Some(""), "the host sees the end");
}

#[tokio::test]
async fn this_machine_is_reached_only_by_an_address_that_is_listed_and_never_by_its_loopback() {
    // The address with which this machine would reach others.
    let own = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Ok(own) = own.map(|own| own.ip()) else { return };
    let world = World::new(Vec::new(), Dialer::default());
    let listener = TcpListener::bind((own, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let target = format!("{own}:{port}");
    let frame = frame(1, NetworkMode::Allow, &["127.0.0.1", &target]);
    world.open(&frame);
    // Listed by its address it is dialled: somebody asked for just that.
    drop(world.tunnel(&frame, &target).await);
    listener.accept().await.expect("somebody knocked");
    for (target, word) in [("127.0.0.1:80", "private address"), ("127.0.0.1:443", "private address")] {
        let answer =
            world.ask(&frame, format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
        assert!(answer.contains("403") && answer.contains(word), "{answer}");
    }
}

#[tokio::test]
async fn other_rules_hold_at_once_and_what_is_open_stays() {
    let (address, _heard, _server) = host("pong").await;
    let world = World::new(Vec::new(), Dialer::default().pin("git.example.org", 22, address));
    let mut frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let connect = b"CONNECT git.example.org:22 HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(world.ask(&frame, connect).await.contains("403"));
    frame.allow = vec!["git.example.org:22".to_owned()];
    world.open(&frame);
    let mut open = world.tunnel(&frame, "git.example.org:22").await;
    frame.allow.clear();
    world.open(&frame);
    assert!(world.ask(&frame, connect).await.contains("403"));
    open.write_all(b"ping").await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, open.read_to_end(&mut answer)).await.expect("in time").expect("an end");
    assert_eq!(answer, b"pong");
}

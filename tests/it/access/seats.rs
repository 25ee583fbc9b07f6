//! One address cannot have the whole gateway, and a flood of refusals cannot fill the disk.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{token, until};
use crate::api::world::World;
use mimir::store::audit::{self, AuditEntry};

const SOON: Duration = Duration::from_secs(10);

/// What the gateway says to a request on a connection of its own until it closes it.
async fn said(world: &World) -> String {
    let mut stream = TcpStream::connect(world.tcp).await.expect("connects");
    let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", world.tcp);
    let mut said = Vec::new();
    let talk = async {
        // A closed connection may show in either.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.read_to_end(&mut said).await;
    };
    tokio::time::timeout(SOON, talk).await.expect("it is closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

async fn rows(world: &World, action: &str) -> Vec<AuditEntry> {
    let all = world.services.store.read(|db| audit::list(db, None, 1000)).await.expect("rows");
    all.into_iter().filter(|row| row.action == action).collect()
}

#[tokio::test]
async fn one_address_holds_so_many_connections_and_the_next_is_told_so() {
    let world = World::seated(3, false).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(world.tcp).await.expect("connects"));
    }
    for _ in 0..20 {
        let refused = said(&world).await;
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("connections.too_many"), "{refused}");
        assert!(refused.contains("retry-after: 5"), "whoever sends a webhook sends it again: {refused}");
        assert!(refused.contains("server.connections_per_address"), "{refused}");
    }
    assert_eq!(world.get("/v1/frames").await.status, 200, "the owner's socket has places of its own");
    let written = rows(&world, "connection.refused").await;
    assert!((1..=3).contains(&written.len()) && written[0].subject == "127.0.0.1", "{written:?}");

    // A place comes back with the connection that had it, whatever that did.
    drop(held.pop());
    until("there is room again", async || said(&world).await.starts_with("HTTP/1.1 200")).await;
    assert!(world.end().await, "it ends in time");
}

#[tokio::test]
async fn with_tls_one_too_many_is_closed_before_any_greeting() {
    let world = World::seated(2, true).await;
    let held = (world.greet().await, world.greet().await);
    let mut third = TcpStream::connect(world.tcp).await.expect("connects");
    let read = tokio::time::timeout(SOON, third.read(&mut [0_u8; 16])).await.expect("in time");
    assert!(matches!(read, Ok(0) | Err(_)), "nothing is said: {read:?}");
    drop(held);
    // The first one that is not closed has a place, and is answered.
    let end = tokio::time::Instant::now() + SOON;
    let free = loop {
        let stream = TcpStream::connect(world.tcp).await.expect("connects");
        if tokio::time::timeout(Duration::from_millis(300), stream.readable()).await.is_err() {
            break stream;
        }
        assert!(tokio::time::Instant::now() < end, "no place came back");
    };
    let mut stream = world.greet_over(free).await;
    let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", world.tcp);
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut said = String::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_string(&mut said)).await.expect("in time");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn whoever_wants_more_than_they_may_is_written_down_and_a_flood_is_not() {
    let world = World::new().await;
    world.frame("blog").await;
    let (flood, other) = (token(&world, "read", None).await, token(&world, "send", Some(&["blog"])).await);
    for _ in 0..50 {
        let answer = world.ask_with("POST", "/v1/gc?secret=1", &flood, "").await;
        assert_eq!((answer.status, answer.code()), (403, "auth.scope"));
    }
    let refused = world.ask_with("POST", "/v1/messages", &other, r#"{"frame":"api","text":"hi"}"#).await;
    assert_eq!(refused.code(), "auth.frame");
    let wish = r#"{"scopes":["admin"]}"#;
    let giver = token(&world, "admin", None).await;
    let more = r#"{"scopes":["terminal"]}"#;
    assert_eq!(world.ask_with("POST", "/v1/tokens", &giver, wish).await.status, 201);
    assert_eq!(world.ask_with("POST", "/v1/tokens", &giver, more).await.code(), "auth.scope");

    let written = rows(&world, "auth.forbidden").await;
    let about = |subject: &str| written.iter().filter(|row| row.subject == subject).collect::<Vec<_>>();
    let (flooded, framed, given) = (about("/v1/gc"), about("/v1/messages"), about("token.create"));
    assert_eq!((flooded.len(), framed.len(), given.len()), (3, 1, 1), "{written:?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (text(&flooded[0].detail["code"]), text(&flooded[0].detail["method"])),
        ("auth.scope".into(), "POST".into())
    );
    assert_eq!(text(&framed[0].detail["code"]), "auth.frame");
    assert_eq!(framed[0].detail["unwritten_before"], 47, "how many were not: {written:?}");
    assert!(written.iter().all(|row| row.principal.starts_with("token:")), "{written:?}");
}

#[tokio::test]
async fn a_foreign_page_and_a_foreign_name_are_written_down_with_what_they_said() {
    let world = World::new().await;
    let ours = || ("host", world.tcp.to_string());
    let long = format!("/{}", "x".repeat(5_000));
    for _ in 0..10 {
        let page = vec![ours(), ("origin", "https://evil.example".to_owned())];
        assert_eq!(world.ask_tcp(&long, page).await.code(), "request.foreign_origin");
    }
    let written = rows(&world, "request.refused").await;
    assert_eq!(written.len(), 3, "{written:?}");
    let (first, detail) = (&written[0], &written[0].detail);
    assert_eq!((first.principal.as_str(), first.subject.as_str()), ("gateway", "127.0.0.1"));
    assert_eq!(
        (&detail["code"], &detail["origin"]),
        (&"request.foreign_origin".into(), &"https://evil.example".into())
    );
    assert!(detail.to_string().len() < 500, "cut: {detail}");

    let world = World::new().await;
    let rebound = vec![("host", "evil.example:4605".to_owned())];
    assert_eq!(world.ask_tcp("/v1/frames", rebound).await.code(), "request.wrong_host");
    let written = rows(&world, "request.refused").await;
    assert_eq!(written.len(), 1);
    assert_eq!(
        (&written[0].detail["code"], &written[0].detail["host"]),
        (&"request.wrong_host".into(), &"evil.example:4605".into())
    );
}

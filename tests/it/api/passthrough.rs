//! A frame's own API through the gateway: what goes in, what comes out, and who may.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::world::{TOKEN, World, whole};

const IN: Duration = Duration::from_secs(10);

async fn running(name: &str) -> World {
    run(World::new().await, name).await
}

async fn run(world: World, name: &str) -> World {
    world.frame(name).await;
    let started = world.post(&format!("/v1/frames/{name}/start?wait=20"), None).await;
    assert_eq!(started.status, 200, "{}", started.text);
    world
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_with_the_frames_password_and_without_our_token() {
    let world = running("blog").await;
    let path = "/v1/frames/blog/opencode/session/a%2Fb?limit=2&wake=1";
    let headers = [
        ("authorization", "Bearer not-for-you"),
        ("cookie", "a=b"),
        ("x-opencode-directory", "/workspace"),
        ("accept", "text/plain"),
    ];
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let answer = world.ask(method, path, None, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let arrived = answer.json();
        assert_eq!(
            (&arrived["method"], &arrived["target"]),
            (&method.into(), &"/session/a%2Fb?limit=2".into())
        );
        let inside = &arrived["headers"];
        assert_eq!(
            (&inside["accept"], &inside["x-opencode-directory"]),
            (&"text/plain".into(), &"/workspace".into())
        );
        assert!(inside["cookie"].is_null(), "{inside}");
        let pair = inside["authorization"].as_str().expect("a password").strip_prefix("Basic ");
        let pair = STANDARD.decode(pair.expect("Basic")).expect("base64");
        assert!(pair.starts_with(b"mimir:") && pair.len() > 20, "{inside}");
    }
    let root = world.get("/v1/frames/blog/opencode").await.json();
    assert_eq!(root["target"], "/");
}

#[tokio::test]
async fn what_comes_out_of_a_frame_cannot_act_on_the_gateways_origin() {
    let world = running("blog").await;
    let answer = world.open("GET", "/v1/frames/blog/opencode/x", None, &[]).await;
    let headers = answer.headers();
    assert_eq!(headers["content-security-policy"], "sandbox");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("set-cookie") && !headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn opencodes_own_ways_to_bring_a_password_take_the_token() {
    let world = running("blog").await;
    let host = world.tcp.to_string();
    let basic = |user: &str, token: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{token}")));
    let with = |authorization: String| vec![("host", host.clone()), ("authorization", authorization)];
    let inside = "/v1/frames/blog/opencode/x";
    for user in ["opencode", "mimir", ""] {
        assert_eq!(world.ask_tcp(inside, with(basic(user, TOKEN))).await.status, 200, "{user}");
    }
    assert_eq!(world.ask_tcp(inside, with(format!("Bearer {TOKEN}"))).await.status, 200);
    let pair = STANDARD.encode(format!("opencode:{TOKEN}")).replace('=', "%3D");
    let in_query = format!("{inside}?auth_token={pair}");
    let arrived = world.ask_tcp(&in_query, vec![("host", host.clone())]).await.json();
    assert_eq!(arrived["target"], "/x", "the token stays outside");

    let wrong = world.ask_tcp(inside, with(basic("opencode", "guessed"))).await;
    assert_eq!((wrong.status, wrong.code()), (401, "auth.unknown_token"));
    assert_eq!(world.ask_tcp(inside, vec![("host", host.clone())]).await.status, 401);
    // A page that a browser would send a password to must not reach the rest of the gateway with it.
    assert_eq!(world.ask_tcp("/v1/frames", with(basic("opencode", TOKEN))).await.status, 401);
}

/// Reads a stream of events for a while, and gives what is still to come.
async fn listen(answer: Response<Incoming>) -> Incoming {
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/event-stream".parse().expect("a value"))
    );
    let mut body = answer.into_body();
    let mut text = String::new();
    while !text.contains("data: 3") {
        let frame = tokio::time::timeout(IN, body.frame()).await.expect("in time").expect("it goes on");
        text.push_str(&String::from_utf8_lossy(&frame.expect("bytes").into_data().unwrap_or_default()));
    }
    assert!(text.starts_with("data: 0\n\ndata: 1\n\n"), "{text}");
    body
}

#[tokio::test]
async fn events_stream_through_as_they_come_and_end_with_the_gateway() {
    let world = running("blog").await;
    let _goes_on = listen(world.open("GET", "/v1/frames/blog/opencode/event", None, &[]).await).await;
    assert!(world.end().await, "an open stream does not hold the gateway");
}

#[tokio::test]
async fn an_upload_is_streamed_and_larger_than_any_body_of_ours_may_be() {
    let world = running("blog").await;
    let body = "x".repeat(5 << 20);
    let answer = world.ask_raw("POST", "/v1/frames/blog/opencode/upload", Some(body), &[]).await;
    let arrived = answer.json();
    assert_eq!(arrived["bytes"], 5 << 20);
    assert!(arrived["pieces"].as_u64() > Some(1), "{arrived}");
}

async fn shout<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, head: String) {
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut read = Vec::new();
    let mut bytes = [0; 1024];
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = tokio::time::timeout(IN, stream.read(&mut bytes)).await.expect("in time").expect("bytes");
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&bytes[..count]);
    }
    let head = String::from_utf8_lossy(&read).to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: loud"), "{head}");
    for word in ["hello", "again"] {
        stream.write_all(word.as_bytes()).await.expect("sent");
        let mut answer = [0; 5];
        tokio::time::timeout(IN, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), word.to_uppercase());
    }
}

#[tokio::test]
async fn a_socket_is_carried_both_ways_over_either_listener() {
    let world = running("blog").await;
    let path = "/v1/frames/blog/opencode/ws";
    let asks = "connection: keep-alive, Upgrade\r\nupgrade: loud\r\n\r\n";
    let unix = UnixStream::connect(world.socket()).await.expect("connects");
    shout(unix, format!("GET {path} HTTP/1.1\r\nhost: mimir\r\n{asks}")).await;
    let tcp = TcpStream::connect(world.tcp).await.expect("connects");
    let pair = STANDARD.encode(format!("opencode:{TOKEN}"));
    let head = format!("GET {path}?auth_token={pair} HTTP/1.1\r\nhost: {}\r\n{asks}", world.tcp);
    shout(tcp, head).await;
}

/// What a client on another machine has: TLS, a token for this and nothing else, and every kind of request.
#[tokio::test]
async fn streams_uploads_and_sockets_go_through_tls_with_a_token_until_it_is_revoked() {
    let world = run(World::with(Vec::new(), true).await, "blog").await;
    let token = crate::access::token(&world, "passthrough", Some(&["blog"])).await;
    let inside = "/v1/frames/blog/opencode";
    let mut stream = listen(world.open_tls("GET", &format!("{inside}/event"), &token, "").await).await;

    let large = "x".repeat(5 << 20);
    let arrived =
        whole(world.open_tls("POST", &format!("{inside}/upload"), &token, &large).await).await.json();
    assert_eq!(arrived["bytes"], 5 << 20);
    assert!(arrived["pieces"].as_u64() > Some(1), "streamed: {arrived}");

    let host = world.tcp;
    let asks = "connection: Upgrade\r\nupgrade: loud\r\n";
    let head = |more: String| format!("GET {inside}/ws{more} HTTP/1.1\r\nhost: {host}\r\n{asks}");
    shout(world.greet().await, format!("{}authorization: Bearer {token}\r\n\r\n", head(String::new()))).await;
    let pair = STANDARD.encode(format!("opencode:{token}"));
    shout(world.greet().await, format!("{}\r\n", head(format!("?auth_token={pair}")))).await;

    // It opens nothing else, and another one does not open this.
    for (path, token, code) in [
        ("/v1/frames/blog", token.clone(), "auth.scope"),
        ("/v1/frames/shop/opencode/x", token.clone(), "auth.frame"),
        (&format!("{inside}/x"), crate::access::token(&world, "terminal read", None).await, "auth.scope"),
        (&format!("{inside}/x"), "mim_guessed".to_owned(), "auth.unknown_token"),
    ] {
        assert_eq!(whole(world.open_tls("GET", path, &token, "").await).await.code(), code, "{path}");
    }
    let tokens = world.services.access.list().await.expect("rows");
    let revoked = world.ask("DELETE", &format!("/v1/tokens/{}", tokens[0].name), None, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let end = async { while stream.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    tokio::time::timeout(IN, end).await.expect("the stream ends with its token");
    assert!(world.end().await, "it ends in time");
}

#[tokio::test]
async fn a_frame_that_does_not_run_is_woken_only_when_asked_to() {
    let world = World::new().await;
    world.frame("blog").await;
    let asleep = world.get("/v1/frames/blog/opencode/session").await;
    assert_eq!((asleep.status, asleep.code()), (409, "frame.wrong_state"));
    assert!(asleep.text.contains("mimir frame start blog"), "{}", asleep.text);
    let woken = world.ask("GET", "/v1/frames/blog/opencode/session", None, &[("mimir-wake", "1")]).await;
    assert_eq!(woken.status, 200, "{}", woken.text);
    assert!(woken.json()["headers"]["mimir-wake"].is_null());
    assert_eq!(world.get("/v1/frames/other/opencode/session").await.code(), "frame.not_found");
    let _ = world.post("/v1/frames/blog/stop?wait=20", None).await;
    let query = world.get("/v1/frames/blog/opencode/session?wake").await;
    assert_eq!(query.status, 200, "{}", query.text);
}

#[tokio::test]
async fn a_refusal_of_our_password_is_not_told_as_one_of_the_clients() {
    let world = running("blog").await;
    let refused = world.get("/v1/frames/blog/opencode/refused").await;
    assert_eq!((refused.status, refused.code()), (502, "frame.agent_restarting"));
}

#[tokio::test]
async fn whatever_may_change_something_is_in_the_audit_log() {
    let world = running("blog").await;
    let _ = world.get("/v1/frames/blog/opencode/session").await;
    let _ = world.post("/v1/frames/blog/opencode/session/ses_1/abort?auth_token=secret", None).await;
    let rows = world.audited("frame.opencode").await;
    assert_eq!(rows, [r#"{"method":"POST","path":"/session/ses_1/abort"}"#]);
}

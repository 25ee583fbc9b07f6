//! The life of a token: made, used, counted, refused, over.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};

use mimir::model::ids::RequestId;
use mimir::store;
use mimir::supervisor::Service as _;

use super::{token, until};
use crate::api::world::{TOKEN, World};

/// Makes a token as a person does, and gives its secret.
async fn made(world: &World, request: Value) -> (String, Value) {
    let answer = world.post("/v1/tokens", Some(request)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let made = answer.json();
    (made["token"].as_str().expect("a secret").to_owned(), made)
}

fn in_ms(world: &World, ms: u64) -> u64 {
    world.services.clock.now_ms() + ms
}

#[tokio::test]
async fn a_token_is_told_once_kept_as_a_hash_and_its_use_is_seen() {
    let world = World::new().await;
    let (secret, made) = made(&world, json!({"name": "ci", "scopes": ["read", "send"]})).await;
    assert!(secret.starts_with("mim_") && secret.len() == 68, "{secret}");
    assert_eq!((made["name"].as_str(), made["state"].as_str()), (Some("ci"), Some("active")));

    let listed = world.get("/v1/tokens").await;
    assert!(
        !listed.text.contains(&secret[4..]) && listed.json()[0]["last_used_at"].is_null(),
        "{}",
        listed.text
    );
    let kept = world.services.store.read(|db| store::tokens::list_with_hashes(db)).await.expect("rows");
    assert!(kept[0].0 != secret && kept[0].0.len() == 64, "only a hash: {}", kept[0].0);
    let rows = world.services.store.read(|db| store::audit::list(db, None, 10)).await.expect("rows");
    let created = rows.iter().find(|row| row.action == "token.create").expect("written down");
    assert!(created.subject == "ci" && !created.detail.to_string().contains(&secret[4..]), "{created:?}");

    assert_eq!(world.ask_with("GET", "/v1/frames", &secret, "").await.status, 200);
    let whoami = world.ask_with("GET", "/v1/tokens/current", &secret, "").await.json();
    assert_eq!(whoami, json!({"principal": "token:ci", "scopes": ["read", "send"]}));
    let used = world.get("/v1/tokens").await.json();
    assert!(used[0]["last_used_at"].is_number() && used[0]["last_used_from"] == "127.0.0.1", "{used}");

    // What it does is written down under its name.
    world.frame("blog").await;
    let sent = world.ask_with("POST", "/v1/messages", &secret, r#"{"frame":"blog","text":"hello"}"#).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    let rows = world.services.store.read(|db| store::audit::list(db, None, 50)).await.expect("rows");
    assert!(rows.iter().any(|row| row.principal == "token:ci"), "{rows:?}");
    assert!(world.end().await);
}

#[tokio::test]
async fn what_a_token_cannot_be_is_refused_with_the_reason() {
    let world = World::new().await;
    made(&world, json!({"name": "ci", "scopes": ["read"]})).await;
    for (request, status, code) in [
        (json!({"name": "ci", "scopes": ["read"]}), 409, "token.taken"),
        (json!({"name": "home", "scopes": ["read"]}), 409, "token.name"),
        (json!({"name": "current", "scopes": ["read"]}), 409, "token.name"),
        (json!({"name": "A b", "scopes": ["read"]}), 400, "token.name"),
        (json!({"scopes": []}), 400, "token.invalid"),
        (json!({"scopes": ["read"], "frames": []}), 400, "token.invalid"),
        (json!({"scopes": ["read"], "expires_at": 1}), 409, "token.invalid"),
        (json!({"scopes": ["read"], "expires_at": 60.0}), 409, "token.invalid"),
        (json!({"scopes": ["read"], "expires_at": 60.5}), 400, "request.invalid"),
        (json!({"scopes": ["read"], "expires_at": 18446744073709551616.0}), 400, "request.invalid"),
        (json!({"scopes": ["everything"]}), 400, "request.invalid"),
        (json!({}), 400, "request.invalid"),
    ] {
        let answer = world.post("/v1/tokens", Some(request.clone())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{request}");
    }
    let none = world.ask("DELETE", "/v1/tokens/nope", None, &[]).await;
    assert_eq!((none.status, none.code()), (404, "token.not_found"));
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let world = World::new().await;
    let admin = token(&world, "admin read", None).await;
    let wish = |scopes: Value| json!({"scopes": scopes}).to_string();
    let fine = world.ask_with("POST", "/v1/tokens", &admin, &wish(json!(["read"]))).await;
    assert_eq!(fine.status, 201, "{}", fine.text);
    let more = world.ask_with("POST", "/v1/tokens", &admin, &wish(json!(["read", "terminal"]))).await;
    assert_eq!((more.status, more.code()), (403, "auth.scope"));
}

#[tokio::test]
async fn a_revoked_token_opens_nothing_and_what_it_held_open_ends() {
    let world = World::new().await;
    world.frame("blog").await;
    assert_eq!(world.post("/v1/frames/blog/start?wait=8", None).await.status, 200);
    let (secret, _) = made(&world, json!({"name": "ci", "scopes": ["read", "terminal"]})).await;

    let mut stream = world.open_tcp("GET", "/v1/events", Some(&secret), "").await.into_body();
    let far = mimir::client::Remote::new(
        &format!("http://{}", world.tcp),
        mimir::model::secret::Secret::new(secret.clone()),
    );
    let client = mimir::client::GatewayClient::remote(far.expect("an address"));
    let query = mimir::wire::terminal::TerminalQuery {
        columns: 80,
        rows: 24,
        argv: Some(r#"["cat"]"#.to_owned()),
        ..Default::default()
    };
    let (mut keys, mut screen) = client.terminal("blog", &query).await.expect("a terminal");
    keys.input("hello".into()).await.expect("typed");
    let echoed = screen.next().await.expect("it lives").expect("output");
    assert_eq!(echoed, mimir::client::TerminalOutput::Out("hello".into()));
    // The owner's own stream goes on.
    let mut own = world.open("GET", "/v1/events", None, &[]).await.into_body();

    let revoked = world.ask("DELETE", "/v1/tokens/ci", None, &[]).await;
    assert_eq!((revoked.status, revoked.json()["state"].as_str()), (200, Some("revoked")));
    let ended = async {
        while let Some(Ok(_)) = stream.frame().await {}
        while let Ok(Some(_)) = screen.next().await {}
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("both end at once");
    let after = world.ask_with("GET", "/v1/frames", &secret, "").await;
    assert_eq!((after.status, after.code()), (401, "auth.revoked"));
    assert!(after.json()["hint"].is_string());
    let again = world.ask("DELETE", "/v1/tokens/ci", None, &[]).await;
    assert_eq!(again.code(), "token.not_found");

    world.frame("other").await;
    let news = tokio::time::timeout(Duration::from_secs(5), own.frame()).await.expect("in time");
    assert!(news.expect("goes on").is_ok());
    // The name is free again.
    made(&world, json!({"name": "ci", "scopes": ["read"]})).await;
    drop(own);
    assert!(world.end().await, "it ends in time");
}

#[tokio::test]
async fn an_expired_token_says_so_and_its_streams_end_by_themselves() {
    let world = World::new().await;
    let access = world.services.access.clone();
    let stop = world.stop.child_token();
    let keeping = access.run(stop);
    let scene = async {
        let (secret, _) =
            made(&world, json!({"name": "brief", "scopes": ["read"], "expires_at": in_ms(&world, 700)}))
                .await;
        let mut stream = world.open_tcp("GET", "/v1/events", Some(&secret), "").await.into_body();
        let ended = async { while let Some(Ok(_)) = stream.frame().await {} };
        tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it ends");
        let after = world.ask_with("GET", "/v1/frames", &secret, "").await;
        assert_eq!((after.status, after.code()), (401, "auth.expired"), "{}", after.text);
        let listed = world.get("/v1/tokens").await.json();
        assert_eq!(listed[0]["state"], "expired");
    };
    tokio::select! {
        () = scene => {}
        () = keeping => panic!("the keeper of tokens stopped"),
    }
}

#[tokio::test]
async fn the_last_use_and_a_revocation_survive_a_restart() {
    let world = World::new().await;
    let (secret, _) = made(&world, json!({"name": "ci", "scopes": ["read"]})).await;
    made(&world, json!({"name": "gone", "scopes": ["read"]})).await;
    assert_eq!(world.ask_with("GET", "/v1/frames", &secret, "").await.status, 200);
    assert_eq!(world.ask("DELETE", "/v1/tokens/gone", None, &[]).await.status, 200);
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    world.services.access.run(stop).await;
    // The same database, nothing remembered.
    let fresh = mimir::access::Access::new(world.services.store.clone(), world.services.clock.clone());
    let listed = fresh.list().await.expect("rows");
    assert!(listed[0].last_used_at.is_some() && listed[0].last_used_from.as_deref() == Some("127.0.0.1"));
    assert!(listed[1].revoked_at.is_some());
    assert!(fresh.admit(&secret, [127, 0, 0, 1].into()).await.is_ok());
}

#[tokio::test]
async fn wrong_tokens_are_counted_and_never_lock_out_the_right_one() {
    let world = World::new().await;
    let wrong = |n: u128| format!("mim_{}", RequestId::from_parts(1, n));
    for n in 0..10 {
        let answer = world.ask_with("GET", "/v1/frames", &wrong(n), "").await;
        assert_eq!((answer.status, answer.code()), (401, "auth.unknown_token"), "{n}");
    }
    let beyond = world.ask_with("GET", "/v1/frames", &wrong(10), "").await;
    assert_eq!((beyond.status, beyond.code()), (401, "auth.too_many"));
    assert_eq!(world.ask_with("GET", "/v1/frames", TOKEN, "").await.status, 200, "the home's token");
    let good = token(&world, "read", None).await;
    assert_eq!(world.ask_with("GET", "/v1/frames", &good, "").await.status, 200);
    until("two rows: the first, and the first of too many", || async {
        let rows = world.services.store.read(|db| store::audit::list(db, None, 100)).await.expect("rows");
        let refused: Vec<_> = rows.iter().filter(|row| row.action == "auth.refused").collect();
        refused.len() == 2 && refused.iter().all(|row| row.subject == "127.0.0.1")
    })
    .await;
}

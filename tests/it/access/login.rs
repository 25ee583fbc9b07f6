//! Coming in with the password: right and wrong, codes and their replays, guessing, other machines, and the end of it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};

use mimir::access::certificate;
use mimir::gateway::About;
use mimir::gateway::auth::{Authenticator, Ends};
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use mimir::store::{StoreError, logins};

use super::browser::{Browser, code, ours, world_on};
use super::{token, until};
use crate::api::world::{Answer, TOKEN, World, whole};

/// The owner's, in these tests.
pub const PASSWORD: &str = "a lantern by the sea";

/// Sets the password as its owner does.
pub async fn set_password(world: &World) -> Value {
    let set = world.ask("PUT", "/v1/web/password", Some(json!({ "password": PASSWORD })), &[]).await;
    assert_eq!(set.status, 200, "{}", set.text);
    set.json()
}

/// Asks for codes of an app, too; its secret and the recovery codes.
pub async fn set_app(world: &World) -> (String, Vec<String>) {
    let shown = world.post("/v1/web/totp", None).await;
    assert_eq!(shown.status, 201, "{}", shown.text);
    let secret = shown.json()["secret"].as_str().expect("a secret").to_owned();
    let code = code_at(&secret, world.services.clock.now_ms());
    let confirmed = world.ask("PUT", "/v1/web/totp", Some(json!({ "code": code })), &[]).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let codes = confirmed.json()["recovery_codes"].as_array().expect("codes").clone();
    (secret, codes.iter().map(|code| code.as_str().expect("a text").to_owned()).collect())
}

/// What an app with that secret shows at that time.
pub fn code_at(secret: &str, at_ms: u64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).expect("a secret");
    let app = totp_rs::Builder::new().with_secret(secret).build().expect("an app");
    app.generate(at_ms / 1000).to_string()
}

async fn try_in(world: &World, password: &str, code: Option<&str>) -> Response<Incoming> {
    try_with(world, password, code, &[]).await
}

async fn try_with(
    world: &World,
    password: &str,
    code: Option<&str>,
    more: &[(&str, &str)],
) -> Response<Incoming> {
    let mut body = json!({ "password": password });
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    let origin = ours(world);
    let headers = [more, &[("origin", origin.as_str())]].concat();
    world.open_with("POST", "/v1/web/login", &headers, &body.to_string()).await
}

/// What somebody is told who is not let in, but for the id of the request.
async fn refusal(answer: Response<Incoming>) -> Value {
    let answer: Answer = whole(answer).await;
    assert_eq!((answer.status, answer.code()), (401, "login.refused"), "{}", answer.text);
    let mut told = answer.json();
    told["request_id"] = Value::Null;
    told
}

#[tokio::test]
async fn a_password_lets_in_and_whoever_has_none_is_told_nothing() {
    let world = world_on(Vec::new()).await;
    let nobody = refusal(try_in(&world, PASSWORD, None).await).await;
    let set = set_password(&world).await;
    assert_eq!((&set["has_password"], &set["has_totp"]), (&json!(true), &json!(false)));
    assert_eq!(set["scopes"], json!(["read", "send", "approve"]));
    let wrong = refusal(try_in(&world, "a lantern by the lake", None).await).await;
    assert_eq!(wrong, nobody, "whether there is a password is not told either");

    let answer = try_in(&world, PASSWORD, None).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let browser = Browser::of(answer).await;
    assert_eq!(browser.get(&world, "/v1/frames").await.status, 200);
    assert_eq!(browser.get(&world, "/v1/web/login").await.code(), "auth.scope", "a session is no owner");
    let listed = world.get("/v1/web/sessions").await.json();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["began_with"], &listed[0]["created_by"]),
        (&json!(browser.name), &json!("password"), &json!("login"))
    );

    // Neither the log nor the file holds it.
    for action in ["login.password", "token.create", "auth.refused"] {
        let rows = world.audited(action).await;
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains("lantern")), "{action}: {rows:?}");
    }
    let kept = world.services.store.read(|db| logins::find(db)).await.expect("rows");
    let kept = kept.expect("a login").password;
    assert!(kept.memory_kib >= 64 * 1024 && kept.salt.len() >= 16 && kept.hash.len() == 32);
    assert!(world.end().await, "it ends in time");
}

#[tokio::test]
async fn only_the_owner_on_this_machine_says_how_browsers_come_in() {
    let world = world_on(Vec::new()).await;
    set_password(&world).await;
    let admin = token(&world, "admin read send approve", None).await;
    let password = json!({ "password": "another lantern by the sea" });
    for who in [admin.as_str(), TOKEN] {
        for (method, path, body) in [
            ("PUT", "/v1/web/password", password.clone()),
            ("DELETE", "/v1/web/password", Value::Null),
            ("POST", "/v1/web/totp", Value::Null),
            ("PUT", "/v1/web/totp", json!({ "code": "123456" })),
            ("DELETE", "/v1/web/totp", Value::Null),
        ] {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let refused = world.ask_with(method, path, who, &body).await;
            assert_eq!((refused.status, refused.code()), (403, "login.owner_only"), "{method} {path}");
        }
    }
    for weak in ["", "short", "aaaaaaaaaaaaaaaa", "password1234"] {
        let body = json!({ "password": weak });
        let refused = world.ask("PUT", "/v1/web/password", Some(body), &[]).await;
        assert_eq!((refused.status, refused.code()), (409, "login.weak_password"), "{weak}");
    }
    let browser = Browser::of(try_in(&world, PASSWORD, None).await).await;
    assert_eq!(browser.get(&world, "/v1/frames").await.status, 200, "nothing of it changed anything");
    let none = world.ask("DELETE", "/v1/web/totp", None, &[]).await;
    assert_eq!((none.status, none.code()), (409, "login.no_totp"));
}

#[tokio::test]
async fn a_code_is_asked_for_once_the_app_showed_one_and_each_opens_once() {
    let world = world_on(Vec::new()).await;
    let early = world.post("/v1/web/totp", None).await;
    assert_eq!((early.status, early.code()), (409, "login.no_password"));
    set_password(&world).await;
    let not_shown = world.ask("PUT", "/v1/web/totp", Some(json!({ "code": "123456" })), &[]).await;
    assert_eq!(not_shown.code(), "login.not_enrolling");
    world.post("/v1/web/totp", None).await;
    let wrong = world.ask("PUT", "/v1/web/totp", Some(json!({ "code": "12345" })), &[]).await;
    assert_eq!(wrong.code(), "login.wrong_code");
    let before = Browser::of(try_in(&world, PASSWORD, None).await).await;

    let begun = world.services.clock.now_ms();
    let (secret, recovery) = set_app(&world).await;
    assert_eq!(recovery.len(), 10);
    assert_eq!(before.get(&world, "/v1/frames").await.code(), "auth.revoked", "what began without a code");
    refusal(try_in(&world, PASSWORD, None).await).await;
    // The code that confirmed the app was seen once.
    refusal(try_in(&world, PASSWORD, Some(&code_at(&secret, begun))).await).await;
    let next = code_at(&secret, world.services.clock.now_ms() + 30_000);
    Browser::of(try_in(&world, PASSWORD, Some(&next)).await).await;
    refusal(try_in(&world, PASSWORD, Some(&next)).await).await;

    // A recovery code opens once, however it is written, and is not used up by whoever lacks the password.
    let shouted = recovery[0].to_uppercase().replace('-', " ");
    Browser::of(try_in(&world, PASSWORD, Some(&shouted)).await).await;
    refusal(try_in(&world, PASSWORD, Some(&recovery[0])).await).await;
    refusal(try_in(&world, "a lantern by the lake", Some(&recovery[1])).await).await;
    Browser::of(try_in(&world, PASSWORD, Some(&recovery[1])).await).await;
    assert_eq!(world.get("/v1/web/login").await.json()["recovery_code_count"], 8);
    assert_eq!(world.audited("login.recovery_code").await.len(), 2);

    // Another app makes the codes of the one before worth nothing, and its recovery codes too.
    let (_, others) = set_app(&world).await;
    refusal(try_in(&world, PASSWORD, Some(&recovery[2])).await).await;
    Browser::of(try_in(&world, PASSWORD, Some(&others[2])).await).await;
    let removed = world.ask("DELETE", "/v1/web/totp", None, &[]).await;
    assert_eq!((removed.status, &removed.json()["has_totp"]), (200, &json!(false)));
    Browser::of(try_in(&world, PASSWORD, None).await).await;
}

#[tokio::test]
async fn two_who_bring_the_same_code_at_once_are_not_both_let_in() {
    let world = world_on(Vec::new()).await;
    set_password(&world).await;
    let (_, recovery) = set_app(&world).await;
    let code = Some(recovery[0].as_str());
    let (one, other) = tokio::join!(try_in(&world, PASSWORD, code), try_in(&world, PASSWORD, code));
    let mut both = [one.status().as_u16(), other.status().as_u16()];
    both.sort_unstable();
    assert_eq!(both, [201, 401]);
}

#[tokio::test]
async fn whoever_guesses_waits_and_nobody_is_locked_out() {
    let world = world_on(Vec::new()).await;
    set_password(&world).await;
    // Six at once are counted as they come, not when they are found wrong.
    let wrong = (0..6).map(|n| format!("a lantern by the sea {n}")).collect::<Vec<_>>();
    let answers = join_all(wrong.iter().map(|password| try_in(&world, password, None))).await;
    let hasty: Vec<_> = answers.into_iter().filter(|answer| answer.status() != 401).collect();
    assert_eq!(hasty.len(), 3, "three are looked at");
    for answer in hasty {
        assert_eq!(answer.headers()["retry-after"], "1");
        let told = whole(answer).await;
        assert_eq!((told.status, told.code()), (429, "login.too_soon"), "{}", told.text);
    }
    // Links, the Unix socket and tokens know no delay.
    Browser::new(&world).await;
    assert_eq!(world.get("/v1/web/login").await.status, 200);
    assert_eq!(world.ask_with("GET", "/v1/frames", TOKEN, "").await.status, 200);
    until("the right password opens after its wait", || async {
        try_in(&world, PASSWORD, None).await.status() == 201
    })
    .await;
    // It opened, so nobody waits any more.
    Browser::of(try_in(&world, PASSWORD, None).await).await;
    let rows = world.audited("auth.refused").await;
    assert!(rows.iter().any(|row| row.contains("a wrong password or code")), "{rows:?}");
}

#[tokio::test]
async fn a_browser_elsewhere_gets_nothing_before_there_is_tls_and_a_password() {
    let world = world_on(Vec::new()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let made = certificate::load_or_make(&folder.path().join("tls"), vec!["localhost".to_owned()]);
    let made = made.expect("a certificate");
    let gate = |certificate| {
        Authenticator::new(Secret::new(TOKEN), world.services.access.clone(), Vec::new(), certificate)
    };
    let (plain, encrypted) = ((gate(None), false), (gate(Some(&made)), true));
    let local = "10.0.0.9:8443".parse().expect("an address");
    let ask = |(gate, is_tls): &(Authenticator, bool),
               method: &str,
               path: &str,
               more: &[(&'static str, String)]| {
        let mut asked =
            Request::builder().method(method).uri(path).body(()).expect("a request").into_parts().0;
        asked.headers.insert("host", "10.0.0.9:8443".parse().expect("a value"));
        for (name, value) in more {
            asked.headers.insert(*name, value.parse().expect("a value"));
        }
        let (gate, is_tls, peer) = (gate.clone(), *is_tls, "10.0.0.7".parse().expect("an address"));
        async move {
            gate.check(Ends { peer, local, is_tls }, &asked).await.map(drop).map_err(|problem| problem.code)
        }
    };
    let required = Err("auth.required".to_owned());
    let open =
        [("GET", "/"), ("GET", "/assets/x.js"), ("POST", "/v1/web/sessions"), ("POST", "/v1/web/login")];
    for (method, path) in open {
        assert_eq!(ask(&encrypted, method, path, &[]).await, required, "nobody asked for that: {path}");
    }
    set_password(&world).await;
    for (method, path) in open {
        assert_eq!(ask(&encrypted, method, path, &[]).await, Ok(()), "{path}");
        assert_eq!(ask(&plain, method, path, &[]).await, required, "without TLS: {path}");
        for name in ["forwarded", "via", "x-forwarded-for"] {
            let passed_on = [(name, "10.0.0.7".to_owned())];
            assert_eq!(ask(&encrypted, method, path, &passed_on).await, required, "{path} {name}");
        }
    }
    for (method, path) in [("GET", "/v1/web/sessions"), ("GET", "/v1/frames"), ("PUT", "/v1/web/password")] {
        assert_eq!(ask(&encrypted, method, path, &[]).await, required, "{path}");
    }

    // A session opens by its two halves; a cookie that anything without TLS could have set is none.
    let browser = Browser::of(try_in(&world, PASSWORD, None).await).await;
    let half = browser.cookie.split_once('=').expect("a pair").1;
    let with = |name: &str| [("cookie", format!("{name}={half}")), ("mimir-page", browser.page.clone())];
    assert_eq!(ask(&encrypted, "GET", "/v1/frames", &with("__Host-mimir_8443")).await, Ok(()));
    assert_eq!(ask(&encrypted, "GET", "/v1/frames", &with("mimir_8443")).await, required);
    assert_eq!(ask(&plain, "GET", "/v1/frames", &with("mimir_8443")).await, required);
    let removed = world.ask("DELETE", "/v1/web/password", None, &[]).await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    for path in ["/", "/v1/frames"] {
        assert_eq!(ask(&encrypted, "GET", path, &with("__Host-mimir_8443")).await, required, "{path}");
    }
}

#[tokio::test]
async fn by_tls_the_cookie_is_one_that_nothing_else_can_set() {
    let world = World::with(Vec::new(), true).await;
    set_password(&world).await;
    let body = json!({ "password": PASSWORD }).to_string();
    let origin = format!("https://{}", world.tcp);
    let answer = world.open_tls_with("POST", "/v1/web/login", &[("origin", origin.as_str())], &body).await;
    assert_eq!(answer.status(), 201);
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let (pair, rest) = set.split_once("; ").expect("attributes");
    let name = format!("__Host-mimir_{}", world.tcp.port());
    assert!(pair.starts_with(&format!("{name}=")), "{pair}");
    assert_eq!(rest, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure");
    let page = whole(answer).await.json()["page"].as_str().expect("a half").to_owned();
    let bare = pair.strip_prefix("__Host-").expect("a prefix");
    for (cookie, expected) in [(pair, 200), (bare, 401)] {
        let headers = [("cookie", cookie), ("mimir-page", page.as_str())];
        let answer = world.open_tls_with("GET", "/v1/frames", &headers, "").await;
        assert_eq!(answer.status().as_u16(), expected, "{cookie}");
    }
    // A page without TLS of the same name is another origin.
    let plain = format!("http://{}", world.tcp);
    let refused = world.open_tls_with("POST", "/v1/web/login", &[("origin", plain.as_str())], &body).await;
    assert_eq!(whole(refused).await.code(), "request.foreign_origin");
}

#[tokio::test]
async fn a_link_for_another_machine_wants_all_three() {
    let elsewhere = || Some(json!({ "elsewhere": true }));
    let near = world_on(Vec::new()).await;
    set_password(&near).await;
    let refused = near.post("/v1/web/codes", elsewhere()).await;
    assert_eq!((refused.status, refused.code()), (409, "web.only_here"), "it listens here alone");

    let far = World::changed(|services| {
        let about = About {
            http: "https://10.0.0.9:8443".to_owned(),
            fingerprint: Some("sha256:00".to_owned()),
            ..(*services.about).clone()
        };
        services.about = Arc::new(about);
    })
    .await;
    let refused = far.post("/v1/web/codes", elsewhere()).await;
    assert_eq!((refused.status, refused.code()), (409, "web.only_here"), "there is no password");
    set_password(&far).await;
    let made = far.post("/v1/web/codes", elsewhere()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert!(made["link"].as_str().expect("a link").starts_with("https://10.0.0.9:8443/#code="), "{made}");
    assert_eq!(made["fingerprint"], "sha256:00");
}

#[tokio::test]
async fn another_password_ends_every_session_and_a_new_login_the_one_before_it() {
    let world = world_on(Vec::new()).await;
    set_password(&world).await;
    let first = Browser::of(try_in(&world, PASSWORD, None).await).await;
    let second = Browser::of(try_with(&world, PASSWORD, None, &first.headers()).await).await;
    assert_ne!(first.name, second.name, "a login never goes on with what was there before");
    assert_eq!(first.get(&world, "/v1/frames").await.code(), "auth.revoked");
    let linked = Browser::new(&world).await;
    let client = token(&world, "read", None).await;
    let mut stream = world.open_with("GET", "/v1/events", &second.headers(), "").await.into_body();
    // A wrong attempt ends nothing.
    refusal(try_with(&world, "a lantern by the lake", None, &second.headers()).await).await;
    assert_eq!(second.get(&world, "/v1/frames").await.status, 200);

    set_password(&world).await;
    let ended = async { while let Some(Ok(_)) = stream.frame().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("what it held open ends");
    for browser in [&second, &linked] {
        assert_eq!(browser.get(&world, "/v1/frames").await.code(), "auth.revoked");
    }
    assert_eq!(world.ask_with("GET", "/v1/frames", &client, "").await.status, 200, "clients have tokens");
    let rows = world.audited("login.password").await;
    assert!(rows.last().is_some_and(|row| row.contains("\"sessions_ended\":2")), "{rows:?}");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_and_tokens_of_clients_are_none() {
    let world = world_on(Vec::new()).await;
    let client = token(&world, "read", None).await;
    let (one, other) = (Browser::new(&world).await, Browser::new(&world).await);
    let names = |answer: Answer| -> Vec<String> {
        let listed = answer.json();
        let all = listed.as_array().expect("a list").iter();
        all.map(|session| session["name"].as_str().expect("a name").to_owned()).collect()
    };
    let mut listed = names(world.get("/v1/web/sessions").await);
    listed.sort();
    let mut expected = vec![one.name.clone(), other.name.clone()];
    expected.sort();
    assert_eq!(listed, expected);
    let mut ended = names(world.ask("DELETE", "/v1/web/sessions", None, &[]).await);
    ended.sort();
    assert_eq!(ended, expected);
    assert_eq!(one.get(&world, "/v1/frames").await.code(), "auth.revoked");
    assert_eq!(world.ask_with("GET", "/v1/frames", &client, "").await.status, 200);
    assert!(names(world.ask("DELETE", "/v1/web/sessions", None, &[]).await).is_empty(), "none is left");
}

#[tokio::test]
async fn what_is_ended_by_somebody_who_hangs_up_ends_all_the_same() {
    let world = world_on(Vec::new()).await;
    let browser = Browser::new(&world).await;
    let client = token(&world, "read", None).await;
    let (access, owner) = (&world.services.access, Principal::Owner { uid: 1000 });
    let all = access.list().await.expect("tokens");
    let clients = all.iter().find(|token| token.began_with.is_none()).expect("the client's");
    // The change is on its way, and nobody hears what came of it.
    drop(access.end_sessions(&owner).now_or_never());
    drop(access.revoke(&owner, clients.id.as_str()).now_or_never());
    // Who asks at the very moment is cut off in the middle, and asks again.
    until("the session is over", || async {
        let asked = AssertUnwindSafe(browser.get(&world, "/v1/frames")).catch_unwind().await;
        asked.is_ok_and(|answer| answer.status == 401)
    })
    .await;
    until("the token is over", || async {
        let asked = AssertUnwindSafe(world.ask_with("GET", "/v1/frames", &client, "")).catch_unwind().await;
        asked.is_ok_and(|answer| answer.status == 401)
    })
    .await;
    let again = world.ask("DELETE", &format!("/v1/tokens/{}", clients.id.as_str()), None, &[]).await;
    assert_eq!(again.status, 404, "{}", again.text);
}

#[tokio::test]
async fn a_link_that_nobody_opened_ends_with_the_sessions() {
    let world = world_on(Vec::new()).await;
    for (method, path) in [("DELETE", "/v1/web/sessions"), ("PUT", "/v1/web/password")] {
        let link = code(&world).await;
        let body = (method == "PUT").then(|| json!({ "password": PASSWORD }));
        let done = world.ask(method, path, body, &[]).await;
        assert_eq!(done.status, 200, "{}", done.text);
        let origin = ours(&world);
        let body = json!({ "code": link }).to_string();
        let headers = [("origin", origin.as_str())];
        let late = whole(world.open_with("POST", "/v1/web/sessions", &headers, &body).await).await;
        assert_eq!((late.status, late.code()), (404, "web.code"), "{method} {path}");
    }
    Browser::new(&world).await;
}

#[tokio::test]
async fn a_code_that_was_looked_at_before_there_was_another_app_opens_nothing_after() {
    let world = world_on(Vec::new()).await;
    let store = &world.services.store;
    set_password(&world).await;
    let mut apps = Vec::new();
    for _ in 0..2 {
        set_app(&world).await;
        let login = store.read(|db| logins::find(db)).await.expect("rows").expect("a login");
        apps.push((login.set_at, login.second_factor.expect("an app")));
    }
    let mut came_in = Vec::new();
    for (set_at, app) in apps {
        let step = app.used_step + 10;
        let used = store.write(move |tx| logins::use_step(tx, set_at, &app.secret, step)).await;
        came_in.push(match used {
            Ok(()) => true,
            Err(StoreError::Conflict { .. }) => false,
            Err(error) => panic!("{error}"),
        });
    }
    assert_eq!(came_in, [false, true], "the first app is none any more");
}

//! How a browser comes in: a link that opens once, a session in two halves, and its end.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use mimir::gateway::About;
use mimir::gateway::auth::{Authenticator, Ends};
use mimir::model::secret::Secret;

use super::token;
use crate::api::world::{Answer, TOKEN, World, whole};

/// A world whose gateway says that it listens on this machine. Where it really does is `tcp`.
async fn world() -> World {
    world_on(Vec::new()).await
}

/// The same under more names.
pub async fn world_on(hosts: Vec<String>) -> World {
    World::changed_on(hosts, |services| {
        let about = About { http: "127.0.0.1:8080".to_owned(), ..(*services.about).clone() };
        services.about = Arc::new(about);
    })
    .await
}

/// The code of a link that was just made.
pub async fn code(world: &World) -> String {
    let made = world.post("/v1/web/codes", Some(json!({}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    code_of(&made.json())
}

/// The same for a session that may do that.
pub async fn code_for(world: &World, scopes: &[&str]) -> String {
    let made = world.post("/v1/web/codes", Some(json!({ "scopes": scopes }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    code_of(&made.json())
}

fn code_of(made: &Value) -> String {
    let link = made["link"].as_str().expect("a link");
    link.strip_prefix("http://127.0.0.1:8080/#code=").expect("this machine's").to_owned()
}

/// What a browser has after it came in.
pub(super) struct Browser {
    pub(super) cookie: String,
    pub(super) page: String,
    pub(super) name: String,
}

impl Browser {
    pub(super) async fn new(world: &World) -> Self {
        let code = code(world).await;
        Self::with(world, &code).await
    }

    async fn with(world: &World, code: &str) -> Self {
        Self::of(exchange(world, code).await).await
    }

    /// Who was let in with that answer.
    pub(super) async fn of(answer: Response<Incoming>) -> Self {
        assert_eq!(answer.status(), 201);
        let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
        let cookie = set.split(';').next().expect("a pair").to_owned();
        let opened = whole(answer).await.json();
        let text = |name: &str| opened[name].as_str().expect("a text").to_owned();
        Self { cookie, page: text("page"), name: text("name") }
    }

    pub(super) fn headers(&self) -> [(&str, &str); 2] {
        [("cookie", self.cookie.as_str()), ("mimir-page", self.page.as_str())]
    }

    pub(super) async fn get(&self, world: &World, path: &str) -> Answer {
        whole(world.open_with("GET", path, &self.headers(), "").await).await
    }

    /// As its page asks, from that origin.
    async fn change(
        &self,
        world: &World,
        method: &str,
        path: &str,
        origin: Option<&str>,
        body: &str,
    ) -> Answer {
        let mut headers = self.headers().to_vec();
        headers.extend(origin.map(|origin| ("origin", origin)));
        whole(world.open_with(method, path, &headers, body).await).await
    }
}

async fn exchange(world: &World, code: &str) -> Response<Incoming> {
    let body = json!({ "code": code }).to_string();
    world.open_with("POST", "/v1/web/sessions", &[("origin", ours(world).as_str())], &body).await
}

pub(super) fn ours(world: &World) -> String {
    format!("http://{}", world.tcp)
}

#[tokio::test]
async fn a_link_opens_once_and_what_it_opens_is_a_token_in_two_halves() {
    let world = world().await;
    let code = code(&world).await;
    let answer = exchange(&world, &code).await;
    let port = world.tcp.port();
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let (pair, rest) = set.split_once("; ").expect("attributes");
    assert!(pair.starts_with(&format!("mimir_{port}=")), "{pair}");
    assert_eq!(rest, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let opened = whole(answer).await.json();
    let (name, page) = (opened["name"].as_str().expect("a name"), opened["page"].as_str().expect("a half"));
    assert!(name.starts_with("web-") && page.len() == 64 && !pair.contains(page), "{opened}");

    let again = whole(exchange(&world, &code).await).await;
    assert_eq!((again.status, again.code()), (404, "web.code"));
    assert!(again.json()["hint"].as_str().expect("a hint").contains("mimir web"));

    let listed = world.get("/v1/tokens").await.json();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["scopes"]),
        (&json!(name), &json!(["read", "send", "approve"]))
    );
    assert_eq!(listed[0]["expires_at"], opened["expires_at"]);
    let created = world.audited("token.create").await;
    assert!(created.len() == 1 && !created[0].contains(page), "{created:?}");
    let refused = world.audited("auth.refused").await;
    assert!(refused.iter().any(|row| row.contains("a link that opens nothing")), "{refused:?}");
}

#[tokio::test]
async fn each_half_alone_opens_nothing_and_both_are_no_bearer_token() {
    let world = world().await;
    let browser = Browser::new(&world).await;
    let seen = browser.get(&world, "/v1/tokens/current").await;
    assert_eq!((seen.status, &seen.json()["principal"]), (200, &json!(format!("token:{}", browser.name))));

    let other = Browser::new(&world).await;
    let zero = "0".repeat(64);
    for (headers, code) in [
        (vec![("cookie", browser.cookie.as_str())], "auth.required"),
        (vec![("mimir-page", browser.page.as_str())], "auth.required"),
        (
            vec![("cookie", browser.cookie.as_str()), ("mimir-page", other.page.as_str())],
            "auth.unknown_token",
        ),
        (vec![("cookie", browser.cookie.as_str()), ("mimir-page", zero.as_str())], "auth.unknown_token"),
        (vec![("cookie", browser.cookie.as_str()), ("mimir-page", "x")], "auth.unknown_token"),
    ] {
        let answer = whole(world.open_with("GET", "/v1/frames", &headers, "").await).await;
        assert_eq!((answer.status, answer.code()), (401, code), "{headers:?}");
    }
    let half = browser.cookie.split_once('=').expect("a pair").1;
    let bytes = |text: &str| hex::decode(text).expect("hex");
    let mixed: Vec<u8> = bytes(half).iter().zip(bytes(&browser.page)).map(|(a, b)| a ^ b).collect();
    for bearer in [half.to_owned(), browser.page.clone(), format!("mimweb_{}", hex::encode(mixed))] {
        let answer = world.ask_with("GET", "/v1/frames", &bearer, "").await;
        assert_eq!((answer.status, answer.code()), (401, "auth.unknown_token"), "{bearer}");
    }
}

#[tokio::test]
async fn a_session_does_what_it_may_from_its_own_page_alone() {
    let world = world().await;
    world.frame("blog").await;
    let browser = Browser::new(&world).await;
    let (ours, body) = (ours(&world), json!({"frame": "blog", "text": "hello"}).to_string());
    let sent = browser.change(&world, "POST", "/v1/messages", Some(&ours), &body).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    for origin in [None, Some("http://127.0.0.1:1"), Some("null"), Some("https://evil.example")] {
        let refused = browser.change(&world, "POST", "/v1/messages", origin, &body).await;
        assert_eq!((refused.status, refused.code()), (403, "request.foreign_origin"), "{origin:?}");
    }
    for site in ["same-site", "cross-site"] {
        let headers = [browser.headers().as_slice(), &[("sec-fetch-site", site)]].concat();
        let refused = whole(world.open_with("GET", "/v1/frames", &headers, "").await).await;
        assert_eq!((refused.status, refused.code()), (403, "request.foreign_origin"), "{site}");
    }
    // Whoever may make frames may give any folder to an agent: nobody may with a link that says nothing of it.
    for (method, path) in [
        ("GET", "/v1/tokens"),
        ("POST", "/v1/web/codes"),
        ("POST", "/v1/stop"),
        ("POST", "/v1/frames"),
        ("POST", "/v1/frames/blog/start"),
        ("POST", "/v1/frames/blog/stop"),
        ("DELETE", "/v1/frames/blog"),
    ] {
        let refused = browser.change(&world, method, path, Some(&ours), "{}").await;
        assert_eq!((refused.status, refused.code()), (403, "auth.scope"), "{method} {path}");
    }
    let through = browser.get(&world, "/v1/frames/blog/opencode/session").await;
    assert_eq!((through.status, through.code()), (403, "auth.scope"), "a frame's own pages");
}

#[tokio::test]
async fn whoever_wants_to_start_frames_from_a_browser_says_so() {
    let world = world().await;
    world.frame("blog").await;
    let made = world.post("/v1/web/codes", Some(json!({"scopes": ["read", "frames"]}))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let browser = Browser::with(&world, &code_of(&made.json())).await;
    let started =
        browser.change(&world, "POST", "/v1/frames/blog/start?wait=8", Some(&ours(&world)), "").await;
    assert_eq!(started.status, 200, "{}", started.text);
}

#[tokio::test]
async fn cookies_that_others_set_under_the_same_name_shut_nobody_out() {
    let world = world().await;
    let browser = Browser::new(&world).await;
    let name = format!("mimir_{}", world.tcp.port());
    let (zero, page) = ("0".repeat(64), browser.page.as_str());
    let ask = |cookie: String| {
        let world = &world;
        async move {
            let headers = [("cookie", cookie.as_str()), ("mimir-page", page)];
            whole(world.open_with("GET", "/v1/frames", &headers, "").await).await
        }
    };
    let ours = &browser.cookie;
    for cookie in [
        format!("{name}={zero}; {ours}"),
        format!("{ours}; {name}={zero}"),
        format!("{name}=x; {name}=; {ours}; {name}={zero}"),
    ] {
        let answer = ask(cookie.clone()).await;
        assert_eq!(answer.status, 200, "{cookie}: {}", answer.text);
    }
    assert!(world.audited("auth.refused").await.is_empty(), "none of them counts while one is ours");
    // Ten refusals a minute are told with their reason. Twelve wrong cookies at once are one of them.
    let wrong: Vec<String> = (0..12).map(|at| format!("{name}={at:064}")).collect();
    for _ in 0..2 {
        assert_eq!(ask(wrong.join("; ")).await.code(), "auth.unknown_token");
    }
    let revoked = world.ask("DELETE", &format!("/v1/tokens/{}", browser.name), None, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(ask(format!("{name}={zero}; {ours}")).await.code(), "auth.revoked", "it says what happened");
}

#[tokio::test]
async fn a_session_ends_when_it_leaves_when_it_is_revoked_and_by_itself() {
    let world = world().await;
    let browser = Browser::new(&world).await;
    let mut stream = world.open_with("GET", "/v1/events", &browser.headers(), "").await.into_body();
    let left = browser.change(&world, "DELETE", "/v1/tokens/current", Some(&ours(&world)), "").await;
    assert_eq!((left.status, left.json()["state"].as_str()), (200, Some("revoked")), "{}", left.text);
    let ended = async { while let Some(Ok(_)) = stream.frame().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("what it held open ends");
    assert_eq!(browser.get(&world, "/v1/frames").await.code(), "auth.revoked");

    let browser = Browser::new(&world).await;
    let revoked = world.ask("DELETE", &format!("/v1/tokens/{}", browser.name), None, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(browser.get(&world, "/v1/frames").await.code(), "auth.revoked");

    // Who came in without such a token has none to give back.
    let owner = world.ask("DELETE", "/v1/tokens/current", None, &[]).await;
    assert_eq!((owner.status, owner.code()), (409, "token.not_kept"));
    let home = world.ask_with("DELETE", "/v1/tokens/current", TOKEN, "").await;
    assert_eq!((home.status, home.code()), (409, "token.not_kept"));
}

#[tokio::test]
async fn another_link_in_the_same_browser_ends_the_session_before_it() {
    let world = world().await;
    let old = Browser::new(&world).await;
    let mut stream = world.open_with("GET", "/v1/events", &old.headers(), "").await.into_body();
    let origin = ours(&world);
    let come_in = |code: String| {
        let (world, old, origin) = (&world, &old, origin.as_str());
        async move {
            let headers = [old.headers().as_slice(), &[("origin", origin)]].concat();
            let body = json!({ "code": code }).to_string();
            whole(world.open_with("POST", "/v1/web/sessions", &headers, &body).await).await
        }
    };
    // A code that opens nothing changes nothing.
    assert_eq!(come_in("0".repeat(64)).await.code(), "web.code");
    assert_eq!(old.get(&world, "/v1/frames").await.status, 200);

    let opened = come_in(code(&world).await).await;
    assert_eq!(opened.status, 201, "{}", opened.text);
    let ended = async { while let Some(Ok(_)) = stream.frame().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("what it held open ends");
    assert_eq!(old.get(&world, "/v1/frames").await.code(), "auth.revoked");
    let listed = world.get("/v1/tokens").await.json();
    let states: Vec<_> = listed.as_array().expect("a list").iter().map(|token| &token["state"]).collect();
    assert_eq!(states, [&json!("revoked"), &json!("active")], "{listed}");
    assert!(listed.as_array().expect("a list").iter().all(|token| token["began_with"] == "link"), "{listed}");
    let rows = world.audited("token.revoke").await;
    assert!(rows.len() == 1 && rows[0].contains("takes its place"), "{rows:?}");

    // With one half alone nobody's session ends: whoever has the cookie has no more than that.
    let other = Browser::new(&world).await;
    let headers = [("cookie", other.cookie.as_str()), ("origin", origin.as_str())];
    let body = json!({ "code": code(&world).await }).to_string();
    let opened = whole(world.open_with("POST", "/v1/web/sessions", &headers, &body).await).await;
    assert_eq!(opened.status, 201, "{}", opened.text);
    assert_eq!(other.get(&world, "/v1/frames").await.status, 200);
}

#[tokio::test]
async fn a_link_opens_nothing_once_the_token_that_asked_for_it_is_over() {
    let world = world().await;
    let made = world.post("/v1/tokens", Some(json!({"name": "ops", "scopes": ["read", "admin"]}))).await;
    let secret = made.json()["token"].as_str().expect("a secret").to_owned();
    let link = || async {
        let made = world.ask_with("POST", "/v1/web/codes", &secret, "{}").await;
        assert_eq!(made.status, 201, "{}", made.text);
        code_of(&made.json())
    };
    let (used, unused) = (link().await, link().await);
    Browser::with(&world, &used).await;
    let revoked = world.ask("DELETE", "/v1/tokens/ops", None, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    // Another token of that name is another token.
    let again = world.post("/v1/tokens", Some(json!({"name": "ops", "scopes": ["read", "admin"]}))).await;
    assert_eq!(again.status, 201, "{}", again.text);
    let refused = whole(exchange(&world, &unused).await).await;
    assert_eq!((refused.status, refused.code()), (404, "web.code"));
    let sessions = world.audited("token.create").await;
    assert_eq!(sessions.iter().filter(|row| row.contains("began_with")).count(), 1, "{sessions:?}");
    assert_eq!(world.audited("auth.refused").await.len(), 1);
    // Those of the owner, and of the home's own token, open as before.
    let home = world.ask_with("POST", "/v1/web/codes", TOKEN, "{}").await;
    Browser::with(&world, &code_of(&home.json())).await;
    Browser::new(&world).await;
}

#[tokio::test]
async fn nobody_gives_a_browser_more_than_they_have() {
    let world = world().await;
    let admin = token(&world, "admin read", None).await;
    let ask = |body: Value| {
        let (world, admin) = (&world, admin.clone());
        async move { world.ask_with("POST", "/v1/web/codes", &admin, &body.to_string()).await }
    };
    let more = ask(json!({"scopes": ["read", "terminal"]})).await;
    assert_eq!((more.status, more.code()), (403, "auth.scope"));
    let usual = ask(json!({})).await;
    assert_eq!(usual.status, 201, "{}", usual.text);
    let browser = Browser::with(&world, &code_of(&usual.json())).await;
    assert_eq!(browser.get(&world, "/v1/tokens/current").await.json()["scopes"], json!(["read"]));
    let unknown = ask(json!({"scopes": ["everything"]})).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
}

#[tokio::test]
async fn only_a_browser_of_this_machine_comes_in() {
    let off = World::new().await;
    let refused = off.post("/v1/web/codes", Some(json!({}))).await;
    assert_eq!((refused.status, refused.code()), (409, "web.off"), "it listens nowhere: {}", refused.text);

    let world = world().await;
    let code = code(&world).await;
    let over_unix = world.post("/v1/web/sessions", Some(json!({ "code": code }))).await;
    assert_eq!((over_unix.status, over_unix.code()), (409, "web.not_here"));
    let browser = Browser::with(&world, &code).await;

    let local = "10.0.0.9:8443".parse().expect("an address");
    let gate = Authenticator::new(Secret::new(TOKEN), world.services.access.clone(), Vec::new(), None);
    let ask_with = |peer: &str, method: &str, path: &str, cookie: &str, passed_on: Option<&'static str>| {
        let mut asked =
            Request::builder().method(method).uri(path).body(()).expect("a request").into_parts().0;
        let headers: &mut HeaderMap = &mut asked.headers;
        headers.insert("host", "10.0.0.9:8443".parse().expect("a value"));
        headers.insert("cookie", cookie.parse().expect("a value"));
        headers.insert("mimir-page", browser.page.parse().expect("a value"));
        if let Some(name) = passed_on {
            headers.insert(name, "10.0.0.7".parse().expect("a value"));
        }
        let (gate, peer) = (gate.clone(), peer.parse().expect("an address"));
        async move {
            gate.check(Ends { peer, local, is_tls: false }, &asked).await.map_err(|problem| problem.code)
        }
    };
    let ask = |peer: &str, method: &str, path: &str, cookie: &str| ask_with(peer, method, path, cookie, None);
    let half = browser.cookie.split_once('=').expect("a pair").1;
    let cookie = format!("mimir_8443={half}");
    assert!(ask("127.0.0.1", "GET", "/v1/frames", &cookie).await.is_ok(), "from here");
    for (method, path) in
        [("GET", "/"), ("GET", "/assets/x.js"), ("POST", "/v1/web/sessions"), ("GET", "/v1/frames")]
    {
        let refused = ask("10.0.0.7", method, path, &cookie).await.expect_err("from elsewhere");
        assert_eq!(refused, "auth.required", "{method} {path}");
        for name in ["forwarded", "via", "x-forwarded-for", "x-real-ip", "cf-connecting-ip"] {
            let asked = ask_with("127.0.0.1", method, path, &cookie, Some(name));
            let refused = asked.await.expect_err("for somebody else");
            assert_eq!(refused, "auth.required", "{method} {path} {name}");
        }
    }
}

//! Every route against every scope, and tokens for some frames alone.

use http_body_util::BodyExt;
use serde_json::{Value, json};
use strum::IntoEnumIterator;

use mimir::gateway::document::as_written;
use mimir::gateway::needs::{FrameIn, Needs, Route};
use mimir::gateway::routes;
use mimir::model::scope::Scope;

use super::token;
use crate::api::world::{Answer, World, whole};

#[test]
fn nothing_but_health_what_is_signed_and_the_page_is_open_and_what_is_below_a_frame_is_held_to_it() {
    for route in routes() {
        match route.needs {
            // What comes to the second one is signed; the last two want the code of a link or the password, and the page
            // holds nothing.
            Needs::Open => {
                let open = [
                    ("get", "/health"),
                    ("post", "/webhooks/{source}"),
                    ("get", "/"),
                    ("get", "/assets/{file}"),
                    ("post", "/v1/web/sessions"),
                    ("post", "/v1/web/login"),
                    // Its first message brings a ticket.
                    ("get", "/v1/terminal"),
                ];
                assert!(open.contains(&(route.method, route.path)), "{}", route.path);
            }
            Needs::Known => {
                // A token may always be given back.
                let gives_back = (route.method, route.path) == ("delete", "/v1/tokens/current");
                assert!(route.method == "get" || gives_back, "{} {}", route.method, route.path);
                assert_eq!(route.frame, FrameIn::NoFrame, "{}", route.path);
            }
            Needs::Scope(_) => {}
        }
        let opens = ["/v1/frames/{name}/connect", "/v1/frames/{name}/move", "/v1/frames/{name}/allow"];
        if opens.contains(&route.path) {
            // It makes a frame, names any folder of the machine, or lets a frame reach more, so a token that is held
            // to some frames has no say.
            assert_eq!(route.frame, FrameIn::All);
        } else if route.path.starts_with("/v1/frames/{name}") {
            assert_eq!(route.frame, FrameIn::Path, "{} {}", route.method, route.path);
        }
        // Looking is one thing, changing another.
        if route.method == "get" && route.path.starts_with("/v1/frames") {
            assert_ne!(route.needs, Needs::Scope(Scope::Frames), "{}", route.path);
        }
        if matches!(route.method, "post" | "put" | "patch" | "delete") {
            assert_ne!(route.needs, Needs::Scope(Scope::Read), "{} {}", route.method, route.path);
        }
    }
}

fn method(route: &Route) -> String {
    if route.method == "any" { "GET".to_owned() } else { route.method.to_ascii_uppercase() }
}

/// An address of the route; nothing of that name is there.
fn address(route: &Route) -> String {
    let parts = route.path.split('/').map(|part| if part.starts_with('{') { "nope" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_opens_for_its_scope_and_for_no_other() {
    let world = World::new().await;
    for route in routes() {
        let (method, address) = (method(&route), address(&route));
        let what = format!("{method} {address}");
        // An answer that goes on is one that came.
        let status = |token: Option<String>| {
            let (world, method, address) = (&world, method.clone(), address.clone());
            async move {
                let answer = world.open_tcp(&method, &address, token.as_deref(), "").await;
                match answer.status().as_u16() {
                    status @ (401 | 403) => (status, whole(answer).await.code()),
                    status => (status, ""),
                }
            }
        };
        match route.needs {
            Needs::Open => {
                let expected = match route.path {
                    "/" | "/health" => 200,
                    // They have no body.
                    "/v1/web/sessions" | "/v1/web/login" => 415,
                    // Whoever brings no token must be a page of ours.
                    "/v1/terminal" => 403,
                    _ => 404,
                };
                assert_eq!(status(None).await.0, expected, "{what}");
            }
            Needs::Known => {
                assert_eq!(status(None).await, (401, "auth.required"), "{what}");
                let any = token(&world, "metrics", None).await;
                assert_eq!(status(Some(any)).await.0, 200, "{what}");
            }
            Needs::Scope(scope) => {
                assert_eq!(status(None).await, (401, "auth.required"), "{what}");
                let others: Vec<&str> =
                    Scope::iter().filter(|other| *other != scope).map(Scope::as_str).collect();
                let others = token(&world, &others.join(" "), None).await;
                assert_eq!(status(Some(others)).await, (403, "auth.scope"), "{what}");
                // That one would end the gateway of this test; what it needs was just seen.
                if route.path != "/v1/stop" {
                    let fitting = token(&world, scope.as_str(), None).await;
                    let (status, code) = status(Some(fitting)).await;
                    assert!(status != 401 && code != "auth.scope", "{what}: {status} {code}");
                }
            }
        }
    }
    assert!(world.end().await, "it ends in time");
}

#[tokio::test]
async fn the_document_names_the_scope_of_every_route() {
    let document: Value = serde_json::from_str(&mimir::gateway::openapi_json()).expect("JSON");
    for route in routes().iter().filter(|route| route.method != "any") {
        let security = &document["paths"][as_written(route.path)][route.method]["security"];
        let expected = match route.needs {
            Needs::Open => json!([{}]),
            Needs::Known => json!([{"token": []}]),
            Needs::Scope(scope) => json!([{"token": [scope.as_str()]}]),
        };
        assert_eq!(*security, expected, "{} {}", route.method, route.path);
    }
}

/// A page in the owner's browser reaches the same ports as the owner, and opencode would answer pages of any local port.
#[tokio::test]
async fn trap_23_a_page_of_another_origin_is_refused_whatever_it_brings() {
    let world = World::new().await;
    world.frame("blog").await;
    let host = || ("host", world.tcp.to_string());
    let bearer = || ("authorization", format!("Bearer {}", crate::api::world::TOKEN));
    for origin in ["http://localhost:9999", "https://app.opencode.ai", "tauri://localhost", "null"] {
        for path in ["/health", "/v1/frames", "/v1/frames/blog/opencode/session", "/v1/events"] {
            let answer = world.ask_tcp(path, vec![host(), bearer(), ("origin", origin.to_owned())]).await;
            assert_eq!((answer.status, answer.code()), (403, "request.foreign_origin"), "{origin} {path}");
        }
    }
    let rebound = vec![("host", "evil.example:4605".to_owned()), bearer()];
    assert_eq!(world.ask_tcp("/v1/frames", rebound).await.code(), "request.wrong_host");
    // What a form can send without asking first is no request.
    let form =
        world.ask_raw("POST", "/v1/messages", Some("{}".into()), &[("content-type", "text/plain")]).await;
    assert_eq!(form.code(), "request.media_type");
}

#[tokio::test]
async fn a_stranger_keeps_no_connection() {
    let world = World::new().await;
    for (path, kept) in [("/health", None), ("/v1/frames", None), ("/v1/frames", Some("read"))] {
        let token = match kept {
            Some(scopes) => Some(token(&world, scopes, None).await),
            None => None,
        };
        let answer = world.open_tcp("GET", path, token.as_deref(), "").await;
        let closes = answer.headers().get("connection").is_some_and(|value| value == "close");
        assert_eq!(closes, kept.is_none(), "{path}");
    }
}

/// A token for one frame alone, and a gateway with two.
struct Held {
    world: World,
    token: String,
}

impl Held {
    async fn new() -> Self {
        let world = World::new().await;
        world.frame("blog").await;
        world.frame("api").await;
        let token = token(&world, "read send frames terminal admin", Some(&["blog"])).await;
        Self { world, token }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.world.ask_with(method, path, &self.token, &body).await
    }

    async fn refused(&self, method: &str, path: &str, body: Value) {
        let answer = self.ask(method, path, body).await;
        assert_eq!((answer.status, answer.code()), (403, "auth.frame"), "{method} {path}");
        assert!(answer.json()["title"].as_str().expect("a title").contains("blog"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_token_for_one_frame_sees_and_touches_no_other() {
    let held = Held::new().await;
    let names = |answer: Answer| -> Vec<String> {
        let all = answer.json();
        all.as_array()
            .expect("a list")
            .iter()
            .map(|one| one["name"].as_str().expect("a name").into())
            .collect()
    };
    assert_eq!(names(held.ask("GET", "/v1/frames", Value::Null).await), ["blog"]);
    assert_eq!(held.ask("GET", "/v1/frames/blog", Value::Null).await.status, 200);
    assert_eq!(held.ask("POST", "/v1/frames/blog/start", Value::Null).await.status, 202);
    for (method, path) in [
        ("GET", "/v1/frames/api"),
        ("GET", "/v1/frames/%61pi"),
        ("DELETE", "/v1/frames/api"),
        ("POST", "/v1/frames/api/start"),
        ("GET", "/v1/frames/api/logs"),
        ("GET", "/v1/frames/api/terminal?columns=80&rows=24"),
        ("POST", "/v1/frames/api/terminal/tickets"),
        ("POST", "/v1/frames/api/terminal/shares"),
        ("GET", "/v1/frames/api/terminal/shares"),
        ("DELETE", "/v1/frames/api/terminal/shares/share-1"),
        ("GET", "/v1/gc"),
        ("GET", "/v1/status"),
        ("POST", "/v1/gc"),
        ("GET", "/v1/projects"),
        ("GET", "/v1/doctor"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/stop"),
        ("GET", "/v1/messages"),
        ("GET", "/v1/messages?frame=api"),
        ("GET", "/v1/messages?frame=blog&frame=api"),
        ("GET", "/v1/sessions"),
        ("GET", "/v1/events"),
        ("GET", "/v1/events?frame=api"),
        ("GET", "/v1/events?kind=frame.created"),
    ] {
        held.refused(method, path, Value::Null).await;
    }
    held.refused("POST", "/v1/frames", json!({"name": "new", "workspace": "/tmp"})).await;
    held.refused("POST", "/v1/tokens", json!({"scopes": ["read"]})).await;
    held.refused("POST", "/v1/messages", json!({"frame": "api", "text": "hello"})).await;
    held.refused("POST", "/v1/messages", json!({"text": "hello"})).await;
    assert!(held.world.end().await, "it ends in time");
}

#[tokio::test]
async fn messages_and_sessions_belong_to_their_frame() {
    let held = Held::new().await;
    let send =
        |frame: &'static str| held.world.post("/v1/messages", Some(json!({"frame": frame, "text": "hello"})));
    let (own, other) = (send("blog").await.json(), send("api").await.json());
    let field = |view: &Value, name: &str| view[name].as_str().expect("a text").to_owned();
    let mine = held.ask("POST", "/v1/messages", json!({"frame": "blog", "text": "hi"})).await;
    assert_eq!(mine.status, 202, "{}", mine.text);
    for (path, wanted) in [
        (format!("/v1/messages/{}", field(&own, "id")), 200),
        (format!("/v1/messages/{}", field(&other, "id")), 403),
        (format!("/v1/sessions/{}", field(&own, "session")), 200),
        (format!("/v1/sessions/{}", field(&other, "session")), 403),
        (format!("/v1/events?message={}", field(&other, "id")), 403),
        (format!("/v1/events?session={}", field(&other, "session")), 403),
        // A beginning could be of any frame.
        (format!("/v1/sessions/{}", &field(&other, "session")[..12]), 404),
        // What a list does not obey does not open it.
        (format!("/v1/messages?message={}", field(&own, "id")), 403),
        (format!("/v1/sessions?session={}", field(&own, "session")), 403),
        (format!("/v1/approvals?session={}", field(&own, "session")), 403),
        (format!("/v1/search?q=hello&session={}", field(&own, "session")), 403),
        ("/v1/messages?frame=blog".to_owned(), 200),
        ("/v1/sessions?frame=blog".to_owned(), 200),
    ] {
        assert_eq!(held.ask("GET", &path, Value::Null).await.status, wanted, "{path}");
    }
    let cancel = format!("/v1/messages/{}/cancel", field(&other, "id"));
    held.refused("POST", &cancel, Value::Null).await;
    // Of its own messages it may follow what happens.
    let path = format!("/v1/events?after=0&message={}", field(&own, "id"));
    let following = held.world.open_tcp("GET", &path, Some(&held.token), "").await;
    assert_eq!(following.status().as_u16(), 200);
    drop(following);
    // A reader that starts anew is told of its own frame alone.
    let reset =
        held.world.open_tcp("GET", "/v1/events?after=99999999&frame=blog", Some(&held.token), "").await;
    let mut body = reset.into_body();
    let mut text = String::new();
    let told = async {
        while !text.contains("event: reset") || !text.ends_with("\n\n") {
            let frame = body.frame().await.expect("it goes on").expect("the stream lives");
            text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), told).await.expect("in time");
    assert!(text.contains("reset") && text.contains("blog") && !text.contains("\"api\""), "{text}");
    drop(body);
    assert!(held.world.end().await, "it ends in time");
}

//! Questions with one answer.

use serde_json::{Value, json};

use super::world::World;
use mimir::runtime::fake::Op;

#[tokio::test]
async fn every_answer_has_an_id_and_every_error_one_shape() {
    let world = World::new().await;
    let fine = world.get("/health").await;
    assert_eq!(fine.status, 200);
    assert!(fine.request_id.expect("an id").starts_with("req_"));

    let given = world.ask("GET", "/v1/nothing", None, &[("x-request-id", "mine-1")]).await;
    assert_eq!((given.status, given.code()), (404, "route.not_found"));
    assert_eq!(given.request_id.as_deref(), Some("mine-1"));
    assert_eq!(given.json()["request_id"], "mine-1");

    let forged = world.ask("GET", "/v1/nothing", None, &[("x-request-id", "a b\"c")]).await;
    assert!(forged.request_id.expect("an id").starts_with("req_"), "a strange id is not taken over");
    let wrong = world.ask("PUT", "/v1/frames", None, &[]).await;
    assert_eq!((wrong.status, wrong.code()), (405, "route.wrong_method"));
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_refused_before_anything_happens() {
    let world = World::new().await;
    let send = |body: &str, media: &'static str| {
        let body = body.to_owned();
        let world = &world;
        async move { world.ask_raw("POST", "/v1/frames", Some(body), &[("content-type", media)]).await }
    };
    assert_eq!(send("{}", "text/plain").await.code(), "request.media_type");
    assert_eq!(send("{", "application/json").await.code(), "request.invalid");
    let unknown = send(r#"{"name":"a","nmae":1}"#, "application/json").await;
    assert!(unknown.json()["detail"].as_str().expect("a detail").contains("nmae"), "{}", unknown.text);
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(3 << 20));
    let large = send(&large, "application/json").await;
    assert_eq!((large.status, large.code()), (413, "request.too_large"));
    assert!(large.json()["title"].as_str().is_some_and(|title| title.contains("2 MiB")), "{}", large.text);
    assert_eq!(world.get("/v1/frames").await.json(), json!([]));
}

/// Whatever is refused, the answer is a problem in our words: nothing of a library's shines through.
#[tokio::test]
async fn every_refusal_is_ours() {
    let world = World::new().await;
    world.frame("blog").await;
    let json = [("content-type", "application/json")];
    type Question<'a> = (&'a str, &'a str, Option<&'a str>, &'a [(&'a str, &'a str)]);
    let cases: &[Question<'_>] = &[
        ("GET", "/v1/frames/%ff", None, &[]),
        ("GET", "/v1/sessions/%ff", None, &[]),
        ("GET", "/v1/messages?open=maybe", None, &[]),
        ("GET", "/v1/events?after=x", None, &[]),
        ("GET", "/v1/frames/blog/terminal", None, &[]),
        ("GET", "/v1/frames/blog/terminal?columns=x", None, &[("upgrade", "websocket")]),
        ("GET", "/v1/terminal", None, &[]),
        ("GET", "/v1/terminal", None, &[("upgrade", "websocket")]),
        ("POST", "/v1/frames/blog/terminal/tickets", Some(r#"{"window": 1}"#), &json),
        ("POST", "/v1/frames/blog/terminal/shares", Some(r#"{"lasts_seconds": 1}"#), &json),
        ("GET", "/v1/events", None, &[("upgrade", "websocket")]),
        ("POST", "/v1/frames/blog/start?wait=soon", None, &[]),
        ("POST", "/v1/frames", Some("[1,"), &json),
        ("POST", "/v1/frames", Some("\u{0}"), &json),
        ("POST", "/v1/frames", Some(r#"{"name": 7}"#), &json),
        ("POST", "/v1/frames", Some(r#"{"name": "x", "pids": 1e99}"#), &json),
        (
            "POST",
            "/v1/frames",
            Some(r#"{"name": "x", "workspace": "/w", "settings": {"turn.work": "1h"}}"#),
            &json,
        ),
        ("POST", "/v1/frames", Some("{}"), &[]),
        ("POST", "/v1/messages", Some(r#"{"frame": "blog"}"#), &json),
        ("PUT", "/v1/frames", None, &[]),
        ("GET", "/nothing", None, &[]),
    ];
    for (method, path, body, headers) in cases {
        let refused = world.ask_raw(method, path, body.map(str::to_owned), headers).await;
        let problem = refused.json();
        let text = format!("{} {} {}", problem["title"], problem["detail"], problem["hint"]);
        assert!((400..500).contains(&refused.status), "{method} {path}: {} {text}", refused.status);
        assert!(problem["code"].is_string() && problem["request_id"].is_string(), "{method} {path}: {text}");
        for word in
            ["deserialize", "expected", "invalid type", "Invalid", "UTF-8", "literal", "digit", "struct"]
        {
            assert!(!text.contains(word), "{method} {path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_frame_lives_from_create_to_destroy() {
    let world = World::new().await;
    let made = world.frame("blog").await;
    assert_eq!((made["state"].as_str(), made["doing"].as_str()), (Some("created"), None));
    let started = world.post("/v1/frames/blog/start?wait=8", None).await;
    assert_eq!(started.status, 200, "{}", started.text);
    assert_eq!(started.json()["state"], "running");
    assert_eq!(started.json()["doing"], "idle");

    let shown = world.get("/v1/frames/blog").await.json();
    assert_eq!((shown["observed"].as_str(), shown["name"].as_str()), (Some("running"), Some("blog")));
    assert!(shown["container"].as_str().expect("a container").starts_with("mimir-frm_"));
    assert_eq!(world.get("/v1/frames/blog/stats").await.json()["frame"], "blog");

    for (verb, state) in [("pause", "paused"), ("resume", "running"), ("stop", "stopped")] {
        let answer = world.post(&format!("/v1/frames/blog/{verb}?wait=8"), None).await;
        assert_eq!(answer.status, 200, "{verb}: {}", answer.text);
        assert_eq!(answer.json()["state"], state, "{verb}");
    }
    let wrong = world.post("/v1/frames/blog/resume", None).await;
    assert_eq!((wrong.status, wrong.code()), (409, "frame.wrong_state"));
    let gone = world.ask("DELETE", "/v1/frames/blog?wait=8", None, &[]).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(world.get("/v1/frames/blog").await.code(), "frame.not_found");
    assert!(world.engine.containers().is_empty());
}

#[tokio::test]
async fn a_frame_behind_its_image_says_so_and_is_moved_unless_it_is_busy() {
    let world = World::new().await;
    let made = world.frame("blog").await;
    assert_eq!(made["behind"], false, "{made}");
    let upgrade = |body: Value| world.post("/v1/frames/blog/upgrade", Some(body));
    let nothing = upgrade(json!({})).await.json();
    assert_eq!((&nothing["upgraded"], &nothing["from"]), (&json!(false), &nothing["to"]), "{nothing}");

    let newest = world.engine.move_name(made_from(&world).await.as_str());
    assert_eq!(world.get("/v1/frames/blog").await.json()["behind"], true);
    assert_eq!(world.get("/v1/frames").await.json()[0]["behind"], true, "known to the list from then on");
    assert_eq!(world.post("/v1/frames/blog/start?wait=8", None).await.status, 200);
    assert_eq!(world.post("/v1/frames/blog/pause?wait=8", None).await.status, 200);
    let busy = upgrade(json!({})).await;
    assert_eq!((busy.status, busy.code()), (409, "frame.busy"));
    assert!(busy.json()["hint"].as_str().is_some_and(|hint| hint.contains("--force")), "{}", busy.text);
    assert!(world.audited("frame.upgrade").await.is_empty());

    let moved = upgrade(json!({ "force": true })).await;
    assert_eq!((moved.status, &moved.json()["to"]), (200, &json!(newest.id)), "{}", moved.text);
    assert_eq!(moved.json()["behind"], false);
    world.until_state("blog", "paused").await;
    assert_eq!(world.audited("frame.upgrade").await.len(), 1);
    assert_eq!(upgrade(json!({ "forced": true })).await.status, 400);
    assert_eq!(world.post("/v1/frames/none/upgrade", Some(json!({}))).await.code(), "frame.not_found");
}

/// The reference that the frame's image has.
async fn made_from(world: &World) -> String {
    world.get("/v1/frames/blog").await.json()["image"].as_str().expect("an image").to_owned()
}

#[tokio::test]
async fn whoever_reaches_the_gateway_is_a_person_and_cannot_say_otherwise() {
    let world = World::new().await;
    let made = world.frame("blog").await;
    assert_eq!((&made["origin"], &made["run"]), (&json!("person"), &Value::Null));
    let sent = world.post("/v1/messages", Some(json!({"frame": "blog", "text": "hi"}))).await;
    assert_eq!((sent.status, &sent.json()["origin"]), (202, &json!("person")));
    for (path, body) in [
        ("/v1/messages", json!({"frame": "blog", "text": "hi", "origin": "schedule"})),
        ("/v1/messages", json!({"frame": "blog", "text": "hi", "run": "run_01k0000000000000000000000a"})),
        ("/v1/frames", json!({"name": "other", "workspace": "/tmp", "origin": "manager"})),
    ] {
        let refused = world.post(path, Some(body)).await;
        assert_eq!((refused.status, refused.code()), (400, "request.invalid"), "{}", refused.text);
    }
}

#[tokio::test]
async fn whoever_does_not_wait_is_answered_at_once() {
    let world = World::new().await;
    world.frame("blog").await;
    let answer = world.post("/v1/frames/blog/start", None).await;
    assert_eq!((answer.status, answer.json()["desired"].as_str()), (202, Some("running")));
    let bad = world.post("/v1/frames/blog/start?wait=soon", None).await;
    assert_eq!((bad.status, bad.code()), (400, "request.invalid"));
}

#[tokio::test]
async fn what_cannot_be_made_says_why_and_leaves_nothing() {
    let world = World::new().await;
    world.frame("blog").await;
    let create = |body: Value| world.post("/v1/frames", Some(body));
    let workspace = world.project("other");
    let cases = [
        (json!({"name": "blog", "workspace": workspace}), 409, "frame.name_taken"),
        (json!({"name": "Blog!", "workspace": workspace}), 400, "frame.name"),
        (json!({"name": "a", "workspace": "/nonexistent"}), 409, "workspace.missing"),
        (json!({"name": "a", "workspace": "relative"}), 400, "workspace.relative"),
        (json!({"name": "a", "workspace": "/"}), 409, "workspace.forbidden"),
        (json!({"name": "a", "workspace": "/etc/hostname"}), 409, "workspace.not_a_folder"),
        (json!({"name": "a", "workspace": workspace, "image": "no/such"}), 409, "image.missing"),
        (json!({"name": "a", "project": "nope"}), 404, "project.not_found"),
    ];
    for (body, status, code) in cases {
        let answer = create(body.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}");
        assert!(answer.json()["hint"].is_string(), "{code} has a hint");
    }
    assert_eq!(world.get("/v1/frames").await.json().as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn an_engine_that_is_down_is_named_and_the_rest_goes_on() {
    let world = World::new().await;
    world.engine.go_down();
    let body = json!({"name": "blog", "workspace": world.project("blog")});
    let answer = world.post("/v1/frames", Some(body)).await;
    assert_eq!((answer.status, answer.code()), (503, "engine.unreachable"), "{}", answer.text);
    let status = world.get("/v1/status").await.json();
    assert_eq!(status["engine_ok"], false);
    assert_eq!(world.get("/v1/frames").await.json(), json!([]));
    assert!(world.get("/metrics").await.text.contains("mimir_engine_up 0"));
    assert!(world.engine.calls(Op::Create) == 0, "nothing was tried");
}

#[tokio::test]
async fn the_same_key_gives_the_same_message() {
    let world = World::new().await;
    world.frame("blog").await;
    let body = json!({"frame": "blog", "text": "hello"});
    let send = || world.ask("POST", "/v1/messages", Some(body.clone()), &[("idempotency-key", "k1")]);
    let (first, second) = (send().await, send().await);
    assert_eq!((first.status, second.status), (202, 202), "{}", first.text);
    assert_eq!(first.json()["id"], second.json()["id"]);
    let other = json!({"frame": "blog", "text": "something else"});
    let taken = world.ask("POST", "/v1/messages", Some(other), &[("idempotency-key", "k1")]).await;
    assert_eq!(taken.code(), "send.key_taken");

    let id = first.json()["id"].as_str().expect("an id").to_owned();
    let notes = first.json()["remarks"].to_string();
    assert!(notes.contains("being started") && notes.contains("demo"), "{notes}");
    let cancelled = world.post(&format!("/v1/messages/{id}/cancel"), None).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text);
    assert_eq!(world.get(&format!("/v1/messages/{id}")).await.json()["id"], id.as_str());
    let sessions = world.get("/v1/sessions?frame=blog").await.json();
    assert_eq!(sessions[0]["message_count"], 1, "{sessions}");
}

#[tokio::test]
async fn messages_that_cannot_be_sent_say_why() {
    let world = World::new().await;
    world.frame("blog").await;
    let cases = [
        (json!({"frame": "nope", "text": "x"}), 404, "frame.not_found"),
        (json!({"frame": "blog", "text": "  "}), 400, "send.empty"),
        (json!({"frame": "blog", "text": "x", "session": "nope"}), 404, "session.not_found"),
        (json!({"frame": "blog", "text": "x", "model": "gpt"}), 400, "message.model"),
    ];
    for (body, status, code) in cases {
        let answer = world.post("/v1/messages", Some(body.clone())).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}");
    }
    assert_eq!(world.get("/v1/messages/msg_nope").await.code(), "message.not_found");
    assert_eq!(world.get("/v1/sessions/ssn_nope").await.code(), "session.not_found");
    assert_eq!(world.get("/v1/messages").await.json(), json!([]));
}

#[tokio::test]
async fn messages_wait_in_order_are_changed_and_taken_back() {
    let world = World::new().await;
    world.frame("blog").await;
    // Nothing can be started, so everything waits.
    world.engine.go_down();
    let send = |body| world.post("/v1/messages", Some(body));
    let first = send(json!({"frame": "blog", "text": "one"})).await.json();
    let second = send(json!({"frame": "blog", "text": "two"})).await.json();
    assert!(second["remarks"].to_string().contains("1 message comes before it"), "{second}");
    let path = |message: &Value| format!("/v1/messages/{}", message["id"].as_str().expect("an id"));

    let world = &world;
    let edit = |message: &Value, body| {
        let path = path(message);
        async move { world.ask("PATCH", &path, Some(body), &[]).await }
    };
    let edited = edit(&second, json!({"text": "zwei", "model": "demo/other"})).await;
    assert_eq!((edited.status, &edited.json()["text"]), (200, &json!("zwei")));
    assert_eq!(edit(&second, json!({})).await.code(), "request.invalid");
    assert_eq!(edit(&second, json!({"text": ""})).await.code(), "send.empty");
    assert_eq!(edit(&json!({"id": "msg_nope"}), json!({"text": "x"})).await.code(), "message.not_found");

    let session = first["session"].as_str().expect("an id");
    let queue = world.get(&format!("/v1/messages?open=true&frame=blog&session={session}")).await.json();
    let texts: Vec<&str> =
        queue.as_array().expect("a list").iter().filter_map(|m| m["text"].as_str()).collect();
    assert_eq!(texts, ["one", "zwei"], "in the order in which they go");
    assert_eq!(world.get("/v1/messages?session=mine").await.code(), "session.id");

    let refused = send(json!({"frame": "blog", "text": "three", "now": true})).await;
    assert_eq!((refused.status, refused.code()), (409, "send.not_now"));
    let both = send(json!({"frame": "blog", "text": "three", "now": true, "interrupt": true})).await;
    assert_eq!(both.code(), "request.invalid");
    let urgent = send(json!({"frame": "blog", "text": "three", "interrupt": true})).await.json();
    assert_eq!((&urgent["state"], &urgent["interrupt"]), (&json!("queued"), &json!(true)));
    let queue = world.get("/v1/messages?open=true").await.json();
    assert_eq!(queue[0]["id"], urgent["id"], "before the others: {queue}");

    let cancelled = world.post(&format!("{}/cancel", path(&second)), None).await.json();
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["reason"].as_str().is_some_and(|why| why.starts_with("cancelled by ")), "{cancelled}");
    assert_eq!(edit(&second, json!({"text": "late"})).await.code(), "message.not_waiting");
}

#[tokio::test]
async fn projects_come_and_go_and_their_folders_stay() {
    let world = World::new().await;
    let path = world.project("My API");
    let made = world.post("/v1/projects", Some(json!({ "path": path }))).await;
    assert_eq!((made.status, made.json()["name"].as_str()), (201, Some("my-api")), "{}", made.text);
    let again = world.post("/v1/projects", Some(json!({ "path": path }))).await;
    assert_eq!(again.status, 409, "{}", again.text);
    let missing = world.post("/v1/projects", Some(json!({ "path": "/nonexistent" }))).await;
    assert_eq!(missing.code(), "project.path");

    let frame = world.post("/v1/frames", Some(json!({"name": "one", "project": "my-api"}))).await;
    assert_eq!(frame.json()["project"], "my-api", "{}", frame.text);
    assert_eq!(world.get("/v1/projects/my-api").await.json()["frames"], json!(["one"]));
    assert_eq!(world.ask("DELETE", "/v1/projects/my-api", None, &[]).await.status, 204);
    assert_eq!(world.get("/v1/projects/my-api").await.code(), "project.not_found");
    assert!(std::path::Path::new(&path).is_dir());
}

#[tokio::test]
async fn images_say_whether_they_fit_and_who_uses_them() {
    let world = World::new().await;
    world.frame("blog").await;
    let images = world.get("/v1/images").await.json();
    assert_eq!((images[0]["current"].as_bool(), &images[0]["frames"]), (Some(true), &json!(["blog"])));
    let build = world.post("/v1/images/build", Some(json!({}))).await;
    assert_eq!(build.code(), "engine.not_installed", "there is no engine's program in this world");
}

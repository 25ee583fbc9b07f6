//! A server that runs elsewhere, over HTTP: connected, talked to, shown as it is, forgotten.

use serde_json::json;

use super::world::World;
use crate::agent::scripted::{PASSWORD, Play, ScriptedAgent};

async fn connected(world: &World, agent: &ScriptedAgent) {
    let url = format!("http://mimir@{}", agent.address());
    let body = json!({"url": url, "password": PASSWORD});
    let made = world.post("/v1/frames/far/connect", Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(made["engine"], "external");
    assert!(made["network"].is_null(), "nobody here knows what it may reach: {made}");
    assert_eq!(made["url"], format!("http://{}", agent.address()));
    world.until_state("far", "running").await;
}

#[tokio::test]
async fn messages_sessions_and_the_pass_through_work_as_in_any_frame() {
    let (world, agent) = (World::new().await, ScriptedAgent::start());
    agent.choose_models();
    connected(&world, &agent).await;
    agent.plays([Play::Answer("Hello there.".into())]);
    let sent = world.post("/v1/messages", Some(json!({"frame": "far", "text": "hi"}))).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    assert!(!sent.text.contains("demo"), "it has models of its own: {}", sent.text);
    let path = format!("/v1/messages/{}", sent.json()["id"].as_str().expect("an id"));
    let answered = world.until_json(&path, |message| message["state"] == "answered").await;
    assert_eq!(answered["answer"], "Hello there.");

    let sessions = world.get("/v1/sessions?frame=far").await.json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "{sessions}");
    let through = world.get("/v1/frames/far/opencode/session").await;
    assert_eq!(through.status, 200, "{}", through.text);
    assert_eq!(through.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_it_cannot_do_is_said_and_its_password_never() {
    let (world, agent) = (World::new().await, ScriptedAgent::start());
    connected(&world, &agent).await;
    let shown = world.get("/v1/frames/far").await;
    let cannot = shown.json()["cannot"].clone();
    assert_eq!((&shown.json()["container"], &shown.json()["limits"]["pids"]), (&json!(""), &json!(0)));
    for lacking in ["stop", "limits", "terminal", "isolation", "ports"] {
        assert!(cannot.as_array().is_some_and(|all| all.contains(&json!(lacking))), "{lacking}: {cannot}");
    }
    for page in ["/v1/frames", "/v1/frames/far", "/v1/frames/far/notes", "/v1/status"] {
        let text = world.get(page).await.text;
        assert!(!text.contains(PASSWORD), "{page}: {text}");
    }
    for verb in ["start", "stop", "restart", "pause", "resume"] {
        let refused = world.post(&format!("/v1/frames/far/{verb}"), None).await;
        assert_eq!((refused.status, refused.code()), (409, "frame.external"), "{verb}: {}", refused.text);
    }
    let refused = world.ask("DELETE", "/v1/frames/far", None, &[]).await;
    assert_eq!((refused.status, refused.code()), (409, "frame.external"));
    assert!(refused.text.contains("mimir frame disconnect far"), "{}", refused.text);
    for page in ["/v1/frames/far/stats", "/v1/frames/far/logs"] {
        let refused = world.get(page).await;
        assert_eq!((refused.status, refused.code()), (409, "frame.external"), "{page}");
    }

    let gone = world.post("/v1/frames/far/disconnect?wait=20", None).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    assert_eq!(world.get("/v1/frames/far").await.status, 404);
    agent.client().health(std::time::Duration::from_secs(2)).await.expect("it goes on");
}

#[tokio::test]
async fn an_address_that_is_none_and_a_wrong_password_are_told_apart() {
    let (world, agent) = (World::new().await, ScriptedAgent::start());
    let url = format!("http://mimir@{}", agent.address());
    for (body, status, part) in [
        (json!({"url": "far away"}), 400, "http://127.0.0.1:4096"),
        (json!({"url": "http://a:secret@example.org"}), 400, "--password-stdin"),
        (json!({"url": url, "password": "wrong"}), 409, "it refuses the password"),
        (json!({"url": url}), 409, "it asks for a password"),
    ] {
        let refused = world.post("/v1/frames/far/connect", Some(body)).await;
        assert_eq!(refused.status, status, "{}", refused.text);
        assert!(refused.text.contains(part), "{}", refused.text);
        assert!(!refused.text.contains("secret"), "{}", refused.text);
    }
    assert_eq!(world.get("/v1/frames").await.json(), json!([]));
}

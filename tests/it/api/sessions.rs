//! Conversations over HTTP: of a frame that is gone, so everything here comes from the history alone.

use mimir::clock::entropy_128;
use mimir::model::agent::{
    AgentMessage, AgentMessageId, AgentPart, AgentPartId, AgentSessionId, MessageInfo, PartBody, Role,
    ToolStatus,
};
use mimir::model::ids::{FrameId, SessionId};
use mimir::model::names::FrameName;
use mimir::model::usage::Tokens;
use mimir::store::sessions::NewSession;
use mimir::store::{agent_messages, sessions};
use serde_json::json;

use super::world::World;

/// A conversation in which a tool was used; says its id.
async fn conversation(world: &World, title: &str) -> String {
    let new = NewSession {
        id: SessionId::from_parts(1, entropy_128()),
        frame: FrameId::from_parts(1, entropy_128()),
        frame_name: FrameName::parse("gone").expect("a name"),
        title: title.into(),
    };
    let id = new.id.to_string();
    let session = AgentSessionId("ses_1".into());
    let message = MessageInfo {
        id: AgentMessageId("msg_1".into()),
        session: session.clone(),
        role: Role::Assistant,
        parent: None,
        model: Some("demo/demo".into()),
        created_at: 1_000,
        completed_at: Some(3_000),
        finish: Some("stop".into()),
        error: None,
        tokens: Tokens { input: 200, output: 30, ..Tokens::default() },
        cost_microusd: 1_410,
    };
    let bodies = [
        PartBody::Reasoning { text: "hm".into() },
        PartBody::Tool {
            tool: "bash".into(),
            call_id: "call_1".into(),
            status: ToolStatus::Completed,
            title: Some("ls".into()),
            input: json!({"command": "ls"}),
            output: Some("x".repeat(40_000)),
        },
        PartBody::Patch { files: vec!["/workspace/a.css".into()] },
        PartBody::Text { text: "The colours are dark.".into(), synthetic: false },
    ];
    let part = |(at, body)| AgentPart {
        id: AgentPartId(format!("prt_{at}")),
        session: session.clone(),
        message: message.id.clone(),
        ended: true,
        started_at: Some(1_000),
        ended_at: Some(2_000),
        body,
    };
    let parts: Vec<AgentPart> = bodies.into_iter().enumerate().map(part).collect();
    let write = world.services.store.write(move |tx| {
        sessions::insert(tx, &new)?;
        agent_messages::upsert(tx, &new.id, &AgentMessage { head: message, parts })
    });
    write.await.expect("kept");
    id
}

#[tokio::test]
async fn a_history_is_shown_whole_and_exported_in_two_forms() {
    let world = World::new().await;
    let id = conversation(&world, "colours").await;
    for word in [id.as_str(), &id[..24], "colours", "last"] {
        assert_eq!(world.get(&format!("/v1/sessions/{word}")).await.json()["id"], *id, "{word}");
    }
    let shown = world.get("/v1/sessions/last?frame=gone").await.json();
    let turn = &shown["turns"][0];
    assert_eq!((&turn["cost_microusd"], &turn["tokens"]["input"]), (&1_410.into(), &200.into()));
    assert_eq!(
        (&turn["finish"], &turn["ended_at"], &turn["model"]),
        (&"stop".into(), &3_000.into(), &"demo/demo".into())
    );
    let parts = turn["parts"].as_array().expect("parts");
    let types: Vec<&str> = parts.iter().filter_map(|part| part["type"].as_str()).collect();
    assert_eq!(types, ["reasoning", "tool", "files", "text"]);
    assert_eq!(parts[1]["input"]["command"], "ls");
    assert_eq!(parts[1]["output"].as_str().map(str::len), Some(40_000), "nothing is cut");
    assert_eq!((&parts[1]["started_at"], &parts[1]["ended_at"]), (&1_000.into(), &2_000.into()));
    assert_eq!(parts[2]["paths"][0], "/workspace/a.css");

    assert_eq!(world.get("/v1/sessions/last/export").await.json(), shown);
    let markdown = world.get("/v1/sessions/last/export?format=markdown").await;
    assert!(markdown.media.starts_with("text/markdown"), "{}", markdown.media);
    assert!(markdown.text.starts_with("# colours\n") && markdown.text.contains("The colours are dark."));
    assert_eq!(world.get("/v1/sessions/last/export?format=pdf").await.code(), "request.invalid");
    assert_eq!(world.get("/v1/sessions/last?frame=other").await.code(), "session.not_found");
}

#[tokio::test]
async fn a_search_answers_with_the_place_or_says_what_it_does_not_understand() {
    let world = World::new().await;
    let id = conversation(&world, "colours").await;
    let found = world.get("/v1/search?q=dark+colours&frame=gone&role=assistant").await.json();
    assert_eq!((&found[0]["session"], &found[0]["role"]), (&json!(id), &"assistant".into()));
    let hits: Vec<&str> = found[0]["snippet"]
        .as_array()
        .expect("pieces")
        .iter()
        .filter(|piece| piece["hit"] == true)
        .filter_map(|piece| piece["text"].as_str())
        .collect();
    assert_eq!(hits, ["colours", "dark"]);
    assert_eq!(world.get("/v1/search?q=dark&frame=other").await.json(), json!([]));
    assert_eq!(world.get("/v1/search?q=dark&until=1000").await.json(), json!([]));
    for query in ["q=-other", "q=", "q=%3F"] {
        let found = world.get(&format!("/v1/search?{query}")).await;
        assert_eq!((found.status, found.json()), (200, json!([])), "{query}");
    }
    assert_eq!(
        world.get("/v1/search?q=%22dark").await.json().as_array().map(Vec::len),
        Some(1),
        "up to the end"
    );
    let long = format!("q={}", "x".repeat(1001));
    for (query, code) in [
        (long.as_str(), "search.query"),
        ("q=dark&role=nobody", "request.invalid"),
        ("q=dark&session=nope", "session.not_found"),
        ("frame=gone", "request.invalid"),
    ] {
        assert_eq!(world.get(&format!("/v1/search?{query}")).await.code(), code, "{query}");
    }
}

#[tokio::test]
async fn without_its_frame_a_conversation_can_be_renamed_and_deleted_and_nothing_else() {
    let world = World::new().await;
    let id = conversation(&world, "colours").await;
    let at = format!("/v1/sessions/{id}");
    let renamed = world.ask("PATCH", &at, Some(json!({"title": "dark"})), &[]).await;
    assert_eq!((renamed.status, &renamed.json()["title"]), (200, &"dark".into()));
    let empty = world.ask("PATCH", &at, Some(json!({"title": " "})), &[]).await;
    assert_eq!(empty.code(), "session.title");
    for (verb, body) in [("fork", Some(json!({}))), ("compact", None)] {
        let refused = world.post(&format!("{at}/{verb}"), body).await;
        assert_eq!((refused.status, refused.code()), (409, "session.frame_gone"), "{verb}");
    }
    let aborted = world.post(&format!("{at}/abort"), None).await.json();
    assert_eq!(aborted, json!({"stopped": false, "waiting": 0}));

    let twin = conversation(&world, "dark").await;
    let refused = world.get("/v1/sessions/dark").await;
    assert_eq!((refused.status, refused.code()), (409, "session.ambiguous"));
    assert!(refused.text.contains(&id) && refused.text.contains(&twin), "{}", refused.text);
    assert_eq!(world.ask("DELETE", &at, None, &[]).await.status, 200);
    assert_eq!(world.ask("DELETE", &at, None, &[]).await.code(), "session.not_found");
    assert_eq!(world.get("/v1/sessions/dark").await.json()["id"], *twin);
    let deeds = world.audited("session.delete").await;
    assert_eq!(deeds, [r#"{"frame":"gone"}"#]);
}

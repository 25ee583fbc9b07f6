//! The HTTP surface, over the gateway's real listeners.

use std::time::{Duration, Instant};

use mimir::model::ids::FrameId;
use serde_json::json;

use super::prompter::{permission, question};
use crate::api::world::World;

#[tokio::test]
async fn what_waits_is_listed_within_a_second_answered_once_and_kept() {
    let world = World::new().await;
    let made = world.frame("blog").await;
    let started = world.post("/v1/frames/blog/start?wait=8", None).await;
    assert_eq!(started.status, 200, "{}", started.text);
    let frame = FrameId::parse(made["id"].as_str().expect("an id")).expect("an id");
    let approvals = world.services.approvals.clone();
    let began = Instant::now();
    let ask = permission("per_1", "ses_1", "bash", &["git push"]);
    approvals.asked(&frame, None, &ask).await.expect("taken in");
    approvals.asked(&frame, None, &question("que_1", "ses_1")).await.expect("taken in");
    let listed = world.get("/v1/approvals?frame=blog").await.json();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!((&listed[0]["text"], &listed[0]["state"]), (&json!("bash: git push"), &json!("pending")));
    assert_eq!(listed[1]["questions"][0]["options"][1]["label"], "SQLite");

    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    let end = &id[id.len() - 10..];
    assert_eq!(world.get(&format!("/v1/approvals/{end}")).await.json()["id"], id.as_str());
    let answer = |body: serde_json::Value| {
        let (world, path) = (&world, format!("/v1/approvals/{id}/answer"));
        async move { world.post(&path, Some(body)).await }
    };
    let refused = answer(json!({"decision": "answer", "answers": [["x"]]})).await;
    assert_eq!((refused.status, refused.code()), (409, "approval.form"));
    assert_eq!(answer(json!({"decision": "maybe"})).await.status, 400);
    assert_eq!(answer(json!({"decision": "once", "why": "x"})).await.status, 400);
    let denied = answer(json!({"decision": "reject", "why": "not today"})).await;
    assert_eq!((denied.status, denied.json()["state"].as_str()), (200, Some("denied")), "{}", denied.text);
    let late = answer(json!({"decision": "once"})).await;
    assert_eq!((late.status, late.code()), (409, "approval.too_late"));
    assert!(late.json()["title"].as_str().expect("a title").contains("denied already (by owner:"));
    let missing = world.get("/v1/approvals/apr_nope").await;
    assert_eq!((missing.status, missing.code()), (404, "approval.not_found"));
    assert!(missing.json()["hint"].as_str().expect("a hint").contains("mimir approvals list"));

    assert_eq!(world.get("/v1/approvals").await.json().as_array().map(Vec::len), Some(1));
    let all = world.get("/v1/approvals?all=true").await.json();
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    assert_eq!((&all[1]["decision"], &all[1]["reason"]), (&json!("reject"), &json!("not today")));
}

#[tokio::test]
async fn the_rules_of_a_frame_are_shown_and_replaced() {
    let world = World::new().await;
    world.frame("blog").await;
    assert_eq!(world.get("/v1/frames/blog/policy").await.json(), json!({"rules": []}));
    let policy = json!({"rules": [{"tool": "bash", "command": "git push *", "action": "deny", "why": "no"}]});
    let put = world.ask("PUT", "/v1/frames/blog/policy", Some(policy.clone()), &[]).await;
    assert_eq!(put.status, 200, "{}", put.text);
    assert_eq!(world.get("/v1/frames/blog/policy").await.json(), policy);
    let wrong = json!({"rules": [{"tool": "bash", "action": "perhaps"}]});
    assert_eq!(world.ask("PUT", "/v1/frames/blog/policy", Some(wrong), &[]).await.status, 400);
    assert_eq!(world.get("/v1/frames/nope/policy").await.status, 404);
}

#[test]
fn the_document_says_plainly_that_this_is_no_boundary() {
    let document: serde_json::Value = serde_json::from_str(&mimir::gateway::openapi_json()).expect("JSON");
    for (path, method) in [("/v1/approvals", "get"), ("/v1/approvals/{id}/answer", "post")] {
        let about = document["paths"][path][method]["description"].as_str().expect("a description");
        assert!(about.replace('\n', " ").contains("courtesy, not a boundary"), "{path}: {about}");
    }
}

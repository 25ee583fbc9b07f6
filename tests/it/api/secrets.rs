//! Secrets over HTTP: no answer holds one, frames see what they were granted, and what is loosened is said.

use std::fs;
use std::path::PathBuf;

use mimir::model::ids::FrameId;
use serde_json::{Value, json};

use super::world::{Answer, TOKEN, World};

const SECRET: &str = "ghp_a8d7Kq2mX0vZ4rT6yB1nL9cW5eJ3hU7oPfGs";

impl World {
    async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, Some(body), &[]).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, None, &[]).await
    }

    /// Starts a frame anew, and says where it finds what it reads at its start.
    async fn started(&self, frame: &str) -> PathBuf {
        assert_eq!(self.post(&format!("/v1/frames/{frame}/stop"), None).await.status / 100, 2);
        self.until_state(frame, "stopped").await;
        assert_eq!(self.post(&format!("/v1/frames/{frame}/start"), None).await.status / 100, 2);
        self.until_state(frame, "running").await;
        let id =
            self.get(&format!("/v1/frames/{frame}")).await.json()["id"].as_str().expect("an id").to_owned();
        self.engine.start_folder(&id.parse::<FrameId>().expect("a frame's id"))
    }
}

#[tokio::test]
async fn a_secret_goes_in_and_never_comes_out_but_into_the_frame_that_was_given_it() {
    let world = World::new().await;
    world.frame("blog").await;
    assert_eq!(world.post("/v1/frames/blog/start", None).await.status / 100, 2);
    world.until_state("blog", "running").await;
    let set = world.put("/v1/secrets/github", json!({ "value": SECRET })).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let grant = json!({"frame": "blog", "form": "environment", "variable": "GITHUB_TOKEN"});
    let granted = world.post("/v1/secrets/github/grants", Some(grant)).await;
    assert_eq!(granted.status, 200, "{}", granted.text);
    assert_eq!(world.put("/v1/secrets/deploy", json!({"value": "two\nlines of it"})).await.status, 200);
    let lines =
        world.post("/v1/secrets/deploy/grants", Some(json!({"frame": "blog", "form": "environment"}))).await;
    assert_eq!((lines.status, lines.code()), (409, "secret.lines"));
    let file = world.post("/v1/secrets/deploy/grants", Some(json!({"frame": "blog", "form": "file"}))).await;
    assert_eq!(file.status, 200, "{}", file.text);

    let start = world.started("blog").await;
    let env = fs::read_to_string(start.join("env")).expect("an environment");
    assert!(env.contains(&format!("GITHUB_TOKEN={SECRET}\n")), "{env}");
    assert!(env.contains("DEPLOY_FILE=/run/mimir/start/secrets/deploy\n"), "{env}");
    assert_eq!(fs::read_to_string(start.join("secrets/deploy")).expect("a file"), "two\nlines of it");

    let shown = world.get("/v1/frames/blog").await;
    let loosened = shown.json()["loosened"].to_string();
    assert!(loosened.contains("github is in its environment, as GITHUB_TOKEN"), "{loosened}");
    assert!(loosened.contains("deploy is a file in it, named by DEPLOY_FILE"), "{loosened}");
    assert_eq!(shown.json()["secrets"].as_array().map(Vec::len), Some(2));
    for path in ["/v1/secrets", "/v1/frames/blog", "/v1/frames/blog/notes", "/v1/audit", "/v1/config"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(
            !answer.text.contains(SECRET) && !answer.text.contains("lines of it"),
            "{path}: {}",
            answer.text
        );
    }
    for answer in [set, granted, file] {
        assert!(!answer.text.contains(SECRET) && !answer.text.contains("lines of it"), "{}", answer.text);
    }
    let done: Vec<String> = world.audited("secret.grant").await;
    assert!(done.len() == 2 && done[0].contains("GITHUB_TOKEN"), "{done:?}");

    // Taken back: from the next start on it is not there.
    assert_eq!(world.delete("/v1/secrets/github/grants/blog").await.status, 200);
    assert_eq!(world.delete("/v1/secrets/github/grants/blog").await.code(), "secret.not_granted");
    assert_eq!(world.delete("/v1/secrets/deploy").await.status, 200);
    let start = world.started("blog").await;
    let env = fs::read_to_string(start.join("env")).expect("an environment");
    assert!(!env.contains("GITHUB_TOKEN") && !env.contains("DEPLOY_FILE"), "{env}");
    assert!(!start.join("secrets").exists(), "what was taken back is gone");
    let loosened = world.get("/v1/frames/blog").await.json()["loosened"].to_string();
    assert!(!loosened.contains("secret"), "{loosened}");
}

#[tokio::test]
async fn what_is_no_secret_and_who_may_not_say_where_one_comes_from_is_refused_with_advice() {
    let world = World::new().await;
    world.frame("blog").await;
    for (body, code) in [
        (json!({}), "secret.either"),
        (json!({"value": "x", "comes_from": {"kind": "kept"}}), "secret.either"),
        (json!({"comes_from": {"kind": "kept"}}), "secret.either"),
        (json!({"value": "short"}), "secret.value"),
        (json!({"value": "postgres"}), "secret.value"),
        (json!({"comes_from": {"kind": "file", "path": "/no/such/file"}}), "secret.source"),
    ] {
        let refused = world.put("/v1/secrets/github", body.clone()).await;
        assert_eq!(refused.code(), code, "{body}");
        assert!(refused.json()["hint"].is_string(), "{body}: {}", refused.text);
    }
    assert_eq!(world.put("/v1/secrets/Git_Hub", json!({ "value": SECRET })).await.code(), "secret.name");
    let source =
        json!({"comes_from": {"kind": "command", "command": "echo long-enough-for-one"}}).to_string();
    let elsewhere = world.ask_with("PUT", "/v1/secrets/github", TOKEN, &source).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (403, "secret.source"));
    assert_eq!(
        world.put("/v1/secrets/github", serde_json::from_str(&source).expect("json")).await.status,
        200
    );

    for (body, code) in [
        (json!({"frame": "blog"}), "secret.host"),
        (json!({"frame": "blog", "host": "https://api.github.com/user"}), "secret.host"),
        (json!({"frame": "blog", "host": "example.org"}), "secret.not_listed"),
        (json!({"frame": "blog", "form": "file", "host": "github.com"}), "secret.host"),
        (json!({"frame": "blog", "form": "file", "variable": "PATH"}), "secret.variable"),
        (json!({"frame": "nobody", "form": "file"}), "frame.not_found"),
    ] {
        let refused = world.post("/v1/secrets/github/grants", Some(body.clone())).await;
        assert_eq!(refused.code(), code, "{body}: {}", refused.text);
        assert!(refused.json()["hint"].is_string(), "{body}: {}", refused.text);
    }
    assert_eq!(world.delete("/v1/secrets/nothing").await.code(), "secret.not_found");
}

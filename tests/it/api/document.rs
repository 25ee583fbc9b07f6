//! The document against the gateway, from outside: Schemathesis makes requests from the one and judges the answers of
//! the other. What the document allows is accepted (or does not fit what is there), what it does not allow is refused,
//! and every answer is one that the document knows.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::process::Command;

use super::world::{TOKEN, World};
use crate::podman::support::skip;

/// Made anew from here at every run, so that a failure of one is a failure of all.
const SEED: &str = "20";
/// For each route.
const EXAMPLES: &str = "12";
/// It takes a tenth of it on a machine that does nothing else.
const AT_MOST: Duration = Duration::from_secs(480);

/// What cannot be called as it comes, and where it is tested instead.
const LEFT_OUT: [(&str, &str); 7] = [
    // It ends the gateway: `streams::streams_end_with_the_gateway_and_it_ends_in_time`.
    ("POST", "/v1/stop"),
    // It never ends by itself: `streams`, `log`.
    ("GET", "/v1/events"),
    // Followed, neither does this one: `streams`.
    ("GET", "/v1/frames/{name}/logs"),
    // It is a WebSocket and nothing else: `web_terminal`.
    ("GET", "/v1/terminal"),
    // It would knock at whatever address was made up: `external`.
    ("POST", "/v1/frames/{name}/connect"),
    // It needs the engine's own program: `podman::tools::a_project_has_an_image_of_its_own`.
    ("POST", "/v1/images/build"),
    // After a few wrong passwords whoever asks waits: `access::login`.
    ("POST", "/v1/web/login"),
];

#[tokio::test]
async fn the_gateway_does_what_its_document_says() {
    let test = "the_gateway_does_what_its_document_says";
    let Some(program) = std::env::var_os("MIMIR_TEST_SCHEMATHESIS").filter(|path| Path::new(path).exists())
    else {
        return skip(test, "Schemathesis is not here: scripts/schemathesis fetches it");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let document = folder.path().join("openapi.json");
    std::fs::write(&document, mimir::gateway::openapi_json()).expect("written");

    let world = World::new().await;
    let setting = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let mut run = Command::new(program);
    run.arg("run").arg(&document).arg("--url").arg(format!("http://{}", world.tcp));
    run.arg("--header").arg(format!("Authorization: Bearer {TOKEN}"));
    run.arg("--max-examples").arg(setting("MIMIR_TEST_SCHEMATHESIS_EXAMPLES", EXAMPLES));
    run.arg("--seed").arg(setting("MIMIR_TEST_SCHEMATHESIS_SEED", SEED));
    // One worker: CPython 3.11 counts the depth of syntax trees for all threads together, and now and then takes that for
    // an error of its own ("AST constructor recursion depth mismatch", python/cpython#106905).
    run.args(["--generation-database", "none", "--no-color", "--workers", "1", "--request-timeout", "20"]);
    for (method, path) in LEFT_OUT {
        run.arg("--exclude-name").arg(format!("{method} {path}"));
    }
    run.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    let begun = Instant::now();
    let ended = tokio::time::timeout(AT_MOST, run.output()).await;
    let output = ended.unwrap_or_else(|_| panic!("it is not done after {AT_MOST:?}")).expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("Schemathesis took {:?}", begun.elapsed());
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let tested = format!("Tested: {}", mimir::gateway::routes().len() - LEFT_OUT.len());
    assert!(said.contains(&tested), "{tested} in {said}");
}

#[tokio::test]
async fn a_query_parameter_that_there_is_not_is_refused() {
    let world = World::new().await;
    world.frame("blog").await;
    for (path, detail) in [
        ("/v1/approvals?frmae=blog", "there is no `frmae` here; there is `frame`, `all`"),
        ("/v1/messages?frame=blog&limit=3", "there is no `limit` here; there is `frame`, `session`, `open`"),
        ("/v1/frames?state=running", "there is no `state` here, nor any other"),
        ("/health?x", "there is no `x` here, nor any other"),
    ] {
        let refused = world.get(path).await;
        assert_eq!((refused.status, refused.code()), (400, "request.invalid"), "{path}");
        assert_eq!(refused.json()["detail"], json!(detail), "{path}");
    }
    assert_eq!(world.get("/v1/approvals?frame=blog&all=true").await.status, 200);
    assert_eq!(world.get("/v1/frames?&").await.status, 200, "nothing is no parameter");
    // Behind it, opencode decides: of a frame that does not run nobody asks.
    assert_eq!(world.get("/v1/frames/blog/opencode/session?limit=1").await.code(), "frame.wrong_state");
}

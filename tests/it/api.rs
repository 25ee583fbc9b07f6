//! The gateway's HTTP API, over its real listeners, on the engine in memory.
#![cfg(feature = "test-support")]

mod budgets;
mod document;
pub mod echo;
mod external;
mod passthrough;
mod requests;
mod schedules;
mod secrets;
mod sessions;
mod streams;
pub mod world;

use mimir::gateway::document::as_written;
use world::World;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

#[test]
fn the_document_in_the_repository_is_the_one_that_the_handlers_make() {
    let made = mimir::gateway::openapi_json();
    if std::env::var_os("MIMIR_UPDATE_OPENAPI").is_some() {
        std::fs::write(KEPT, &made).expect("writes");
    }
    let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
    assert!(kept == made, "docs/openapi.json differs: run the test with MIMIR_UPDATE_OPENAPI=1");
}

#[test]
fn every_route_is_in_the_document_and_nothing_else_is() {
    let document: serde_json::Value = serde_json::from_str(&mimir::gateway::openapi_json()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut described: Vec<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.keys().map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let mut routes: Vec<(String, String)> =
        mimir::gateway::routes().iter().map(|route| (route.method.into(), as_written(route.path))).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

#[test]
fn the_image_has_the_opencode_that_the_client_was_made_for() {
    let containerfile = include_str!("../../Containerfile.frame");
    let line = format!("ARG OPENCODE_VERSION={}", mimir::opencode::VERSION);
    let named: Vec<&str> =
        containerfile.lines().filter(|line| line.starts_with("ARG OPENCODE_VERSION=")).collect();
    assert!(!named.is_empty() && named.iter().all(|found| *found == line), "{named:?}");
}

#[tokio::test]
async fn tcp_lets_nobody_in_without_the_token_and_answers_to_no_other_name() {
    let world = World::new().await;
    let host = world.tcp.to_string();
    let asked = |path: &'static str, headers: Vec<(&'static str, String)>| world.ask_tcp(path, headers);

    assert_eq!(asked("/health", vec![("host", host.clone())]).await.status, 200);
    let refused = asked("/v1/frames", vec![("host", host.clone())]).await;
    assert_eq!((refused.status, refused.code()), (401, "auth.required"));
    let token = format!("Bearer {}", world::TOKEN);
    let good = vec![("host", host.clone()), ("authorization", token.clone())];
    assert_eq!(asked("/v1/frames", good.clone()).await.status, 200);
    let rebound = vec![("host", "evil.example".to_owned()), ("authorization", token)];
    assert_eq!(asked("/v1/frames", rebound).await.code(), "request.wrong_host");
    let mut foreign = good;
    foreign.push(("origin", "https://evil.example".to_owned()));
    assert_eq!(asked("/v1/frames", foreign).await.code(), "request.foreign_origin");
}

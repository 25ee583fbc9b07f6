//! Whether we live, and what we count.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use crate::frames::Frames;
use crate::gateway::metrics;
use crate::gateway::problem::Answer;
use crate::gateway::state::Services;
use crate::wire::status::Health;

routes! {
    get "/health" open NoFrame => health;
    get "/metrics" Metrics All => metrics;
    get "/v1/openapi.json" known NoFrame => openapi;
}

/// Whether the gateway lives and has looked at its frames.
#[utoipa::path(get, path = "/health", tag = "gateway", responses((status = 200, body = Health)))]
pub async fn health(
    State(frames): State<Frames>,
    State(stop): State<CancellationToken>,
) -> Json<Health> {
    let ready = *frames.ready().borrow();
    let status = if stop.is_cancelled() { "stopping" } else { "ok" };
    Json(Health { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ready })
}

/// Counters in the text form that Prometheus reads (OpenMetrics).
#[utoipa::path(get, path = "/metrics", tag = "gateway",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(services): State<Services>) -> Answer<Response> {
    let text = metrics::gather(&services).await?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "gateway",
    responses((status = 200, body = Object, content_type = "application/json")))]
pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::gateway::openapi_json())
}

//! Whether we live, and what we count.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::gateway::metrics::{self, Snapshot};
use crate::gateway::problem::Answer;
use crate::gateway::state::Services;
use crate::wire::status::Health;

/// Whether the gateway lives and has looked at its frames.
#[utoipa::path(get, path = "/health", tag = "gateway", responses((status = 200, body = Health)))]
pub async fn health(State(services): State<Services>) -> Json<Health> {
    let ready = *services.ready.borrow();
    let stopping = services.stop.is_cancelled();
    let status = if stopping { "stopping" } else { "ok" };
    Json(Health { status: status.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ready })
}

/// Counters in the text form that Prometheus reads.
#[utoipa::path(get, path = "/metrics", tag = "gateway",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(services): State<Services>) -> Answer<Response> {
    let glance = super::status::glance(&services).await?;
    let engine_up = super::status::engine(&services).await.is_ok();
    let snapshot = Snapshot {
        version: env!("CARGO_PKG_VERSION"),
        frames: glance.frames,
        messages_open: glance.messages_open,
        last_event: services.events.newest(),
        cost_today_microusd: glance.cost_today_microusd,
        engine_up,
        uptime_seconds: services.clock.now_ms().saturating_sub(services.about.started_at) / 1000,
        memory_bytes: metrics::resident_bytes(),
        open_files: metrics::open_files(),
    };
    let text = metrics::render(&snapshot, &services.counters);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "gateway",
    responses((status = 200, body = Object, content_type = "application/json")))]
pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::gateway::openapi_json())
}

//! Doctor, line by line.

use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;

use crate::gateway::ndjson;
use crate::gateway::state::Services;
use crate::wire::doctor::Check;

/// Tries everything for real and tells each result as it comes.
#[utoipa::path(get, path = "/v1/doctor", tag = "gateway",
    responses((status = 200, body = Check, content_type = "application/x-ndjson")))]
pub async fn doctor(State(services): State<Services>) -> Response {
    let checks = crate::doctor::examine(services.doctor.clone()).map(Ok);
    ndjson::stream(checks, &services.counters, services.stop.clone())
}

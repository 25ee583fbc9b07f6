//! Doctor, line by line.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::doctor::{Subject, examine};
use crate::gateway::metrics::Counters;
use crate::gateway::ndjson;
use crate::wire::doctor::Check;

routes! {
    get "/v1/doctor" Admin All => doctor;
}

/// Tries everything for real and tells each result as it comes.
#[utoipa::path(get, path = "/v1/doctor", tag = "gateway",
    responses((status = 200, body = Check, content_type = "application/x-ndjson")))]
pub async fn doctor(State(subject): State<Arc<Subject>>, State(counters): State<Counters>, State(stop): State<CancellationToken>) -> Response {
    let checks = examine(subject).map(Ok);
    ndjson::stream(checks, &counters, stop)
}

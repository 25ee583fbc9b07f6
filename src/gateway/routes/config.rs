//! What the gateway uses of its configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::config::Running;
use crate::gateway::state::About;
use crate::wire::config::RunningConfig;

routes! {
    get "/v1/config" Admin All => show;
}

/// Every setting as it is used, and what of a file that changed waits for a restart.
#[utoipa::path(get, path = "/v1/config", tag = "gateway", responses((status = 200, body = RunningConfig)))]
pub async fn show(State(running): State<Running>, State(about): State<Arc<About>>) -> Json<RunningConfig> {
    running.refresh();
    Json(running.shown(about.instance.as_str()))
}

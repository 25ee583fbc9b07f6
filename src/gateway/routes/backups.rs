//! Copies of the database.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::backups::Backups;
use crate::gateway::extract::Caller;
use crate::gateway::problem::Answer;
use crate::model::backup::Backup;

routes! {
    get "/v1/backups" Admin All => list;
    post "/v1/backups" Admin All => create;
}

/// All copies of the database, oldest first.
#[utoipa::path(get, path = "/v1/backups", tag = "gateway", responses((status = 200, body = Vec<Backup>)))]
pub async fn list(State(backups): State<Backups>) -> Json<Vec<Backup>> {
    Json(backups.list())
}

/// Makes a copy of the database as it is now, under the same key.
#[utoipa::path(post, path = "/v1/backups", tag = "gateway",
    responses((status = 201, body = Backup)))]
pub async fn create(
    State(backups): State<Backups>, Caller(principal): Caller,
) -> Answer<(StatusCode, Json<Backup>)> {
    Ok((StatusCode::CREATED, Json(backups.create(&principal).await?)))
}

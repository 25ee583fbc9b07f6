//! What projects bring for their agents to obey, and people's yes to it.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::projects::existing_folder;
use crate::frames::{Frames, Standing};
use crate::gateway::extract::{Caller, JsonBody, QueryParams};
use crate::gateway::problem::Answer;
use crate::wire::projects::{TrustFolder, TrustView};

routes! {
    get "/v1/trust" Frames All => show;
    post "/v1/trust" Frames All => trust;
    delete "/v1/trust" Frames All => distrust;
}

/// Which folder.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FolderQuery {
    /// Absolute host folder.
    #[param(pattern = "^/")]
    pub path: String,
}

/// What a folder brings, and whether frames obey it.
#[utoipa::path(get, path = "/v1/trust", tag = "projects", params(FolderQuery),
    responses((status = 200, body = TrustView)))]
pub async fn show(
    State(frames): State<Frames>,
    QueryParams(query): QueryParams<FolderQuery>,
) -> Answer<Json<TrustView>> {
    let path = existing_folder(&query.path)?;
    let standing = frames.standing(&path).await?;
    Ok(Json(view(path, standing)))
}

/// Frames obey from their next start on what has this hash, and nothing else.
#[utoipa::path(post, path = "/v1/trust", tag = "projects", request_body = TrustFolder,
    responses((status = 200, body = TrustView)))]
pub async fn trust(
    State(frames): State<Frames>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<TrustFolder>,
) -> Answer<Json<TrustView>> {
    let path = existing_folder(&request.path)?;
    let standing = frames.trust(&principal, &path, &request.hash).await?;
    Ok(Json(view(path, standing)))
}

/// Frames leave it out from their next start on.
#[utoipa::path(delete, path = "/v1/trust", tag = "projects", params(FolderQuery),
    responses((status = 200, body = TrustView)))]
pub async fn distrust(
    State(frames): State<Frames>,
    Caller(principal): Caller,
    QueryParams(query): QueryParams<FolderQuery>,
) -> Answer<Json<TrustView>> {
    // One that is gone can be distrusted all the same.
    let path = match existing_folder(&query.path) {
        Ok(path) => path,
        Err(refused) if !query.path.starts_with('/') => return Err(refused),
        Err(_) => query.path,
    };
    let standing = frames.distrust(&principal, &path).await?;
    Ok(Json(view(path, standing)))
}

fn view(path: String, standing: Standing) -> TrustView {
    TrustView {
        path,
        trust: standing.trust,
        hash: standing.found.hash(),
        changed_files: standing.changed(),
        items: standing.found.items,
        obstacles: standing.found.obstacles,
        trusted_at: standing.yes.as_ref().map(|yes| yes.trusted_at),
        trusted_by: standing.yes.map(|yes| yes.trusted_by),
        running_frames: standing.running,
    }
}

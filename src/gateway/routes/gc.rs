//! What is left over.

use axum::Json;
use axum::extract::State;

use crate::frames::Frames;
use crate::gateway::extract::Caller;
use crate::gateway::problem::Answer;
use crate::wire::frames::Leftover;

routes! {
    get "/v1/gc" Frames All => look;
    post "/v1/gc" Frames All => sweep;
}

/// What is left over from frames that are no more. Touches nothing.
#[utoipa::path(get, path = "/v1/gc", tag = "frames", responses((status = 200, body = Vec<Leftover>)))]
pub async fn look(State(frames): State<Frames>) -> Answer<Json<Vec<Leftover>>> {
    Ok(Json(frames.gc(true).await?))
}

/// Removes it.
#[utoipa::path(post, path = "/v1/gc", tag = "frames", responses((status = 200, body = Vec<Leftover>)))]
pub async fn sweep(
    State(frames): State<Frames>,
    Caller(principal): Caller,
) -> Answer<Json<Vec<Leftover>>> {
    tracing::info!("{principal} asked to remove what is left over");
    Ok(Json(frames.gc(false).await?))
}

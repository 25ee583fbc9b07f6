//! What is left over.

use axum::Json;
use axum::extract::State;

use crate::gateway::extract::Caller;
use crate::gateway::problem::Answer;
use crate::gateway::state::Services;
use crate::wire::frames::Leftover;

/// What is left over from frames that are no more. Touches nothing.
#[utoipa::path(get, path = "/v1/gc", tag = "frames", responses((status = 200, body = Vec<Leftover>)))]
pub async fn look(State(services): State<Services>) -> Answer<Json<Vec<Leftover>>> {
    Ok(Json(services.frames.gc(true).await?))
}

/// Removes it.
#[utoipa::path(post, path = "/v1/gc", tag = "frames", responses((status = 200, body = Vec<Leftover>)))]
pub async fn sweep(
    State(services): State<Services>,
    Caller(principal): Caller,
) -> Answer<Json<Vec<Leftover>>> {
    tracing::info!("{principal} asked to remove what is left over");
    Ok(Json(services.frames.gc(false).await?))
}

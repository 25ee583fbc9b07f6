//! Frames and their newest image.

use axum::Json;
use axum::extract::{Path, State};

use super::frames::Shown;
use crate::frames::Frames;
use crate::gateway::extract::{Caller, JsonBody, frame_name};
use crate::gateway::problem::Answer;
use crate::model::frame::{Frame, FrameState};
use crate::status::{FrameNow, Occupied, Statuses};
use crate::store::Store;
use crate::wire::frames::{UpgradeFrame, UpgradedFrame};
use crate::wire::problem::Problem;

routes! {
    post "/v1/frames/{name}/upgrade" Frames Path => upgrade;
}

/// Moves a frame to the image that its reference stands for now. One that runs begins anew; its home and conversations
/// stay. A busy one is refused unless `force` is said.
#[utoipa::path(post, path = "/v1/frames/{name}/upgrade", tag = "frames",
    params(("name" = String, Path)), request_body = UpgradeFrame,
    responses((status = 200, body = UpgradedFrame), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 424, body = Problem)))]
pub async fn upgrade(
    State(frames): State<Frames>,
    State(statuses): State<Statuses>,
    State(store): State<Store>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<UpgradeFrame>,
) -> Answer<Json<UpgradedFrame>> {
    let name = frame_name(&name)?;
    let frame = frames.get(&name).await?;
    let busy = busy(&frames, &statuses, &store, frame).await?;
    let done = frames.upgrade(&principal, &name, busy, request.force).await?;
    let to = done.frame.image_id.clone();
    Ok(Json(UpgradedFrame {
        upgraded: done.from.is_some(),
        from: done.from.unwrap_or_else(|| to.clone()),
        to,
        frame: shown.summary(done.frame).await?,
    }))
}

/// What would be interrupted.
async fn busy(
    frames: &Frames,
    statuses: &Statuses,
    store: &Store,
    frame: Frame,
) -> Answer<Option<&'static str>> {
    let (statuses, row) = (statuses.clone(), frame.clone());
    let now = store.read(move |db| statuses.look(db, vec![row])).await?;
    let occupied = now.first().and_then(|FrameNow { occupied, .. }| *occupied);
    Ok(match (frame.state, occupied) {
        (_, Some(Occupied::Queue)) => Some("messages wait for it"),
        (FrameState::Paused, _) => Some("it is paused, and what it has in memory would be lost"),
        (_, Some(Occupied::Turn)) => Some("its agent works"),
        (_, Some(Occupied::Prompt)) => Some("it waits for an answer"),
        (FrameState::Running, Some(Occupied::Unheard)) => Some("nobody hears what its agent does"),
        _ if frames.visitors(&frame.id) > 0 => Some("somebody is in it"),
        _ => None,
    })
}

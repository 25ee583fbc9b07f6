//! Frame images.

use axum::Json;
use axum::extract::State;

use crate::gateway::problem::Answer;
use crate::gateway::state::Services;
use crate::model::container::ImageInfo;
use crate::model::frame::Frame;
use crate::store;
use crate::wire::images::ImageView;

/// The label with the hash of an image's inputs.
const LABEL_INPUTS: &str = "io.mimir.inputs";
/// The label with the version of opencode in it.
const LABEL_OPENCODE: &str = "io.mimir.opencode";

/// The frame images on this machine, newest first.
#[utoipa::path(get, path = "/v1/images", tag = "images",
    responses((status = 200, body = Vec<ImageView>)))]
pub async fn list(State(services): State<Services>) -> Answer<Json<Vec<ImageView>>> {
    let mut images = services.runtime.list_images().await?;
    images.sort_by_key(|image| std::cmp::Reverse(image.created_at));
    let frames = services.store.read(|db| store::frames::list(db)).await?;
    let current = &services.images.inputs;
    Ok(Json(images.into_iter().map(|image| view(image, current, &frames)).collect()))
}

/// An image as clients see it.
pub fn view(image: ImageInfo, current: &str, frames: &[Frame]) -> ImageView {
    let label = |name: &str| image.labels.get(name).cloned().unwrap_or_default();
    let inputs = label(LABEL_INPUTS);
    ImageView {
        current: !inputs.is_empty() && inputs == current,
        inputs,
        opencode: label(LABEL_OPENCODE),
        frames: frames
            .iter()
            .filter(|frame| frame.image_id == image.id)
            .map(|frame| frame.name.to_string())
            .collect(),
        id: image.id,
        tags: image.tags,
        size_bytes: image.size_bytes,
        created_at: image.created_at,
    }
}

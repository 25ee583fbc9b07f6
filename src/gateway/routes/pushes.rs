//! What frames push.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use crate::gateway::extract::{Caller, JsonBody, QueryParams, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::views;
use crate::pushes::Pushes;
use crate::wire::pushes::{PushDetails, PushView, RejectPush};

routes! {
    get "/v1/pushes" Read Query => list;
    get "/v1/pushes/{id}" Read Push => show;
    post "/v1/pushes/{id}/approve" Approve Push => approve;
    post "/v1/pushes/{id}/reject" Approve Push => reject;
}

/// The longest reason.
const LONGEST_REASON: usize = 2000;

/// Which pushes.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PushQuery {
    /// Only of this frame, by name; also of one that is gone.
    pub frame: Option<String>,
    /// Also those that are over, newest first.
    #[serde(default)]
    pub all: bool,
}

/// What frames pushed and what is not over, oldest first.
#[utoipa::path(get, path = "/v1/pushes", tag = "pushes", params(PushQuery),
    responses((status = 200, body = Vec<PushView>)))]
pub async fn list(
    State(pushes): State<Pushes>,
    QueryParams(query): QueryParams<PushQuery>,
) -> Answer<Json<Vec<PushView>>> {
    let frame = query.frame.as_deref().map(frame_name).transpose()?;
    let found = pushes.list(frame, query.all).await?;
    Ok(Json(found.into_iter().map(views::push).collect()))
}

/// Something that a frame pushed, with its patches. They are a stranger's: whoever shows them makes visible what is not.
#[utoipa::path(get, path = "/v1/pushes/{id}", tag = "pushes", params(("id" = String, Path)),
    responses((status = 200, body = PushDetails)))]
pub async fn show(State(pushes): State<Pushes>, Path(id): Path<String>) -> Answer<Json<PushDetails>> {
    let push = pushes.get(number(&id)?).await?;
    let patches = pushes.patches(&push).await?;
    Ok(Json(PushDetails { push: views::push(push), patches: patches.text, is_cut: patches.is_cut }))
}

/// Lets a push go on to the forge. What the forge says is in the answer, unless it takes minutes: then it is `approved`.
#[utoipa::path(post, path = "/v1/pushes/{id}/approve", tag = "pushes", params(("id" = String, Path)),
    responses((status = 200, body = PushView)))]
pub async fn approve(
    State(pushes): State<Pushes>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Answer<Json<PushView>> {
    Ok(Json(views::push(pushes.approve(&principal, number(&id)?).await?)))
}

/// Ends a push that shall not go on. The frame's git is told at its next fetch or push.
#[utoipa::path(post, path = "/v1/pushes/{id}/reject", tag = "pushes", params(("id" = String, Path)),
    request_body = RejectPush, responses((status = 200, body = PushView)))]
pub async fn reject(
    State(pushes): State<Pushes>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<RejectPush>,
) -> Answer<Json<PushView>> {
    let why = request.why.filter(|why| !why.trim().is_empty());
    if why.as_ref().is_some_and(|why| why.chars().count() > LONGEST_REASON) {
        return Err(Reply::bad_request("push.why", "the reason is too long").hint("say it shorter"));
    }
    Ok(Json(views::push(pushes.reject(&principal, number(&id)?, why).await?)))
}

/// A number as it stands in a path; what is none names no push.
fn number(text: &str) -> Answer<u64> {
    text.parse().map_err(|_| {
        Reply::not_found("push.not_found", format!("there is no push {text}"))
            .hint("`mimir push list` shows those that are not over; `--all` the others too")
    })
}

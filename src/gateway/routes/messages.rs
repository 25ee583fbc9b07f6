//! Messages to frames.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::frames::granted;
use crate::budget::Budgets;
use crate::config::Running;
use crate::delivery::Delivery;
use crate::frames::Frames;
use crate::gateway::bodies;
use crate::gateway::extract::{Caller, JsonBody, QueryParams, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::About;
use crate::gateway::views;
use crate::model::frame::Frame;
use crate::model::ids::{MessageId, SessionId};
use crate::model::message::{IdempotencyKey, InvalidKey, Message};
use crate::store::{self, Store};
use crate::wire::messages::{EditMessage, ExplainRoute, MessageView, RouteView, SendMessage};
use crate::wire::problem::Problem;

routes! {
    post "/v1/messages" Send Body => send;
    get "/v1/messages" Read Query => list;
    get "/v1/messages/{id}" Read Message => show;
    patch "/v1/messages/{id}" Send Message => edit;
    post "/v1/messages/{id}/cancel" Send Message => cancel;
    post "/v1/frames/{name}/route" Send Path => explain_route;
}

/// How many messages a list shows.
const LISTED: u32 = 200;

/// Which messages.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MessageQuery {
    /// Only of this frame, by name.
    pub frame: Option<String>,
    /// Only of this conversation, by its id.
    #[param(pattern = "^ssn_[0-9a-z]{26}$")]
    pub session: Option<String>,
    /// Only those that are not at their end, in the order in which they go.
    #[serde(default)]
    pub open: bool,
}

/// Sends a message to a frame, and starts the frame if it must. Answers as soon as the message is stored.
///
/// The header `Idempotency-Key` makes a repeat harmless: the same key gives the same message.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", request_body = SendMessage,
    params(("Idempotency-Key" = Option<String>, Header, pattern = r"^[!-~]([\t -~]{0,198}[!-~])?$",
        description = "the same key gives the same message")),
    responses((status = 202, body = MessageView),
        (status = 429, body = Problem, description = "too many messages wait already")))]
#[expect(clippy::too_many_arguments, reason = "each is a service that it uses, or a part of the request")]
pub async fn send(
    State(delivery): State<Delivery>,
    State(about): State<Arc<About>>,
    State(running): State<Running>,
    State(frames): State<Frames>,
    State(budgets): State<Budgets>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(request): JsonBody<SendMessage>,
) -> Answer<(StatusCode, Json<MessageView>)> {
    let config = running.now();
    let request = bodies::message(request, idempotency_key(&headers)?, config.approvals.unattended)?;
    if let Some(model) = &request.model
        && config.providers.contains_key(&model.provider)
        && let Ok(frame) = frames.get(&request.frame).await
        && frame.engine.is_local()
        && !granted(&about, &frame).contains(&model.provider)
    {
        return Err(not_granted(&frame, &model.provider));
    }
    let accepted = delivery.send(&principal, request).await?;
    let mut notes = Vec::new();
    if let Some(stopped) = accepted.interrupted.first() {
        notes.push(format!("{stopped} is being stopped for it"));
    }
    if accepted.before > 0 {
        let others = if accepted.before == 1 { "message comes" } else { "messages come" };
        notes.push(format!("{} {others} before it in this conversation", accepted.before));
    }
    if accepted.wakes_frame {
        notes.push(format!("frame {} does not run; it is being started", accepted.message.frame_name));
    }
    let is_ours = !frames.is_external(&accepted.message.frame);
    if is_ours && is_demo(&about.default_model, &accepted.message) {
        notes.push("the built-in demo answers; it is no model".to_owned());
    }
    if budgets.is_paused().await? {
        notes.push("it waits: all spending is paused; `mimir resume --all` lets it go on".to_owned());
    }
    let view = views::message(accepted.message, accepted.after_event, notes);
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Which model would answer such a message now, and by which rule of `models.routes`. Sends nothing.
#[utoipa::path(post, path = "/v1/frames/{name}/route", tag = "messages", params(("name" = String, Path)),
    request_body = ExplainRoute, responses((status = 200, body = RouteView)))]
pub async fn explain_route(
    State(delivery): State<Delivery>,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<ExplainRoute>,
) -> Answer<Json<RouteView>> {
    let name = frame_name(&name)?;
    let text = bodies::message_text(request.text)?;
    let explained = delivery.explain_route(&name, text.into(), request.agent).await?;
    let model = explained.model.map(|model| model.to_string());
    Ok(Json(RouteView { frame: name.to_string(), model, route: explained.route }))
}

/// Messages, newest first; with `open` those that wait or run, in the order in which they go.
#[utoipa::path(get, path = "/v1/messages", tag = "messages", params(MessageQuery),
    responses((status = 200, body = Vec<MessageView>)))]
pub async fn list(
    State(store): State<Store>,
    QueryParams(query): QueryParams<MessageQuery>,
) -> Answer<Json<Vec<MessageView>>> {
    let frame = query.frame.as_deref().map(frame_name).transpose()?;
    let session = query.session.as_deref().map(session_id).transpose()?;
    let found = store
        .read(move |db| {
            let mut found = match query.open {
                true => store::queue::list(db, None, session.as_ref())?,
                false => match &session {
                    Some(session) => store::messages::of_session(db, session)?.into_iter().rev().collect(),
                    None => store::messages::list(db, frame.as_ref(), LISTED)?,
                },
            };
            found.retain(|message| frame.as_ref().is_none_or(|name| *name == message.frame_name));
            Ok(found)
        })
        .await?;
    let after = *store.last_event().borrow();
    Ok(Json(found.into_iter().map(|message| views::message(message, after, Vec::new())).collect()))
}

/// A message and how far it is.
#[utoipa::path(get, path = "/v1/messages/{id}", tag = "messages", params(("id" = String, Path)),
    responses((status = 200, body = MessageView)))]
pub async fn show(State(store): State<Store>, Path(id): Path<String>) -> Answer<Json<MessageView>> {
    let id = parse(&id)?;
    let after = *store.last_event().borrow();
    let message = store.read(move |db| store::messages::get(db, &id)).await?;
    Ok(Json(views::message(message, after, Vec::new())))
}

/// Stops a message. One that is at its end already stays as it is.
#[utoipa::path(post, path = "/v1/messages/{id}/cancel", tag = "messages", params(("id" = String, Path)),
    responses((status = 202, body = MessageView)))]
pub async fn cancel(
    State(delivery): State<Delivery>,
    State(store): State<Store>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Answer<(StatusCode, Json<MessageView>)> {
    let id = parse(&id)?;
    let after = *store.last_event().borrow();
    let message = delivery.cancel(&principal, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(views::message(message, after, Vec::new()))))
}

/// Changes a message that waits. Its place in the queue stays.
#[utoipa::path(patch, path = "/v1/messages/{id}", tag = "messages", params(("id" = String, Path)),
    request_body = EditMessage,
    responses((status = 200, body = MessageView),
        (status = 409, body = Problem, description = "it does not wait any more")))]
pub async fn edit(
    State(delivery): State<Delivery>,
    State(store): State<Store>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<EditMessage>,
) -> Answer<Json<MessageView>> {
    let id = parse(&id)?;
    if request == EditMessage::default() {
        return Err(Reply::bad_request("request.invalid", "there is nothing to change")
            .hint("give `text`, `model` or `agent`"));
    }
    let edit = bodies::edit(request)?;
    let after = *store.last_event().borrow();
    let message = delivery.edit(&principal, &id, edit).await?;
    Ok(Json(views::message(message, after, Vec::new())))
}

fn session_id(text: &str) -> Answer<SessionId> {
    SessionId::parse(text).map_err(|_| {
        Reply::bad_request("session.id", format!("`{text}` is not the id of a session"))
            .hint("`mimir sessions list` shows the ids")
    })
}

fn parse(id: &str) -> Answer<MessageId> {
    MessageId::parse(id).map_err(|_| {
        Reply::not_found("message.not_found", format!("there is no message {id}"))
            .hint("`mimir queue list` shows what waits, `mimir sessions list` the conversations there are")
    })
}

fn idempotency_key(headers: &HeaderMap) -> Answer<Option<IdempotencyKey>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().map_err(|_| InvalidKey).and_then(IdempotencyKey::parse);
    key.map(Some).map_err(|error| Reply::bad_request("request.invalid", error.to_string()))
}

/// It would be refused at the broker, when the agent is in the middle of it.
fn not_granted(frame: &Frame, provider: &str) -> Reply {
    Reply::conflict("frame.provider", format!("frame {} may not use provider {provider}", frame.name))
        .hint(format!("`mimir frame allow {} --provider {provider}` grants it", frame.name))
}

fn is_demo(default_model: &str, message: &Message) -> bool {
    let model = message.model.as_ref().map(ToString::to_string);
    model.as_deref().unwrap_or(default_model).starts_with("demo/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_client_means_is_refused() {
        let with = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", axum::http::HeaderValue::from_bytes(value).expect("a value"));
            idempotency_key(&headers)
        };
        assert_eq!(with(b"abc").expect("fine").as_ref().map(IdempotencyKey::as_str), Some("abc"));
        assert!(with(b"").is_err());
        assert!(with(&[b'x'; 201]).is_err());
        assert!(with("ü".as_bytes()).is_err());
        assert_eq!(idempotency_key(&HeaderMap::new()).expect("absent"), None);
    }
}

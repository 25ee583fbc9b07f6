//! What other programs tell us: where they send it, and what came of it.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::gateway::extract::{Caller, JsonBody, QueryParams};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::{refusals, request, views};
use crate::model::webhook::{SenderKind, WebhookState};
use crate::webhooks::{ASKS_ITSELF, Headers, IntakeError, Webhooks};
use crate::wire::problem::Problem;
use crate::wire::webhooks::{
    TestWebhook, WebhookDetails, WebhookSourceView, WebhookTaken, WebhookPreview, WebhookView,
};

routes! {
    post "/webhooks/{source}" open NoFrame => receive;
    get "/v1/webhooks" Read All => sources;
    get "/v1/webhooks/deliveries" Read All => deliveries;
    get "/v1/webhooks/deliveries/{id}" Read All => show;
    post "/v1/webhooks/deliveries/{id}/replay" Send All => replay;
    post "/v1/webhooks/test" Send All => test;
}

/// When a sender whom we cannot serve shall come again.
const COME_AGAIN: &str = "10";
/// Deliveries in a list that asks for no number, and in the longest one.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 1000;

/// Which deliveries.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WebhookQuery {
    /// Only of this sender.
    pub source: Option<String>,
    /// Only in this state.
    pub state: Option<WebhookState>,
    /// So many at most; 50 when absent.
    #[param(minimum = 0, maximum = 1000)]
    pub limit: Option<u32>,
}

/// Takes a message of a sender who is configured. No token is needed: its signature says who it is. The answer comes when
/// the message is on the disk; what follows is decided afterwards. 503 asks to send it again.
#[utoipa::path(post, path = "/webhooks/{source}", tag = "webhooks", params(("source" = String, Path)),
    responses(
        (status = 202, body = WebhookTaken, description = "It is new."),
        (status = 200, body = WebhookTaken, description = "It had come before."),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "It is not signed as its source signs."),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "It is larger than webhooks.body_limit."),
    ))]
pub async fn receive(
    State(webhooks): State<Webhooks>,
    Path(source): Path<String>,
    request: Request,
) -> Response {
    if let Some(question) = request.headers().get(ASKS_ITSELF) {
        // One that comes too late, or is of another gateway behind the same address, is nobody's message either.
        return match question.to_str().is_ok_and(|question| webhooks.is_its_own(question)) {
            true => StatusCode::NO_CONTENT.into_response(),
            false => request::unknown_route(request).await.into_response(),
        };
    }
    match take(&webhooks, &source, request).await {
        Ok(taken) => {
            let status = if taken.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
            (status, Json(taken)).into_response()
        }
        Err(reply) => {
            let is_busy = reply.0.status == 503;
            let mut response = reply.into_response();
            if is_busy {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(COME_AGAIN));
            }
            response
        }
    }
}

async fn take(webhooks: &Webhooks, source: &str, request: Request) -> Answer<WebhookTaken> {
    let admission = match webhooks.admit(source) {
        Ok(admission) => admission,
        // As if there were nothing: whoever tries names learns none.
        Err(IntakeError::UnknownSource) => return Err(request::unknown_route(request).await),
        Err(error) => return Err(refused(error)),
    };
    let (parts, body) = request.into_parts();
    let limit = admission.body_limit;
    let too_large = || {
        let title = format!("the message is larger than {limit} bytes");
        Reply(Problem::new(413, "request.too_large", title)).hint("`webhooks.body_limit` says how large one may be")
    };
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > limit)) {
        webhooks.not_taken(&admission);
        return Err(too_large());
    }
    let read = match tokio::time::timeout(admission.body_within, to_bytes(body, limit)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_over(&error) => Err(too_large()),
        Ok(Err(_)) => Err(refusals::cut_off()),
        // Not 408: whoever is told so does not send it again.
        Err(_) => Err(Reply::unavailable("webhook.slow", "the message took too long to arrive")
            .hint("send it again later")),
    };
    let body = read.inspect_err(|_| webhooks.not_taken(&admission))?;
    let received = webhooks.receive(&admission, &headers(&parts.headers), &body).await.map_err(refused)?;
    Ok(WebhookTaken { id: received.id, duplicate: received.is_duplicate })
}

/// Whether reading ended because there was more than the limit.
fn is_over(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn headers(given: &HeaderMap) -> Headers {
    let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).ok();
    Headers::new(given.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))))
}

/// Nothing of what was sent is in the answer, and nothing that helps whoever guesses.
fn refused(error: IntakeError) -> Reply {
    match error {
        IntakeError::UnknownSource => Reply::not_found("route.not_found", "there is nothing of that name"),
        IntakeError::NotSigned(_) => {
            Reply(Problem::new(401, "webhook.signature", "the message is not signed as this source signs"))
                .hint("the owner of this gateway sees why: `mimir webhooks list`")
        }
        IntakeError::NoDelivery(id) => no_delivery(&id),
        IntakeError::Busy => Reply::unavailable("webhook.busy", "too much comes at once").hint("send it again later"),
        IntakeError::Store(error) => {
            let chain = crate::gateway::problem::chain(&error);
            tracing::error!(error = %chain, "a webhook could not be stored: {chain}");
            Reply::unavailable("webhook.not_stored", "the message could not be stored").hint("send it again later")
        }
    }
}

fn no_delivery(id: &str) -> Reply {
    Reply::not_found("webhook.not_found", format!("there is no delivery {id}"))
        .hint("`mimir webhooks deliveries` lists those that are kept")
}

/// Of questions of the owner.
impl From<IntakeError> for Reply {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::UnknownSource => Self::not_found("webhook.unknown_source", "there is no source of that name")
                .hint("`mimir webhooks list` shows those that are configured"),
            IntakeError::Store(error) => error.into(),
            other => refused(other),
        }
    }
}

/// Who may tell us something, and what is wrong there.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", responses((status = 200, body = Vec<WebhookSourceView>)))]
pub async fn sources(State(webhooks): State<Webhooks>) -> Answer<Json<Vec<WebhookSourceView>>> {
    Ok(Json(webhooks.senders().await?.into_iter().map(views::webhook_source).collect()))
}

/// What came, the newest first, and what came of it.
#[utoipa::path(get, path = "/v1/webhooks/deliveries", tag = "webhooks", params(WebhookQuery),
    responses((status = 200, body = Vec<WebhookView>)))]
pub async fn deliveries(
    State(webhooks): State<Webhooks>,
    QueryParams(query): QueryParams<WebhookQuery>,
) -> Answer<Json<Vec<WebhookView>>> {
    let limit = query.limit.unwrap_or(PAGE);
    if limit > LARGEST_PAGE {
        let title = format!("a list has at most {LARGEST_PAGE} deliveries");
        return Err(Reply::bad_request("request.invalid", title).hint("ask for fewer, or for one source"));
    }
    let found = webhooks.list(query.source, query.state, limit).await?;
    Ok(Json(found.into_iter().map(views::webhook).collect()))
}

/// Something that came, with its words.
#[utoipa::path(get, path = "/v1/webhooks/deliveries/{id}", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookDetails)))]
pub async fn show(
    State(webhooks): State<Webhooks>,
    Path(id): Path<String>,
) -> Answer<Json<WebhookDetails>> {
    let (webhook, content) = webhooks.get(&id).await?;
    Ok(Json(views::webhook_details(webhook, content)))
}

/// Decides about something again, whatever came of it before.
#[utoipa::path(post, path = "/v1/webhooks/deliveries/{id}/replay", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = WebhookView)))]
pub async fn replay(
    State(webhooks): State<Webhooks>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Answer<Json<WebhookView>> {
    Ok(Json(views::webhook(webhooks.replay(&principal, &id).await?)))
}

/// What would follow from a message, without anything of it happening. It needs no signature.
#[utoipa::path(post, path = "/v1/webhooks/test", tag = "webhooks", request_body = TestWebhook,
    responses((status = 200, body = WebhookPreview)))]
pub async fn test(
    State(webhooks): State<Webhooks>,
    JsonBody(asked): JsonBody<TestWebhook>,
) -> Answer<Json<WebhookPreview>> {
    let TestWebhook { source, event, body } = asked;
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let kind = webhooks.kind_of(&source)?;
    let name = match kind {
        SenderKind::Sentry => Some("sentry-hook-resource"),
        SenderKind::Github => Some("x-github-event"),
        SenderKind::Generic => None,
    };
    headers.extend(name.zip(event).map(|(name, event)| (name.to_owned(), event)));
    let preview = webhooks.preview(&source, Headers::new(headers), body.into_bytes()).await?;
    Ok(Json(views::webhook_preview(preview)))
}

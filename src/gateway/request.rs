//! What happens around every request: an id, a line in the log, one shape of errors, no way out for a panic.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::metrics::Counters;
use super::problem::Reply;
use super::refusals;
use super::serve::Refused;
use crate::clock::{self, Clock};
use crate::model::ids::RequestId;
use crate::model::principal::Principal;
use crate::wire::problem::Problem;

/// The header that carries the id both ways.
pub const REQUEST_ID: &str = "x-request-id";

/// Marks an answer that somebody else gave and that goes through as it is.
#[derive(Clone)]
pub struct Carried;

/// What the wrapper needs.
#[derive(Clone)]
pub struct Around {
    /// For ids.
    pub clock: Clock,
    /// What is counted.
    pub counters: Counters,
}

/// Wraps every request.
pub async fn wrap(State(around): State<Around>, request: Request, next: Next) -> Response {
    let id = given_id(&request).unwrap_or_else(|| mint(&around.clock));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let principal =
        request.extensions().get::<Principal>().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let span = tracing::info_span!("request", request_id = %id, %method, %path, %principal);

    async move {
        let begun = Instant::now();
        let refused = request.extensions().get::<Refused>().cloned();
        let response = match refused {
            Some(Refused(problem)) => Reply(problem).into_response(),
            None => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| panicked()),
        };
        let response = finish(response, &id);
        let status = response.status().as_u16();
        around.counters.answered(status);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if method == Method::GET && status < 500 {
            tracing::debug!(status, took_ms, "{method} {path} answered {status}");
        } else {
            tracing::info!(status, took_ms, "{method} {path} answered {status}");
        }
        response
    }
    .instrument(span)
    .await
}

/// A client may bring an id, so that its log and ours can be read side by side.
fn given_id(request: &Request) -> Option<String> {
    let text = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let harmless = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (harmless && (1..=64).contains(&text.len())).then(|| text.to_owned())
}

fn mint(clock: &Clock) -> String {
    RequestId::from_parts(clock.now_ms(), clock::entropy_128()).to_string()
}

fn panicked() -> Response {
    tracing::error!("a handler panicked");
    Reply(Problem::new(500, "internal", "something went wrong inside mimir")).into_response()
}

/// Writes the body of a problem and adds the id to everything.
fn finish(mut response: Response, id: &str) -> Response {
    let status = response.status();
    let is_told =
        response.extensions().get::<Problem>().is_some() || response.extensions().get::<Carried>().is_some();
    if (status.is_client_error() || status.is_server_error()) && !is_told {
        // A library's refusal, in its own words or in none.
        response.extensions_mut().insert(refusals::of_status(status));
    }
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.to_owned());
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let (mut parts, _) = response.into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response = Response::from_parts(parts, Body::from(body));
    }
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // What an answer says it is, it is, whatever a browser would make of it.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// No such path.
pub async fn unknown_route(request: Request) -> Reply {
    let what = format!("there is nothing at {} {}", request.method(), request.uri().path());
    Reply::not_found("route.not_found", what).hint("`/v1/openapi.json` lists what there is")
}

/// The path is there, the verb is not.
pub async fn unknown_method(request: Request) -> Reply {
    let what = format!("{} cannot be done to {}", request.method(), request.uri().path());
    Reply(Problem::new(StatusCode::METHOD_NOT_ALLOWED.as_u16(), "route.wrong_method", what))
        .hint("`/v1/openapi.json` lists what can")
}

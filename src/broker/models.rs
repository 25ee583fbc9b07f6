//! Model calls of a frame.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};

use super::ledger::Entry;
use super::reply::{Body, empty, model_error};
use super::serve::{Jobs, Served};
use crate::budget::{Admitted, BudgetError, CallRequest};
use crate::model::container::inside::BROKER_PORT;
use crate::models::{Answer, Call, CallReport, Meter, ModelError};
use crate::store::StoreError;

/// A body up to this size is taken without asking.
const SMALL_BODY: u64 = 1024 * 1024;

/// The largest body; pictures in a long talk may come near it.
const LARGE_BODY: usize = 32 * 1024 * 1024;

/// How long a frame may take to send its request, waiting for room included.
const UPLOAD: Duration = Duration::from_secs(60);

/// Answers a model call.
pub(super) async fn call(
    served: &Served,
    jobs: &Jobs,
    provider: String,
    path: String,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Some(refusal) = not_granted(served, &provider) {
        return refusal;
    }
    let query = request.uri().query().map(str::to_owned);
    let (parts, body) = request.into_parts();

    // Held until the provider has the request.
    let _room;
    let body = match tokio::time::timeout(UPLOAD, async {
        let room = match body.size_hint().upper() {
            Some(size) if size <= SMALL_BODY => None,
            // Its own first: a frame that drips its bodies waits for itself.
            _ => match served.large_bodies.acquire().await {
                Ok(own) => served.shared.large_bodies.acquire().await.ok().map(|shared| (own, shared)),
                Err(_) => None,
            },
        };
        (room, Limited::new(body, LARGE_BODY).collect().await)
    })
    .await
    {
        Ok((room, Ok(body))) => {
            _room = room;
            body.to_bytes()
        }
        Ok((_, Err(_))) => {
            return model_error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                "the request was cut off or is larger than 32 MiB",
            );
        }
        Err(_) => {
            return model_error(StatusCode::REQUEST_TIMEOUT, "timeout", "the request did not arrive in time");
        }
    };

    let call = Call { provider, method: parts.method, path, query, headers: parts.headers, body };
    match forward(served, call).await {
        Ok(answer) => {
            // Goes on beside the connection, which may stand still while the frame does not read.
            if answer.work.is_some_and(|work| jobs.send(work).is_err()) {
                return empty(StatusCode::SERVICE_UNAVAILABLE);
            }
            let frames = answer.body.map(|chunk: std::io::Result<Bytes>| chunk.map(Frame::data));
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response
        }
        Err(refused) => *refused,
    }
}

/// A frame uses the owner's key of a provider only where the owner said so.
fn not_granted(served: &Served, provider: &str) -> Option<Response<Body>> {
    let (client, known) = (served.client.now(), served.shared.models.find(provider)?);
    if client.providers.contains(&known.name) {
        return None;
    }
    let why = "the frame is not granted this provider";
    served.news.refused(&client, &format!("models/{provider}"), BROKER_PORT, why);
    let text = format!(
        "frame {name} may not use provider {provider}; `mimir frame allow {name} --provider {provider}` on the host grants it",
        name = client.name
    );
    Some(model_error(StatusCode::FORBIDDEN, "not_granted", &text))
}

/// Lets a call begin when its budgets allow it, and sees to it that it is booked.
async fn forward(served: &Served, call: Call) -> Result<Answer, Box<Response<Body>>> {
    let shared = &served.shared;
    let (news, client, provider) = (served.news.clone(), served.client.now(), call.provider.clone());
    let on_redacted = Box::new(move |place: &'static str| news.redacted(&client, &provider, place));
    let prepared = shared.models.prepare(call).map_err(|error| Box::new(refused(&error)))?;
    let (meter, entry) = match prepared.counted() {
        None => (Meter::default(), None),
        Some(call) => {
            let request = CallRequest { frame: served.client.now().frame.clone(), call };
            let (meter, entry) = admit(served, request).await?;
            (meter, Some(entry))
        }
    };
    let on_end = Box::new(move |report: CallReport| {
        if let Some(entry) = entry {
            entry.ended(report);
        }
    });
    shared
        .models
        .forward(prepared, meter, on_end, on_redacted)
        .await
        .map_err(|error| Box::new(refused(&error)))
}

/// Goes on to its end when the frame goes away meanwhile; what was held for it is given back then.
async fn admit(served: &Served, request: CallRequest) -> Result<(Meter, Entry), Box<Response<Body>>> {
    let (budgets, ledger) = (served.shared.budgets.clone(), served.shared.ledger.clone());
    let admitting = async move {
        let Admitted { id, meter } = budgets.admit(request).await?;
        Ok::<_, BudgetError>((meter, Entry::new(&ledger, id)))
    };
    match served.shared.tasks.run_to_end("admission", admitting).await {
        Some(Ok(admitted)) => Ok(admitted),
        Some(Err(error)) => Err(Box::new(unpaid(&error))),
        None => Err(Box::new(unpaid(&BudgetError::Store(StoreError::Closed)))),
    }
}

/// 402 and 403 are not tried again, and the agent's user reads the sentence. 429 is tried again after a while.
fn unpaid(error: &BudgetError) -> Response<Body> {
    let (status, code) = match error {
        BudgetError::Paused => (StatusCode::PAYMENT_REQUIRED, "spending_paused"),
        BudgetError::UsedUp(_) => (StatusCode::PAYMENT_REQUIRED, "budget_used_up"),
        BudgetError::Unpriced { .. } => (StatusCode::PAYMENT_REQUIRED, "no_price"),
        BudgetError::Held(_) => (StatusCode::TOO_MANY_REQUESTS, "budget_held"),
        BudgetError::NoSubject { .. }
        | BudgetError::NotSet(_)
        | BudgetError::Price(_)
        | BudgetError::Store(_) => {
            tracing::error!(%error, "a model call cannot be booked, so it is not made: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "books")
        }
    };
    let mut response = model_error(status, code, &error.to_string());
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// 4xx where trying again is pointless, because opencode tries everything else again for a minute.
fn refused(error: &ModelError) -> Response<Body> {
    let (status, code, advice) = match error {
        ModelError::UnknownProvider { name } => (
            StatusCode::NOT_FOUND,
            "unknown_provider",
            format!("; add it to ~/.mimir/config.yaml as `providers.{name}`"),
        ),
        ModelError::NotServed { .. } | ModelError::Background { .. } => {
            (StatusCode::FORBIDDEN, "not_served", String::new())
        }
        ModelError::NoKey { provider } => (
            StatusCode::UNAUTHORIZED,
            "no_key",
            format!("; set `providers.{provider}.key` in ~/.mimir/config.yaml"),
        ),
        ModelError::NoAddress { provider } => (
            StatusCode::NOT_FOUND,
            "no_address",
            format!("; set `providers.{provider}.base_url` in ~/.mimir/config.yaml"),
        ),
        ModelError::Encoded { .. } => (StatusCode::BAD_GATEWAY, "encoded", String::new()),
        ModelError::Cut { .. } => (StatusCode::PAYMENT_REQUIRED, "budget", String::new()),
        ModelError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "unreachable", String::new()),
        ModelError::TooSlow { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout", String::new()),
    };
    model_error(status, code, &format!("{error}{advice}"))
}

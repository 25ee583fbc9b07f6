//! Model calls of a frame.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::{Request, Response, StatusCode};

use super::reply::{Body, model_error};
use super::serve::Served;
use crate::model::container::inside::BROKER_PORT;
use crate::models::{Call, CallReport, ModelError};
use crate::store::usage::ModelCall;

/// A body up to this size is taken without asking.
const SMALL_BODY: u64 = 1024 * 1024;

/// The largest body; pictures in a long talk may come near it.
const LARGE_BODY: usize = 32 * 1024 * 1024;

/// How long a frame may take to send its request, waiting for room included.
const UPLOAD: Duration = Duration::from_secs(60);

/// Answers a model call.
pub(super) async fn call(
    served: &Served,
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
            _ => served.shared.large_bodies.acquire().await.ok(),
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
    let (ledger, frame) = (served.shared.ledger.clone(), served.client.now().frame.clone());
    let on_end = Box::new(move |report: CallReport| {
        ledger.record(ModelCall {
            frame,
            agent_session: report.agent_session,
            provider: report.provider,
            model: report.model,
            tokens: report.tokens,
            cost_microusd: report.cost_microusd,
            priced: report.priced,
            status: report.status,
        });
    });
    let (news, client, provider) = (served.news.clone(), served.client.now(), call.provider.clone());
    let on_redacted = Box::new(move |place: &'static str| news.redacted(&client, &provider, place));
    match served.shared.models.forward(call, on_end, on_redacted).await {
        Ok(answer) => {
            let frames = answer.body.map(|chunk: std::io::Result<Bytes>| chunk.map(Frame::data));
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            response
        }
        Err(error) => refused(&error),
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

/// 4xx where trying again is pointless, because opencode tries everything else again for a minute.
fn refused(error: &ModelError) -> Response<Body> {
    let (status, code, advice) = match error {
        ModelError::UnknownProvider { name } => (
            StatusCode::NOT_FOUND,
            "unknown_provider",
            format!("; add it to ~/.mimir/config.yaml as `providers.{name}`"),
        ),
        ModelError::NotServed { .. } => (StatusCode::FORBIDDEN, "not_served", String::new()),
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
        ModelError::Unreachable { .. } => (StatusCode::BAD_GATEWAY, "unreachable", String::new()),
        ModelError::TooSlow { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout", String::new()),
    };
    model_error(status, code, &format!("{error}{advice}"))
}

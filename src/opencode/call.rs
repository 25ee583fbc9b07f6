//! One HTTP request to an agent: a fresh connection, a deadline, a bounded answer.
//!
//! Connections are not kept. opencode swallows whatever arrives in its first
//! second, and a connection that was swallowed once stays deaf.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;

use super::wire;
use super::{OpencodeError, translate};
use crate::outbound::{Connector, beside};
use crate::redact::{self, Secrets};

/// The most we take as one answer. The sender is inside a frame and not to be trusted with our memory.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How long a connection may take to stand; the other side is on this machine.
const CONNECT: Duration = Duration::from_secs(5);

/// What to ask.
pub(super) struct Call {
    /// Its name in errors.
    pub name: &'static str,
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub body: Option<Value>,
    /// For the whole exchange; for a stream until the headers.
    pub deadline: Duration,
}

impl Call {
    pub(super) fn get(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, method: Method::GET, path: path.into(), body: None, deadline: Duration::from_secs(15) }
    }

    pub(super) fn post(name: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(name, path) }
    }

    pub(super) fn patch(name: &'static str, path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PATCH, ..Self::post(name, path, body) }
    }

    pub(super) fn delete(name: &'static str, path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(name, path) }
    }

    pub(super) fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// An answer that has begun: its head, and the connection that brings the rest.
pub(super) struct Streaming {
    pub body: Incoming,
    pub connection: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Asks and reads the whole answer, which comes without `secrets`. Without `auth` it is asked as anybody could.
pub(super) async fn whole(
    connector: &Connector,
    auth: &str,
    call: &Call,
    secrets: &Secrets,
) -> Result<Bytes, OpencodeError> {
    let exchange = async {
        let (response, connection) = begin(connector, auth, call).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
        let body = beside(body, connection).await.map_err(|error| broken(call, &*error))?.to_bytes();
        let body = redact::clean_document(body, secrets);
        refusal(call, status, &body).map_or(Ok(body), Err)
    };
    in_time(call, exchange).await
}

/// Asks and returns as soon as the head of a good answer is there.
pub(super) async fn streaming(
    connector: &Connector,
    auth: &str,
    call: &Call,
) -> Result<Streaming, OpencodeError> {
    let exchange = async {
        let (response, connection) = begin(connector, auth, call).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Streaming { body: response.into_body(), connection });
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
        let body = beside(body, connection).await.map_err(|error| broken(call, &*error))?.to_bytes();
        Err(refusal(call, status, &body).unwrap_or_else(|| OpencodeError::Unreadable {
            call: call.name,
            why: format!("unexpected status {status}"),
        }))
    };
    in_time(call, exchange).await
}

async fn in_time<T>(
    call: &Call,
    exchange: impl Future<Output = Result<T, OpencodeError>>,
) -> Result<T, OpencodeError> {
    tokio::time::timeout(call.deadline, exchange)
        .await
        .unwrap_or(Err(OpencodeError::Silent { call: call.name, waited: call.deadline }))
}

async fn begin(
    connector: &Connector,
    auth: &str,
    call: &Call,
) -> Result<(Response<Incoming>, Pin<Box<dyn Future<Output = ()> + Send>>), OpencodeError> {
    let unreachable = |source| OpencodeError::Unreachable { place: connector.what().to_owned(), source };
    let stream = tokio::time::timeout(CONNECT.min(call.deadline), connector.connect())
        .await
        .map_err(|_| unreachable(std::io::ErrorKind::TimedOut.into()))?
        .map_err(unreachable)?;
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|error| broken(call, &error))?;
    // Its end is told again to whoever reads the answer, so the result says nothing new.
    let mut connection: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
        let _ = connection.await;
    });
    let response = beside(sender.send_request(request(connector, auth, call)?), connection.as_mut())
        .await
        .map_err(|error| broken(call, &error))?;
    Ok((response, connection))
}

fn request(connector: &Connector, auth: &str, call: &Call) -> Result<Request<Full<Bytes>>, OpencodeError> {
    let mut request =
        Request::builder().method(call.method.clone()).uri(&call.path).header(HOST, connector.authority());
    if !auth.is_empty() {
        request = request.header(AUTHORIZATION, auth);
    }
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = call.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    request
        .body(Full::new(body))
        .map_err(|error| OpencodeError::Unreadable { call: call.name, why: error.to_string() })
}

fn broken(call: &Call, error: &(dyn std::error::Error + 'static)) -> OpencodeError {
    if error.downcast_ref::<http_body_util::LengthLimitError>().is_some() {
        return OpencodeError::Unreadable { call: call.name, why: "it is too long".to_owned() };
    }
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    OpencodeError::BrokenOff { call: call.name, why }
}

fn refusal(call: &Call, status: StatusCode, body: &[u8]) -> Option<OpencodeError> {
    if status.is_success() {
        return None;
    }
    let said = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| wire::Failure::deserialize(&value).ok())
        .map(|failure| translate::failure(failure).message)
        .filter(|message| !message.is_empty());
    Some(match status {
        StatusCode::UNAUTHORIZED => OpencodeError::WrongPassword,
        StatusCode::NOT_FOUND => OpencodeError::NotFound { what: said.unwrap_or_else(|| call.path.clone()) },
        _ => OpencodeError::Refused {
            call: call.name,
            status: status.as_u16(),
            message: said.unwrap_or_else(|| status.to_string()),
        },
    })
}

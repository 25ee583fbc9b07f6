//! Raw calls to Podman's own endpoints, for what the Docker-compatible client cannot say or misreads.
//!
//! One Unix connection a call: the service is local, and nothing can be left over from the call before.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::join;
use http_body_util::{BodyExt, Full, Limited};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::trouble::Trouble;

/// The oldest version of the endpoints that we know; every later Podman still answers it.
const PREFIX: &str = "/v4.0.0/libpod";
/// No answer that we ask for comes near this.
const LARGEST_ANSWER: usize = 32 << 20;

#[derive(Clone, Debug)]
pub(super) struct Libpod {
    socket: PathBuf,
}

impl Libpod {
    pub(super) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The service's version, or why it does not answer.
    pub(super) async fn ping(&self) -> Result<String, Trouble> {
        let (status, headers, _) = self.send(Method::GET, "/_ping", None).await?;
        let version = headers.get("libpod-api-version").and_then(|value| value.to_str().ok());
        match (status, version) {
            (StatusCode::OK, Some(version)) => Ok(version.to_owned()),
            (status, _) => Err(Trouble::Other(format!("this is no Podman: {status} to a ping"))),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let (status, _, body) = self.send(Method::GET, path, None).await?;
        read(status, &body)
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, Trouble> {
        let (status, _, answer) = self.send(Method::POST, path, Some(body)).await?;
        read(status, &answer)
    }

    /// A call whose answer does not matter once it is a success.
    pub(super) async fn call(&self, method: Method, path: &str) -> Result<(), Trouble> {
        let (status, _, body) = self.send(method, path, None).await?;
        // 304: it was so already.
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            Ok(())
        } else {
            Err(Trouble::of_answer(status.as_u16(), &body))
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, hyper::HeaderMap, Bytes), Trouble> {
        let stream = UnixStream::connect(&self.socket).await.map_err(Trouble::unreachable)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Trouble::unreachable)?;
        let request = request(method, path, body)?;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(Trouble::unreachable)?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(Trouble::unreachable)?;
            Ok((parts.status, parts.headers, body.to_bytes()))
        };
        // The connection's own end says nothing that the answer does not.
        join(connection, answer).await.1
    }

    /// Starts an exec session and takes over the connection.
    ///
    /// Done by hand: the client library takes a terminal's first byte for a frame header when it is 0, 1 or 2, and
    /// then waits for a length that never comes.
    pub(super) async fn start_exec(
        &self,
        exec: &str,
        tty: Option<(u16, u16)>,
    ) -> Result<TokioIo<Upgraded>, Trouble> {
        let stream = UnixStream::connect(&self.socket).await.map_err(Trouble::unreachable)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Trouble::unreachable)?;
        let mut body = serde_json::json!({"Detach": false, "Tty": tty.is_some()});
        if let Some((columns, rows)) = tty {
            body["w"] = columns.into();
            body["h"] = rows.into();
        }
        let mut request = request(Method::POST, &format!("/exec/{exec}/start"), Some(body))?;
        for (name, value) in [("connection", "Upgrade"), ("upgrade", "tcp")] {
            request.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
        }
        let answer = async move {
            let response = sender.send_request(request).await.map_err(Trouble::unreachable)?;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS {
                let upgraded = hyper::upgrade::on(response).await.map_err(Trouble::unreachable)?;
                return Ok(TokioIo::new(upgraded));
            }
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            Err(Trouble::of_answer(status.as_u16(), &body.map_err(Trouble::unreachable)?.to_bytes()))
        };
        join(connection.with_upgrades(), answer).await.1
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, Trouble> {
    if !status.is_success() {
        return Err(Trouble::of_answer(status.as_u16(), body));
    }
    serde_json::from_slice(body)
        .map_err(|error| Trouble::Other(format!("an answer that we cannot read: {error}")))
}

fn request(method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>, Trouble> {
    let body = body.map(|value| value.to_string()).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(format!("{PREFIX}{path}"))
        .header("host", "podman")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Trouble::Other(error.to_string()))
}

//! Other hosts: CONNECT tunnels and plain HTTP, for what is on the frame's list.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::dial::DialError;
use super::reply::{Body, empty, sentence};
use super::serve::{Job, Jobs, Served};
use crate::model::network::NetworkMode;

/// How long a host may take before the first byte of its answer.
const FIRST_BYTE: std::time::Duration = std::time::Duration::from_secs(60);

/// Headers between two neighbours, not for the host.
const HOP_BY_HOP: &[HeaderName] = &[
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Opens a tunnel.
pub(super) async fn tunnel(
    served: &Served,
    jobs: &Jobs,
    host: &str,
    port: u16,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut outside = match admit(served, host, port).await {
        Ok(outside) => outside,
        Err(refusal) => return refusal,
    };
    let job: Job = Box::pin(async move {
        // An error means that the frame has gone; so does the tunnel.
        if let Ok(inside) = hyper::upgrade::on(request).await {
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(inside), &mut outside).await;
        }
    });
    if jobs.send(job).is_err() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    empty(StatusCode::OK)
}

/// Passes a plain HTTP request on.
pub(super) async fn plain(
    served: &Served,
    jobs: &Jobs,
    host: &str,
    port: u16,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let outside = match admit(served, host, port).await {
        Ok(outside) => outside,
        Err(refusal) => return refusal,
    };
    let failed = |error: &dyn std::fmt::Display| {
        sentence(StatusCode::BAD_GATEWAY, &format!("{host} did not answer as expected: {error}"))
    };
    if let Err(error) = make_direct(&mut request, host, port) {
        return sentence(StatusCode::BAD_REQUEST, &error.to_string());
    }
    let (mut sender, connection) = match hyper::client::conn::http1::handshake(TokioIo::new(outside)).await {
        Ok(pair) => pair,
        Err(error) => return failed(&error),
    };
    let job: Job = Box::pin(async move {
        // Its end is seen by who reads the answer.
        let _ = connection.await;
    });
    if jobs.send(job).is_err() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    match tokio::time::timeout(FIRST_BYTE, sender.send_request(request)).await {
        Ok(Ok(response)) => {
            let (mut parts, body) = response.into_parts();
            strip(&mut parts.headers);
            Response::from_parts(parts, body.map_err(std::io::Error::other).boxed_unsync())
        }
        Ok(Err(error)) => failed(&error),
        Err(_) => sentence(StatusCode::GATEWAY_TIMEOUT, &format!("{host} did not answer in time")),
    }
}

/// Decides, dials, and says no with a reason that helps.
async fn admit(served: &Served, host: &str, port: u16) -> Result<TcpStream, Response<Body>> {
    let client = &served.client;
    let refuse = async |why: &str, advice: &str| {
        served.refusals.record(&served.shared.store, client, host, port, why).await;
        let text = format!("frame {} may not reach {host}:{port}: {why}{advice}", client.name);
        Err(sentence(StatusCode::FORBIDDEN, &text))
    };
    if client.network == NetworkMode::Sealed {
        return refuse("the frame is sealed", "").await;
    }
    if !client.allow.permits(host, port) {
        let advice = format!("; create the frame with `--allow {host}`, or add it to `frames.allow`");
        return refuse("it is not on the list", &advice).await;
    }
    match served.shared.dialer.dial(host, port).await {
        Ok(stream) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Err(error @ DialError::Private { .. }) => refuse(&error.to_string(), "").await,
        Err(error @ DialError::Unreachable { .. }) => {
            Err(sentence(StatusCode::BAD_GATEWAY, &error.to_string()))
        }
    }
}

/// Turns a request to a proxy into one to the host: path only, and the host that was checked.
fn make_direct(request: &mut Request<Incoming>, host: &str, port: u16) -> Result<(), hyper::http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let host = if port == 80 { host } else { format!("{host}:{port}") };
    *request.uri_mut() = path.parse::<Uri>()?;
    strip(request.headers_mut());
    request.headers_mut().insert(header::HOST, HeaderValue::try_from(host)?);
    Ok(())
}

fn strip(headers: &mut HeaderMap) {
    // Headers that `Connection` names are between neighbours too.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
    headers.remove("proxy-connection");
    headers.remove("keep-alive");
}

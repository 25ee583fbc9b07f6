//! Other hosts: CONNECT tunnels and plain HTTP, for what is on the frame's list.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::admit::{Admitted, Want, admit};
use super::hello::{self, UNRECOGNIZED_NAME, Unfit};
use super::reply::{Body, empty, sentence};
use super::serve::{Job, Jobs, Served};
use super::traffic::{Counted, Host};
use crate::model::allow::Traffic::Web;

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

/// Headers by which some servers answer as if another method or path had been asked for.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-uri",
];

/// Opens a tunnel.
pub(super) async fn tunnel(
    served: &Arc<Served>,
    jobs: &Jobs,
    host: &str,
    port: u16,
    request: Request<Incoming>,
) -> Response<Body> {
    let want = Want { host, port, plain: None, program: Want::program_of(request.headers()) };
    let Admitted { outside, traffic, counted } = match admit(served, &want).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    let (served, host) = (served.clone(), host.to_owned());
    let job: Job = Box::pin(async move {
        // An error means that the frame has gone; so does the tunnel.
        let Ok(inside) = hyper::upgrade::on(request).await else { return };
        let mut inside = TokioIo::new(inside);
        let mut outside = Counted::new(outside, counted.clone());
        if traffic == Web {
            let heard = match hello::greeting(&mut inside, &host).await {
                Ok(heard) => heard,
                Err(unfit) => return turn_away(&served, &counted, &mut inside, (&host, port), unfit).await,
            };
            if outside.write_all(&heard).await.is_err() {
                return;
            }
        }
        let (pulse, cut) = (outside.pulse(), outside.cut());
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut inside, &mut outside) => {}
            () = pulse.stops(served.shared.idle) => {}
        }
        tell_cut(&served, &counted, &cut, &host, port);
    });
    if jobs.send(job).is_err() {
        return empty(StatusCode::SERVICE_UNAVAILABLE);
    }
    empty(StatusCode::OK)
}

/// Passes a plain HTTP request on.
pub(super) async fn plain(
    served: &Arc<Served>,
    jobs: &Jobs,
    host: &str,
    port: u16,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let want = Want {
        host,
        port,
        plain: Some((method.as_str(), path.as_str())),
        program: Want::program_of(request.headers()),
    };
    let Admitted { outside, counted, .. } = match admit(served, &want).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal,
    };
    counted.note_request();
    let outside = Counted::new(outside, counted.clone());
    let (pulse, cut) = (outside.pulse(), outside.cut());
    let failed = |error: &dyn std::fmt::Display| match tell_cut(served, &counted, &cut, host, port) {
        Some(why) => sentence(StatusCode::FORBIDDEN, &why),
        None => {
            let text = format!("{host} did not answer as expected: {error}");
            sentence(StatusCode::BAD_GATEWAY, &text)
        }
    };
    if let Err(error) = make_direct(&mut request, host, port) {
        return sentence(StatusCode::BAD_REQUEST, &error.to_string());
    }
    let (mut sender, connection) = match hyper::client::conn::http1::handshake(TokioIo::new(outside)).await {
        Ok(pair) => pair,
        Err(error) => return failed(&error),
    };
    let idle = served.shared.idle;
    let job: Job = Box::pin(async move {
        // Its end is seen by who reads the answer.
        tokio::select! {
            _ = connection => {}
            () = pulse.stops(idle) => {}
        }
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

/// Ends a tunnel whose first bytes do not fit, and says why in a way that the client may show.
async fn turn_away(
    served: &Served,
    counted: &Host,
    inside: &mut (impl AsyncWrite + Unpin),
    (host, port): (&str, u16),
    unfit: Unfit,
) {
    let client = served.client.now();
    let (why, said) = match unfit {
        Unfit::Gone => return,
        Unfit::OtherName(why) => (why, UNRECOGNIZED_NAME.to_vec()),
        Unfit::NotTls(why) => {
            let said = format!("mimir: a tunnel to {host}:{port} must begin TLS with that host: {why}\r\n");
            (why, said.into_bytes())
        }
    };
    let why = format!(
        "a tunnel to it must begin TLS with that host: {why}; `--allow {host}:PORT` lists it for anything on a port of its own"
    );
    served.news.refused(&client, host, port, &why);
    counted.note_refused(&why);
    // The client may be gone already.
    let _ = inside.write_all(&said).await;
    let _ = inside.shutdown().await;
}

/// Tells of a connection that was cut because too much was sent, and why that is.
fn tell_cut(served: &Served, counted: &Host, cut: &AtomicBool, host: &str, port: u16) -> Option<String> {
    let why = counted.is_full().filter(|_| cut.load(Ordering::Relaxed))?;
    served.news.refused(&served.client.now(), host, port, &why);
    counted.note_refused(&why);
    Some(format!("frame {} may not send more to {host}:{port}: {why}", served.client.now().name))
}

/// Turns a request to a proxy into one to the host: path only, and the host that was checked.
fn make_direct(request: &mut Request<Incoming>, host: &str, port: u16) -> Result<(), hyper::http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let host = if port == 80 { host } else { format!("{host}:{port}") };
    *request.uri_mut() = path.parse::<Uri>()?;
    strip(request.headers_mut());
    for name in OVERRIDES {
        request.headers_mut().remove(*name);
    }
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

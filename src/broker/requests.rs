//! Requests that the broker makes for a frame: plain HTTP, and HTTP that it speaks by TLS for the sake of secrets.
//!
//! In both, placeholders in headers that say who asks become secrets when the request goes to their host, and what that host answers comes
//! back without any secret. A tunnel is opaque: there, a placeholder goes out as the text that it is, and is worth nothing.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::admit::{Admitted, Want, admit};
use super::connect::tell_cut;
use super::reply::{Body, empty, sentence};
use super::serve::{Job, Jobs, Served};
use super::traffic::Counted;
use crate::model::secrets::SecretHost;
use crate::outbound::BoxedDuplex;
use crate::redact::{Redactor, Secrets};
use crate::secrets::SwapError;

/// How long a host may take before the first byte of its answer.
const FIRST_BYTE: std::time::Duration = std::time::Duration::from_secs(60);

/// How long it may take until TLS is agreed on.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(15);

/// How much of an answer is read at once, as in a tunnel; a head must fit into it as well. Always the same, so that one
/// buffer is used again and again: hyper by itself changes it from read to read, up to 408 KiB, and takes new memory for it.
const PIECE: usize = 64 * 1024;

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

/// Passes a plain HTTP request on.
pub(super) async fn plain(
    served: &Arc<Served>,
    jobs: &Jobs,
    host: &str,
    port: u16,
    request: Request<Incoming>,
) -> Response<Body> {
    let to = SecretHost::new(false, host, port);
    match pass_on(served, jobs, &to, (host, port), request).await {
        Ok(response) | Err(response) => response,
    }
}

/// Passes a request on by TLS, to a host for which the frame was given a secret.
pub(super) async fn tls(
    served: &Arc<Served>,
    jobs: &Jobs,
    to: SecretHost,
    path: &str,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let client = served.client.now();
    match path.parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return sentence(StatusCode::BAD_REQUEST, &error.to_string()),
    }
    match served.shared.vault.is_for(&client.frame, &to).await {
        Ok(true) => {}
        Ok(false) => {
            let text = format!(
                "frame {name} was given no secret for {to}; on the host, `mimir secret grant SECRET {name} --host {}` gives it \
                 one. Without a secret, ask {to} itself",
                to.authority(),
                name = client.name,
            );
            return sentence(StatusCode::FORBIDDEN, &text);
        }
        Err(error) => {
            tracing::error!(%error, "what a frame was given cannot be read: {error}");
            return sentence(StatusCode::SERVICE_UNAVAILABLE, "what the frame was given cannot be read");
        }
    }
    let (host, port) = (to.host.clone(), to.port);
    match pass_on(served, jobs, &to, (&host, port), request).await {
        Ok(response) | Err(response) => response,
    }
}

async fn pass_on(
    served: &Arc<Served>,
    jobs: &Jobs,
    to: &SecretHost,
    (host, port): (&str, u16),
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Response<Body>> {
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let want = Want {
        host,
        port,
        plain: Some((method.as_str(), path.as_str())),
        program: Want::program_of(request.headers()),
    };
    let Admitted { outside, counted, .. } = admit(served, &want).await?;
    counted.note_request();
    // Before anything of it is sent, and only to who may be reached.
    let has_secret = swap(served, to, request.headers_mut()).await?;
    // Also what is asked without it of a host that was sent it: it may have kept it.
    let is_watched = has_secret
        || to.tls
        || served.shared.vault.is_for(&served.client.now().frame, to).await.unwrap_or(true);
    let outside = Counted::new(outside, counted.clone());
    let (pulse, cut) = (outside.pulse(), outside.cut());
    let failed = |error: &dyn std::fmt::Display| match tell_cut(served, &counted, &cut, host, port) {
        Some(why) => sentence(StatusCode::FORBIDDEN, &why),
        None => {
            let text = format!("{host} did not answer as expected: {error}");
            sentence(StatusCode::BAD_GATEWAY, &text)
        }
    };
    if let Err(error) = make_direct(&mut request, to) {
        return Err(sentence(StatusCode::BAD_REQUEST, &error.to_string()));
    }
    if is_watched {
        // A secret in a packed answer would not be found.
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // Nor would one that is asked for in pieces.
        request.headers_mut().remove(header::RANGE);
        request.headers_mut().remove(header::IF_RANGE);
    }
    let outside: BoxedDuplex = match to.tls {
        false => Box::pin(outside),
        true => Box::pin(begin_tls(served, host, outside).await.map_err(|error| failed(&error))?),
    };
    let handshake =
        http1::Builder::new().read_buf_exact_size(Some(PIECE)).handshake(TokioIo::new(outside)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(&error))?;
    let idle = served.shared.idle;
    let job: Job = Box::pin(async move {
        // Its end is seen by who reads the answer.
        tokio::select! {
            _ = connection => {}
            () = pulse.stops(idle) => {}
        }
    });
    if jobs.send(job).is_err() {
        return Err(empty(StatusCode::SERVICE_UNAVAILABLE));
    }
    match tokio::time::timeout(FIRST_BYTE, sender.send_request(request)).await {
        Ok(Ok(response)) if is_watched => watched(served, to, response),
        Ok(Ok(response)) => {
            let (mut parts, body) = response.into_parts();
            parts.extensions.clear();
            strip(&mut parts.headers);
            Ok(Response::from_parts(parts, body.map_err(io::Error::other).boxed_unsync()))
        }
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(sentence(StatusCode::GATEWAY_TIMEOUT, &format!("{host} did not answer in time"))),
    }
}

/// Puts secrets in the place of their placeholders. Says whether there were any.
async fn swap(served: &Served, to: &SecretHost, headers: &mut HeaderMap) -> Result<bool, Response<Body>> {
    let client = served.client.now();
    let swapped = served.shared.vault.swap(&client.frame, to, headers).await;
    swapped.map_err(|error| {
        let status = match &error {
            SwapError::Worthless | SwapError::OtherHost { .. } | SwapError::OtherHeader { .. } => {
                served.refuse(&client, &to.host, to.port, &error.to_string());
                StatusCode::FORBIDDEN
            }
            SwapError::NoHeader => StatusCode::BAD_REQUEST,
            SwapError::Secret(_) => {
                tracing::warn!(frame.id = %client.frame, "frame {} cannot be given a secret: {error}", client.name);
                StatusCode::BAD_GATEWAY
            }
        };
        sentence(status, &error.to_string())
    })
}

async fn begin_tls<S>(served: &Served, host: &str, outside: S) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let connector = served.shared.dialer.tls()?;
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
    };
    match tokio::time::timeout(HANDSHAKE, connector.connect(name, outside)).await {
        Ok(stream) => stream,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "TLS was not agreed on in time")),
    }
}

/// An answer without secrets.
fn watched(
    served: &Served,
    to: &SecretHost,
    response: Response<Incoming>,
) -> Result<Response<Body>, Response<Body>> {
    let (mut parts, body) = response.into_parts();
    // The sentence beside the status is in there, and it is the host's.
    parts.extensions.clear();
    strip(&mut parts.headers);
    let packed = parts.headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
    if packed {
        let text =
            format!("{to} answered packed, although it was asked not to: a secret in it would not be found");
        return Err(sentence(StatusCode::BAD_GATEWAY, &text));
    }
    let secrets = served.shared.vault.known().now();
    if clean_headers(&mut parts.headers, to, &secrets) {
        served.news.redacted(&served.client.now(), &to.host, "a header");
    }
    // It may become shorter.
    parts.headers.remove(header::CONTENT_LENGTH);
    let (news, client, host) = (served.news.clone(), served.client.now(), to.host.clone());
    let on_hit = move || news.redacted(&client, &host, "an answer");
    Ok(Response::from_parts(parts, clean_body(body, Redactor::new(&secrets), on_hit)))
}

/// Takes secrets out of headers, and leads the frame back to where its placeholders are replaced. Says whether there was
/// a secret.
fn clean_headers(headers: &mut HeaderMap, to: &SecretHost, secrets: &Secrets) -> bool {
    let mut hit = false;
    for (name, value) in headers.iter_mut() {
        if secrets.are_in(value.as_bytes()) {
            hit = true;
            *value = HeaderValue::from_static(crate::redact::REDACTED);
        }
        // Where the next page is, and where the thing has moved to.
        if to.tls
            && (name == header::LOCATION || name == header::LINK)
            && let Ok(text) = value.to_str()
            && let Ok(led) =
                HeaderValue::try_from(text.replace(&format!("{to}/"), &format!("{}/", to.inside())))
        {
            *value = led;
        }
    }
    hit
}

fn clean_body(body: Incoming, redactor: Redactor, on_hit: impl Fn() + Send + 'static) -> Body {
    let start = (body, Some(redactor), Some(on_hit));
    let frames = futures_util::stream::unfold(start, |(mut body, mut redactor, mut on_hit)| async move {
        loop {
            let cleaner = redactor.as_mut()?;
            let (out, is_over): (io::Result<Bytes>, bool) = match body.frame().await {
                // Trailers are left out.
                Some(Ok(frame)) => {
                    (Ok(frame.into_data().map_or_else(|_| Bytes::new(), |data| cleaner.pass(&data))), false)
                }
                Some(Err(error)) => (Err(io::Error::other(error)), true),
                None => (Ok(cleaner.end()), true),
            };
            if cleaner.hits() > 0
                && let Some(tell) = on_hit.take()
            {
                tell();
            }
            if is_over {
                redactor = None;
            }
            match out {
                Ok(bytes) if bytes.is_empty() => {}
                out => return Some((out.map(Frame::data), (body, redactor, on_hit))),
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Turns a request to a proxy into one to the host: path only, and the host that was checked.
fn make_direct(request: &mut Request<Incoming>, to: &SecretHost) -> Result<(), hyper::http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>()?;
    strip(request.headers_mut());
    for name in OVERRIDES {
        request.headers_mut().remove(*name);
    }
    let authority = if to.host.contains(':') {
        to.authority().replacen(&to.host, &format!("[{}]", to.host), 1)
    } else {
        to.authority()
    };
    request.headers_mut().insert(header::HOST, HeaderValue::try_from(authority)?);
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

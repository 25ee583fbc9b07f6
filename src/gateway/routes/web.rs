//! The page for browsers, and how one comes in: a link that opens once, exchanged for a session.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use crate::access::Access;
use crate::gateway::auth::{Ends, is_near};
use crate::gateway::extract::{JsonBody, Permissions};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::About;
use crate::gateway::web;
use crate::wire::web::{CreateWebCode, OpenWebSession, WebLink, WebSession};

routes! {
    get "/" open NoFrame => page;
    get "/assets/{file}" open NoFrame => asset;
    post "/v1/web/codes" Admin All => make_link;
    post "/v1/web/sessions" open NoFrame => open_session;
}

/// The dashboard for browsers on the gateway's machine.
#[utoipa::path(get, path = "/", tag = "web",
    responses((status = 200, body = String, content_type = "text/html")))]
pub async fn page() -> Response {
    web::page()
}

/// A file of it.
#[utoipa::path(get, path = "/assets/{file}", tag = "web", params(("file" = String, Path)),
    responses((status = 200, description = "a script, a style or a picture")))]
pub async fn asset(Path(file): Path<String>) -> Answer<Response> {
    web::file(&file).ok_or_else(|| {
        Reply::not_found("route.not_found", format!("there is no file {file}"))
            .hint("the page was built anew: load it again")
    })
}

/// Makes a link that lets a browser of this machine in, once.
#[utoipa::path(post, path = "/v1/web/codes", tag = "web", request_body = CreateWebCode,
    responses((status = 201, body = WebLink)))]
pub async fn make_link(
    State(access): State<Access>,
    State(about): State<Arc<About>>,
    Permissions(grant): Permissions,
    JsonBody(request): JsonBody<CreateWebCode>,
) -> Answer<(StatusCode, Json<WebLink>)> {
    let place = place(&about.http).ok_or_else(|| {
        Reply::conflict("web.off", "no browser of this machine can reach the gateway")
            .detail(format!("it listens at: {}", about.http))
            .hint("`mimir config set server.http_port 8080`, then restart it; `server.bind` must not leave this machine out")
    })?;
    let (code, expires_at) = access.make_code(&grant, request.scopes.into_iter().collect()).await?;
    let link = format!("{place}/#code={}", code.reveal());
    Ok((StatusCode::CREATED, Json(WebLink { link, expires_at })))
}

/// Exchanges the code of a link for a session. Half of the session comes as a cookie.
#[utoipa::path(post, path = "/v1/web/sessions", tag = "web", request_body = OpenWebSession,
    responses((status = 201, body = WebSession)))]
pub async fn open_session(
    State(access): State<Access>,
    State(about): State<Arc<About>>,
    ends: Option<Extension<Ends>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<OpenWebSession>,
) -> Answer<Response> {
    let near = ends.filter(|Extension(ends)| is_near(ends.peer, &headers));
    let Some(Extension(ends)) = near else {
        return Err(Reply::conflict(
            "web.not_here",
            "a browser comes in over TCP, on the gateway's own machine",
        )
        .hint("other clients have tokens: `mimir token create`"));
    };
    let is_tls = about.http.starts_with("https://");
    // Whoever was in already comes in anew: one browser has one session.
    let replaced = match web::session::brought(ends.local.port(), &headers) {
        Some((cookies, page)) => access.session_of(&cookies, page).await?,
        None => None,
    };
    let opened = access.open_session(&request.code, replaced, ends.peer).await?;
    let cookie = web::session::cookie(ends.local.port(), is_tls, &opened);
    let cookie = cookie.ok_or_else(|| Reply::conflict("web.not_here", "the session fits no cookie"))?;
    let session = WebSession {
        page: opened.page.reveal().to_owned(),
        name: opened.token.name.to_string(),
        expires_at: opened.token.expires_at.unwrap_or_default(),
    };
    let told = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, told, Json(session)).into_response())
}

/// Where a browser of this machine finds the gateway; nowhere when it does not listen there.
fn place(http: &str) -> Option<String> {
    let (scheme, address) = match http.strip_prefix("https://") {
        Some(address) => ("https", address),
        None => ("http", http),
    };
    let address: SocketAddr = address.parse().ok()?;
    let near = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    near.is_loopback().then(|| format!("{scheme}://{}", SocketAddr::new(near, address.port())))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_link_leads_to_this_machine_or_nowhere() {
        for (http, expected) in [
            ("127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("https://0.0.0.0:8443", Some("https://127.0.0.1:8443")),
            ("https://[::]:8443", Some("https://[::1]:8443")),
            ("https://10.0.0.9:8443", None),
            ("off (server.http_port is 0)", None),
        ] {
            assert_eq!(place(http).as_deref(), expected, "{http}");
        }
    }
}

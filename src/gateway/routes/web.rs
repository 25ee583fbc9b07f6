//! The page for browsers, and how one comes in: a link that opens once, exchanged for a session.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use super::tokens;
use crate::access::{Access, OpenedSession};
use crate::clock::Clock;
use crate::config::Running;
use crate::gateway::auth::{Ends, serves_browser};
use crate::gateway::extract::{Caller, JsonBody, Permissions};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::About;
use crate::gateway::web;
use crate::model::token::Token;
use crate::wire::tokens::TokenView;
use crate::wire::web::{CreateWebCode, OpenWebSession, WebLink, WebSession};

routes! {
    get "/" open NoFrame => page;
    get "/assets/{file}" open NoFrame => asset;
    post "/v1/web/codes" Admin All => make_link;
    get "/v1/web/sessions" Admin All => sessions;
    post "/v1/web/sessions" open NoFrame => open_session;
    delete "/v1/web/sessions" Admin All => end_sessions;
}

/// The dashboard for browsers.
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

/// Makes a link that lets a browser in, once: one of this machine, or one elsewhere.
#[utoipa::path(post, path = "/v1/web/codes", tag = "web", request_body = CreateWebCode,
    responses((status = 201, body = WebLink)))]
pub async fn make_link(
    State(access): State<Access>,
    State(about): State<Arc<About>>,
    State(running): State<Running>,
    Permissions(grant): Permissions,
    JsonBody(request): JsonBody<CreateWebCode>,
) -> Answer<(StatusCode, Json<WebLink>)> {
    let place = if request.elsewhere {
        let hosts = running.now().server.hosts;
        let has_password = access.has_password().await?;
        let found = place_elsewhere(&about.http, &hosts, outward).filter(|_| has_password);
        found.ok_or_else(|| only_here(&about.http))?
    } else {
        reachable_place(&about)?
    };
    let (code, expires_at) = access.make_code(&grant, request.scopes.into_iter().collect()).await?;
    let link = format!("{place}/#code={}", code.reveal());
    let fingerprint = about.fingerprint.clone();
    Ok((StatusCode::CREATED, Json(WebLink { link, expires_at, fingerprint })))
}

fn only_here(http: &str) -> Reply {
    Reply::conflict("web.only_here", "browsers of other machines are not let in")
        .detail(format!("that wants TLS, an address that others reach, and a password; it listens at: {http}"))
        .hint(
            "`mimir config set server.bind 0.0.0.0`, `mimir config set server.tls.auto on`, restart it, `mimir web password`",
        )
}

/// Sessions of browsers that there are and were, oldest first.
#[utoipa::path(get, path = "/v1/web/sessions", tag = "web", responses((status = 200, body = Vec<TokenView>)))]
pub async fn sessions(
    State(access): State<Access>,
    State(clock): State<Clock>,
) -> Answer<Json<Vec<TokenView>>> {
    let (now, all) = (clock.now_ms(), access.list().await?);
    let sessions = all.into_iter().filter(|token| token.began_with.is_some());
    Ok(Json(sessions.map(|token| tokens::view(token, now)).collect()))
}

/// Ends all sessions of browsers, and says which those were. What they hold open ends at once.
#[utoipa::path(delete, path = "/v1/web/sessions", tag = "web",
    responses((status = 200, body = Vec<TokenView>)))]
pub async fn end_sessions(
    State(access): State<Access>,
    State(clock): State<Clock>,
    Caller(principal): Caller,
) -> Answer<Json<Vec<TokenView>>> {
    let ended = access.end_sessions(&principal).await?;
    let now = clock.now_ms();
    Ok(Json(ended.into_iter().map(|token| tokens::view(token, now)).collect()))
}

/// Exchanges the code of a link for a session. Half of the session comes as a cookie.
#[utoipa::path(post, path = "/v1/web/sessions", tag = "web", request_body = OpenWebSession,
    responses((status = 201, body = WebSession)))]
pub async fn open_session(
    State(access): State<Access>,
    ends: Option<Extension<Ends>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<OpenWebSession>,
) -> Answer<Response> {
    let browser = browser(&access, ends, &headers).await?;
    let replaced = browser.session(&access, &headers).await?;
    let opened = access.open_session(&request.code, replaced, browser.ends.peer).await?;
    browser.begun(&opened)
}

/// A browser that may come in, if it has what opens.
pub(super) struct Browser {
    pub(super) ends: Ends,
}

/// The browser that asks.
///
/// # Errors
/// When it is none, or may not come in from there.
pub(super) async fn browser(
    access: &Access,
    ends: Option<Extension<Ends>>,
    headers: &HeaderMap,
) -> Answer<Browser> {
    if let Some(Extension(ends)) = ends
        && serves_browser(access, ends, headers).await?
    {
        return Ok(Browser { ends });
    }
    let title = "a browser comes in over TCP, on the gateway's own machine or by TLS";
    Err(Reply::conflict("web.not_here", title).hint("other clients have tokens: `mimir token create`"))
}

impl Browser {
    /// The session that it has until now: one browser has one.
    pub(super) async fn session(&self, access: &Access, headers: &HeaderMap) -> Answer<Option<Token>> {
        match web::session::brought(self.ends.local.port(), self.ends.is_tls, headers) {
            Some((cookies, page)) => Ok(access.session_of(&cookies, page).await?),
            None => Ok(None),
        }
    }

    /// Gives it the halves of the session that was begun for it.
    pub(super) fn begun(&self, opened: &OpenedSession) -> Answer<Response> {
        let cookie = web::session::cookie(self.ends.local.port(), self.ends.is_tls, opened);
        let cookie = cookie.ok_or_else(|| Reply::conflict("web.not_here", "the session fits no cookie"))?;
        let session = WebSession {
            page: opened.page.reveal().to_owned(),
            name: opened.token.name.to_string(),
            expires_at: opened.token.expires_at.unwrap_or_default(),
        };
        let told =
            [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        Ok((StatusCode::CREATED, told, Json(session)).into_response())
    }
}

/// Where a browser of this machine finds the gateway.
pub(super) fn reachable_place(about: &About) -> Answer<String> {
    place(&about.http).ok_or_else(|| {
        Reply::conflict("web.off", "no browser of this machine can reach the gateway")
            .detail(format!("it listens at: {}", about.http))
            .hint("`mimir config set server.http_port 8080`, then restart it; `server.bind` must not leave this machine out")
    })
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

/// Where a browser elsewhere finds the gateway: under a configured name, else at its address. Nowhere without TLS.
fn place_elsewhere(http: &str, hosts: &[String], outward: impl FnOnce() -> Option<IpAddr>) -> Option<String> {
    let address: SocketAddr = http.strip_prefix("https://")?.parse().ok()?;
    if address.ip().is_loopback() {
        return None;
    }
    match hosts.first() {
        Some(host) if host.contains(':') => Some(format!("https://{host}")),
        Some(host) => Some(format!("https://{host}:{}", address.port())),
        None if address.ip().is_unspecified() => {
            outward().map(|ip| format!("https://{}", SocketAddr::new(ip, address.port())))
        }
        None => Some(format!("https://{address}")),
    }
}

/// The address of this machine towards others, as far as it can be told without sending anything.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Of a network for examples: nobody is there, and nothing is sent.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, place, place_elsewhere};

    #[test]
    fn a_link_for_elsewhere_is_by_tls_and_never_to_this_machine() {
        let outward = || Some(IpAddr::from([192, 168, 1, 7]));
        let named = ["gate.example".to_owned(), "other.example".to_owned()];
        let with_port = ["gate.example:443".to_owned()];
        for (http, hosts, expected) in [
            ("https://0.0.0.0:8443", &[][..], Some("https://192.168.1.7:8443")),
            ("https://10.0.0.9:8443", &[][..], Some("https://10.0.0.9:8443")),
            ("https://[2001:db8::1]:8443", &[][..], Some("https://[2001:db8::1]:8443")),
            ("https://0.0.0.0:8443", &named[..], Some("https://gate.example:8443")),
            ("https://0.0.0.0:8443", &with_port[..], Some("https://gate.example:443")),
            ("https://127.0.0.1:8443", &named[..], None),
            ("0.0.0.0:8080", &named[..], None),
            ("off (server.http_port is 0)", &named[..], None),
        ] {
            assert_eq!(place_elsewhere(http, hosts, outward).as_deref(), expected, "{http} {hosts:?}");
        }
    }

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

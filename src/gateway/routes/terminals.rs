//! The terminal for browsers: tickets, links for others to look, and the WebSocket that both open.

use std::sync::Arc;

use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use tokio_util::sync::CancellationToken;

use crate::access::{Access, ShareError, TerminalPass, TerminalShare};
use crate::clock::Clock;
use crate::events::Events;
use crate::frames::Frames;
use crate::gateway::auth::Ends;
use crate::gateway::extract::{Caller, JsonBody, frame_name};
use crate::gateway::metrics::Counters;
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::revocable::Revocable;
use crate::gateway::state::About;
use crate::gateway::terminals::{self, Host, LARGEST_INPUT};
use crate::gateway::web;
use crate::model::frame::Frame;
use crate::model::principal::Principal;
use crate::wire::web_terminal::{
    CreateTerminalTicket, ShareTerminal, SharedTerminal, TerminalShareView, TerminalTicket,
};

routes! {
    post "/v1/frames/{name}/terminal/tickets" Terminal Path => make_ticket;
    post "/v1/frames/{name}/terminal/shares" Terminal Path => share;
    get "/v1/frames/{name}/terminal/shares" Terminal Path => shares;
    delete "/v1/frames/{name}/terminal/shares/{id}" Terminal Path => unshare;
    get "/v1/terminal" open NoFrame => connect;
}

/// How long a link shows something, in seconds, unless somebody says so.
const SHARE_LASTS: u64 = 60 * 60;
/// The least and the most.
const SHARE_LIMITS: std::ops::RangeInclusive<u64> = 60..=7 * 24 * 60 * 60;
/// No name of a window is longer, in characters.
const LONGEST_WINDOW: usize = 64;

/// Makes a ticket for a frame's terminal: it opens one connection to `GET /v1/terminal`.
#[utoipa::path(post, path = "/v1/frames/{name}/terminal/tickets", tag = "frames", params(("name" = String, Path)),
    request_body = CreateTerminalTicket, responses((status = 201, body = TerminalTicket)))]
pub async fn make_ticket(
    State(frames): State<Frames>,
    State(access): State<Access>,
    Caller(by): Caller,
    Path(name): Path<String>,
    held: Option<Extension<Revocable>>,
    JsonBody(request): JsonBody<CreateTerminalTicket>,
) -> Answer<(StatusCode, Json<TerminalTicket>)> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let pass = TerminalPass { read_only: request.read_only, ..pass(by, &frame, held) };
    let (ticket, expires_at) = access.make_terminal_ticket(pass);
    Ok((StatusCode::CREATED, Json(TerminalTicket { ticket: ticket.reveal().to_owned(), expires_at })))
}

/// Makes a link with which others look at a frame's terminal for a while, and can do nothing else.
#[utoipa::path(post, path = "/v1/frames/{name}/terminal/shares", tag = "frames", params(("name" = String, Path)),
    request_body = ShareTerminal, responses((status = 201, body = SharedTerminal)))]
#[expect(clippy::too_many_arguments, reason = "each is a service that it uses, or a part of the request")]
pub async fn share(
    State(frames): State<Frames>,
    State(access): State<Access>,
    State(about): State<Arc<About>>,
    State(clock): State<Clock>,
    Caller(by): Caller,
    Path(name): Path<String>,
    held: Option<Extension<Revocable>>,
    JsonBody(request): JsonBody<ShareTerminal>,
) -> Answer<(StatusCode, Json<SharedTerminal>)> {
    let seconds = request.lasts_seconds.unwrap_or(SHARE_LASTS);
    if !SHARE_LIMITS.contains(&seconds) {
        let (least, most) = (SHARE_LIMITS.start(), SHARE_LIMITS.end());
        let what = format!("lasts_seconds must be from {least} to {most}");
        return Err(Reply::bad_request("request.invalid", what));
    }
    if request.window.as_ref().is_some_and(|window| window.chars().count() > LONGEST_WINDOW) {
        let what = format!("no window's name is longer than {LONGEST_WINDOW} characters");
        return Err(Reply::bad_request("request.invalid", what));
    }
    let frame = frames.get(&frame_name(&name)?).await?;
    let place = super::web::reachable_place(&about)?;
    let expires_at = clock.now_ms().saturating_add(seconds.saturating_mul(1000));
    let pass = TerminalPass { window: request.window, ..pass(by, &frame, held) };
    let (share, secret) = access.share_terminal(&frame.name, pass, expires_at).await?;
    let link = format!("{place}/#{}{}", web::WATCH, secret.reveal());
    Ok((StatusCode::CREATED, Json(SharedTerminal { link, share: view(share) })))
}

/// The links that show a frame's terminal now. Their secrets are told to nobody again.
#[utoipa::path(get, path = "/v1/frames/{name}/terminal/shares", tag = "frames", params(("name" = String, Path)),
    responses((status = 200, body = Vec<TerminalShareView>)))]
pub async fn shares(
    State(frames): State<Frames>,
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Answer<Json<Vec<TerminalShareView>>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    Ok(Json(access.terminal_shares(&frame.id).into_iter().map(view).collect()))
}

/// Takes a link back. Whoever looks through it sees nothing more.
#[utoipa::path(delete, path = "/v1/frames/{name}/terminal/shares/{id}", tag = "frames",
    params(("name" = String, Path), ("id" = String, Path)), responses((status = 200, body = TerminalShareView)))]
pub async fn unshare(
    State(frames): State<Frames>,
    State(access): State<Access>,
    Caller(by): Caller,
    Path((name, id)): Path<(String, String)>,
) -> Answer<Json<TerminalShareView>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let share = access.end_terminal_share(&by, &frame.id, &id).await?;
    Ok(Json(view(share)))
}

/// A frame's terminal as one WebSocket, for clients that can put no token on it. The first message brings a ticket or the
/// secret of a shared link; without one nothing is said, and after ten seconds it is closed. Text messages are JSON objects
/// with a `type`: `auth`, `attach`, `resize`, `ack`, `detach` from the client; `authenticated`, `attached`, `input_ack`,
/// `frame_event`, `detached`, `error` from the gateway. Binary messages are input and output as they are.
#[utoipa::path(get, path = "/v1/terminal", tag = "frames", responses((status = 101)))]
#[expect(clippy::too_many_arguments, reason = "each is a service that the connection uses")]
pub async fn connect(
    State(frames): State<Frames>,
    State(access): State<Access>,
    State(events): State<Events>,
    State(clock): State<Clock>,
    State(counters): State<Counters>,
    State(stop): State<CancellationToken>,
    ends: Option<Extension<Ends>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let upgrade = upgrade.map_err(|_| {
        Reply::bad_request("request.no_websocket", "a terminal needs a WebSocket")
            .hint("`mimir frame attach NAME` opens one")
    })?;
    let from = ends.map(|Extension(ends)| ends.peer);
    let host = Host { frames, access, events, clock, stop, from };
    let open = counters.stream_opened();
    // A frame that says that it is large is given room at once, before its message is counted.
    let upgrade = upgrade.max_message_size(LARGEST_INPUT).max_frame_size(LARGEST_INPUT);
    Ok(upgrade.on_upgrade(move |socket| async move {
        terminals::talk(socket, host).await;
        drop(open);
    }))
}

/// All that the caller may, as long as the caller may.
fn pass(by: Principal, frame: &Frame, held: Option<Extension<Revocable>>) -> TerminalPass {
    let ended = held.and_then(|Extension(held)| held.held()).unwrap_or_default();
    TerminalPass {
        by,
        frame: frame.id.clone(),
        window: None,
        read_only: false,
        expires_at: None,
        ended,
        places: None,
    }
}

fn view(share: TerminalShare) -> TerminalShareView {
    TerminalShareView {
        id: share.id,
        frame: share.name.into(),
        window: share.pass.window,
        created_at: share.created_at,
        created_by: share.pass.by.to_string(),
        expires_at: share.expires_at,
    }
}

impl From<ShareError> for Reply {
    fn from(error: ShareError) -> Self {
        let title = error.to_string();
        match error {
            ShareError::TooMany => Self::conflict("terminal.shares", title)
                .hint("take one back: DELETE /v1/frames/{name}/terminal/shares/{id}"),
            ShareError::NotFound(_) => Self::not_found("terminal.share_not_found", title),
            ShareError::Store(error) => error.into(),
        }
    }
}

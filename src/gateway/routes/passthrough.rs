//! A frame's own opencode API behind the gateway's authentication, for opencode's own clients.
//!
//! Everything goes through, streams and WebSockets included: what may be done there is what may be done in the
//! frame's terminal. See docs/pass-through.md for what that means.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::frames::{FrameError, Frames};
use crate::gateway::carry::{self, Carried, CarryError};
use crate::gateway::extract::{Caller, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::request;
use crate::gateway::state::Services;
use crate::model::frame::{Frame, FrameState};
use crate::model::principal::Principal;
use crate::store::Store;
use crate::wire::problem::Problem;

routes! {
    get "/v1/frames/{name}/opencode" Passthrough Path => root_get;
    get "/v1/frames/{name}/opencode/{*path}" Passthrough Path => get;
    post "/v1/frames/{name}/opencode" Passthrough Path => root_post;
    post "/v1/frames/{name}/opencode/{*path}" Passthrough Path => post;
    put "/v1/frames/{name}/opencode" Passthrough Path => root_put;
    put "/v1/frames/{name}/opencode/{*path}" Passthrough Path => put;
    patch "/v1/frames/{name}/opencode" Passthrough Path => root_patch;
    patch "/v1/frames/{name}/opencode/{*path}" Passthrough Path => patch;
    delete "/v1/frames/{name}/opencode" Passthrough Path => root_delete;
    delete "/v1/frames/{name}/opencode/{*path}" Passthrough Path => delete;
}

/// How long a frame that is to be woken may take.
const WAKE: Duration = Duration::from_secs(180);
/// A client that only looks, again and again, uses the frame all the same; that is written down this often.
const TOUCH_EVERY_MS: u64 = 60_000;

/// Makes a handler per method, all alike: the document lists methods one by one.
macro_rules! methods {
    ($($method:ident: $at:ident, $root:ident;)*) => {$(
        /// Goes to the frame's own opencode API as it is. `?wake` (or the header `mimir-wake: 1`) starts a frame
        /// that does not run. The token may also be the password of HTTP Basic, or in `?auth_token=`.
        #[utoipa::path($method, path = "/v1/frames/{name}/opencode/{*path}", tag = "opencode",
            operation_id = concat!("opencode_", stringify!($method)),
            params(("name" = String, Path), ("path" = String, Path, description = "a path of opencode's own API")),
            responses((status = "default", description = "opencode's answer")))]
        pub async fn $at(
            services: State<Services>,
            who: Caller,
            Path((name, _)): Path<(String, String)>,
            request: Request,
        ) -> Answer<Response> {
            pass(services, who, name, request).await
        }

        /// The root of the frame's own opencode API.
        #[utoipa::path($method, path = "/v1/frames/{name}/opencode", tag = "opencode",
            operation_id = concat!("opencode_root_", stringify!($method)),
            params(("name" = String, Path)),
            responses((status = "default", description = "opencode's answer")))]
        pub async fn $root(
            services: State<Services>,
            who: Caller,
            Path(name): Path<String>,
            request: Request,
        ) -> Answer<Response> {
            pass(services, who, name, request).await
        }
    )*};
}

methods! {
    get: get, root_get;
    post: post, root_post;
    put: put, root_put;
    patch: patch, root_patch;
    delete: delete, root_delete;
}

async fn pass(
    State(services): State<Services>,
    Caller(principal): Caller,
    name: String,
    request: Request,
) -> Answer<Response> {
    let frame = services.frames.get(&frame_name(&name)?).await?;
    let frame = running(&services.frames, frame, carry::wants_wake(request.uri(), request.headers())).await?;
    let target = carry::target(request.uri())
        .ok_or_else(|| Reply::bad_request("request.invalid", "the path behind /opencode cannot be read"))?;
    remember(&services.store, &principal, &frame, request.method(), target.path()).await?;

    let access = services.frames.agent_access(&frame).await?;
    let authorization = access.authorization.as_ref().map(|text| HeaderValue::try_from(text.reveal()));
    let mut authorization = authorization.transpose().map_err(|error| Reply::internal(&error))?;
    if let Some(authorization) = &mut authorization {
        authorization.set_sensitive(true);
    }

    let open = (services.counters.stream_opened(), services.frames.visit(&frame.id));
    if services.clock.now_ms().saturating_sub(frame.last_active_at) > TOUCH_EVERY_MS {
        services.frames.touch(&frame.id).await?;
    }
    let carried = carry::carry(&access.connector, authorization, target, request).await;
    match carried.map_err(|error| not_carried(&frame, &error))? {
        // Ours was refused, not the client's: it was let in long ago.
        Carried::Answer(answer) if answer.status() == StatusCode::UNAUTHORIZED => Err(Reply(Problem::new(
            502,
            "frame.agent_restarting",
            format!("the agent of {} has just been started anew", frame.name),
        ))
        .hint("try again")),
        Carried::Answer(mut answer) => {
            let stop = services.stop.clone();
            answer.extensions_mut().insert(request::Carried);
            Ok(answer.map(|body| until_stopped(body, stop, open)))
        }
        Carried::Switched(switched) => {
            let (answer, talk) = switched.split(services.stop.clone());
            services.tasks.spawn_once(format!("socket into {}", frame.name), move |_| async move {
                talk.await;
                drop(open);
            });
            Ok(answer)
        }
    }
}

/// The frame, when there is an agent to talk to.
async fn running(frames: &Frames, frame: Frame, wake: bool) -> Answer<Frame> {
    if frame.state == FrameState::Running {
        return Ok(frame);
    }
    if wake {
        return Ok(frames.wake(&frame.id, WAKE).await?);
    }
    let name = frame.name.to_string();
    let hint = format!("`mimir frame start {name}` starts it; add `?wake` to have it started by the request");
    let error = FrameError::WrongState { name, state: frame.state, action: "talked to" };
    Err(Reply::from(error).hint(hint))
}

/// Whatever may change something is in the audit log; what only looks keeps the frame awake at most.
///
/// The entry is there before anything is carried, whatever becomes of this process. Nobody waits for the disk: a power cut
/// may take the entry, with what the frame did in the same moment.
async fn remember(
    store: &Store,
    principal: &Principal,
    frame: &Frame,
    method: &Method,
    path: &str,
) -> Answer<()> {
    if method.is_safe() {
        return Ok(());
    }
    let (principal, id) = (principal.clone(), frame.id.clone());
    let detail = json!({"method": method.as_str(), "path": path});
    let write = store.write_soon(move |tx| {
        tx.audit(&principal, "frame.opencode", id.as_str(), &detail)?;
        crate::store::frames::touch(tx, &id)
    });
    Ok(write.await?)
}

fn not_carried(frame: &Frame, error: &CarryError) -> Reply {
    let title = format!("frame {}: {error}", frame.name);
    let hint = format!("`mimir frame show {}` says how it is", frame.name);
    Reply(Problem::new(502, "frame.agent_unreachable", title)).hint(hint)
}

/// A stream ends when the gateway does, and what is `open` with it lasts as long.
fn until_stopped(
    body: axum::body::Body,
    stop: tokio_util::sync::CancellationToken,
    open: impl Send + 'static,
) -> axum::body::Body {
    use futures_util::StreamExt as _;
    use hyper::body::Body as _;
    // Its length is known: it ends by itself, and the client should see the length.
    if body.size_hint().exact().is_some() {
        return body;
    }
    let stream = body.into_data_stream().take_until(stop.cancelled_owned()).map(move |chunk| {
        let _still = &open;
        chunk
    });
    axum::body::Body::from_stream(stream)
}

//! What each route asks of its caller, and the one place where it is checked.
//!
//! The table of routes has two words for each: the scope, and where the frame is
//! named. [`check`] stands before every handler; a route without the two words does
//! not compile.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use super::auth::cut;
use super::extract::LARGEST_BODY;
use super::problem::{Answer, Reply};
use super::refusals;
use super::state::Services;
use crate::access::Refusal;
use crate::model::ids::{MessageId, SessionId};
use crate::model::scope::{Grant, Scope};
use crate::store::{self, StoreError};
use crate::wire::problem::Problem;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `get`, `post`, …, or `any`.
    pub method: &'static str,
    /// As the OpenAPI document writes it.
    pub path: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Where the frame is named.
    pub frame: FrameIn,
}

/// What a caller must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: everybody who can connect may ask.
    Open,
    /// Some token, whatever it is for.
    Known,
    /// That scope.
    Scope(Scope),
}

/// Where a request names its frame, so that tokens for some frames alone can be held to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameIn {
    /// It is about more than one frame: not for such tokens.
    All,
    /// It is about no frame, and harmless.
    NoFrame,
    /// The handler shows only what the caller may see: see [`super::extract::May`].
    Handler,
    /// `{name}` in the path.
    Path,
    /// `frame` in the query.
    Query,
    /// `frame`, `message` or `session` in the query: for handlers that obey all three.
    Filter,
    /// `frame` in the body.
    Body,
    /// The frame of the message `{id}` in the path.
    Message,
    /// The frame of the session `{id}` in the path.
    Session,
    /// The frame of the approval `{id}` in the path.
    Approval,
    /// The frame of the push `{id}` in the path.
    Push,
}

/// A route with what stands before its handler.
#[derive(Clone)]
pub struct Checked {
    services: Services,
    route: Route,
    /// The parameters that its query may hold.
    parameters: Arc<[String]>,
}

impl Checked {
    /// As the table and the document say.
    pub fn new(services: Services, route: Route, parameters: Vec<String>) -> Self {
        Self { services, route, parameters: parameters.into() }
    }

    /// Refuses what no handler would look at: whoever misspells a filter would get everything. What is on its way to
    /// opencode is opencode's to read.
    fn check_query(&self, query: Option<&str>) -> Answer<()> {
        if self.route.needs == Needs::Scope(Scope::Passthrough) {
            return Ok(());
        }
        let mut given = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        match given.find(|(name, _)| !self.parameters.iter().any(|known| known == name)) {
            Some((name, _)) => Err(refusals::unknown_parameter(&name, &self.parameters)),
            None => Ok(()),
        }
    }
}

/// Lets a request go on to its handler, or says why not.
///
/// # Errors
/// 401 when nobody knows who asks, 403 when they may not, 400 for a parameter that there is not.
pub async fn check(State(checked): State<Checked>, request: Request, next: Next) -> Answer<Response> {
    let Some(grant) = request.extensions().get::<Grant>().cloned() else {
        return Err(Problem::new(401, "auth.required", "nobody knows who asks").into());
    };
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let Checked { services, route, .. } = &checked;
    match admit(&grant, *route, request, services).await {
        Ok(request) => {
            checked.check_query(uri.query())?;
            Ok(next.run(request).await)
        }
        Err(reply) => {
            if reply.0.status == 403 {
                let detail = json!({ "code": reply.0.code, "method": method.as_str() });
                let refusal = Refusal::of_token(grant.principal, cut(uri.path()), detail);
                services.access.write_down(refusal).await;
            }
            Err(reply)
        }
    }
}

/// The request again, if its caller may.
async fn admit(grant: &Grant, route: Route, request: Request, services: &Services) -> Answer<Request> {
    match route.needs {
        Needs::Open => return Ok(request),
        Needs::Known => {}
        Needs::Scope(scope) if grant.scopes.has(scope) => {}
        Needs::Scope(scope) => return Err(lacks(grant, scope)),
    }
    match &grant.frames {
        None => Ok(request),
        Some(_) => within(grant, route, request, services).await,
    }
}

fn lacks(grant: &Grant, scope: Scope) -> Reply {
    Reply(
        Problem::new(403, "auth.scope", format!("this token may not do that: it lacks the scope `{scope}`"))
            .detail(format!("it is for: {}", grant.scopes))
            .hint(format!(
                "`mimir token create --scope {scope}` on the gateway's machine makes one that may"
            )),
    )
}

/// The request again, if it stays with the frames of its caller.
async fn within(grant: &Grant, route: Route, request: Request, services: &Services) -> Answer<Request> {
    let names = grant.frames.as_deref().unwrap_or_default();
    let refuse = |why: &str| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        Reply(
            Problem::new(403, "auth.frame", format!("this token is for {} alone: {why}", names.join(", ")))
                .hint("a token without `--frame` may: `mimir token create --help`"),
        )
    };
    let covered = |frame: &str| {
        if grant.covers(frame) { Ok(()) } else { Err(refuse(&format!("it may not use {frame}"))) }
    };
    match route.frame {
        FrameIn::NoFrame | FrameIn::Handler => Ok(request),
        FrameIn::All => Err(refuse("this is about all frames")),
        FrameIn::Path | FrameIn::Message | FrameIn::Session | FrameIn::Approval | FrameIn::Push => {
            let (mut parts, body) = request.into_parts();
            let params = RawPathParams::from_request_parts(&mut parts, &()).await;
            let params = params.map_err(|_| Reply(refusals::of_status(StatusCode::BAD_REQUEST)))?;
            let wanted = if route.frame == FrameIn::Path { "name" } else { "id" };
            let value = params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned());
            let value = value.unwrap_or_default();
            let frame = match route.frame {
                FrameIn::Message => of_message(services, &value).await?,
                FrameIn::Session => of_session(services, &value).await?,
                FrameIn::Approval => services.approvals.find(&value).await?.frame_name.to_string(),
                FrameIn::Push => {
                    let missing = || Reply::not_found("push.not_found", format!("there is no push {value}"));
                    let id = value.parse().map_err(|_| missing())?;
                    services.pushes.get(id).await?.frame_name.to_string()
                }
                _ => value,
            };
            covered(&frame)?;
            Ok(Request::from_parts(parts, body))
        }
        FrameIn::Query | FrameIn::Filter => {
            let query: Vec<(String, String)> =
                url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                    .into_owned()
                    .collect();
            // All conditions of a query must fit, so one that is held to a frame holds the answer to it.
            let mut held = false;
            for (name, value) in &query {
                let frame = match name.as_str() {
                    "frame" => value.clone(),
                    // To obey one that the handler does not know would open everything to whoever has one.
                    _ if route.frame == FrameIn::Query => continue,
                    "message" => of_message(services, value).await?,
                    "session" => of_session(services, value).await?,
                    _ => continue,
                };
                covered(&frame)?;
                held = true;
            }
            if held { Ok(request) } else { Err(refuse("say which frame, `?frame=NAME`")) }
        }
        FrameIn::Body => {
            let (parts, body) = request.into_parts();
            let bytes = to_bytes(body, LARGEST_BODY).await.map_err(|_| refusals::too_large(LARGEST_BODY))?;
            let Json(value): Json<serde_json::Value> =
                Json::from_bytes(&bytes).map_err(|error| refusals::of_body(&error))?;
            let frame = value.get("frame").and_then(serde_json::Value::as_str);
            covered(frame.ok_or_else(|| refuse("say which frame"))?)?;
            Ok(Request::from_parts(parts, Body::from(bytes)))
        }
    }
}

async fn of_message(services: &Services, id: &str) -> Answer<String> {
    let missing = || Reply::not_found("message.not_found", format!("there is no message {id}"));
    let id = MessageId::parse(id).map_err(|_| missing())?;
    let found = services.store.read(move |db| store::messages::get(db, &id)).await;
    match found {
        Ok(message) => Ok(message.frame_name.to_string()),
        Err(StoreError::NotFound { .. }) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

async fn of_session(services: &Services, id: &str) -> Answer<String> {
    // By its whole id: a beginning or a name could be another frame's.
    let missing = || {
        Reply::not_found("session.not_found", format!("there is no session {id}"))
            .hint("a token for some frames alone needs the session's whole id")
    };
    let id = SessionId::parse(id).map_err(|_| missing())?;
    let found = services.store.read(move |db| store::sessions::get(db, &id)).await;
    match found {
        Ok(session) => Ok(session.frame_name.to_string()),
        Err(StoreError::NotFound { .. }) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

//! What frames may reach, and what they reached.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRef, Path, State};

use super::frames::{branches, granted};
use crate::clock::Clock;
use crate::config::Running;
use crate::frames::{FrameError, Frames, Grant, Term};
use crate::gateway::extract::{Caller, JsonBody, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::About;
use crate::model::approval::{ApprovalState, RequestForm};
use crate::model::frame::Frame;
use crate::store::{Db, Store, approvals, frame_hosts};
use crate::wire::frames::{AllowFrame, AskedHost, DenyFrame, FrameNetwork};

routes! {
    get "/v1/frames/{name}/network" Read Path => network;
    post "/v1/frames/{name}/allow" Frames All => allow;
    post "/v1/frames/{name}/deny" Frames Path => deny;
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a frame may reach, and what its connections came to.
#[utoipa::path(get, path = "/v1/frames/{name}/network", tag = "frames", params(("name" = String, Path)),
    responses((status = 200, body = FrameNetwork)))]
pub async fn network(
    State(reach): State<Reach>,
    Path(name): Path<String>,
) -> Answer<Json<FrameNetwork>> {
    let frame = reach.frames.get(&frame_name(&name)?).await?;
    reach.of(frame).await
}

/// Lets a frame reach hosts and use model providers; holds at once.
#[utoipa::path(post, path = "/v1/frames/{name}/allow", tag = "frames",
    params(("name" = String, Path)), request_body = AllowFrame,
    responses((status = 200, body = FrameNetwork)))]
pub async fn allow(
    State(reach): State<Reach>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<AllowFrame>,
) -> Answer<Json<FrameNetwork>> {
    let term = match (request.once, request.for_seconds) {
        (true, Some(_)) => {
            return Err(Reply::conflict("request.invalid", "`once` and `for_seconds` exclude each other"));
        }
        (true, None) => Term::Once,
        (false, Some(seconds)) => Term::For(Duration::from_secs(seconds)),
        (false, None) => Term::Always,
    };
    let grant = Grant { hosts: request.hosts, providers: request.providers, branches: request.branches };
    let frame = reach.frames.allow(&principal, &frame_name(&name)?, grant, term).await?;
    reach.of(frame).await
}

/// Takes hosts and model providers from a frame; holds at once. Connections that are open stay.
#[utoipa::path(post, path = "/v1/frames/{name}/deny", tag = "frames",
    params(("name" = String, Path)), request_body = DenyFrame,
    responses((status = 200, body = FrameNetwork)))]
pub async fn deny(
    State(reach): State<Reach>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<DenyFrame>,
) -> Answer<Json<FrameNetwork>> {
    let name = frame_name(&name)?;
    if let Some(provider) = request.providers.iter().find(|provider| reach.about.providers.contains(*provider)) {
        return Err(Reply::conflict("frame.provider", format!("every frame may use provider {provider}"))
            .hint("it is that of `opencode.default_model` or `opencode.small_model`, or the demo"));
    }
    let grant = Grant { hosts: request.hosts, providers: request.providers, branches: request.branches };
    let frame = reach.frames.deny(&principal, &name, grant).await?;
    reach.of(frame).await
}

/// What is known of what frames reach.
#[derive(Clone)]
pub struct Reach {
    frames: Frames,
    store: Store,
    about: Arc<About>,
    running: Running,
    clock: Clock,
}

impl<S> FromRef<S> for Reach
where
    Frames: FromRef<S>,
    Store: FromRef<S>,
    Arc<About>: FromRef<S>,
    Running: FromRef<S>,
    Clock: FromRef<S>,
{
    fn from_ref(state: &S) -> Self {
        Self {
            frames: Frames::from_ref(state),
            store: Store::from_ref(state),
            about: Arc::from_ref(state),
            running: Running::from_ref(state),
            clock: Clock::from_ref(state),
        }
    }
}

impl Reach {
    async fn of(&self, frame: Frame) -> Answer<Json<FrameNetwork>> {
        if !frame.engine.is_local() {
            return Err(FrameError::External { name: frame.name.to_string(), action: "guarded" }.into());
        }
        let (id, today) = (frame.id.clone(), self.clock.now_ms() / DAY_MS);
        let read = move |db: &Db<'_>| {
            let hosts = frame_hosts::of_frame(db, &id, today)?;
            Ok((hosts, approvals::open(db, Some(&id))?))
        };
        let (hosts, open) = self.store.read(read).await?;
        let connections = open.into_iter().filter(|prompt| {
            prompt.state == ApprovalState::Pending && prompt.ask.form() == RequestForm::Connection
        });
        let asked = connections.map(|prompt| AskedHost {
            text: prompt.ask.line(),
            approval: prompt.id.to_string(),
            until: prompt.deadline_at,
        });
        let frames = self.running.now().frames;
        Ok(Json(FrameNetwork {
            frame: frame.name.to_string(),
            network: frame.network,
            lent: self.frames.lent(&frame),
            providers: granted(&self.about, &frame),
            upload_limit_bytes: frames.upload_limit,
            connection_limit_count: frames.connection_limit,
            asked: asked.collect(),
            repository: frame.forge.repository.as_ref().map(ToString::to_string),
            git: frame.forge.mode,
            branches: branches(&self.running, &frame),
            allow: frame.allow,
            deny: frame.deny,
            hosts,
        }))
    }
}

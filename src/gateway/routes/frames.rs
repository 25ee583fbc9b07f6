//! Frames.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRef, Path, State};
use axum::http::StatusCode;

use crate::budget::Budgets;
use crate::config::Running;
use crate::frames::{FrameError, Frames, NewServer};
use crate::gateway::bodies;
use crate::gateway::extract::{Caller, JsonBody, Permissions, QueryParams, Wait, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::About;
use crate::gateway::views::{self, Surroundings};
use crate::model::budget::Standing;
use crate::model::container::container_name;
use crate::model::frame::{Desired, Frame, Limits};
use crate::model::names::FrameName;
use crate::model::secret::Secret;
use crate::model::secrets::SecretGrant;
use crate::runtime::Capabilities;
use crate::runtime::external::Server;
use crate::secrets::Vault;
use crate::status::Statuses;
use crate::store::{self, Store, StoreError};
use crate::upkeep::Upkeep;
use crate::wire::secrets::SecretGrantView;
use crate::wire::frames::{
    ConnectFrame, CreateFrame, FrameDetails, FrameNote, FrameStats, FrameSummary, MoveFrame,
};

routes! {
    get "/v1/frames" Read Handler => list;
    post "/v1/frames" Frames All => create;
    get "/v1/frames/{name}" Read Path => show;
    delete "/v1/frames/{name}" Frames Path => destroy;
    post "/v1/frames/{name}/start" Frames Path => start;
    post "/v1/frames/{name}/stop" Frames Path => stop;
    post "/v1/frames/{name}/restart" Frames Path => restart;
    post "/v1/frames/{name}/pause" Frames Path => pause;
    post "/v1/frames/{name}/resume" Frames Path => resume;
    post "/v1/frames/{name}/connect" Frames All => connect;
    post "/v1/frames/{name}/disconnect" Frames Path => disconnect;
    post "/v1/frames/{name}/move" Frames All => relocate;
    get "/v1/frames/{name}/notes" Read Path => notes;
    get "/v1/frames/{name}/stats" Read Path => stats;
}

/// How many notes `show` shows.
const NOTES_SHOWN: u32 = 20;
/// How many notes `notes` gives.
const NOTES_ALL: u32 = 500;
/// A server elsewhere has none that we know of.
const NO_LIMITS: Limits = Limits { cpus_milli: 0, memory_bytes: 0, pids: 0 };
/// An engine that takes longer is reported as not answering.
const OBSERVE_WITHIN: Duration = Duration::from_secs(5);

/// All frames, by name.
#[utoipa::path(get, path = "/v1/frames", tag = "frames",
    responses((status = 200, body = Vec<FrameSummary>)))]
pub async fn list(
    State(statuses): State<Statuses>,
    State(store): State<Store>,
    State(budgets): State<Budgets>,
    Permissions(grant): Permissions,
) -> Answer<Json<Vec<FrameSummary>>> {
    let read = store.read(move |db| {
        let mut frames = store::frames::list(db)?;
        frames.retain(|frame| grant.covers(frame.name.as_str()));
        let around = surroundings(db, &budgets, &frames)?;
        let now = statuses.look(db, frames)?;
        Ok::<_, StoreError>(now.iter().map(|now| views::frame_summary(now, &around)).collect())
    });
    Ok(Json(read.await?))
}

/// Makes a frame, and starts it when asked to.
#[utoipa::path(post, path = "/v1/frames", tag = "frames", request_body = CreateFrame,
    responses((status = 201, body = FrameSummary)))]
pub async fn create(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    State(running): State<Running>,
    Caller(principal): Caller,
    JsonBody(mut body): JsonBody<CreateFrame>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let said = std::mem::take(&mut body.settings);
    let mut request = bodies::frame(body)?;
    if !said.is_empty() {
        request.defaults = Some(Box::new(running.for_request(&said)?.frames));
    }
    let frame = frames.create(&principal, request).await?;
    Ok((StatusCode::CREATED, Json(shown.summary(frame).await?)))
}

/// Makes a frame of an opencode server that runs elsewhere. It is asked first, and nothing is kept unless it answers.
#[utoipa::path(post, path = "/v1/frames/{name}/connect", tag = "frames",
    params(("name" = String, Path)), request_body = ConnectFrame,
    responses((status = 201, body = FrameSummary)))]
pub async fn connect(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<ConnectFrame>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let server = Server::parse(&request.url, request.password.map(Secret::new))
        .map_err(|error| Reply::bad_request("request.invalid", format!("url: {error}")))?;
    let name = FrameName::parse(&name).map_err(FrameError::from)?;
    let new = NewServer { name, server, workspace: request.workspace.map(Into::into) };
    let frame = frames.connect(&principal, new).await?;
    Ok((StatusCode::CREATED, Json(shown.summary(frame).await?)))
}

/// Forgets a server that runs elsewhere, with its frame. The server is left alone.
#[utoipa::path(post, path = "/v1/frames/{name}/disconnect", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn disconnect(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    QueryParams(wait): QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let frame = frames.disconnect(&principal, &frame_name(&name)?).await?;
    reach(&frames, &shown, frame, Desired::Removed, wait).await
}

/// Everything about a frame.
#[utoipa::path(get, path = "/v1/frames/{name}", tag = "frames", params(("name" = String, Path)),
    responses((status = 200, body = FrameDetails)))]
pub async fn show(
    State(frames): State<Frames>,
    State(upkeep): State<Upkeep>,
    State(shown): State<Shown>,
    State(about): State<Arc<About>>,
    State(vault): State<Vault>,
    State(running): State<Running>,
    Path(name): Path<String>,
) -> Answer<Json<FrameDetails>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let seen = tokio::time::timeout(OBSERVE_WITHIN, frames.observation(&frame.id));
    let can = tokio::time::timeout(OBSERVE_WITHIN, frames.capabilities(&frame.id));
    let image = tokio::time::timeout(OBSERVE_WITHIN, newest(&frames, &frame));
    let apart = tokio::time::timeout(OBSERVE_WITHIN, frames.apart(&frame));
    let (seen, can, apart, _) = tokio::join!(seen, can, apart, image);
    let apart = apart.ok().and_then(Result::ok).unwrap_or_default();
    let trust = match frame.engine.is_local() {
        true => Some(frames.standing(&frame.workspace).await?.trust),
        false => None,
    };
    let secrets = vault.of_frame(&frame.id).await?;
    let can = can.ok().and_then(Result::ok);
    let (observed, details) = match seen {
        Ok(Ok(seen)) => (views::observed_word(&seen), seen.details),
        Ok(Err(error)) => (format!("unknown: {error}"), None),
        Err(_) => ("unknown: the container engine does not answer".to_owned(), None),
    };
    let (id, is_local) = (frame.id.clone(), frame.engine.is_local());
    let (notes, config) = shown
        .store
        .read(move |db| {
            Ok::<_, StoreError>((
                store::frames::notes(db, &id, NOTES_SHOWN)?,
                store::frames::config_of(db, &id)?,
            ))
        })
        .await?;
    Ok(Json(FrameDetails {
        hint: views::frame_hint(&frame),
        image: frame.image.clone(),
        image_id: frame.image_id.clone(),
        container: if is_local { container_name(&frame.id) } else { String::new() },
        generation: frame.generation,
        limits: if is_local { frame.limits } else { NO_LIMITS },
        limits_enforced: can.is_some_and(|can| can.limits),
        cannot: can.iter().flat_map(Capabilities::lacking).map(str::to_owned).collect(),
        allow: frame.allow.clone(),
        providers: if is_local { granted(&about, &frame) } else { Vec::new() },
        repository: frame.forge.repository.as_ref().map(ToString::to_string),
        git: frame.forge.mode,
        branches: if is_local { branches(&running, &frame) } else { Vec::new() },
        env: frame.env.iter().map(|(name, _)| name.clone()).collect(),
        secrets: secrets.iter().map(|grant| SecretGrantView::of(&frame.name, grant)).collect(),
        owner: format!("{}:{}", frame.owner_uid, frame.owner_gid),
        observed,
        mounts: details.as_ref().map(|details| details.mounts.clone()).unwrap_or_default(),
        isolation: apart.isolation,
        loosened: apart.loosened.into_iter().chain(secrets.iter().filter_map(SecretGrant::loosened)).collect(),
        trust,
        exit_code: details.as_ref().and_then(|details| details.exit_code),
        oom_kills: details.as_ref().and_then(|details| details.oom_kills),
        agent_memory_bytes: upkeep.memory(&frame.id).map(|(_, bytes)| bytes),
        state_changed_at: frame.state_changed_at,
        notes: notes.into_iter().map(views::note).collect(),
        config_yaml: config.given,
        summary: shown.summary(frame).await?,
    }))
}

/// The providers that a frame may use.
pub(super) fn granted(about: &About, frame: &Frame) -> Vec<String> {
    let all: BTreeSet<&String> = about.providers.iter().chain(&frame.providers).collect();
    all.into_iter().cloned().collect()
}

/// The branches that a frame may push to its repository; none where it has no repository.
pub(super) fn branches(running: &Running, frame: &Frame) -> Vec<String> {
    if frame.forge.repository.is_none() {
        return Vec::new();
    }
    running.now().git.branches.into_iter().chain(frame.forge.branches.clone()).collect()
}

/// Destroys a frame with everything that belongs to it. 200 when it is gone, 202 while it goes.
#[utoipa::path(delete, path = "/v1/frames/{name}", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn destroy(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    QueryParams(wait): QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let name = frame_name(&name)?;
    let frame = frames.destroy(&principal, &name).await?;
    reach(&frames, &shown, frame, Desired::Removed, wait).await
}

/// Starts a frame. 200 when its agent answers, 202 while it starts.
#[utoipa::path(post, path = "/v1/frames/{name}/start", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn start(
    frames: State<Frames>,
    shown: State<Shown>,
    who: Caller,
    name: Path<String>,
    wait: QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    ask(frames, shown, who, name, wait, Desired::Running).await
}

/// Stops a frame; files and history stay.
#[utoipa::path(post, path = "/v1/frames/{name}/stop", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn stop(
    frames: State<Frames>,
    shown: State<Shown>,
    who: Caller,
    name: Path<String>,
    wait: QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    ask(frames, shown, who, name, wait, Desired::Stopped).await
}

/// Freezes a frame; it keeps its memory and uses no processor.
#[utoipa::path(post, path = "/v1/frames/{name}/pause", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn pause(
    frames: State<Frames>,
    shown: State<Shown>,
    who: Caller,
    name: Path<String>,
    wait: QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    ask(frames, shown, who, name, wait, Desired::Paused).await
}

/// Thaws a frame.
#[utoipa::path(post, path = "/v1/frames/{name}/resume", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn resume(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    QueryParams(wait): QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let frame = frames.resume(&principal, &frame_name(&name)?).await?;
    reach(&frames, &shown, frame, Desired::Running, wait).await
}

/// Stops and starts a frame.
#[utoipa::path(post, path = "/v1/frames/{name}/restart", tag = "frames", params(("name" = String, Path), Wait),
    responses((status = 200, body = FrameSummary), (status = 202, body = FrameSummary)))]
pub async fn restart(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    QueryParams(wait): QueryParams<Wait>,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let frame = frames.restart(&principal, &frame_name(&name)?).await?;
    reach(&frames, &shown, frame, Desired::Running, wait).await
}

/// Says where a frame's folder is now. One that runs begins anew there, with its conversations.
#[utoipa::path(post, path = "/v1/frames/{name}/move", tag = "frames",
    params(("name" = String, Path)), request_body = MoveFrame,
    responses((status = 200, body = FrameSummary)))]
pub async fn relocate(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<MoveFrame>,
) -> Answer<Json<FrameSummary>> {
    let frame = frames.relocate(&principal, &frame_name(&name)?, request.workspace.into()).await?;
    Ok(Json(shown.summary(frame).await?))
}

/// Notes on a frame's life, oldest first.
#[utoipa::path(get, path = "/v1/frames/{name}/notes", tag = "frames", params(("name" = String, Path)),
    responses((status = 200, body = Vec<FrameNote>)))]
pub async fn notes(State(frames): State<Frames>, Path(name): Path<String>) -> Answer<Json<Vec<FrameNote>>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    Ok(Json(notes_of(&frames, &frame).await?))
}

/// What a frame uses right now.
#[utoipa::path(get, path = "/v1/frames/{name}/stats", tag = "frames", params(("name" = String, Path)),
    responses((status = 200, body = FrameStats)))]
pub async fn stats(State(frames): State<Frames>, Path(name): Path<String>) -> Answer<Json<FrameStats>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let home = frames.home_folder(&frame.id);
    let size = tokio::task::spawn_blocking(move || crate::gateway::size::folder_bytes(&home));
    let used = frames.stats(&frame).await?;
    Ok(Json(FrameStats {
        frame: frame.name.to_string(),
        cpu_cores: used.cpu_cores,
        cpu_ms: used.cpu_ms,
        memory_bytes: used.memory_bytes,
        memory_limit_bytes: used.memory_limit_bytes,
        pids: used.pids,
        home_bytes: size.await.unwrap_or(0),
    }))
}

/// All notes of a frame.
pub async fn notes_of(frames: &Frames, frame: &Frame) -> Answer<Vec<FrameNote>> {
    let notes = frames.notes(&frame.id, NOTES_ALL).await?;
    Ok(notes.into_iter().map(views::note).collect())
}

async fn ask(
    State(frames): State<Frames>,
    State(shown): State<Shown>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    QueryParams(wait): QueryParams<Wait>,
    desired: Desired,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let frame = frames.ask(&principal, &frame_name(&name)?, desired).await?;
    reach(&frames, &shown, frame, desired, wait).await
}

/// What its image is now: shown as it is at this moment, and not a minute ago.
async fn newest(frames: &Frames, frame: &Frame) {
    if frame.engine.is_local() {
        let _ = frames.newest_image(frame).await;
    }
}

/// Waits as long as the caller wants to.
async fn reach(
    frames: &Frames,
    shown: &Shown,
    frame: Frame,
    desired: Desired,
    wait: Wait,
) -> Answer<(StatusCode, Json<FrameSummary>)> {
    let Some(deadline) = wait.duration() else {
        return Ok((StatusCode::ACCEPTED, Json(shown.summary(frame).await?)));
    };
    match frames.wait_for_asked(frame.clone(), desired, deadline).await {
        Ok(frame) => Ok((StatusCode::OK, Json(shown.summary(frame).await?))),
        Err(FrameError::TooSlow { .. }) => {
            let frame = frames.get_by_id(&frame.id).await?;
            Ok((StatusCode::ACCEPTED, Json(shown.summary(frame).await?)))
        }
        Err(error) => Err(error.into()),
    }
}

/// What a frame is shown from besides its row.
#[derive(Clone)]
pub struct Shown {
    store: Store,
    statuses: Statuses,
    budgets: Budgets,
}

impl<S> FromRef<S> for Shown
where
    Store: FromRef<S>,
    Statuses: FromRef<S>,
    Budgets: FromRef<S>,
{
    fn from_ref(state: &S) -> Self {
        let (store, statuses) = (Store::from_ref(state), Statuses::from_ref(state));
        Self { store, statuses, budgets: Budgets::from_ref(state) }
    }
}

impl Shown {
    pub(super) async fn summary(&self, frame: Frame) -> Answer<FrameSummary> {
        let (statuses, budgets) = (self.statuses.clone(), self.budgets.clone());
        let read = self.store.read(move |db| {
            let around = surroundings(db, &budgets, std::slice::from_ref(&frame))?;
            let now = statuses.look(db, vec![frame])?;
            Ok::<_, StoreError>(now.first().map(|now| views::frame_summary(now, &around)))
        });
        read.await?.ok_or_else(|| Reply::internal(&StoreError::Closed))
    }
}

fn surroundings(db: &store::Db<'_>, budgets: &Budgets, frames: &[Frame]) -> Result<Surroundings, StoreError> {
    let mut nearest = std::collections::BTreeMap::new();
    for frame in frames {
        let held_to = budgets.of_frame(db, &frame.id)?;
        nearest.extend(held_to.into_iter().max_by_key(Standing::percent).map(|one| (frame.id.clone(), one)));
    }
    let projects = store::projects::list(db)?;
    let servers = store::external_servers::list(db)?;
    Ok(Surroundings {
        cost: store::usage::cost_by_frame(db)?,
        budgets: nearest,
        servers: servers.into_iter().map(|server| (server.frame, server.url)).collect(),
        projects: projects.into_iter().map(|project| (project.id, project.name.to_string())).collect(),
    })
}

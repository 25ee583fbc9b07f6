//! Projects: folders with names.

use std::path::Path as FsPath;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::clock::{self, Clock};
use crate::frames::Frames;
use crate::gateway::extract::{Caller, JsonBody};
use crate::gateway::problem::{Answer, Reply};
use crate::model::git::Repository;
use crate::model::ids::ProjectId;
use crate::model::names::{self, ProjectName};
use crate::model::project::{Project, ProjectSettings, SentryProject};
use crate::store::{self, Queryable, Store, StoreError};
use crate::wire::projects::{AddProject, ProjectView, SetProject};

routes! {
    get "/v1/projects" Read All => list;
    post "/v1/projects" Frames All => add;
    get "/v1/projects/{name}" Read All => show;
    delete "/v1/projects/{name}" Frames All => remove;
    put "/v1/projects/{name}/settings" Admin All => set;
}

/// All projects, by name.
#[utoipa::path(get, path = "/v1/projects", tag = "projects",
    responses((status = 200, body = Vec<ProjectView>)))]
pub async fn list(
    State(store): State<Store>, State(frames): State<Frames>,
) -> Answer<Json<Vec<ProjectView>>> {
    let read = store.read(|db| {
        store::projects::list(db)?.into_iter().map(|project| with_frames(db, project)).collect::<Result<Vec<_>, _>>()
    });
    let mut views = Vec::new();
    for known in read.await? {
        views.push(view(&frames, known).await?);
    }
    Ok(Json(views))
}

/// Registers a project, and learns what its folder says about it. No program is run for that, and nothing in it obeyed.
#[utoipa::path(post, path = "/v1/projects", tag = "projects", request_body = AddProject,
    responses((status = 201, body = ProjectView)))]
pub async fn add(
    State(store): State<Store>, State(frames): State<Frames>, State(clock): State<Clock>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<AddProject>,
) -> Answer<(StatusCode, Json<ProjectView>)> {
    let path = existing_folder(&request.path)?;
    let name = choose_name(request.name.as_deref(), &path)?;
    let now = clock.now_ms();
    let id = ProjectId::from_parts(now, clock::entropy_128());
    let mut settings = frames.learn(&path).await;
    if let Some(sentry) = request.sentry.as_deref().filter(|text| !text.is_empty()) {
        settings.sentry = Some(sentry_project(sentry)?);
    }
    let project = Project { id, name, path, created_at: now };
    let known = store
        .write(move |tx| {
            store::projects::insert(tx, &project)?;
            store::projects::set_settings(tx, &project.id, &settings)?;
            let detail = serde_json::json!({ "path": project.path });
            tx.audit(&principal, "project.add", project.name.as_str(), &detail)?;
            with_frames(tx, project)
        })
        .await?;
    Ok((StatusCode::CREATED, Json(view(&frames, known).await?)))
}

/// A project.
#[utoipa::path(get, path = "/v1/projects/{name}", tag = "projects", params(("name" = String, Path)),
    responses((status = 200, body = ProjectView)))]
pub async fn show(
    State(store): State<Store>, State(frames): State<Frames>,
    Path(name): Path<String>,
) -> Answer<Json<ProjectView>> {
    let wanted = parse(&name)?;
    let read = store.read(move |db| {
        store::projects::find_by_name(db, &wanted)?.map(|project| with_frames(db, project)).transpose()
    });
    let known = read.await?.ok_or_else(|| missing(&name))?;
    Ok(Json(view(&frames, known).await?))
}

/// Says what is to be known of a project, in the place of what was.
#[utoipa::path(put, path = "/v1/projects/{name}/settings", tag = "projects", params(("name" = String, Path)),
    request_body = SetProject, responses((status = 200, body = ProjectView)))]
pub async fn set(
    State(store): State<Store>, State(frames): State<Frames>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<SetProject>,
) -> Answer<Json<ProjectView>> {
    let (wanted, settings) = (parse(&name)?, settings(request)?);
    let change = store.write(move |tx| {
        let Some(project) = store::projects::find_by_name(tx, &wanted)? else { return Ok(None) };
        store::projects::set_settings(tx, &project.id, &settings)?;
        tx.audit(&principal, "project.set", wanted.as_str(), &serde_json::json!({ "settings": settings }))?;
        with_frames(tx, project).map(Some)
    });
    let known = change.await?.ok_or_else(|| missing(&name))?;
    Ok(Json(view(&frames, known).await?))
}

fn refused(why: impl Into<String>) -> Reply {
    Reply::conflict("project.setting", why).hint("`mimir projects set --help` shows what each is like")
}

fn sentry_project(text: &str) -> Answer<SentryProject> {
    SentryProject::parse(text).ok_or_else(|| refused(format!("`{text}` is not ORGANIZATION/PROJECT of Sentry's")))
}

fn settings(request: SetProject) -> Answer<ProjectSettings> {
    let repository = request.repository.as_deref().map(Repository::parse).transpose();
    let settings = ProjectSettings {
        repository: repository.map_err(|error| refused(error.to_string()))?,
        default_branch: request.default_branch,
        language: request.language,
        checks: request.checks,
        sentry: request.sentry.as_deref().map(sentry_project).transpose()?,
        protected: request.protected,
    };
    settings.check().map_err(refused)?;
    Ok(settings)
}

/// Forgets a project. Its folder and its frames stay.
#[utoipa::path(delete, path = "/v1/projects/{name}", tag = "projects", params(("name" = String, Path)),
    responses((status = 204)))]
pub async fn remove(
    State(store): State<Store>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    let wanted = parse(&name)?;
    let removed = store.write(move |tx| {
        let Some(project) = store::projects::find_by_name(tx, &wanted)? else { return Ok(false) };
        store::projects::remove(tx, &project.id)?;
        tx.audit(&principal, "project.remove", wanted.as_str(), &serde_json::json!({}))?;
        Ok::<_, StoreError>(true)
    });
    if removed.await? { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}

fn parse(name: &str) -> Answer<ProjectName> {
    ProjectName::parse(name).map_err(|_| missing(name))
}

fn missing(name: &str) -> Reply {
    Reply::not_found("project.not_found", format!("there is no project {name}"))
        .hint("`mimir projects list` shows the projects there are")
}

pub(super) fn existing_folder(path: &str) -> Answer<String> {
    let refuse = |why: &str| Reply::conflict("project.path", format!("{path} cannot be a project: {why}"));
    if !FsPath::new(path).is_absolute() {
        return Err(Reply::bad_request("project.path", format!("{path} cannot be a project: the path must be absolute")));
    }
    let real = std::fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            refuse("there is no such folder").hint(format!("`mkdir -p {path}` makes it"))
        }
        _ => refuse(&error.to_string()),
    })?;
    if !real.is_dir() {
        return Err(refuse("it is not a folder").hint("name the folder around it"));
    }
    real.to_str().map(str::to_owned).ok_or_else(|| refuse("its path is not valid UTF-8"))
}

fn choose_name(given: Option<&str>, path: &str) -> Answer<ProjectName> {
    let suggested = || FsPath::new(path).file_name().and_then(|name| names::suggest(&name.to_string_lossy()));
    let name = given.map(str::to_owned).or_else(suggested).unwrap_or_default();
    let refuse = if given.is_some() { Reply::bad_request } else { Reply::conflict };
    ProjectName::parse(&name).map_err(|error| {
        refuse("project.name", error.to_string())
            .hint("choose a name: `mimir projects add PATH --name NAME`")
    })
}

/// A project, the names of its frames, and what is known of it.
type Known = (Project, Vec<String>, ProjectSettings);

fn with_frames(db: &impl Queryable, project: Project) -> Result<Known, StoreError> {
    let frames = store::frames::list(db)?;
    let of_it = frames.into_iter().filter(|frame| frame.project.as_ref() == Some(&project.id));
    let names = of_it.map(|frame| frame.name.to_string()).collect();
    let settings = store::projects::settings(db, &project.id)?;
    Ok((project, names, settings))
}

async fn view(frames: &Frames, (project, names, settings): Known) -> Answer<ProjectView> {
    let trust = frames.standing(&project.path).await?.trust;
    Ok(ProjectView {
        id: project.id.to_string(),
        name: project.name.to_string(),
        path: project.path,
        frames: names,
        trust,
        settings,
        created_at: project.created_at,
    })
}

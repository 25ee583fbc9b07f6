//! Runs of workflows.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::gateway::extract::{Caller, JsonBody, QueryParams};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::run_views;
use crate::model::ids::RunId;
use crate::model::names::ProjectName;
use crate::model::run::RunState;
use crate::store::runs::RunFilter;
use crate::wire::runs::{ApproveRun, EndRun, RunDetails, RunView, StartRun};
use crate::workflows::{NewManualRun, Workflows};

routes! {
    get "/v1/runs" Read All => list;
    post "/v1/runs" Frames All => start;
    get "/v1/runs/{id}" Read All => show;
    post "/v1/runs/{id}/approve" Approve All => approve;
    post "/v1/runs/{id}/reject" Approve All => reject;
    post "/v1/runs/{id}/cancel" Send All => cancel;
    post "/v1/runs/{id}/retry" Frames All => retry;
}

/// The longest reason.
const LONGEST_REASON: usize = 2000;
/// The longest title.
const LONGEST_TITLE: usize = 200;
/// The most urgent, and the least.
const MOST_URGENT: i64 = 1000;

/// Which runs.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Only those in that state.
    #[param(inline)]
    pub state: Option<RunState>,
    /// Only those that have not ended.
    #[serde(default)]
    pub open: bool,
    /// Only of this workflow.
    pub workflow: Option<String>,
    /// Only of this project.
    pub project: Option<String>,
    /// How many at most; 50 when absent.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    pub limit: u32,
}

fn fifty() -> u32 {
    50
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(RunQuery),
    responses((status = 200, body = Vec<RunView>)))]
pub async fn list(
    State(workflows): State<Workflows>,
    QueryParams(query): QueryParams<RunQuery>,
) -> Answer<Json<Vec<RunView>>> {
    if !(1..=1000).contains(&query.limit) {
        return Err(Reply::bad_request("request.value", "limit must be from 1 to 1000")
            .hint("leave it out for the newest 50"));
    }
    let project = match query.project {
        // What is no name is no project's.
        Some(name) => match ProjectName::parse(&name) {
            Ok(name) => Some(name),
            Err(_) => return Ok(Json(Vec::new())),
        },
        None => None,
    };
    let filter = RunFilter { state: query.state, open: query.open, workflow: query.workflow, project };
    let found = workflows.runs(filter, query.limit).await?;
    Ok(Json(found.iter().map(|(run, cost)| run_views::run(run, *cost)).collect()))
}

/// Begins a run of a workflow.
#[utoipa::path(post, path = "/v1/runs", tag = "runs", request_body = StartRun,
    responses((status = 201, body = RunView)))]
pub async fn start(
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<StartRun>,
) -> Answer<(StatusCode, Json<RunView>)> {
    if request.title.as_ref().is_some_and(|title| title.chars().count() > LONGEST_TITLE) {
        return Err(Reply::bad_request("run.title", "the title is too long").hint("say it shorter"));
    }
    if !(-MOST_URGENT..=MOST_URGENT).contains(&request.priority) {
        return Err(Reply::bad_request("request.value", "priority must be from -1000 to 1000")
            .hint("0 is the usual one; larger is sooner"));
    }
    if request.budget_microusd.is_some_and(|budget| budget < 10_000) {
        return Err(Reply::bad_request("request.value", "budget_microusd must be 10000 or more")
            .hint("that is one cent; leave it out for what the workflow says"));
    }
    let wanted = NewManualRun {
        workflow: request.workflow,
        project: request.project,
        frame: request.frame,
        variables: request.variables,
        model: request.model,
        title: request.title.filter(|title| !title.trim().is_empty()),
        priority: request.priority,
        budget_microusd: request.budget_microusd,
    };
    let run = workflows.start(&principal, wanted).await?;
    Ok((StatusCode::CREATED, Json(run_views::run(&run, 0))))
}

/// A run with its timeline. The id may be shortened to its end.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = String, Path)),
    responses((status = 200, body = RunDetails)))]
pub async fn show(State(workflows): State<Workflows>, Path(id): Path<String>) -> Answer<Json<RunDetails>> {
    let id = workflows.named(&id).await?;
    Ok(Json(run_views::details(workflows.show(&id).await?)))
}

/// Says yes to what a run is held for, and names it: it goes on.
#[utoipa::path(post, path = "/v1/runs/{id}/approve", tag = "runs", params(("id" = String, Path)),
    request_body = ApproveRun, responses((status = 200, body = RunView)))]
pub async fn approve(
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<ApproveRun>,
) -> Answer<Json<RunView>> {
    let id = workflows.named(&id).await?;
    workflows.approve(&principal, &id, request.subject).await?;
    view(&workflows, &id).await
}

/// Says no to what a run is held for: it ends.
#[utoipa::path(post, path = "/v1/runs/{id}/reject", tag = "runs", params(("id" = String, Path)),
    request_body = EndRun, responses((status = 200, body = RunView)))]
pub async fn reject(
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<EndRun>,
) -> Answer<Json<RunView>> {
    let id = workflows.named(&id).await?;
    workflows.reject(&principal, &id, why(request)?).await?;
    view(&workflows, &id).await
}

/// Ends a run, wherever it is. What its agent does is stopped, and its throwaway frame is destroyed a moment later.
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", params(("id" = String, Path)),
    request_body = EndRun, responses((status = 200, body = RunView)))]
pub async fn cancel(
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<EndRun>,
) -> Answer<Json<RunView>> {
    let id = workflows.named(&id).await?;
    workflows.cancel(&principal, &id, why(request)?).await?;
    view(&workflows, &id).await
}

/// Makes a new run with the same input, which begins where this one failed.
#[utoipa::path(post, path = "/v1/runs/{id}/retry", tag = "runs", params(("id" = String, Path)),
    responses((status = 201, body = RunView)))]
pub async fn retry(
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Answer<(StatusCode, Json<RunView>)> {
    let id = workflows.named(&id).await?;
    let run = workflows.retry(&principal, &id).await?;
    Ok((StatusCode::CREATED, Json(run_views::run(&run, 0))))
}

async fn view(workflows: &Workflows, id: &RunId) -> Answer<Json<RunView>> {
    let shown = workflows.show(id).await?;
    Ok(Json(run_views::run(&shown.run, shown.spent_microusd)))
}

fn why(request: EndRun) -> Answer<Option<String>> {
    let why = request.why.filter(|why| !why.trim().is_empty());
    if why.as_ref().is_some_and(|why| why.chars().count() > LONGEST_REASON) {
        return Err(Reply::bad_request("run.why", "the reason is too long").hint("say it shorter"));
    }
    Ok(why)
}

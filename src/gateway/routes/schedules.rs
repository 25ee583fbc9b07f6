//! What is done again and again.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::clock;
use crate::gateway::extract::{Caller, JsonBody, QueryParams};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::views;
use crate::model::names::ScheduleName;
use crate::model::schedule::{ScheduleAction, ScheduleSpec};
use crate::schedules::{ScheduleChange, Schedules};
use crate::workflows::{RunError, Workflows};
use crate::wire::schedules::{AddSchedule, ChangeSchedule, PauseSchedule, ScheduleView, TickView};

routes! {
    get "/v1/schedules" Read All => list;
    post "/v1/schedules" Admin All => add;
    get "/v1/schedules/{name}" Read All => show;
    patch "/v1/schedules/{name}" Admin All => edit;
    delete "/v1/schedules/{name}" Admin All => remove;
    post "/v1/schedules/{name}/pause" Admin All => pause;
    post "/v1/schedules/{name}/resume" Admin All => resume;
    post "/v1/schedules/{name}/run" Admin All => run;
    get "/v1/schedules/{name}/history" Read All => history;
}

/// The longest reason for a pause.
const LONGEST_WHY: usize = 2000;

/// How many.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Last {
    /// How many times, the newest first; 20 when absent.
    #[serde(default = "some")]
    #[param(minimum = 1, maximum = 1000, default = 20)]
    pub last: u32,
}

fn some() -> u32 {
    20
}

/// All schedules, by name, with their next times.
#[utoipa::path(get, path = "/v1/schedules", tag = "schedules", responses((status = 200, body = Vec<ScheduleView>)))]
pub async fn list(State(schedules): State<Schedules>) -> Answer<Json<Vec<ScheduleView>>> {
    Ok(Json(schedules.list().await?.into_iter().map(views::schedule).collect()))
}

/// Makes a schedule.
#[utoipa::path(post, path = "/v1/schedules", tag = "schedules", request_body = AddSchedule,
    responses((status = 201, body = ScheduleView)))]
pub async fn add(
    State(schedules): State<Schedules>,
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<AddSchedule>,
) -> Answer<(StatusCode, Json<ScheduleView>)> {
    let name = ScheduleName::parse(&request.name).map_err(|error| {
        Reply::bad_request("schedule.name", error.to_string())
            .hint("for example `mimir cron add morning \"0 9 * * mon-fri\" --review shop`")
    })?;
    can_be_done(&workflows, &request.does).await?;
    let spec = ScheduleSpec {
        expression: request.expression,
        zone: request.zone.unwrap_or_else(|| clock::zone().to_string()),
        action: request.does,
        overlap: request.overlap,
        catch_up: request.catch_up,
        jitter_seconds: request.jitter_seconds,
        gate: request.gate,
        pause_after_failures: request.pause_after_failures,
        pause_at_microusd: request.pause_at_microusd,
        budget_microusd: request.budget_microusd,
    };
    let made = schedules.add(&principal, &name, spec, request.paused).await?;
    Ok((StatusCode::CREATED, Json(views::schedule(made))))
}

/// A workflow that is not there is a slip of the pen, better said now than in the middle of the night.
async fn can_be_done(workflows: &Workflows, does: &ScheduleAction) -> Answer<()> {
    match does {
        ScheduleAction::Workflow { workflow, .. } => match workflows.entry(workflow).await {
            Err(RunError::NoWorkflow(name)) => {
                let hint = "`mimir workflows list` shows those there are";
                Err(Reply::conflict("schedule.no_workflow", format!("there is no workflow {name}")).hint(hint))
            }
            found => found.map(drop).map_err(Reply::from),
        },
        ScheduleAction::Prompt { .. } | ScheduleAction::Frame { .. } | ScheduleAction::Review { .. } => Ok(()),
    }
}

/// A schedule.
#[utoipa::path(get, path = "/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleView)))]
pub async fn show(State(schedules): State<Schedules>, Path(name): Path<String>) -> Answer<Json<ScheduleView>> {
    Ok(Json(views::schedule(schedules.show(&parse(&name)?).await?)))
}

/// Changes a schedule. One of the configuration is changed there.
#[utoipa::path(patch, path = "/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)),
    request_body = ChangeSchedule, responses((status = 200, body = ScheduleView)))]
pub async fn edit(
    State(schedules): State<Schedules>,
    State(workflows): State<Workflows>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<ChangeSchedule>,
) -> Answer<Json<ScheduleView>> {
    if let Some(does) = &request.does {
        can_be_done(&workflows, does).await?;
    }
    let change = ScheduleChange {
        expression: request.expression,
        zone: request.zone,
        action: request.does,
        overlap: request.overlap,
        catch_up: request.catch_up,
        jitter_seconds: request.jitter_seconds,
        gate: request.gate,
        pause_after_failures: request.pause_after_failures,
        pause_at_microusd: request.pause_at_microusd,
        budget_microusd: request.budget_microusd,
    };
    Ok(Json(views::schedule(schedules.edit(&principal, &parse(&name)?, change).await?)))
}

/// Forgets a schedule. Its runs stay. One of the configuration is removed there.
#[utoipa::path(delete, path = "/v1/schedules/{name}", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleView)))]
pub async fn remove(
    State(schedules): State<Schedules>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Answer<Json<ScheduleView>> {
    Ok(Json(views::schedule(schedules.remove(&principal, &parse(&name)?).await?)))
}

/// Has a schedule do nothing until it is resumed. A run that goes on, goes on.
#[utoipa::path(post, path = "/v1/schedules/{name}/pause", tag = "schedules", params(("name" = String, Path)),
    request_body = PauseSchedule, responses((status = 200, body = ScheduleView)))]
pub async fn pause(
    State(schedules): State<Schedules>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<PauseSchedule>,
) -> Answer<Json<ScheduleView>> {
    let why = request.why.filter(|why| !why.trim().is_empty());
    if why.as_ref().is_some_and(|why| why.chars().count() > LONGEST_WHY) {
        return Err(Reply::bad_request("schedule.why", "the reason is too long").hint("say it shorter"));
    }
    Ok(Json(views::schedule(schedules.pause(&principal, &parse(&name)?, why).await?)))
}

/// Lets a schedule go on, with its first time after now.
#[utoipa::path(post, path = "/v1/schedules/{name}/resume", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = ScheduleView)))]
pub async fn resume(
    State(schedules): State<Schedules>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Answer<Json<ScheduleView>> {
    Ok(Json(views::schedule(schedules.resume(&principal, &parse(&name)?).await?)))
}

/// Does what a schedule does now, besides its times; also while it is paused.
#[utoipa::path(post, path = "/v1/schedules/{name}/run", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, body = TickView)))]
pub async fn run(
    State(schedules): State<Schedules>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Answer<Json<TickView>> {
    Ok(Json(views::tick(schedules.run_now(&principal, &parse(&name)?).await?)))
}

/// What became of a schedule's times, the newest first.
#[utoipa::path(get, path = "/v1/schedules/{name}/history", tag = "schedules", params(("name" = String, Path), Last),
    responses((status = 200, body = Vec<TickView>)))]
pub async fn history(
    State(schedules): State<Schedules>,
    Path(name): Path<String>,
    QueryParams(Last { last }): QueryParams<Last>,
) -> Answer<Json<Vec<TickView>>> {
    if !(1..=1000).contains(&last) {
        return Err(Reply::bad_request("request.value", "last must be from 1 to 1000")
            .hint("for example `mimir cron history NAME --last 50`"));
    }
    let ticks = schedules.history(&parse(&name)?, last).await?;
    Ok(Json(ticks.into_iter().map(views::tick).collect()))
}

fn parse(name: &str) -> Answer<ScheduleName> {
    ScheduleName::parse(name).map_err(|_| crate::gateway::advice::no_schedule(name))
}

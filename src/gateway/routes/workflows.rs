//! The workflows that there are.

use axum::Json;
use axum::extract::{Path, State};

use crate::gateway::problem::Answer;
use crate::gateway::run_views;
use crate::wire::runs::{WorkflowDetails, WorkflowView};
use crate::workflows::Workflows;

routes! {
    get "/v1/workflows" Read NoFrame => list;
    get "/v1/workflows/{name}" Read NoFrame => show;
}

/// The workflows that there are, by name: the home's own, and those that mimir brings.
#[utoipa::path(get, path = "/v1/workflows", tag = "workflows", responses((status = 200, body = Vec<WorkflowView>)))]
pub async fn list(State(workflows): State<Workflows>) -> Json<Vec<WorkflowView>> {
    Json(workflows.library().await.iter().map(run_views::workflow).collect())
}

/// A workflow, as it is written.
#[utoipa::path(get, path = "/v1/workflows/{name}", tag = "workflows", params(("name" = String, Path)),
    responses((status = 200, body = WorkflowDetails)))]
pub async fn show(
    State(workflows): State<Workflows>,
    Path(name): Path<String>,
) -> Answer<Json<WorkflowDetails>> {
    Ok(Json(run_views::workflow_details(workflows.entry(&name).await?)))
}

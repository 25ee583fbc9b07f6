//! The routes of runs and workflows.

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, path, with_body};
use mimir_model::run::RunState;
use mimir_model::wire::runs::{
    ApproveRun, EndRun, RunDetails, RunView, StartRun, WorkflowDetails, WorkflowView,
};

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunList {
    /// Only those in that state.
    pub state: Option<RunState>,
    /// Only those that have not ended.
    pub open: bool,
    /// Only of this workflow.
    pub workflow: Option<String>,
    /// Only of this project.
    pub project: Option<String>,
    /// How many at most.
    pub limit: Option<u32>,
}

impl GatewayClient {
    /// `GET /v1/runs`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn runs(&self, list: &RunList) -> Result<Vec<RunView>, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let pairs = [
            ("state", list.state.map(|state| state.as_str().to_owned())),
            ("open", list.open.then(|| "true".to_owned())),
            ("workflow", list.workflow.clone()),
            ("project", list.project.clone()),
            ("limit", list.limit.map(|limit| limit.to_string())),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        self.get(format!("/v1/runs?{}", query.finish())).await
    }

    /// `POST /v1/runs`
    pub async fn start_run(&self, start: &StartRun) -> Result<RunView, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/runs"), start)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/runs/{id}`
    pub async fn run(&self, id: &str) -> Result<RunDetails, ClientError> {
        self.get(path(&["v1", "runs", id])).await
    }

    /// `POST /v1/runs/{id}/approve`
    pub async fn approve_run(&self, id: &str, yes: &ApproveRun) -> Result<RunView, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "runs", id, "approve"])), yes)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/runs/{id}/reject`
    pub async fn reject_run(&self, id: &str, end: &EndRun) -> Result<RunView, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "runs", id, "reject"])), end)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/runs/{id}/cancel`
    pub async fn cancel_run(&self, id: &str, end: &EndRun) -> Result<RunView, ClientError> {
        let call = with_body(Call::new(Method::POST, path(&["v1", "runs", id, "cancel"])), end)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/runs/{id}/retry`
    pub async fn retry_run(&self, id: &str) -> Result<RunView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "runs", id, "retry"]));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/workflows`
    pub async fn workflows(&self) -> Result<Vec<WorkflowView>, ClientError> {
        self.get("/v1/workflows".to_owned()).await
    }

    /// `GET /v1/workflows/{name}`
    pub async fn workflow(&self, name: &str) -> Result<WorkflowDetails, ClientError> {
        self.get(path(&["v1", "workflows", name])).await
    }
}

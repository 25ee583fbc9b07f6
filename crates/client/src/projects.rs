//! The routes of projects, and of what was trusted in them.

use hyper::Method;

use super::error::ClientError;
use super::http::{Call, ask_whole};
use super::routes::{GatewayClient, path, query_of, with_body};
use mimir_model::wire::projects::{AddProject, ProjectView, SetProject, TrustFolder, TrustView};

impl GatewayClient {
    /// `GET /v1/projects`
    pub async fn projects(&self) -> Result<Vec<ProjectView>, ClientError> {
        self.get("/v1/projects".to_owned()).await
    }

    /// `POST /v1/projects`
    pub async fn add_project(&self, project: &AddProject) -> Result<ProjectView, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/projects"), project)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/projects/{name}`
    pub async fn project(&self, name: &str) -> Result<ProjectView, ClientError> {
        self.get(path(&["v1", "projects", name])).await
    }

    /// `PUT /v1/projects/{name}/settings`
    pub async fn set_project(&self, name: &str, settings: &SetProject) -> Result<ProjectView, ClientError> {
        let call = with_body(Call::new(Method::PUT, path(&["v1", "projects", name, "settings"])), settings)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/trust`
    pub async fn trust_of(&self, folder: &str) -> Result<TrustView, ClientError> {
        self.get(trust_path(folder)).await
    }

    /// `POST /v1/trust`
    pub async fn trust(&self, yes: &TrustFolder) -> Result<TrustView, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/trust"), yes)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/trust`
    pub async fn distrust(&self, folder: &str) -> Result<TrustView, ClientError> {
        let call = Call::new(Method::DELETE, trust_path(folder));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/projects/{name}`
    pub async fn remove_project(&self, name: &str) -> Result<(), ClientError> {
        ask_whole(&self.place, Call::new(Method::DELETE, path(&["v1", "projects", name]))).await.map(|_| ())
    }
}

fn trust_path(folder: &str) -> String {
    let mut query = query_of("/v1/trust?");
    query.append_pair("path", folder);
    query.finish()
}

//! The routes of schedules.

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, path, with_body};
use mimir_model::wire::schedules::{AddSchedule, ChangeSchedule, PauseSchedule, ScheduleView, TickView};

impl GatewayClient {
    /// `GET /v1/schedules`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn schedules(&self) -> Result<Vec<ScheduleView>, ClientError> {
        self.get("/v1/schedules".to_owned()).await
    }

    /// `POST /v1/schedules`
    pub async fn add_schedule(&self, schedule: &AddSchedule) -> Result<ScheduleView, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/schedules"), schedule)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/schedules/{name}`
    pub async fn schedule(&self, name: &str) -> Result<ScheduleView, ClientError> {
        self.get(path(&["v1", "schedules", name])).await
    }

    /// `PATCH /v1/schedules/{name}`
    pub async fn change_schedule(
        &self,
        name: &str,
        change: &ChangeSchedule,
    ) -> Result<ScheduleView, ClientError> {
        let call = with_body(Call::new(Method::PATCH, path(&["v1", "schedules", name])), change)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/schedules/{name}`
    pub async fn remove_schedule(&self, name: &str) -> Result<ScheduleView, ClientError> {
        self.json(Call::new(Method::DELETE, path(&["v1", "schedules", name]))).await.map(|(_, value)| value)
    }

    /// `POST /v1/schedules/{name}/pause`
    pub async fn pause_schedule(&self, name: &str, why: Option<String>) -> Result<ScheduleView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "schedules", name, "pause"]));
        let call = with_body(call, &PauseSchedule { why })?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/schedules/{name}/resume`
    pub async fn resume_schedule(&self, name: &str) -> Result<ScheduleView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "schedules", name, "resume"]));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/schedules/{name}/run`
    pub async fn run_schedule(&self, name: &str) -> Result<TickView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "schedules", name, "run"]));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/schedules/{name}/history`
    pub async fn schedule_history(&self, name: &str, last: u32) -> Result<Vec<TickView>, ClientError> {
        self.get(format!("{}?last={last}", path(&["v1", "schedules", name, "history"]))).await
    }
}

//! The routes of webhooks.

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, path, with_body};
use mimir_model::webhook::WebhookState;
use mimir_model::wire::webhooks::{
    TestWebhook, WebhookDetails, WebhookPreview, WebhookSourceView, WebhookView,
};

impl GatewayClient {
    /// `GET /v1/webhooks`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn webhook_sources(&self) -> Result<Vec<WebhookSourceView>, ClientError> {
        self.get("/v1/webhooks".to_owned()).await
    }

    /// `GET /v1/webhooks/deliveries`
    pub async fn webhooks(
        &self,
        source: Option<&str>,
        state: Option<WebhookState>,
        limit: u32,
    ) -> Result<Vec<WebhookView>, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        if let Some(source) = source {
            query.append_pair("source", source);
        }
        if let Some(state) = state {
            query.append_pair("state", state.as_str());
        }
        self.get(format!("/v1/webhooks/deliveries?{}", query.finish())).await
    }

    /// `GET /v1/webhooks/deliveries/{id}`
    pub async fn webhook(&self, id: &str) -> Result<WebhookDetails, ClientError> {
        self.get(path(&["v1", "webhooks", "deliveries", id])).await
    }

    /// `POST /v1/webhooks/deliveries/{id}/replay`
    pub async fn replay_webhook(&self, id: &str) -> Result<WebhookView, ClientError> {
        self.json(Call::new(Method::POST, path(&["v1", "webhooks", "deliveries", id, "replay"])))
            .await
            .map(|(_, value)| value)
    }

    /// `POST /v1/webhooks/test`
    pub async fn test_webhook(&self, asked: &TestWebhook) -> Result<WebhookPreview, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/webhooks/test"), asked)?;
        self.json(call).await.map(|(_, value)| value)
    }
}

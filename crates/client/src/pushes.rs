//! The routes of what frames push.

use std::time::Duration;

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, with_body};
use mimir_model::wire::pushes::{PushDetails, PushView, RejectPush};

/// A forge may take its time; the gateway answers then as well.
const FORGE: Duration = Duration::from_secs(200);

impl GatewayClient {
    /// `GET /v1/pushes`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn pushes(&self, frame: Option<&str>, all: bool) -> Result<Vec<PushView>, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(frame) = frame {
            query.append_pair("frame", frame);
        }
        if all {
            query.append_pair("all", "true");
        }
        self.get(format!("/v1/pushes?{}", query.finish())).await
    }

    /// `GET /v1/pushes/{id}`
    pub async fn push(&self, id: u64) -> Result<PushDetails, ClientError> {
        self.get(format!("/v1/pushes/{id}")).await
    }

    /// `POST /v1/pushes/{id}/approve`
    pub async fn approve_push(&self, id: u64) -> Result<PushView, ClientError> {
        let call = Call::new(Method::POST, format!("/v1/pushes/{id}/approve")).within(FORGE);
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/pushes/{id}/reject`
    pub async fn reject_push(&self, id: u64, reject: &RejectPush) -> Result<PushView, ClientError> {
        let call = with_body(Call::new(Method::POST, format!("/v1/pushes/{id}/reject")), reject)?;
        self.json(call).await.map(|(_, value)| value)
    }
}

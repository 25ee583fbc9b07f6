//! The routes of secrets.

use std::time::Duration;

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, path, with_body};
use mimir_model::wire::secrets::{GrantSecret, SecretGrantView, SecretView, SetSecret};

/// A password manager that is asked may ask its owner something.
const ASKS: Duration = Duration::from_secs(60);

impl GatewayClient {
    /// `GET /v1/secrets`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn secrets(&self) -> Result<Vec<SecretView>, ClientError> {
        self.get("/v1/secrets".to_owned()).await
    }

    /// `PUT /v1/secrets/{secret}`
    pub async fn set_secret(&self, name: &str, secret: &SetSecret) -> Result<SecretView, ClientError> {
        let call = with_body(Call::new(Method::PUT, path(&["v1", "secrets", name])), secret)?.within(ASKS);
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/secrets/{secret}`
    pub async fn remove_secret(&self, name: &str) -> Result<SecretView, ClientError> {
        self.json(Call::new(Method::DELETE, path(&["v1", "secrets", name]))).await.map(|(_, value)| value)
    }

    /// `POST /v1/secrets/{secret}/grants`
    pub async fn grant_secret(
        &self,
        name: &str,
        grant: &GrantSecret,
    ) -> Result<SecretGrantView, ClientError> {
        let call = Call::new(Method::POST, path(&["v1", "secrets", name, "grants"]));
        let call = with_body(call, grant)?.within(ASKS);
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/secrets/{secret}/grants/{frame}`
    pub async fn revoke_secret(&self, name: &str, frame: &str) -> Result<SecretView, ClientError> {
        let call = Call::new(Method::DELETE, path(&["v1", "secrets", name, "grants", frame]));
        self.json(call).await.map(|(_, value)| value)
    }
}

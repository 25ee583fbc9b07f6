//! The routes of tokens.

use std::time::Duration;

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, path, with_body};
use mimir_model::wire::tokens::{CreateToken, NewToken, TokenView, Whoami};

impl GatewayClient {
    /// `GET /v1/tokens`
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, ClientError> {
        self.get("/v1/tokens".to_owned()).await
    }

    /// `POST /v1/tokens`: the only time that the secret is told.
    pub async fn create_token(&self, token: &CreateToken) -> Result<NewToken, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/tokens"), token)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/tokens/{id}`, by name or id.
    pub async fn revoke_token(&self, which: &str) -> Result<TokenView, ClientError> {
        let call = Call::new(Method::DELETE, path(&["v1", "tokens", which]));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `GET /v1/tokens/current`: what we may do.
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        let call = Call::new(Method::GET, "/v1/tokens/current").within(Duration::from_secs(10));
        self.json(call).await.map(|(_, value)| value)
    }
}

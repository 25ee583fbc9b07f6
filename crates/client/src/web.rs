//! The routes of browsers.

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, with_body};
use mimir_model::wire::web::{CreateWebCode, WebLink};

impl GatewayClient {
    /// `POST /v1/web/codes`: a link that lets a browser of the gateway's machine in, once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn web_link(&self, wanted: &CreateWebCode) -> Result<WebLink, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/web/codes"), wanted)?;
        self.json(call).await.map(|(_, value)| value)
    }
}

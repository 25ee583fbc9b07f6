//! The routes of copies of the database.

use std::time::Duration;

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::GatewayClient;
use mimir_model::backup::Backup;

impl GatewayClient {
    /// `POST /v1/backups`: takes as long as it takes to copy the database.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create_backup(&self) -> Result<Backup, ClientError> {
        let call = Call::new(Method::POST, "/v1/backups").within(Duration::from_secs(600));
        self.json(call).await.map(|(_, value)| value)
    }
}

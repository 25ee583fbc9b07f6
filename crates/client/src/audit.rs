//! The routes of the audit log.

use std::time::Duration;

use hyper::Method;

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, with_body};
use mimir_model::audit::{AuditEntry, AuditVerdict, VerifyAudit};

impl GatewayClient {
    /// `GET /v1/audit`: the newest entries before one, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn audit(&self, before: Option<u64>, limit: u32) -> Result<Vec<AuditEntry>, ClientError> {
        let before = before.map(|id| format!("&before={id}")).unwrap_or_default();
        let call = Call::new(Method::GET, format!("/v1/audit?limit={limit}{before}"));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/audit/verify`: reads all of the log.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn verify_audit(&self, how: &VerifyAudit) -> Result<AuditVerdict, ClientError> {
        let call =
            with_body(Call::new(Method::POST, "/v1/audit/verify"), how)?.within(Duration::from_secs(600));
        self.json(call).await.map(|(_, value)| value)
    }
}

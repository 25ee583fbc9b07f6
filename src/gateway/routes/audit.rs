//! Who changed what.

use axum::Json;
use axum::extract::State;

use crate::audit::{Audit, AuditError};
use crate::gateway::extract::{JsonBody, QueryParams};
use crate::gateway::problem::{Answer, Reply};
use crate::model::audit::{AuditEntry, AuditVerdict, VerifyAudit};
use crate::wire::audit::AuditQuery;
use crate::wire::problem::Problem;

routes! {
    get "/v1/audit" Admin All => list;
    post "/v1/audit/verify" Admin All => verify;
}

/// Entries in a page that asks for no number.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

/// The newest entries of the audit log, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "gateway", params(AuditQuery),
    responses((status = 200, body = Vec<AuditEntry>)))]
pub async fn list(State(audit): State<Audit>, QueryParams(query): QueryParams<AuditQuery>) -> Answer<Json<Vec<AuditEntry>>> {
    let limit = query.limit.unwrap_or(PAGE);
    if limit > LARGEST_PAGE {
        return Err(Reply::bad_request("request.invalid", format!("a page has at most {LARGEST_PAGE} entries"))
            .hint("`before` asks for the next one"));
    }
    Ok(Json(audit.list(query.before, limit).await?))
}

/// Looks whether the audit log is as it was written.
#[utoipa::path(post, path = "/v1/audit/verify", tag = "gateway", request_body = VerifyAudit,
    responses((status = 200, body = AuditVerdict)))]
pub async fn verify(State(audit): State<Audit>, JsonBody(how): JsonBody<VerifyAudit>) -> Answer<Json<AuditVerdict>> {
    Ok(Json(audit.verify(how.key.as_deref()).await?))
}

impl From<AuditError> for Reply {
    fn from(error: AuditError) -> Self {
        let title = error.to_string();
        match error {
            AuditError::NoKey => Self::bad_request("audit.key", title)
                .hint("it is what audit.key in mimir's home held when the home was new"),
            AuditError::File { .. } => Self(Problem::new(500, "audit.file", title))
                .hint("look at the file; `mimir config show audit.heads` says which is used"),
            AuditError::Store(error) => error.into(),
        }
    }
}

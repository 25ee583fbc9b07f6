//! `GET /v1/audit`.

use serde::{Deserialize, Serialize};

/// Query parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only entries before this one.
    pub before: Option<u64>,
    /// So many; 100 when absent, 1000 at most.
    #[param(maximum = 1000)]
    pub limit: Option<u32>,
}

//! What doctor found.

use serde::{Deserialize, Serialize};

pub use crate::doctor::{Check, Outcome};

/// `GET /v1/doctor`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// In the order in which they were tried.
    pub checks: Vec<Check>,
}

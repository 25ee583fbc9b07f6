//! Browsers: the link that lets one in, and what it gets for it.

use serde::{Deserialize, Serialize};

use crate::scope::Scope;

/// `POST /v1/web/codes`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebCode {
    /// What the browser may do; when empty `read`, `send` and `approve`, as far as the caller may.
    #[schema(value_type = Vec<Scope>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

/// The answer to `POST /v1/web/codes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebLink {
    /// To be opened by a browser on the gateway's machine. It opens once.
    pub link: String,
    /// From then on it opens nothing (UTC ms).
    pub expires_at: u64,
}

/// `POST /v1/web/sessions`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenWebSession {
    /// What stands behind `#code=` in the link.
    pub code: String,
}

/// The answer to `POST /v1/web/sessions`. The other half of it is a cookie that no script can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebSession {
    /// The page's half, to be sent in the header `mimir-page` with every request.
    pub page: String,
    /// The session's name in `mimir token list`.
    pub name: String,
    /// From then on it opens nothing (UTC ms).
    pub expires_at: u64,
}

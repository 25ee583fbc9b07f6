//! Tokens for clients elsewhere.

use serde::{Deserialize, Serialize};

use crate::scope::Scope;

/// `POST /v1/tokens`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What to call it; made up when absent.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it may do.
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    pub scopes: Vec<Scope>,
    /// With these frames alone, by name; with all when absent.
    #[schema(schema_with = super::schemas::some_names)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<String>>,
    /// From then on it opens nothing (UTC ms); never when absent.
    #[schema(maximum = 18446744073709551615u64)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenView {
    /// Ours.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<Scope>,
    /// With these frames alone; with all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<String>>,
    /// `active`, `expired` or `revoked`.
    pub state: String,
    /// UTC ms.
    pub created_at: u64,
    /// By whom.
    pub created_by: String,
    /// From then on it opens nothing (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// How it began, when it is a browser's session: `link` or `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_with: Option<String>,
    /// When it last opened something (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_from: Option<String>,
    /// When it was taken back (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

/// The answer to `POST /v1/tokens`: the only time that the secret is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewToken {
    /// The secret, to be sent as `Authorization: Bearer …`.
    pub token: String,
    /// What it is.
    #[serde(flatten)]
    pub about: TokenView,
}

/// `GET /v1/tokens/current`: what the caller may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Whoami {
    /// Who is asking, as it is written down.
    pub principal: String,
    /// What they may do.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<Scope>,
    /// With these frames alone; with all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<Vec<String>>,
}

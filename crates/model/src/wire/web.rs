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
    /// For a browser on another machine, such as a phone. That wants TLS, an address that others reach, and a password.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// The answer to `POST /v1/web/codes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebLink {
    /// To be opened by a browser on the gateway's machine, or elsewhere if that was asked for. It opens once.
    pub link: String,
    /// From then on it opens nothing (UTC ms).
    pub expires_at: u64,
    /// Of the certificate that the browser is shown, if it is shown one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
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

/// `POST /v1/web/login`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// The owner's.
    pub password: String,
    /// Of the app, or a recovery code; ignored while none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `PUT /v1/web/password`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// At least 12 characters.
    pub password: String,
    /// What a session may do that begins with it; when empty `read`, `send` and `approve`.
    #[schema(value_type = Vec<Scope>)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

/// How the owner comes in from a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LoginView {
    /// Whether there is a password.
    pub has_password: bool,
    /// What a session may do that begins with it.
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Vec<Scope>,
    /// Since when (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<u64>,
    /// Whether a code of an app is asked for besides.
    pub has_totp: bool,
    /// How many recovery codes were not used.
    pub recovery_code_count: u64,
}

/// The answer to `POST /v1/web/totp`: what an app is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TotpApp {
    /// For a picture that the app reads (`otpauth://…`).
    pub uri: String,
    /// The same secret for typing.
    pub secret: String,
    /// From then on it cannot be confirmed (UTC ms).
    pub expires_at: u64,
}

/// `PUT /v1/web/totp`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// What the app shows now.
    pub code: String,
}

/// The answer to `PUT /v1/web/totp`: the only time that recovery codes are told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    /// Each opens once, in the place of a code of the app.
    pub recovery_codes: Vec<String>,
}

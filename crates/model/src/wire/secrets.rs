//! Secrets as clients see them: everything but themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::FrameName;
use crate::secrets::{SecretForm, SecretGrant, SecretSource};

/// `PUT /v1/secrets/{secret}`: a value that is kept, or where it comes from each time.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is asked for it. Only the owner, on the gateway's own machine, may say that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comes_from: Option<SecretSource>,
}

impl fmt::Debug for SetSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map(|_| "•••");
        f.debug_struct("SetSecret").field("value", &value).field("comes_from", &self.comes_from).finish()
    }
}

/// `POST /v1/secrets/{secret}/grants`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantSecret {
    /// The frame's name.
    pub frame: String,
    /// How the frame sees it; a placeholder when absent.
    #[serde(default)]
    pub form: SecretForm,
    /// In which variable; the secret's name in capital letters when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// For which host a placeholder is replaced: `api.github.com`, or `http://…` for one that is spoken to plainly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Headers in which a placeholder is replaced besides those that authenticate (`authorization`, `x-api-key` and their
    /// like). The host may keep what it is told in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

/// What a frame was given of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretGrantView {
    /// The secret's name.
    pub secret: String,
    /// The frame's name.
    pub frame: String,
    /// How the frame sees it.
    pub form: SecretForm,
    /// The variable that holds it, or its placeholder, or the path of its file.
    pub variable: String,
    /// Where a placeholder is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the frame asks instead of that host, so that its placeholder is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Headers in which a placeholder is replaced besides those that authenticate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// UTC ms.
    pub granted_at: u64,
}

impl SecretGrantView {
    /// Of a grant to that frame.
    #[must_use]
    pub fn of(frame: &FrameName, grant: &SecretGrant) -> Self {
        Self {
            secret: grant.secret.to_string(),
            frame: frame.to_string(),
            form: grant.form,
            variable: grant.variable.clone(),
            host: grant.host.as_ref().map(ToString::to_string),
            url: grant.host.as_ref().map(crate::secrets::SecretHost::inside),
            headers: grant.headers.clone(),
            granted_at: grant.granted_at,
        }
    }
}

/// A secret without itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretView {
    /// What people call it.
    pub name: String,
    /// Where it comes from.
    pub comes_from: SecretSource,
    /// UTC ms.
    pub set_at: u64,
    /// Who set it.
    pub set_by: String,
    /// When a frame used it last (UTC ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
    /// Which frames were given it.
    pub grants: Vec<SecretGrantView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_does_not_print_its_secret() {
        let request = SetSecret { value: Some("hunter2-hunter2".to_owned()), comes_from: None };
        assert_eq!(format!("{request:?}"), "SetSecret { value: Some(\"•••\"), comes_from: None }");
    }
}

//! What a frame may reach.

use serde::{Deserialize, Serialize};

/// How much of the network a frame sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownNetworkMode, parse_err_fn = unknown)]
pub enum NetworkMode {
    /// No network in the container; the broker forwards model calls only.
    Sealed,
    /// No network in the container; the broker also connects to listed hosts.
    #[default]
    Allow,
    /// An ordinary container network.
    Open,
}

impl NetworkMode {
    /// The word in configuration, database and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A word that names no network mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network mode: use sealed, allow or open")]
pub struct UnknownNetworkMode(pub String);

fn unknown(text: &str) -> UnknownNetworkMode {
    UnknownNetworkMode(text.to_owned())
}

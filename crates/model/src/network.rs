//! What a frame may reach.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of the network a frame sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
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
        match self {
            Self::Sealed => "sealed",
            Self::Allow => "allow",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no network mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network mode: use sealed, allow or open")]
pub struct UnknownNetworkMode(pub String);

impl FromStr for NetworkMode {
    type Err = UnknownNetworkMode;
    fn from_str(text: &str) -> Result<Self, UnknownNetworkMode> {
        match text {
            "sealed" => Ok(Self::Sealed),
            "allow" => Ok(Self::Allow),
            "open" => Ok(Self::Open),
            other => Err(UnknownNetworkMode(other.to_owned())),
        }
    }
}

//! Who is asking.

use serde::{Deserialize, Serialize};

/// Whoever asks for a change; the first parameter of every changing service
/// call, and a column of every audit row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Principal {
    /// The owner, over the Unix socket. Checked by the kernel's peer credentials.
    Owner {
        /// The user id of the peer.
        uid: u32,
    },
    /// A bearer of the home's token, over TCP.
    Token {
        /// The token's name.
        name: String,
    },
    /// The gateway itself: drivers, expiry, recovery.
    Gateway,
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner { uid } => write!(f, "owner:{uid}"),
            Self::Token { name } => write!(f, "token:{name}"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

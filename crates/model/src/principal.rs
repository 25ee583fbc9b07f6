//! Who is asking.

/// Whoever asks for a change; the first parameter of every changing service
/// call, and a column of every audit row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The owner, over the Unix socket. Checked by the kernel's peer credentials.
    Owner {
        /// The user id of the peer.
        uid: u32,
    },
    /// A bearer of a token, over TCP.
    Token {
        /// The token's name.
        name: String,
    },
    /// A part of the gateway that acts by itself: recovery, deadlines, upkeep.
    Service {
        /// Which: the name of its module. `gateway` for the gateway as a whole.
        name: &'static str,
    },
}

impl Principal {
    /// The gateway as a whole: its start, its door.
    pub const GATEWAY: Self = Self::service("gateway");

    /// A part of the gateway that acts by itself.
    #[must_use]
    pub const fn service(name: &'static str) -> Self {
        Self::Service { name }
    }
}

/// As audit rows hold it. A word without a colon is a service.
impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner { uid } => write!(f, "owner:{uid}"),
            Self::Token { name } => write!(f, "token:{name}"),
            Self::Service { name } => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_look_like_a_service() {
        let token = Principal::Token { name: "upkeep".into() };
        assert_ne!(token.to_string(), Principal::service("upkeep").to_string());
        assert_eq!(Principal::GATEWAY.to_string(), "gateway", "as rows of older databases say it");
    }
}

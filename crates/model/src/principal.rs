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

/// A principal, or a sentence of ours that says who did something, as the owner with that user id reads it: whoever reads
/// is `you`. Only the first place in which the owner is named as whoever did it; what follows may be anybody's words.
#[must_use]
pub fn told_to(uid: u32, text: &str) -> String {
    let owner = Principal::Owner { uid }.to_string();
    let is_theirs = |(at, _): &(usize, &str)| {
        let (before, after) = (&text[..*at], &text[at + owner.len()..]);
        let is_whole = !after.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        let begins = before.is_empty() && (after.is_empty() || after.starts_with(' '));
        let did = before
            .strip_suffix("by ")
            .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_')));
        let is_aside = before.ends_with('(') && after.starts_with(')');
        is_whole && (begins || did || is_aside)
    };
    match text.match_indices(owner.as_str()).find(is_theirs) {
        Some((at, _)) => format!("{}you{}", &text[..at], &text[at + owner.len()..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_is_you_where_it_is_said_who_did_something() {
        for (said, told) in [
            ("owner:7", "you"),
            ("owner:7 said yes", "you said yes"),
            ("by owner:7: by owner:7, too", "by you: by owner:7, too"),
            ("it is denied already (by owner:7)", "it is denied already (by you)"),
            ("somebody said no (owner:7): use the mirror", "somebody said no (you): use the mirror"),
            ("paused: nightly; nightly: by owner:7: why", "paused: nightly; nightly: by you: why"),
        ] {
            assert_eq!(told_to(7, said), told);
        }
        for other in
            ["by owner:70", "owner:7x", "owner:7:7", "chown owner:7 a", "standby owner:7", "token:ci", ""]
        {
            assert_eq!(told_to(7, other), other);
        }
    }

    #[test]
    fn a_token_cannot_look_like_a_service() {
        let token = Principal::Token { name: "upkeep".into() };
        assert_ne!(token.to_string(), Principal::service("upkeep").to_string());
        assert_eq!(Principal::GATEWAY.to_string(), "gateway", "as rows of older databases say it");
    }
}

//! Identifiers: sortable by creation, prefixed by what they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_…")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefix of this kind of id, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes the id of something created at `at_ms` (UTC milliseconds).
            ///
            /// `entropy` keeps two ids of one millisecond apart; only its low 80 bits count.
            #[must_use]
            pub fn from_parts(at_ms: u64, entropy: u128) -> Self {
                let ulid = ulid::Ulid::from_parts(at_ms, entropy);
                Self(format!("{}_{}", $prefix, ulid.to_string().to_ascii_lowercase()))
            }

            /// Reads an id.
            ///
            /// # Errors
            /// When the prefix is another one or the rest is not 26 letters and digits.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let rest = text.strip_prefix(concat!($prefix, "_"));
                match rest {
                    Some(rest) if rest.len() == 26
                        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) =>
                    {
                        Ok(Self(text.to_owned()))
                    }
                    _ => Err(InvalidId { text: text.to_owned(), prefix: $prefix }),
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// One frame, for its whole life. Containers and folders carry it in their names.
    FrameId, "frm"
);
id!(
    /// One gateway home. Every container is labelled with it, so that two
    /// gateways on one engine never touch each other's frames.
    InstanceId, "ins"
);
id!(
    /// A registered project.
    ProjectId, "prj"
);
id!(
    /// A conversation, ours. opencode's own id of it is an [`crate::agent::AgentSessionId`].
    SessionId, "ssn"
);
id!(
    /// A prompt that somebody gave us to deliver. opencode's id of it is an
    /// [`crate::agent::AgentMessageId`].
    MessageId, "msg"
);
id!(
    /// Something that an agent asks a person.
    ApprovalId, "apr"
);
id!(
    /// A token for remote clients.
    TokenId, "tok"
);
id!(
    /// A call to another program that tells of something; the same at each try.
    DeliveryId, "whd"
);
id!(
    /// A run of a workflow: what it sends and makes carries it.
    RunId, "run"
);
id!(
    /// One request to the gateway; stands in its log lines and in error answers.
    RequestId, "req"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_survive_a_round_trip() {
        let early = FrameId::from_parts(1_000, u128::MAX);
        let late = FrameId::from_parts(1_001, 0);
        assert!(early < late);
        assert_eq!(FrameId::parse(early.as_str()), Ok(early));
    }

    #[test]
    fn a_foreign_prefix_is_refused() {
        let session = SessionId::from_parts(1, 1);
        assert!(FrameId::parse(session.as_str()).is_err());
        assert!(FrameId::parse("frm_").is_err());
        assert!(FrameId::parse("frm_01arz3ndektsv4rrffq69g5fa/").is_err());
    }
}

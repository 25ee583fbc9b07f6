//! What can go wrong between us and a gateway, sorted by what to do about it.

use std::path::PathBuf;

use mimir_model::fingerprint::Fingerprint;
use mimir_model::wire::problem::Problem;

/// A call that did not bring an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: start a gateway, then ask again. Nothing was asked yet.
    #[error("no gateway listens at {socket}")]
    NoGateway {
        /// Where one was looked for.
        socket: PathBuf,
    },
    /// The socket is there but not for us.
    #[error("the gateway's socket {socket} cannot be opened: {why}")]
    NotAllowed {
        /// Which socket.
        socket: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A gateway elsewhere that cannot be connected to. Nothing was asked yet.
    #[error("the gateway {address} cannot be reached: {why}")]
    Unreachable {
        /// Its address.
        address: String,
        /// What the system said.
        why: String,
    },
    /// A gateway elsewhere whose certificate nobody has looked at. Nothing was sent to it.
    #[error("the gateway {address} is not known here; it shows the certificate {fingerprint}")]
    UnknownGateway {
        /// `host:port`.
        address: String,
        /// What it shows.
        fingerprint: Fingerprint,
    },
    /// A gateway elsewhere that shows another certificate than it did, or somebody in its place. Nothing was
    /// sent to it.
    #[error("the gateway {address} does not show the certificate that is expected of it")]
    OtherCertificate {
        /// `host:port`.
        address: String,
        /// The expected one.
        pinned: Fingerprint,
        /// The one that it shows.
        shown: Fingerprint,
    },
    /// The gateway answered, and said no: show it.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The connection broke: what was asked may have happened. Look before asking again.
    #[error("the connection to the gateway broke during {action}: {why}")]
    Lost {
        /// What we were doing.
        action: String,
        /// What the system said.
        why: String,
    },
    /// No answer in time: what was asked may still happen.
    #[error("the gateway did not answer {action} within {seconds} s")]
    TimedOut {
        /// What we were doing.
        action: String,
        /// How long we waited.
        seconds: u64,
    },
    /// An answer that this version cannot read: the gateway is probably another version.
    #[error("the gateway's answer to {action} cannot be read: {why}")]
    Garbled {
        /// What we were doing.
        action: String,
        /// What was wrong with it.
        why: String,
    },
}

impl ClientError {
    /// Whether a gateway that is (re)started could answer the same question.
    #[must_use]
    pub fn is_gateway_away(&self) -> bool {
        matches!(self, Self::NoGateway { .. } | Self::Unreachable { .. } | Self::Lost { .. })
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let title = error.to_string();
        match error {
            ClientError::Refused(problem) => *problem,
            ClientError::NoGateway { .. } => Problem::new(503, "gateway.unreachable", title)
                .hint("start one with `mimir serve --detach`"),
            ClientError::NotAllowed { .. } => Problem::new(403, "gateway.refused", title)
                .hint("a gateway serves only the user who started it; is MIMIR_HOME yours?"),
            ClientError::Unreachable { .. } => Problem::new(503, "gateway.unreachable", title)
                .hint("is it running there (`mimir status` on its machine), and is MIMIR_URL right?"),
            ClientError::UnknownGateway { fingerprint, .. } => {
                Problem::new(403, "gateway.unknown", title).hint(format!(
                    "if `mimir status` on its machine shows the same, run this in a terminal and accept it, or set MIMIR_FINGERPRINT={fingerprint}"
                ))
            }
            ClientError::OtherCertificate { pinned, shown, .. } => {
                Problem::new(403, "gateway.fingerprint_changed", title)
                    .detail(format!("expected {pinned}, but it shows {shown}"))
                    .hint("somebody may be in between: compare with `mimir status` on its machine before you change MIMIR_FINGERPRINT or known_gateways")
            }
            ClientError::Lost { .. } => Problem::new(503, "gateway.lost", title).hint(
                "`mimir status` shows whether it runs; its log is gateway.log in the folder that `mimir config path` names",
            ),
            ClientError::TimedOut { .. } => Problem::new(504, "gateway.timeout", title)
                .hint("`mimir status` shows whether it is busy; the work may still be going on"),
            ClientError::Garbled { .. } => Problem::new(502, "gateway.garbled", title).hint(
                "the gateway may be another version: `mimir serve --stop`, then run the command again",
            ),
        }
    }
}

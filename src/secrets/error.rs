//! What can go wrong with secrets.

use crate::model::names::SecretName;
use crate::model::network::NetworkMode;
use crate::store::StoreError;

/// What can go wrong with secrets. No variant holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Look at those there are.
    #[error("there is no secret {0}")]
    NotFound(SecretName),
    /// Give another value.
    #[error("that is no secret: {0}")]
    Value(&'static str),
    /// Give a value, or say where it comes from; not both, not neither.
    #[error("a secret has a value that is kept, or a source that is asked")]
    Either,
    /// Only the owner of this machine's gateway may have commands run and files read.
    #[error("where a secret comes from can be said only on the gateway's own machine")]
    OwnerOnly,
    /// Mend the source.
    #[error("the secret {name} cannot be had: {why}")]
    Source {
        /// Which.
        name: SecretName,
        /// Why, without what the source printed on its standard output.
        why: String,
    },
    /// Choose another variable.
    #[error("{0}")]
    Variable(String),
    /// Take the other one back, or choose another variable.
    #[error("the frame has another secret in {0}")]
    VariableTaken(String),
    /// Say for which host.
    #[error("a placeholder is for one host")]
    NoHost,
    /// Leave the host out.
    #[error("a secret that the frame itself sees can go anywhere; a host has no meaning for it")]
    HostOfNone,
    /// Name a host.
    #[error(transparent)]
    Host(#[from] crate::model::secrets::InvalidHost),
    /// Name another header, or none.
    #[error("{0}")]
    Header(String),
    /// A value in an environment is one line.
    #[error("the secret {0} has several lines, which no variable can hold")]
    Lines(SecretName),
    /// Only a frame with a list of hosts speaks through the broker.
    #[error(
        "frame {frame} is {network}: only through the broker of a frame in mode allow are placeholders replaced"
    )]
    NoBroker {
        /// Which.
        frame: String,
        /// How it is connected.
        network: NetworkMode,
    },
    /// Allow it first.
    #[error("frame {frame} may not reach {host}")]
    NotListed {
        /// Which frame.
        frame: String,
        /// Which host, as `frame allow` takes it.
        host: String,
    },
    /// A server elsewhere has secrets of its own.
    #[error("frame {0} is a server elsewhere, to which no secret of this gateway is given")]
    External(String),
    /// There is nothing to take back.
    #[error("frame {frame} was not given the secret {name}")]
    NotGranted {
        /// Which frame.
        frame: String,
        /// Which secret.
        name: SecretName,
    },
    /// Ours.
    #[error(transparent)]
    Store(#[from] StoreError),
}

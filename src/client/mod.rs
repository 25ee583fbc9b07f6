//! Talks to a gateway: one method per route, over its Unix socket.
//!
//! Answers are wire types; what goes wrong is a [`ClientError`], which becomes a
//! [`Problem`](crate::wire::problem::Problem) for whoever has to read it.

mod error;
mod events;
mod http;
mod launch;
mod lines;
mod routes;
mod terminal;

pub use error::ClientError;
pub use events::{EventFilter, Follow, Followed};
pub use launch::{Launch, Launched, NotStarted};
pub use lines::JsonLines;
pub use routes::{FrameVerb, GatewayClient, Reached};
pub use terminal::{TerminalInput, TerminalOutput, TerminalOutputs};

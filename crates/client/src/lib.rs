//! Talks to a gateway: one method per route, over its Unix socket or from elsewhere.
//!
//! Answers are wire types; what goes wrong is a [`ClientError`], which becomes a
//! [`Problem`](mimir_model::wire::problem::Problem) for whoever has to read it.

mod audit;
mod backups;
mod budgets;
mod error;
mod events;
mod http;
mod known;
mod launch;
mod lines;
mod messages;
mod pin;
mod place;
mod projects;
mod pushes;
mod routes;
mod runs;
mod schedules;
mod secrets;
mod terminal;
mod tokens;
pub mod told;
mod web;
mod webhooks;

pub use error::ClientError;
pub use events::{EventFilter, Follow, Followed};
pub use known::KnownGateways;
pub use launch::{Launch, Launched, NotStarted};
pub use lines::JsonLines;
pub use messages::SearchFor;
pub use place::{BadAddress, Place, Remote};
pub use routes::{FrameVerb, GatewayClient, Reached};
pub use runs::RunList;
pub use terminal::{TerminalInput, TerminalOutput, TerminalOutputs};

//! What crosses the gateway's socket: plain structs, versioned by the `/v1` in the path.
//!
//! Fields are added, never renamed or removed, once a version was released. What a name means is in docs/json/README.md.

pub mod approvals;
pub mod audit;
pub mod budgets;
pub mod config;
pub mod doctor;
pub mod events;
pub mod frames;
pub mod images;
pub mod messages;
pub mod problem;
pub mod projects;
pub mod pushes;
pub mod runs;
pub mod schedules;
mod schemas;
pub mod secrets;
pub mod sessions;
pub mod status;
pub mod terminal;
pub mod tokens;
pub mod web;
pub mod web_terminal;
pub mod webhooks;

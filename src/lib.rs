//! mimir: one sandboxed frame per project.
//!
//! A frame is a container in which the opencode agent runs as a server. The
//! gateway owns all frames of a machine; the command line is its client.
//!
//! Modules in reading order. A module may use only modules of the groups above
//! its own; `tests/it/architecture.rs` keeps it so.

// Words and rules, and what crosses the socket; no I/O (`crates/model`).
pub use mimir_model as model;
pub use mimir_model::wire;

// Small tools that know no business rule.
pub mod clock;
pub mod outbound;
pub mod redact;
pub mod supervisor;
pub mod telemetry;
pub mod terminal_filter;

// The outside world, one box each; the gateway itself is one for its clients (`crates/client`).
pub use mimir_client as client;
pub mod config;
pub mod forge;
pub mod host_ports;
pub mod models;
pub mod opencode;
pub mod runtime;
pub mod sentry;
pub mod store;

// Views of the outside world through two of those boxes.
pub mod audit;
pub mod events;
pub mod git;
pub mod timers;
pub mod tmux;

// Services: they do not call each other.
pub mod access;
pub mod budget;
pub mod frames;
pub mod notify;
pub mod schedules;
pub mod secrets;
pub mod sessions;
pub mod webhooks;

// Services over services.
pub mod approvals;
pub mod backups;
pub mod delivery;
pub mod doctor;
pub mod feed;
pub mod pushes;
pub mod uninstall;

// What frames do, put together from all of these.
pub mod status;

// What follows from what they do.
pub mod upkeep;
pub mod workflows;

// Edges: they know everyone, nobody knows them.
pub mod broker;
pub mod gateway;

// Composition, and the command line on top.
pub mod cli;
pub mod daemon;

//! Values and decisions: what mimir talks about, and which moves are legal.
//!
//! Everything here is pure. It reads no clock, opens no file (but the machine's list of time zones) and knows nothing
//! of SQL, HTTP, tokio or containers, so every rule can be tested by calling it.

pub mod agent;
pub mod allow;
pub mod approval;
pub mod audit;
pub mod backup;
pub mod budget;
pub mod container;
pub mod devcontainer;
pub mod doctor;
pub mod event;
pub mod filter;
pub mod fingerprint;
pub mod forge;
pub mod frame;
pub mod git;
pub mod ids;
pub mod isolation;
pub mod kit;
pub mod look;
pub mod loose;
pub mod message;
pub mod names;
pub mod network;
pub mod origin;
pub mod policy;
pub mod port;
pub mod principal;
pub mod project;
pub mod quantity;
pub mod routing;
pub mod run;
pub mod schedule;
pub mod scope;
pub mod secret;
pub mod secrets;
pub mod shell;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod status;
pub mod token;
pub mod trust;
pub mod usage;
pub mod visible;
pub mod webhook;
pub mod wire;
#[cfg(test)]
mod words_tests;

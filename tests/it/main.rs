//! One binary for all integration tests.

// A forge's objects have many fields.
#![recursion_limit = "256"]

mod access;
mod agent;
mod api;
mod approvals;
mod architecture;
mod audit;
mod backups;
mod cli;
mod configuration;
mod contract;
#[cfg(feature = "test-support")]
mod deaths;
mod delivery;
mod feed;
mod forge;
mod git;
mod inside;
mod lifecycle;
mod log;
#[cfg(feature = "test-support")]
mod machine;
mod migrations;
mod net;
mod obedient;
mod package;
mod podman;
mod ports;
#[cfg(feature = "test-support")]
mod pulls;
mod quantities;
mod replies;
mod schedules;
mod scripted_model;
mod sessions;
mod small_disk;
mod status;
mod store;
mod traps;
mod uninstall;
mod versions;
#[cfg(feature = "test-support")]
mod web;
mod web_terminal;
mod webhooks;
mod workflows;

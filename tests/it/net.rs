//! Link, host ports, broker and models: what stands between a frame and the world.

#[cfg(feature = "test-support")]
mod agents;
mod broker;
mod echoes;
#[cfg(feature = "test-support")]
mod ledger;
mod link;
mod money;
mod outside;
mod ports;
mod questions;
mod rebinding;
mod secrets;
pub(crate) mod support;
mod through;
